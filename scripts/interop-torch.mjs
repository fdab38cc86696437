// Holds our numbers and files against PyTorch, transformers and PEFT. Heavy to install, so it is run by hand: before a
// release and whenever the engine changes. With --write it also stores the values that the tests hold the engine against;
// without, it compares them.
import { execFileSync } from "node:child_process"
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { pythonWith } from "./python.mjs"

const python = process.env.PYTHON_TORCH ?? pythonWith("torch", ["torch", "transformers", "peft", "numpy"])
const folder = mkdtempSync(join(tmpdir(), "interop-torch-"))
const run = (command, ...args) => execFileSync(command, args, { stdio: "inherit" })
try {
  run(python, "packages/llama/scripts/torch_reference.py", ...process.argv.slice(2))
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
} finally {
  rmSync(folder, { recursive: true })
}
