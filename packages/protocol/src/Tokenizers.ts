/**
 * Tokenizers of models, as clients see them. `@effect-tinker/tokenizer` has them.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { TokenizerError } from "./TokenizerError.js"

/**
 * What finds the tokenizers of models, once for all clients of a program.
 *
 * @since 0.1.0
 * @category tags
 */
export class Tokenizers extends Context.Tag("@effect-tinker/protocol/Tokenizers")<Tokenizers, Service>() {}

/**
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** The tokenizer of a model as its server describes it. */
  readonly forModel: (info: ModelInfo) => Effect.Effect<Tokenizer, TokenizerError>
}

/**
 * What is asked of a model to find its tokenizer; what the SDK knows of a training client's model fits.
 *
 * @since 0.1.0
 * @category models
 */
export interface ModelInfo {
  readonly modelName?: string | undefined
  readonly modelData?:
    | { readonly modelName?: string | undefined; readonly tokenizerId?: string | undefined }
    | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface EncodeOptions {
  /** Whether the name of a special token in a text is that token. Default false: it is plain text. */
  readonly parseSpecialTokens?: boolean | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface DecodeOptions {
  /** Whether special tokens are left away. Default false: they are written out. */
  readonly skipSpecialTokens?: boolean | undefined
}

/**
 * What a tokenizer can do.
 *
 * @since 0.1.0
 * @category models
 */
export interface Tokenizer {
  /** The number of tokens: one more than the highest. A model's own table may be larger, padded with tokens that mean nothing. */
  readonly vocabularySize: number

  /** The token a sequence begins with, where the tokenizer names one and does not say that it is left out (`add_bos_token`). */
  readonly bosToken: number | undefined

  /** The token a text ends with, where the tokenizer names one. */
  readonly eosToken: number | undefined

  /**
   * The tokens of `text`, `[tokens] int32`, with nothing put before or after. The name of a special token in `text` is
   * plain text, so that no user's message can forge the end of a turn, unless `parseSpecialTokens` is set.
   */
  readonly encode: (text: string, options?: EncodeOptions) => Int32Array

  /**
   * The same in steps, with a stop wherever it yields, for texts of any length; `Tokenizer.encodeLong` runs it. A tokenizer without it is
   * run at one go.
   */
  readonly encodeSteps?:
    | ((text: string, options?: EncodeOptions) => Generator<undefined, Int32Array, undefined>)
    | undefined

  /**
   * The text of `tokens`. Special tokens are written out unless `skipSpecialTokens` is set; tokens beyond the
   * vocabulary have no text; bytes that are no UTF-8 become U+FFFD.
   */
  readonly decode: (tokens: ArrayLike<number>, options?: DecodeOptions) => string

  /** The token with exactly this name in the vocabulary, e.g. `<|endoftext|>`. */
  readonly tokenId: (name: string) => number | undefined
}
