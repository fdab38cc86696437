/**
 * What a model reads: chunks of tokens, images or audio, in order.
 */
import * as Schema from "effect/Schema"
import { Tokens } from "./internal/tokens.js"

/**
 * @since 0.1.0
 * @category schemas
 */
export const EncodedTextChunk = Schema.Struct({
  type: Schema.optionalWith(Schema.Literal("encoded_text"), { default: () => "encoded_text" as const }),
  /** `[tokens] int32`. */
  tokens: Tokens
})

const ImageFormat = Schema.Literal("png", "jpeg")

/**
 * @since 0.1.0
 * @category schemas
 */
export const ImageChunk = Schema.Struct({
  type: Schema.Literal("image"),
  /** The whole image file. */
  data: Schema.Uint8ArrayFromBase64,
  format: ImageFormat,
  /** How many tokens the caller expects; the server counts for itself and may refuse a wrong number. */
  expectedTokens: Schema.optional(Schema.Int).pipe(Schema.fromKey("expected_tokens"))
})

/**
 * An image that the server fetches. For sampling only: training requests cannot carry it.
 *
 * @since 0.1.0
 * @category schemas
 */
export const ImageAssetPointerChunk = Schema.Struct({
  type: Schema.Literal("image_asset_pointer"),
  location: Schema.String,
  format: ImageFormat,
  expectedTokens: Schema.optional(Schema.Int).pipe(Schema.fromKey("expected_tokens"))
})

/**
 * Audio tokens, as a serialized tensor container.
 *
 * @since 0.1.0
 * @category schemas
 */
export const DmelChunk = Schema.Struct({
  type: Schema.Literal("dmel"),
  dmel: Schema.Uint8ArrayFromBase64
})

/**
 * @since 0.1.0
 * @category schemas
 */
export const ModelInputChunk = Schema.Union(EncodedTextChunk, ImageChunk, ImageAssetPointerChunk, DmelChunk)

/**
 * @since 0.1.0
 * @category models
 */
export type ModelInputChunk = typeof ModelInputChunk.Type

/**
 * @since 0.1.0
 * @category schemas
 */
export const ModelInput = Schema.Struct({ chunks: Schema.Array(ModelInputChunk) })

/**
 * @since 0.1.0
 * @category models
 */
export type ModelInput = typeof ModelInput.Type

/**
 * Tokens as one chunk.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromTokens = (tokens: Int32Array | ReadonlyArray<number>): ModelInput => ({
  chunks: [{ type: "encoded_text", tokens: tokens instanceof Int32Array ? tokens : Int32Array.from(tokens) }]
})

/**
 * The number of tokens, or `undefined` when a chunk is no text: the server counts those for itself.
 *
 * @since 0.1.0
 * @category utils
 */
export const textLength = (input: ModelInput): number | undefined => {
  let length = 0
  for (const chunk of input.chunks) {
    if (chunk.type !== "encoded_text") return undefined
    length += chunk.tokens.length
  }
  return length
}

/**
 * All tokens in order, or `undefined` when a chunk is no text.
 *
 * @since 0.1.0
 * @category utils
 */
export const toTokens = (input: ModelInput): Int32Array | undefined => {
  const length = textLength(input)
  if (length === undefined) return undefined
  const tokens = new Int32Array(length)
  let offset = 0
  for (const chunk of input.chunks) {
    if (chunk.type === "encoded_text") {
      tokens.set(chunk.tokens, offset)
      offset += chunk.tokens.length
    }
  }
  return tokens
}

/**
 * Bytes of the chunks in a training request, four a token.
 *
 * @since 0.1.0
 * @category utils
 */
export const byteLength = (input: ModelInput): number => {
  let bytes = 0
  for (const chunk of input.chunks) {
    switch (chunk.type) {
      case "encoded_text":
        bytes += chunk.tokens.byteLength
        break
      case "image":
        bytes += chunk.data.byteLength
        break
      case "image_asset_pointer":
        bytes += chunk.location.length
        break
      case "dmel":
        bytes += chunk.dmel.byteLength
        break
    }
  }
  return bytes
}
