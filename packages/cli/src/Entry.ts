/**
 * Modules that are programs.
 */
import { realpathSync } from "node:fs"
import { fileURLToPath } from "node:url"

/**
 * Whether a module is the program that was started, and not one that another imports.
 *
 * @since 0.1.0
 * @category guards
 */
export const isEntry = (moduleUrl: string): boolean =>
  process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(moduleUrl)
