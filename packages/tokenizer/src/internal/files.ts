/** The files of which a tokenizer is made, and what is in them. */
import * as Effect from "effect/Effect"
import { TokenizerError } from "../TokenizerError.js"

/** The names of files that are a tokenizer, the first preferred, and of the one that goes along. */
export const tokenizerFiles = ["tokenizer.json", "tiktoken.model"] as const
export const configFile = "tokenizer_config.json"

export type TokenizerFileName = typeof tokenizerFiles[number]

/** The text of a tokenizer's files, and where the first is from. */
export interface Files {
  readonly name: TokenizerFileName
  readonly path: string
  readonly tokenizer: string
  readonly config: string | undefined
  readonly configPath: string
}

/** The value of a file of JSON. */
export const parsed = (text: string, path: string): Effect.Effect<unknown, TokenizerError> =>
  Effect.try({
    // Some editors write a byte order mark.
    try: (): unknown => JSON.parse(text.replace(/^\ufeff/, "")),
    catch: (cause) =>
      new TokenizerError({
        reason: "Malformed",
        path,
        description: "is no JSON. A download may have been cut short, or the file is a Git LFS pointer: fetch it "
          + "again.",
        cause
      })
  })
