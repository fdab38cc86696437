/**
 * The options of the quickstart.
 */
import * as ShippedModel from "@effect-tinker/engine/ShippedModel"
import * as Options from "@effect/cli/Options"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { UsageError } from "./UsageError.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface QuickstartOptions {
  /** The data set that ships when absent. */
  readonly data: string | undefined
  readonly steps: number
  readonly rank: number
  readonly learningRate: number
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
  | { readonly _tag: "Remote"; readonly baseModel: string | undefined; readonly tokenizerFolder: string }

/**
 * With these the shipped model learns the shipped data in about a minute on two cores.
 *
 * @since 0.1.0
 * @category config
 */
export const defaults = { steps: 100, rank: 16, learningRate: 2e-3, batchSize: 16 } as const

/**
 * As they are written on the command line.
 *
 * @since 0.1.0
 * @category config
 */
export const flags = {
  data: Options.text("data").pipe(
    Options.withDescription("JSON lines of conversations to learn: {\"messages\": [{\"role\", \"content\"}, …]}"),
    Options.optional
  ),
  model: Options.text("model").pipe(
    Options.withDescription("Hugging Face folder of the base model, instead of the one that ships"),
    Options.optional
  ),
  steps: Options.integer("steps").pipe(
    Options.withDescription("Optimizer steps"),
    Options.withDefault(defaults.steps)
  ),
  rank: Options.integer("rank").pipe(
    Options.withDescription("Rank of the LoRA adapter"),
    Options.withDefault(defaults.rank)
  ),
  learningRate: Options.float("learning-rate").pipe(
    Options.withDescription("Highest learning rate"),
    Options.withDefault(defaults.learningRate)
  ),
  out: Options.text("out").pipe(
    Options.withDescription("Folder for the checkpoints and the report"),
    Options.optional
  ),
  remote: Options.boolean("remote").pipe(
    Options.withDescription("Train at the service of TINKER_API_KEY and TINKER_BASE_URL")
  ),
  baseModel: Options.text("base-model").pipe(
    Options.withDescription("With --remote: the model to train, instead of the first that can be"),
    Options.optional
  ),
  tokenizer: Options.text("tokenizer").pipe(
    Options.withDescription("With --remote: folder of the model's tokenizer.json"),
    Options.optional
  )
}

/**
 * What the command line gives.
 *
 * @since 0.1.0
 * @category models
 */
export interface Flags {
  readonly data: Option.Option<string>
  readonly model: Option.Option<string>
  readonly steps: number
  readonly rank: number
  readonly learningRate: number
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
  if (!(given.learningRate > 0)) return wrong(`--learning-rate is ${given.learningRate}; it must be more than 0.`)
  if (given.remote && Option.isSome(given.model)) {
    return wrong("--model is a folder on this machine; with --remote name the model with --base-model.")
  }
  if (!given.remote && Option.isSome(given.baseModel)) {
    return wrong("--base-model names a model of a service; add --remote, or pass a folder with --model.")
  }
  return Effect.succeed({
    data: Option.getOrUndefined(given.data),
    steps: given.steps,
    rank: given.rank,
    learningRate: given.learningRate,
    out: Option.getOrUndefined(given.out),
    where: given.remote
      ? {
        _tag: "Remote",
        baseModel: Option.getOrUndefined(given.baseModel),
        tokenizerFolder: Option.getOrElse(given.tokenizer, () => ShippedModel.folder)
      }
      : {
        _tag: "Local",
        modelFolder: Option.getOrElse(given.model, () => ShippedModel.folder)
      }
  })
}
