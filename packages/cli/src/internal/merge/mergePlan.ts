/** What is to be written, found out before anything is: every matrix that changes, in the place that it has in the base model. */
import * as Effect from "effect/Effect"
import type { CommandFailed } from "../../Failure.js"
import * as JsonObject from "../jsonObject.js"
import { type BaseFolder, configFile, type Stored } from "./baseFolder.js"
import type { LoraAdapter, Pair } from "./loraAdapter.js"
import { refused } from "./refused.js"
import * as TensorFile from "./tensorFile.js"

export interface MergePlan {
  /** What changes, by the name of the tensor that is written. */
  readonly merges: ReadonlyMap<string, Merge>
  /**
   * The model's embedding and its last layer were one tensor, of which only the last layer changes: they become two. `appended` is the name of
   * the new one and the tensor behind whose file's last one it comes, unless the file has room for it already.
   */
  readonly untied: { readonly appended: { readonly name: string; readonly to: Stored } | undefined } | undefined
}

/** A matrix and what is added to it. */
export interface Merge {
  readonly source: Stored & { readonly dtype: TensorFile.Float }
  readonly pair: Pair
  /** Whether the matrix lies as `[in, out]`. */
  readonly isTransposed: boolean
}

const head = "lm_head"
const headWeight = "lm_head.weight"
const embeddings = ["model.embed_tokens.weight", "transformer.wte.weight"]

export const make = (base: BaseFolder, adapter: LoraAdapter): Effect.Effect<MergePlan, CommandFailed> =>
  Effect.gen(function*() {
    const embedding = adapter.pairs.has(head) ? yield* tiedEmbedding(base) : undefined
    const sources = new Map<string, Stored & { readonly dtype: TensorFile.Float }>()
    for (const [module, pair] of adapter.pairs) {
      const name = module === head && embedding !== undefined ? embedding : `${module}.weight`
      const stored = base.tensors.get(name)
      if (stored === undefined) {
        return yield* refused(
          `the adapter has ${pair.names[0]}, and the base model in ${base.folder} has no tensor ${name}.`
        )
      }
      const { dtype, shape } = stored.place
      if (!TensorFile.isFloat(dtype)) {
        return yield* refused(`${stored.file.path}: tensor ${name} is ${dtype}; F32, F16 and BF16 can be merged into.`)
      }
      if (shape.length !== 2) {
        return yield* refused(
          `${stored.file.path}: tensor ${name} is [${shape}], and only matrices can be merged into.`
        )
      }
      sources.set(module, { ...stored, dtype })
    }
    const shapes = Array.from(sources, ([module, { place }]) => [adapter.pairs.get(module)!, place.shape] as const)
    // A square matrix does not tell how it lies: it lies as the others of the model do.
    const isOtherwise = (transposed: boolean) =>
      shapes.some(([pair, shape]) => shape[0] !== shape[1] && fits(pair, shape, transposed))
    const isTransposed = isOtherwise(true) !== isOtherwise(false) ? isOtherwise(true) : adapter.isTransposed
    const merges = new Map<string, Merge>()
    for (const [module, source] of sources) {
      const pair = adapter.pairs.get(module)!
      const { shape } = source.place
      const lies = module !== head && (shape[0] === shape[1] ? isTransposed : fits(pair, shape, true))
      if (!fits(pair, shape, lies)) {
        return yield* refused(
          `${pair.names[0]} [${pair.a.shape}] and ${
            pair.names[1]
          } [${pair.b.shape}] do not fit the base model's ${module}.weight [${shape}]. Is it the model that was trained?`
        )
      }
      merges.set(`${module}.weight`, { source, pair, isTransposed: lies })
    }
    return { merges, untied: embedding === undefined ? undefined : yield* untying(base, base.tensors.get(embedding)!) }
  })

const fits = ({ a, b }: Pair, shape: ReadonlyArray<number>, isTransposed: boolean): boolean => {
  const [out, into] = isTransposed ? [shape[1], shape[0]] : shape
  return b.shape[0] === out && a.shape[1] === into
}

/** The embedding that is the last layer as well; none where that has a tensor of its own. */
const tiedEmbedding = (base: BaseFolder) =>
  Effect.gen(function*() {
    const isTied = base.config.tie_word_embeddings
    if (isTied === false || (isTied !== true && base.tensors.has(headWeight))) return undefined
    const found = embeddings.find((name) => base.tensors.has(name))
    if (found !== undefined && !JsonObject.isObject(base.config.text_config)) return found
    return yield* refused(
      `the adapter changes ${head}, which is one tensor with the embedding in ${base.folder}, and how to part them in a model of this kind is not known.`
    )
  })

const untying = (base: BaseFolder, embedding: Stored) => {
  const stored = base.tensors.get(headWeight)
  if (stored === undefined) return Effect.succeed({ appended: { name: headWeight, to: embedding } })
  const { dtype, shape } = embedding.place
  return stored.place.dtype === dtype && stored.place.shape.join() === shape.join()
    ? Effect.succeed({ appended: undefined })
    : refused(
      `${stored.file.path}: tensor ${headWeight} is not of the type and shape of the embedding, with which ${configFile} says that it is one.`
    )
}
