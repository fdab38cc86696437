import { realpathSync } from "node:fs"
import { fileURLToPath } from "node:url"

/** Whether a module is the program that was started, and not one that another imports. */
export const isMain = (moduleUrl: string): boolean =>
  process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(moduleUrl)
