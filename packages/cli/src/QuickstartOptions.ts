/**
 * The options of the quickstart.
 */
import * as LocalEngine from "@effect-tinker/llama/LocalEngine"
import * as ShippedModel from "@effect-tinker/llama/ShippedModel"
import * as Options from "@effect/cli/Options"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as NumberOption from "./NumberOption.js"
import { UsageError } from "./UsageError.js"

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
 * The settings where none are given. With these the shipped model learns the shipped data in about a minute on two cores.
 *
 * @since 0.1.0
 * @category config
 */
export const defaults = { steps: 100, rank: 16, learningRate: 2e-3, batchSize: 16, checkpointEvery: 50 } as const

/**
 * The options as they are written on the command line.
 *
 * @since 0.1.0
 * @category config
 */
export const flags = {
  data: Options.text("data").pipe(
    Options.withPseudoName("file"),
    Options.withDescription(
      "JSON lines of conversations to learn: {\"messages\": [{\"role\", \"content\"}, …]}; every tenth line, of a short file every third, is held out. "
        + "Default: the data that ship"
    ),
    Options.optional
  ),
  ignoreKeys: Options.text("ignore-keys").pipe(
    Options.withPseudoName("keys"),
    Options.withDescription(
      "With --data: keys of its lines and messages that are of no account, with commas between them, e.g. id,timestamp. "
        + "Default: none, and messages with keys that are not known are refused"
    ),
    Options.optional
  ),
  model: Options.text("model").pipe(
    Options.withPseudoName("folder"),
    Options.withDescription(
      "Hugging Face folder of the base model, on this machine. Default: the small one that ships"
    ),
    Options.optional
  ),
  steps: NumberOption.make("steps", {
    description: `Optimizer steps, each on ${defaults.batchSize} conversations`,
    isInteger: true,
    fallback: defaults.steps
  }),
  rank: NumberOption.make("rank", {
    description: "Rank of the LoRA adapter",
    isInteger: true,
    fallback: defaults.rank
  }),
  learningRate: NumberOption.make("learning-rate", {
    description:
      "Learning rate of the first step, from which it falls to 0 in a straight line; usual are 0.00001 to 0.01",
    fallback: defaults.learningRate
  }),
  checkpointEvery: NumberOption.make("checkpoint-every", {
    description: "Steps from one checkpoint to the next; the last step and Ctrl-C make one too",
    isInteger: true,
    fallback: defaults.checkpointEvery
  }),
  out: Options.text("out").pipe(
    Options.withPseudoName("folder"),
    Options.withDescription(
      "Folder for checkpoints, adapter and report. The same command with the same folder goes on where it was. Default: "
        + "a new one under runs"
    ),
    Options.optional
  ),
  remote: Options.boolean("remote").pipe(
    Options.withDescription(
      "Train at the service of TINKER_API_KEY and TINKER_BASE_URL. Default: on this machine, without either"
    )
  ),
  baseModel: Options.text("base-model").pipe(
    Options.withPseudoName("name"),
    Options.withDescription("With --remote: the model to train. Default: the first that can be"),
    Options.optional
  ),
  tokenizer: Options.text("tokenizer").pipe(
    Options.withPseudoName("folder"),
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
