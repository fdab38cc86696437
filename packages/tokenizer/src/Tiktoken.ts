/**
 * Tokenizers as the library tiktoken has them: a file of tokens in the order in which they are joined, a pattern that cuts texts, and
 * special tokens.
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { madeOfRanks } from "./internal/madeOfRanks.js"
import { unreadable } from "./internal/readFolder.js"
import { cl100kPattern, kimiPattern, o200kPattern } from "./internal/tiktokenPatterns.js"
import { type Service, Tokenizer } from "./Tokenizer.js"
import { TokenizerError } from "./TokenizerError.js"

/**
 * What a tokenizer is beside its file.
 *
 * @since 0.1.0
 * @category models
 */
export interface Encoding {
  /** What tokens do not go beyond, as a regular expression of Rust (`pat_str`). */
  readonly pattern: string

  /** The ids of special tokens by their names. */
  readonly specialTokens: Readonly<Record<string, number>>

  /** The name of the token that a sequence begins with. */
  readonly bosToken?: string | undefined

  /** The name of the token that a text ends with. */
  readonly eosToken?: string | undefined

  /**
   * Whether more than 25,000 characters of white space in a row are cut there, as many others likewise, and texts at every 400,000
   * characters. Kimi's own code does. Default false.
   */
  readonly cutsLongRuns?: boolean | undefined
}

/**
 * A tokenizer from the text of its file. Fails with `Malformed`, or with `Unsupported` for a pattern that is not understood here;
 * `path` names the file in errors.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: {
  readonly ranks: string
  readonly encoding: Encoding
  readonly path?: string | undefined
}): Effect.Effect<Service, TokenizerError> => madeOfRanks(options)

/**
 * The tokenizer of a file, e.g. `o200k_base.tiktoken`. Nothing is fetched.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerFile = (
  path: string,
  encoding: Encoding
): Layer.Layer<Tokenizer, TokenizerError, FileSystem.FileSystem> =>
  Layer.effect(
    Tokenizer,
    Effect.gen(function*() {
      const files = yield* FileSystem.FileSystem
      if (!(yield* Effect.mapError(files.exists(path), unreadable(path)))) {
        return yield* new TokenizerError({ reason: "FileMissing", path, description: "is not there." })
      }
      const ranks = yield* Effect.mapError(files.readFileString(path), unreadable(path))
      return yield* make({ ranks, encoding, path })
    })
  )

/**
 * The encoding of GPT-4.
 *
 * @since 0.1.0
 * @category constructors
 */
export const cl100kBase: Encoding = {
  pattern: cl100kPattern,
  specialTokens: {
    "<|endoftext|>": 100257,
    "<|fim_prefix|>": 100258,
    "<|fim_middle|>": 100259,
    "<|fim_suffix|>": 100260,
    "<|endofprompt|>": 100276
  },
  eosToken: "<|endoftext|>"
}

/**
 * The encoding of GPT-4o.
 *
 * @since 0.1.0
 * @category constructors
 */
export const o200kBase: Encoding = {
  pattern: o200kPattern,
  specialTokens: { "<|endoftext|>": 199999, "<|endofprompt|>": 200018 },
  eosToken: "<|endoftext|>"
}

const named: Readonly<Record<number, string>> = {
  199998: "<|startoftext|>",
  199999: "<|endoftext|>",
  200002: "<|return|>",
  200003: "<|constrain|>",
  200005: "<|channel|>",
  200006: "<|start|>",
  200007: "<|end|>",
  200008: "<|message|>",
  200012: "<|call|>",
  200018: "<|endofprompt|>"
}

/**
 * The encoding of gpt-oss, whose file is that of {@link o200kBase}.
 *
 * @since 0.1.0
 * @category constructors
 */
export const o200kHarmony: Encoding = {
  ...o200kBase,
  specialTokens: Object.fromEntries(
    Array.from({ length: 201088 - 199998 }, (_, i) => 199998 + i).map((id) => [named[id] ?? `<|reserved_${id}|>`, id])
  ),
  bosToken: "<|startoftext|>",
  eosToken: "<|return|>"
}

/**
 * The encoding of the Kimi models, K2 to K3. Special tokens are those that a model's `tokenizer_config.json` names, `[BOS]` and `[EOS]`
 * among them.
 *
 * @since 0.1.0
 * @category constructors
 */
export const kimi = (specialTokens: Readonly<Record<string, number>>): Encoding => ({
  pattern: kimiPattern,
  specialTokens,
  bosToken: "[BOS]",
  eosToken: "[EOS]",
  cutsLongRuns: true
})
