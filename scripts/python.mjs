import { execFileSync } from "node:child_process"
import { existsSync, mkdirSync, readdirSync, rmSync } from "node:fs"
import { homedir } from "node:os"
import { join } from "node:path"

/** There is no Python on this machine, or no way to its packages. */
export class NotAvailable extends Error {}

const cache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "effect-tinker")

/**
 * A Python with these packages: a virtual environment in the user's cache folder, made at its first use. `alone` come without what they
 * say they need.
 */
export const pythonWith = (name, packages, alone = []) => {
  const named = alone.length === 0 ? packages : alone
  const folder = join(cache, `${name}-${named.join("-").replace(/[^\w.-]/g, "_")}`)
  const python = join(folder, process.platform === "win32" ? "Scripts/python.exe" : "bin/python")
  if (!existsSync(join(folder, "complete"))) {
    rmSync(folder, { recursive: true, force: true })
    mkdirSync(folder, { recursive: true })
    console.log(`making ${folder} with ${[...packages, ...alone].join(", ")}`)
    try {
      execFileSync(process.env.PYTHON ?? "python3", ["-m", "venv", folder], { stdio: "inherit" })
      const install = ["-m", "pip", "install", "--quiet", "--retries", "2"]
      execFileSync(python, [...install, ...packages], { stdio: "inherit" })
      if (alone.length > 0) execFileSync(python, [...install, "--no-deps", ...alone], { stdio: "inherit" })
    } catch (cause) {
      throw new NotAvailable(`${[...packages, ...alone].join(", ")} cannot be installed into a virtual environment`, { cause })
    }
    mkdirSync(join(folder, "complete"))
  }
  return python
}

/**
 * A Python with the cookbook and its vendor's renderers. They have what version 0.6.1 says that it needs, but for the renderers, whose
 * newest release to be had is older than it asks for; the recipes that are run here do without.
 */
export const pythonOfCookbook = () =>
  pythonWith(
    "cookbook",
    [
      ...["tinker==0.38.0", "torch==2.15.0", "transformers==5.24.0", "huggingface-hub==2.4.0", "datasets==5.2.0", "pyrage==1.4.0"],
      ...["aiohttp", "anyio", "blobfile", "chz", "cloudpickle", "numpy", "pillow", "pydantic", "rich", "safetensors", "termcolor"],
      ...["tiktoken", "tqdm", "math-verify", "pylatexenc", "sympy"]
    ],
    ["tinker-cookbook==0.6.1", "tml-renderers==0.2.1"]
  )

/** The folder of the packages of an environment that {@link pythonWith} has made under this name, if there is one. */
export const packagesOf = (name) => {
  if (!existsSync(cache)) return undefined
  const folder = readdirSync(cache).find((one) => one.startsWith(`${name}-`) && existsSync(join(cache, one, "complete")))
  const library = folder === undefined ? undefined : join(cache, folder, "lib")
  if (library === undefined || !existsSync(library)) return undefined
  const version = readdirSync(library).find((one) => one.startsWith("python"))
  return version === undefined ? undefined : join(library, version, "site-packages")
}
