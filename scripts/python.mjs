import { execFileSync } from "node:child_process"
import { existsSync, mkdirSync, rmSync } from "node:fs"
import { homedir } from "node:os"
import { join } from "node:path"

/** A Python with these packages: a virtual environment in the user's cache folder, made at its first use. */
export const pythonWith = (name, packages) => {
  const cache = process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache")
  const folder = join(cache, "effect-tinker", `${name}-${packages.join("-").replace(/[^\w.-]/g, "_")}`)
  const python = join(folder, process.platform === "win32" ? "Scripts/python.exe" : "bin/python")
  if (!existsSync(join(folder, "complete"))) {
    rmSync(folder, { recursive: true, force: true })
    mkdirSync(folder, { recursive: true })
    console.log(`making ${folder} with ${packages.join(", ")}`)
    execFileSync(process.env.PYTHON ?? "python3", ["-m", "venv", folder], { stdio: "inherit" })
    execFileSync(python, ["-m", "pip", "install", "--quiet", ...packages], { stdio: "inherit" })
    mkdirSync(join(folder, "complete"))
  }
  return python
}
