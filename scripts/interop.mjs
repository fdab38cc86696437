// Drives our server with the Python SDK. Its virtual environment is kept in the user's cache folder.
import { execFileSync } from "node:child_process"
import { existsSync } from "node:fs"
import { pythonWith } from "./python.mjs"

const script = "packages/server/scripts/interop.py"
if (!existsSync(script)) throw new Error(`run this from the repository's root: there is no ${script}`)
execFileSync(pythonWith("interop", ["tinker==0.38.0"]), [script], { stdio: "inherit" })
