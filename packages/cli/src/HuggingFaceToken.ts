/**
 * The token by which the Hugging Face Hub knows its user, from where its own programs keep it.
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { homedir } from "node:os"
import { CommandFailed } from "./Failure.js"
import * as Output from "./Output.js"
import { UsageError } from "./UsageError.js"
import { Variables } from "./Variables.js"

/**
 * Finds the token. The first of these that is not blank counts: the option, the standard input where that is asked for, `HF_TOKEN`,
 * `HUGGING_FACE_HUB_TOKEN`, the file of `HF_TOKEN_PATH`, and the one that `hf auth login` writes.
 *
 * @since 0.1.0
 * @category constructors
 */
export const find = ({ given, isOnInput }: {
  readonly given: Option.Option<string>
  readonly isOnInput: boolean
}): Effect.Effect<
  Redacted.Redacted,
  CommandFailed | UsageError,
  FileSystem.FileSystem | Path.Path | Output.Output
> =>
  Effect.gen(function*() {
    if (isOnInput && Option.isSome(given)) {
      return yield* new UsageError({ description: "--hf-token and --hf-token-stdin are both given. Give one of them." })
    }
    const files = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const variables = yield* Variables
    const output = yield* Output.Output
    const fromInput = isOnInput ? yield* output.secret("Hugging Face token") : undefined
    if (fromInput !== undefined && Redacted.value(fromInput) === "") {
      return yield* new UsageError({
        description: "--hf-token-stdin is given, and there was nothing on the standard input."
      })
    }
    const variable = (name: string) => variables[name]?.trim() || undefined
    const home = variable("HF_HOME")
      ?? path.join(variable("XDG_CACHE_HOME") ?? path.join(variable("HOME") ?? homedir(), ".cache"), "huggingface")
    const read = (place: string | undefined) =>
      place === undefined
        ? Effect.succeed("")
        // Most have no such file.
        : Effect.orElseSucceed(files.readFileString(place), () => "")
    const places = [variable("HF_TOKEN_PATH"), path.join(home, "token")]
    const token = fromInput === undefined
      ? [Option.getOrElse(given, () => ""), variables.HF_TOKEN, variables.HUGGING_FACE_HUB_TOKEN]
        .map((text) => text?.trim() ?? "").find((text) => text !== "")
        ?? (yield* Effect.forEach(places, read)).map((text) => text.trim()).find((text) => text !== "")
      : Redacted.value(fromInput)
    if (token === undefined) {
      return yield* new CommandFailed({
        code: "not_authenticated",
        exitCode: 3,
        message: "there is no Hugging Face token. Set HF_TOKEN, or log in with: hf auth login"
      })
    }
    if (!/^[\x21-\x7E]+$/.test(token)) {
      return yield* new UsageError({
        description:
          "the Hugging Face token has blanks or characters that no token has. Copy it whole, and nothing else."
      })
    }
    return Redacted.make(token)
  })
