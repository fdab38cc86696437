import { assert, it } from "@effect/vitest"
import { Either, pipe, Schema } from "effect"
import { InputShape, ModelInput } from "../src/index.js"

const image: ModelInput.ModelInputChunk = {
  type: "image",
  data: Uint8Array.of(0x89, 0x50, 0x4e, 0x47),
  format: "png",
  expectedTokens: 4
}

const dmel = (...bytes: Array<number>): ModelInput.ModelInputChunk => ({ type: "dmel", dmel: Uint8Array.from(bytes) })

const encode = Schema.encodeSync(ModelInput.ModelInput)
const decode = Schema.decodeUnknownSync(ModelInput.ModelInput)

it("writes an image as base64 with its format and expected tokens, and reads it back", () => {
  const input = ModelInput.append(ModelInput.empty, image)
  const json = { chunks: [{ type: "image", data: "iVBORw==", format: "png", expected_tokens: 4 }] }
  assert.deepStrictEqual<unknown>(encode(input), json)
  assert.deepStrictEqual(decode(json), input)
  assert.throws(() => decode({ chunks: [{ type: "image", data: "iVBORw==", format: "gif" }] }))
})

it("writes the location of an image asset pointer, and audio as base64", () => {
  assert.deepStrictEqual(
    encode({
      chunks: [
        { type: "image_asset_pointer", location: "https://example.org/a.png", format: "jpeg" },
        dmel(4, 2, 3, 80)
      ]
    }),
    {
      chunks: [
        { type: "image_asset_pointer", location: "https://example.org/a.png", format: "jpeg" },
        { type: "dmel", dmel: "BAIDUA==" }
      ]
    }
  )
})

it("writes text with its type and reads text without one", () => {
  const json = { chunks: [{ type: "encoded_text", tokens: [1, 2] }] }
  assert.deepStrictEqual(encode(ModelInput.fromTokens([1, 2])), json as never)
  assert.deepStrictEqual(decode({ chunks: [{ tokens: [1, 2] }] }), ModelInput.fromTokens([1, 2]))
})

it("makes new inputs and leaves the old ones as they are", () => {
  const first = ModelInput.fromTokens([1, 2])
  const second = ModelInput.appendTokens(first, [3])
  const third = ModelInput.append(second, image)
  assert.deepStrictEqual(first, ModelInput.fromTokens([1, 2]))
  assert.deepStrictEqual(second, ModelInput.fromTokens([1, 2, 3]))
  assert.strictEqual(third.chunks.length, 2)
  assert.strictEqual(ModelInput.empty.chunks.length, 0)
})

it("joins appended tokens to the last chunk if that is text, and begins a chunk if not", () => {
  const mixed = pipe(
    ModelInput.empty,
    ModelInput.appendTokens([1]),
    ModelInput.append(image),
    ModelInput.appendTokens(Int32Array.of(2))
  )
  assert.deepStrictEqual(mixed.chunks, [
    { type: "encoded_text", tokens: Int32Array.of(1) },
    image,
    { type: "encoded_text", tokens: Int32Array.of(2) }
  ])
})

it("keeps an appended chunk of text apart until text is joined", () => {
  const text = (...tokens: Array<number>) => ModelInput.fromTokens(tokens).chunks[0]!
  const input: ModelInput.ModelInput = { chunks: [text(1), text(2), image, text(3), text(4), text(5)] }
  assert.strictEqual(ModelInput.append(ModelInput.fromTokens([1]), text(2)).chunks.length, 2)
  assert.deepStrictEqual(ModelInput.joinText(input).chunks, [text(1, 2), image, text(3, 4, 5)])
  const joined = ModelInput.joinText(input)
  assert.strictEqual(ModelInput.joinText(joined), joined)
})

it("counts text, expected tokens of images, and the first dimension of audio", () => {
  const input: ModelInput.ModelInput = { chunks: [...ModelInput.fromTokens([1, 2]).chunks, image, dmel(4, 2, 3, 80)] }
  assert.deepStrictEqual(ModelInput.length(input), Either.right(2 + 4 + 3))
})

it("has no length when an image does not say how many tokens it expects", () => {
  const input: ModelInput.ModelInput = {
    chunks: [...ModelInput.fromTokens([1]).chunks, { type: "image", data: Uint8Array.of(1), format: "png" }]
  }
  assert.deepStrictEqual(
    Either.mapLeft(ModelInput.length(input), (issue) => `${issue.field} ${issue.description}`),
    Either.left("chunks[1] is an image without expectedTokens.")
  )
})

it("reads the length of audio from its header, and reports a header that is cut or makes no sense", () => {
  const length = (...bytes: Array<number>) =>
    Either.match(ModelInput.length({ chunks: [dmel(...bytes)] }), {
      onLeft: ({ description }) => description,
      onRight: String
    })
  assert.strictEqual(length(4, 2, 1, 0x50), "1")
  assert.strictEqual(length(254, 4, 1, 0xac, 0x02, 99, 99), "300")
  assert.include(length(), "empty")
  assert.include(length(254), "ends early")
  assert.include(length(4), "ends early")
  assert.include(length(4, 2, 1), "ends early")
  assert.include(length(4, 1, 0x80), "ends early")
  assert.include(length(8, 1, 1), "dtype 8")
  assert.include(length(4, 1, ...new Array<number>(10).fill(0xff), 1), "64 bits")
  assert.include(length(4, 0), "without dimensions")
})

it("gives all tokens in order, and none when a chunk is no text", () => {
  const text = ModelInput.append(ModelInput.fromTokens([1, 2]), ModelInput.fromTokens([3]).chunks[0]!)
  assert.deepStrictEqual(ModelInput.toTokens(text), Int32Array.of(1, 2, 3))
  assert.isUndefined(ModelInput.toTokens(ModelInput.append(text, image)))
})

it("keeps a number that is no 32-bit integer from becoming another token", () => {
  assert.deepStrictEqual(ModelInput.toTokens(ModelInput.fromTokens([5, 2 ** 32 + 5, 1.5])), Int32Array.of(5, -1, -1))
})

it("estimates the bytes of every kind of chunk", () => {
  const bytes = (chunk: ModelInput.ModelInputChunk) => ModelInput.byteLength({ chunks: [chunk] })
  assert.strictEqual(bytes(ModelInput.fromTokens([1, 2, 3]).chunks[0]!), 12)
  assert.strictEqual(bytes(image), 4)
  assert.strictEqual(bytes({ type: "image_asset_pointer", location: "abcdefg", format: "png" }), 7)
  assert.strictEqual(bytes(dmel(4, 2, 3)), 3)
})

it("makes one chunk of a text, with nothing put before or after, and refuses what is no text where it is used", () => {
  const tokenizer = { encode: (text: string) => Int32Array.from(text, (letter) => letter.charCodeAt(0)) }
  assert.deepStrictEqual(ModelInput.fromText(tokenizer, "abc"), {
    chunks: [{ type: "encoded_text", tokens: Int32Array.of(97, 98, 99) }]
  })
  assert.strictEqual(ModelInput.textLength(ModelInput.fromText(tokenizer, "")), 0)
  const wrong: unknown = undefined
  assert.isNotEmpty(InputShape.modelInput(ModelInput.fromText(tokenizer, wrong as string), "prompt"))
})
