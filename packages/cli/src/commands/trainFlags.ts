/** The options of training. */
import * as Options from "@effect/cli/Options"
import * as NumberOption from "../NumberOption.js"

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
