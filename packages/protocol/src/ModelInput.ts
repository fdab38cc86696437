/**
 * What a model reads: chunks of tokens, images or audio, in order.
 */
import * as Either from "effect/Either"
import { dual } from "effect/Function"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import { modelInput } from "./InputShape.js"
import { dmelShape } from "./internal/dmelShape.js"
import { isNumbers } from "./internal/isNumbers.js"
import { Tokens, toTokens as tokensOf } from "./internal/tokens.js"
import type { Issue } from "./TinkerError.js"
import type { Tokenizer } from "./Tokenizers.js"
import { defaulted, optional } from "./WireField.js"

/**
 * @since 0.1.0
 * @category schemas
 */
export const EncodedTextChunk = Schema.Struct({
  type: defaulted(Schema.Literal("encoded_text"), () => "encoded_text" as const),
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
  expectedTokens: optional(Schema.Int, "expected_tokens")
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
  expectedTokens: optional(Schema.Int, "expected_tokens")
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
 * No chunk yet.
 *
 * @since 0.1.0
 * @category constructors
 */
export const empty: ModelInput = { chunks: [] }

/**
 * Tokens as one chunk. An `Int32Array` is kept as it is; what is no 32-bit integer in a list becomes -1, which no request
 * accepts. Nothing throws: what is no list of numbers, such as a text, is kept too, and refused by name where it is used.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromTokens = (tokens: Int32Array | ReadonlyArray<number>): ModelInput => ({ chunks: [textOf(tokens)] })

/**
 * The tokens of a text as one chunk, with nothing put before or after: no chat template, and no token that begins a sequence. What
 * is no text is kept as {@link fromTokens} keeps it, and refused where it is used.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromText = (tokenizer: Pick<Tokenizer, "encode">, text: string): ModelInput =>
  fromTokens(typeof text === "string" ? tokenizer.encode(text) : text)

const textOf = (tokens: Int32Array | ReadonlyArray<number>): ModelInputChunk => ({
  type: "encoded_text",
  tokens: tokens instanceof Int32Array || !isNumbers(tokens) ? tokens : tokensOf(tokens)
})

/**
 * A new input with one more chunk at its end, which stays a chunk of its own.
 *
 * @since 0.1.0
 * @category combinators
 */
export const append: {
  (chunk: ModelInputChunk): (self: ModelInput) => ModelInput
  (self: ModelInput, chunk: ModelInputChunk): ModelInput
} = dual(
  2,
  (self: ModelInput, chunk: ModelInputChunk): ModelInput => isInput(self) ? { chunks: [...self.chunks, chunk] } : self
)

/** What is none is given back as it is: constructors throw nothing, and it is refused where it is used. */
const isInput = (value: unknown): boolean => Predicate.hasProperty(value, "chunks") && Array.isArray(value.chunks)

/**
 * A new input with more tokens at its end. They join the last chunk when that is text.
 *
 * @since 0.1.0
 * @category combinators
 */
export const appendTokens: {
  (tokens: Int32Array | ReadonlyArray<number>): (self: ModelInput) => ModelInput
  (self: ModelInput, tokens: Int32Array | ReadonlyArray<number>): ModelInput
} = dual(
  2,
  (self: ModelInput, tokens: Int32Array | ReadonlyArray<number>): ModelInput => {
    if (!isInput(self)) return self
    const last = self.chunks.at(-1)
    return last?.type === "encoded_text" && last.tokens instanceof Int32Array && isNumbers(tokens)
      ? { chunks: [...self.chunks.slice(0, -1), joined([last, textOf(tokens)])] }
      : append(self, textOf(tokens))
  }
)

/**
 * The same input with neighbouring chunks of text made one, as training requests are sent. Some servers read the first
 * chunk alone.
 *
 * @since 0.1.0
 * @category combinators
 */
export const joinText = (input: ModelInput): ModelInput => {
  if (!isInput(input)) return input
  const chunks: Array<ModelInputChunk> = []
  for (let i = 0; i < input.chunks.length;) {
    let end = i + 1
    if (input.chunks[i]!.type === "encoded_text") { while (input.chunks[end]?.type === "encoded_text") end++ }
    chunks.push(end === i + 1 ? input.chunks[i]! : joined(input.chunks.slice(i, end)))
    i = end
  }
  return chunks.length === input.chunks.length ? input : { chunks }
}

const joined = (chunks: ReadonlyArray<ModelInputChunk>): ModelInputChunk => ({
  type: "encoded_text",
  tokens: toTokens({ chunks }) ?? new Int32Array(0)
})

/**
 * Tokens that the chunks take of the context. Left, when an image does not say how many it expects, or when audio cannot
 * be read. The server counts images for itself and may refuse another number.
 *
 * @since 0.1.0
 * @category utils
 */
export const length = (input: ModelInput): Either.Either<number, Issue> => {
  if (!isInput(input)) return Either.left(modelInput(input, "input")[0]!)
  let sum = 0
  for (let i = 0; i < input.chunks.length; i++) {
    const counted = chunkLength(input.chunks[i]!)
    if (Either.isLeft(counted)) return Either.left({ field: `chunks[${i}]`, description: counted.left })
    sum += counted.right
  }
  return Either.right(sum)
}

const chunkLength = (chunk: ModelInputChunk): Either.Either<number, string> => {
  switch (chunk?.type) {
    case "encoded_text":
      return Either.fromNullable(chunk.tokens?.length, () => "is a text without tokens.")
    case "image":
    case "image_asset_pointer":
      return Either.fromNullable(chunk.expectedTokens, () => "is an image without expectedTokens.")
    case "dmel":
      return Either.flatMap(
        dmelShape(chunk.dmel),
        (shape) => Either.fromNullable(shape[0], () => "is audio without dimensions.")
      )
    default:
      return Either.left("is no chunk.")
  }
}

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
 * Bytes of the chunks in a request: four a token in a training request; ten in that of a sample, which is JSON.
 *
 * Source of the ten: the Python SDK 0.38.0.
 *
 * @since 0.1.0
 * @category utils
 */
export const byteLength = (input: ModelInput, bytesPerToken: 4 | 10 = 4): number => {
  let bytes = 0
  for (const chunk of input.chunks) {
    switch (chunk.type) {
      case "encoded_text":
        bytes += bytesPerToken * chunk.tokens.length
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
