/** Parameters of commands that ask a model. */
import * as Args from "@effect/cli/Args"
import * as Options from "@effect/cli/Options"
import * as NumberOption from "../NumberOption.js"
import * as ParsedOption from "../ParsedOption.js"

/** These say which model is asked. */
export const ofModel = {
  asked: Args.text({ name: "MODEL" }).pipe(
    Args.withDescription(
      "A base model of the service, or the path of a checkpoint of weights or sampler_weights. Default: the first model of the "
        + "service whose address is set, else the one that ships, on this machine"
    ),
    Args.optional
  ),
  local: Options.text("local").pipe(
    Options.withPseudoName("folder"),
    Options.withDescription(
      "A folder on this machine instead: of a Hugging Face model, or of a run of tinker train, whose last checkpoint is asked "
        + "unless MODEL is the path of another"
    ),
    Options.optional
  ),
  model: Options.text("model").pipe(
    Options.withPseudoName("folder"),
    Options.withDescription("With --local of a run: the folder of its base model. Default: the one that ships"),
    Options.optional
  ),
  tokenizer: Options.text("tokenizer").pipe(
    Options.withPseudoName("folder"),
    Options.withDescription(
      "Folder of the tokenizer.json of a model of the service. Default: that of the model's name, from a folder, the cache of "
        + "the Hugging Face libraries, or their Hub"
    ),
    Options.optional
  )
}

/** How conversations are written. */
export const renderer = Options.text("renderer").pipe(
  Options.withPseudoName("name"),
  Options.withDescription(
    "How conversations are written for the model. Default: as the checkpoint says, or else as plain text (role)"
  ),
  Options.optional
)

/** How answers are drawn. */
export const ofSampling = (mostTokens: number) => ({
  maxTokens: NumberOption.make("max-tokens", {
    isInteger: true,
    description: "The longest answer, in tokens",
    fallback: mostTokens
  }),
  temperature: NumberOption.make("temperature", {
    description: "0 takes the most probable token each time",
    fallback: 1
  }),
  topK: NumberOption.make("top-k", {
    isInteger: true,
    description: "How many of the most probable tokens to choose from; -1 for all",
    fallback: -1
  }),
  topP: NumberOption.make("top-p", {
    description: "Chooses from the most probable tokens that have this probability together",
    fallback: 1
  }),
  seed: ParsedOption.make("seed", {
    description: "The same seed and the same words give the same answer. Default: another each time",
    kind: "integer",
    wanted: "a whole number",
    parse: (text) => /^-?[0-9]{1,15}$/.test(text) ? Number(text) : undefined
  })
})
