import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Service } from "../Tokenizer.js"
import { TokenizerError } from "../TokenizerError.js"
import type { Files } from "./files.js"
import { madeOfRanks } from "./madeOfRanks.js"
import { kimiPattern } from "./tiktokenPatterns.js"
import { decodeConfigFile } from "./tokenizerFile.js"

/** What the `tokenizer_config.json` of a Kimi model says. */
const Config = Schema.Struct({
  auto_map: Schema.Struct({ AutoTokenizer: Schema.Array(Schema.NullOr(Schema.String)) }),
  added_tokens_decoder: Schema.Record({ key: Schema.String, value: Schema.Struct({ content: Schema.String }) })
}).pipe(
  Schema.filter(({ auto_map }) => auto_map.AutoTokenizer[0]?.startsWith("tokenization_kimi.") === true)
)

/** So many ids behind the file's are special tokens. Source: `tokenization_kimi.py` of moonshotai/Kimi-K2-Thinking. */
const specialTokens = 256

/**
 * The tokenizer of a folder with a `tiktoken.model`. Its pattern is in none of the files, but in code: that of Kimi models is known.
 */
export const madeOfKimi = (files: Files, configJson: unknown): Effect.Effect<Service, TokenizerError> =>
  Effect.gen(function*() {
    const [kimi, names] = yield* Effect.mapError(
      Effect.all([Schema.decodeUnknown(Config)(configJson), decodeConfigFile(configJson)]),
      (cause) =>
        new TokenizerError({
          reason: "Unsupported",
          path: files.path,
          description:
            "has no tokenizer_config.json of a Kimi model beside it, with an auto_map to tokenization_kimi and an "
            + "added_tokens_decoder, so that nothing says what pattern it goes with. Use Tiktoken.layerFile with that.",
          cause
        })
    )
    const first = files.tokenizer.split("\n").filter((line) => line.trim() !== "").length
    const special = Object.fromEntries(
      Array.from({ length: specialTokens }, (_, i) => first + i).map((id) => [
        kimi.added_tokens_decoder[id]?.content ?? `<|reserved_token_${id}|>`,
        id
      ])
    )
    return yield* madeOfRanks({
      ranks: files.tokenizer,
      path: files.path,
      encoding: {
        pattern: kimiPattern,
        specialTokens: special,
        bosToken: names.bosToken,
        eosToken: names.eosToken,
        cutsLongRuns: true
      }
    })
  })
