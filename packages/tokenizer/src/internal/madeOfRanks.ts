import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type { Encoding } from "../Tiktoken.js"
import type { Service } from "../Tokenizer.js"
import { TokenizerError } from "../TokenizerError.js"
import { rankedBpe } from "./bpe.js"
import { toByteLevel } from "./byteLevel.js"
import { cutRuns } from "./cutRuns.js"
import { decoderOf } from "./decoder.js"
import { backtracksExponentially } from "./exponentialBacktracking.js"
import { translate } from "./oniguruma/translate.js"
import { Refusal } from "./part.js"
import { pipelineOf } from "./pipeline.js"
import { splitter } from "./preTokenizer.js"
import { serviceOf } from "./service.js"
import { readRanks } from "./tiktokenFile.js"

/** A tokenizer of a tiktoken file. */
export const madeOfRanks = ({ encoding, path = "tiktoken.model", ranks }: {
  readonly ranks: string
  readonly encoding: Encoding
  readonly path?: string | undefined
}): Effect.Effect<Service, TokenizerError> =>
  Effect.gen(function*() {
    const failed = (reason: "Malformed" | "Unsupported", description: string) =>
      new TokenizerError({ reason, path, description })
    const vocabulary = readRanks(ranks)
    if (Either.isLeft(vocabulary)) return yield* failed("Malformed", `${vocabulary.left}. Fetch it again.`)
    const added = Object.entries(encoding.specialTokens).map(([content, id]) => ({ content, id, special: true }))
    const names = new Map(Array.from(vocabulary.right, ([name, id]) => [id, name]))
    const taken = new Set(names.keys())
    for (const { content, id } of added) {
      if (content === "" || !Number.isInteger(id) || id < 0 || id >= 2 ** 31 || taken.has(id)) {
        return yield* failed("Malformed", `has no place for the special token ${JSON.stringify(content)} at ${id}.`)
      }
      taken.add(id)
    }
    for (const name of [encoding.bosToken, encoding.eosToken]) {
      if (name !== undefined && !Object.hasOwn(encoding.specialTokens, name)) {
        return yield* failed(
          "Malformed",
          `goes with no special token ${JSON.stringify(name)}, with which a text would begin or end.`
        )
      }
    }
    if (backtracksExponentially(encoding.pattern)) {
      return yield* failed("Unsupported", "would be cut by a pattern that can take time without end.")
    }
    const pattern = yield* Effect.try({
      try: () => translate(encoding.pattern, "rust"),
      catch: (cause) =>
        cause instanceof Refusal ? failed(cause.reason, cause.description) : failed("Malformed", String(cause))
    })
    return serviceOf(
      pipelineOf({
        ids: vocabulary.right,
        names,
        added,
        model: rankedBpe(vocabulary.right, names),
        spell: toByteLevel,
        preTokenize: splitter(pattern, "Isolated"),
        decode: decoderOf({ type: "ByteLevel" }),
        ...(encoding.cutsLongRuns === true ? { cut: cutRuns } : {})
      }),
      encoding
    )
  })
