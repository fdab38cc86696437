/** The small trained model that comes with this package. */
import { existsSync } from "node:fs"
import { fileURLToPath } from "node:url"

/**
 * Its name as a base model.
 *
 * @since 0.1.0
 * @category config
 */
export const name = "effect-tinker/tiny-english"

const beside = fileURLToPath(new URL("./model", import.meta.url))

/**
 * Where it lies: a folder as Hugging Face lays models out, beside the built modules, or above the sources.
 *
 * @since 0.1.0
 * @category config
 */
export const folder: string = existsSync(beside) ? beside : fileURLToPath(new URL("../model", import.meta.url))
