/**
 * The options of the quickstart.
 */
import * as LocalEngine from "@effect-tinker/llama/LocalEngine"
import * as ShippedModel from "@effect-tinker/llama/ShippedModel"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { UsageError } from "./UsageError.js"

export { defaults, flags } from "./commands/trainFlags.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface QuickstartOptions {
  /** The data set that ships when absent. */
  readonly data: string | undefined
  /** Keys of the data that are of no account. */
  readonly ignoredKeys: ReadonlyArray<string>
  readonly steps: number
  readonly rank: number
  readonly learningRate: number
  readonly checkpointEvery: number
  /** `undefined`: a new folder under `runs`. */
  readonly out: string | undefined
  readonly where: Where
}

/**
 * @since 0.1.0
 * @category models
 */
export type Where =
  | { readonly _tag: "Local"; readonly modelFolder: string }
  | { readonly _tag: "Remote"; readonly baseModel: string | undefined; readonly tokenizerFolder: string | undefined }

/**
 * What the command line gives.
 *
 * @since 0.1.0
 * @category models
 */
export interface Flags {
  readonly data: Option.Option<string>
  readonly ignoreKeys: Option.Option<string>
  readonly model: Option.Option<string>
  readonly steps: number
  readonly rank: number
  readonly learningRate: number
  readonly checkpointEvery: number
  readonly out: Option.Option<string>
  readonly remote: boolean
  readonly baseModel: Option.Option<string>
  readonly tokenizer: Option.Option<string>
}

/**
 * Checks the options together; the error names the one to change.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromFlags = (given: Flags): Effect.Effect<QuickstartOptions, UsageError> => {
  const wrong = (description: string) => new UsageError({ description })
  if (given.steps < 1) return wrong(`--steps is ${given.steps}; it must be 1 or more.`)
  if (given.rank < 1) return wrong(`--rank is ${given.rank}; it must be 1 or more.`)
  if (!given.remote && given.rank > LocalEngine.maxRank) {
    return wrong(`--rank is ${given.rank}; on this machine it must be ${LocalEngine.maxRank} or less.`)
  }
  if (!(given.learningRate > 0 && given.learningRate <= 1)) {
    return wrong(
      `--learning-rate is ${given.learningRate}; it must be more than 0, and at most 1. Usual are 0.00001 to 0.01.`
    )
  }
  if (given.checkpointEvery < 1) {
    return wrong(`--checkpoint-every is ${given.checkpointEvery}; it must be 1 or more.`)
  }
  const ignoredKeys = Option.match(given.ignoreKeys, {
    onNone: (): Array<string> => [],
    onSome: (text) => text.split(",").map((key) => key.trim())
  })
  if (ignoredKeys.includes("")) {
    return wrong(
      "--ignore-keys names keys with commas between them, and one of them is empty. Write them as id,timestamp."
    )
  }
  if (ignoredKeys.length > 0 && Option.isNone(given.data)) {
    return wrong("--ignore-keys is for a file of yours; name it with --data.")
  }
  if (given.remote && Option.isSome(given.model)) {
    return wrong("--model is a folder on this machine; with --remote name the model with --base-model.")
  }
  if (!given.remote && Option.isSome(given.baseModel)) {
    return wrong("--base-model names a model of a service; add --remote, or pass a folder with --model.")
  }
  if (!given.remote && Option.isSome(given.tokenizer)) {
    return wrong(
      "--tokenizer is for a model of a service; add --remote. A folder of --model has a tokenizer of its own."
    )
  }
  return Effect.succeed({
    data: Option.getOrUndefined(given.data),
    ignoredKeys,
    steps: given.steps,
    rank: given.rank,
    learningRate: given.learningRate,
    checkpointEvery: given.checkpointEvery,
    out: Option.getOrUndefined(given.out),
    where: given.remote
      ? {
        _tag: "Remote",
        baseModel: Option.getOrUndefined(given.baseModel),
        tokenizerFolder: Option.getOrUndefined(given.tokenizer)
      }
      : {
        _tag: "Local",
        modelFolder: Option.getOrElse(given.model, () => ShippedModel.folder)
      }
  })
}
