/** Parameters of commands that read a file of conversations as a model would. */
import * as Args from "@effect/cli/Args"
import * as Options from "@effect/cli/Options"

export const parameters = {
  file: Args.text({ name: "FILE" }).pipe(Args.withDescription("JSON lines of conversations to learn")),
  baseModel: Options.text("base-model").pipe(
    Options.withPseudoName("name"),
    Options.withDescription("A model of the service. Default: the one that ships"),
    Options.optional
  ),
  tokenizer: Options.text("tokenizer").pipe(
    Options.withPseudoName("folder"),
    Options.withDescription("Folder of the tokenizer.json that counts tokens. Default: the model's own"),
    Options.optional
  ),
  ignoreKeys: Options.text("ignore-keys").pipe(
    Options.withPseudoName("keys"),
    Options.withDescription("Keys of lines and messages that are of no account, with commas between them"),
    Options.optional
  )
}
