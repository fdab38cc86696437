/**
 * The options of the quickstart.
 */
import * as ShippedModel from "@effect-tinker/llama/ShippedModel"
import * as HelpDoc from "@effect/cli/HelpDoc"
import * as Options from "@effect/cli/Options"
import * as ValidationError from "@effect/cli/ValidationError"
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
 * With these the shipped model learns the shipped data in about a minute on two cores.
 *
 * @since 0.1.0
 * @category config
 */
export const defaults = { steps: 100, rank: 16, learningRate: 2e-3, batchSize: 16, checkpointEvery: 50 } as const

/** What is no number is refused by the name of the option. */
function number(name: string, kind: "integer" | "float", fallback: number, description: string) {
  return Options.text(name).pipe(
    Options.withPseudoName(kind),
    Options.withDescription(`${description}. Default: ${fallback}`),
    Options.mapEffect((text) => {
      const value = text.trim() === "" ? NaN : Number(text)
      const isFine = kind === "integer" ? Number.isSafeInteger(value) : Number.isFinite(value)
      return isFine
        ? Effect.succeed(value)
        : Effect.fail(ValidationError.invalidValue(HelpDoc.p(
          `--${name} is ${text}; it must be ${kind === "integer" ? "a whole number" : "a number"}.`
        )))
    }),
    Options.withDefault(fallback)
  )
}

/**
 * As they are written on the command line.
 *
 * @since 0.1.0
 * @category config
 */
export const flags = {
  data: Options.text("data").pipe(
    Options.withDescription(
      "JSON lines of conversations to learn: {\"messages\": [{\"role\", \"content\"}, …]}. Default: those that ship"
    ),
    Options.optional
  ),
  model: Options.text("model").pipe(
    Options.withDescription("Hugging Face folder of the base model. Default: the small one that ships"),
    Options.optional
  ),
  steps: number("steps", "integer", defaults.steps, "Optimizer steps"),
  rank: number("rank", "integer", defaults.rank, "Rank of the LoRA adapter"),
  learningRate: number("learning-rate", "float", defaults.learningRate, "Highest learning rate"),
  checkpointEvery: number(
    "checkpoint-every",
    "integer",
    defaults.checkpointEvery,
    "Steps from one checkpoint to the next; the last step and Ctrl-C make one too"
  ),
  out: Options.text("out").pipe(
    Options.withDescription(
      "Folder for checkpoints, adapter and report. The same command with the same folder goes on where it was. Default: "
        + "a new one under runs"
    ),
    Options.optional
  ),
  remote: Options.boolean("remote").pipe(
    Options.withDescription("Train at the service of TINKER_API_KEY and TINKER_BASE_URL")
  ),
  baseModel: Options.text("base-model").pipe(
    Options.withDescription("With --remote: the model to train. Default: the first that can be"),
    Options.optional
  ),
  tokenizer: Options.text("tokenizer").pipe(
    Options.withDescription(
      "With --remote: folder of the model's tokenizer.json. Default: that of the model's name, from a folder, the cache "
        + "of the Hugging Face libraries, or their Hub"
    ),
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
  if (!(given.learningRate > 0)) return wrong(`--learning-rate is ${given.learningRate}; it must be more than 0.`)
  if (given.checkpointEvery < 1) {
    return wrong(`--checkpoint-every is ${given.checkpointEvery}; it must be 1 or more.`)
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
