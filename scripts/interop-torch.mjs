// Holds our numbers and files against PyTorch, transformers and PEFT, and our tokenizers against those of tml-renderers, tiktoken and
// tokenizers. Heavy to install, so it is run by hand: before a release and whenever the engine or the tokenizer changes. `engine` or
// `tokenizers` as an argument runs that part alone. With --write it also stores the values that the tests hold ours against; without,
// it compares them.
import { execFileSync } from "node:child_process"
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { pythonOfCookbook, pythonWith } from "./python.mjs"

const write = process.argv.includes("--write") ? ["--write"] : []
const run = (command, ...args) => execFileSync(command, args, { stdio: "inherit" })

const engine = (folder) => {
  const python = process.env.PYTHON_TORCH ?? pythonWith("torch", ["torch", "transformers", "peft", "numpy"])
  run(python, "packages/llama/scripts/torch_reference.py", ...write)
  run(python, "packages/llama/scripts/random_models.py", folder)
  const models = ["llama", "qwen2", "qwen3"].map((name) => join(folder, name))
  run("node", "--import", "tsx", "packages/llama/scripts/exportForTorch.ts", folder, ...models)
  for (const one of readdirSync(folder).map((name) => join(folder, name)).filter((one) => existsSync(join(one, "expected.json")))) {
    const { model } = JSON.parse(readFileSync(join(one, "expected.json"), "utf8"))
    const [trained] = readdirSync(join(one, "checkpoints")).filter((name) => existsSync(join(one, "checkpoints", name, "external_weights")))
    const adapter = join(one, "checkpoints", trained, "external_weights", "exported")
    run("node", "--import", "tsx", "packages/cli/src/tinker.ts", "checkpoint", "export", adapter, "--merged", "--base", model, "-o", join(one, "merged"))
  }
  run(python, "packages/llama/scripts/interop_torch.py", folder)
}

const tokenizers = (folder) => {
  run(pythonOfCookbook(), "packages/tokenizer/scripts/shipped_tokenizers.py", folder)
  run("node", "--import", "tsx", "packages/tokenizer/scripts/compareShipped.ts", folder, ...write)
}

const parts = { engine, tokenizers }
const named = process.argv.slice(2).filter((argument) => argument !== "--write")
for (const name of named.length > 0 ? named : Object.keys(parts)) {
  if (!Object.hasOwn(parts, name)) throw new Error(`there is no part ${name}, only ${Object.keys(parts).join(" and ")}`)
  const folder = mkdtempSync(join(tmpdir(), "interop-torch-"))
  try {
    parts[name](folder)
  } finally {
    rmSync(folder, { recursive: true })
  }
}
