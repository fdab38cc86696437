// Drives our server with the Python SDK, and compares the list of its names, from which people migrate, with what it has. Its
// virtual environment is kept in the user's cache folder.
import { execFileSync } from "node:child_process"
import { existsSync, readFileSync } from "node:fs"
import { pythonWith } from "./python.mjs"

const script = "packages/server/scripts/interop.py"
if (!existsSync(script)) throw new Error(`run this from the repository's root: there is no ${script}`)
const python = pythonWith("interop", ["tinker==0.38.0"])

const list = "packages/tinker/test/fixtures/python-names.txt"
const names = execFileSync(python, ["packages/tinker/scripts/python_names.py"], { encoding: "utf8" })
if (names !== readFileSync(list, "utf8")) {
  throw new Error(`${list} is not what this SDK has: write it anew with packages/tinker/scripts/python_names.py`)
}

execFileSync(python, [script], { stdio: "inherit" })
