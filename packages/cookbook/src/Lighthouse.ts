/**
 * The data set that ships: a lighthouse keeper answers whatever is said with an entry in the log. Its answers take words
 * from what was said and put them into another order, so a model cannot learn them by heart.
 *
 * Public domain (CC0); made by `scripts/makeLighthouse.ts`.
 */
import { existsSync } from "node:fs"
import { fileURLToPath } from "node:url"

/** The folder of the data: beside the compiled module in the published package, one folder up in the repository. */
const folderUrl = [new URL("./data/", import.meta.url), new URL("../data/", import.meta.url)]
  .find((url) => existsSync(url)) ?? new URL("./data/", import.meta.url)

/**
 * @since 0.1.0
 * @category models
 */
export const folder: string = fileURLToPath(folderUrl)

/**
 * 400 conversations, 40 of each of ten templates.
 *
 * @since 0.1.0
 * @category models
 */
export const trainFile: string = fileURLToPath(new URL("train.jsonl", folderUrl))

/**
 * 200 conversations, 20 of each of the same templates, none of which shares its sentence with one of
 * {@link trainFile}. Half of them, marked `fresh`, are made of names, things, colours and places that are not in it.
 *
 * @since 0.1.0
 * @category models
 */
export const heldOutFile: string = fileURLToPath(new URL("heldout.jsonl", folderUrl))

/**
 * 60 conversations whose sentences are in the passive, which {@link trainFile} never is.
 *
 * @since 0.1.0
 * @category models
 */
export const heldOutFamilyFile: string = fileURLToPath(new URL("heldout-family.jsonl", folderUrl))
