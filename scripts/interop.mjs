// Drives our server and `serve` with the Python SDK, and with an older one, with its command line and with recipes of its cookbook, and
// compares the list of its names, from which people migrate, with what it has. `sdk` or `cookbook` as an argument runs that part alone.
// Virtual environments are kept in the user's cache folder. Ends with status 77, which stands for "skipped", where there are no
// Python packages to be had for a part.
import { execFileSync } from "node:child_process"
import { existsSync, readFileSync } from "node:fs"
import { delimiter } from "node:path"
import { NotAvailable, packagesOf, pythonOfCookbook, pythonWith } from "./python.mjs"

const script = "packages/server/scripts/interop.py"
if (!existsSync(script)) throw new Error(`run this from the repository's root: there is no ${script}`)

const sdk = () => {
  const newest = pythonWith("interop", ["tinker==0.38.0"])
  const older = pythonWith("interop", ["tinker==0.25.0"])

  const list = "packages/tinker/test/fixtures/python-names.txt"
  const names = execFileSync(newest, ["packages/tinker/scripts/python_names.py"], { encoding: "utf8" })
  if (names !== readFileSync(list, "utf8")) {
    throw new Error(`${list} is not what this SDK has: write it anew with packages/tinker/scripts/python_names.py`)
  }

  // PyTorch, which custom losses of the Python SDK need, is large: it is used where `npm run interop:torch` has installed it.
  const torch = packagesOf("torch")
  const path = [process.env.PYTHONPATH, torch].filter(Boolean).join(delimiter)
  execFileSync(newest, [script], { stdio: "inherit", env: { ...process.env, PYTHONPATH: path } })
  execFileSync(newest, ["packages/server/scripts/interop_serve.py"], { stdio: "inherit" })
  execFileSync(older, ["packages/server/scripts/interop_older.py"], { stdio: "inherit" })
  if (torch === undefined) console.log("custom losses of the Python SDK were not tried, as there is no torch here")
}

const cookbook = () => {
  const python = pythonOfCookbook()
  execFileSync(python, ["packages/server/scripts/interop_cookbook.py"], { stdio: "inherit" })
}

const parts = { sdk, cookbook }
const wanted = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(parts)
for (const name of wanted) {
  if (!Object.hasOwn(parts, name)) throw new Error(`there is no part ${name}, only ${Object.keys(parts).join(" and ")}`)
  try {
    parts[name]()
  } catch (error) {
    if (!(error instanceof NotAvailable)) throw error
    console.log(`${name} skipped: ${error.message}`)
    process.exitCode = 77
  }
}
