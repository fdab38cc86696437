// Holds our numbers and files against PyTorch, transformers and PEFT. Heavy to install, so it is run by hand: before a
// release and whenever the engine changes.
import { execFileSync } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { pythonWith } from "./python.mjs"

const python = process.env.PYTHON_TORCH ?? pythonWith("torch", ["torch", "transformers", "peft", "numpy"])
const folder = mkdtempSync(join(tmpdir(), "interop-torch-"))
const run = (command, ...args) => execFileSync(command, args, { stdio: "inherit" })
try {
  run("node", "--import", "tsx", "packages/engine/scripts/exportForTorch.ts", folder)
  run(python, "packages/engine/scripts/interop_torch.py", folder)
} finally {
  rmSync(folder, { recursive: true })
}
