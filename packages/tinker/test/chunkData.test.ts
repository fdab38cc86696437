import { assert, it } from "@effect/vitest"
import { FastCheck } from "effect"
import { Datum } from "effect-tinker"
import { chunkData } from "../src/internal/training/chunkData.js"

/** 12 + 24 + 12 bytes for each three tokens read. */
const datum = (tokens: number): Datum.Datum =>
  Datum.fromTokens(new Int32Array(tokens + 1), new Float32Array(tokens + 1))

const lengths = (sizes: ReadonlyArray<number>, limits: { readonly maxLength: number; readonly maxBytes: number }) =>
  chunkData(sizes.map(datum), limits).map((chunk) => chunk.map(({ modelInput }) => Number(lengthOf(modelInput))))

const lengthOf = (input: Datum.Datum["modelInput"]) =>
  input.chunks.reduce((sum, chunk) => sum + (chunk.type === "encoded_text" ? chunk.tokens.length : 0), 0)

it("makes two requests of 1025 small data", () => {
  const chunks = chunkData(Array.from({ length: 1025 }, () => datum(1)), { maxLength: 1024, maxBytes: 5_000_000 })
  assert.deepStrictEqual(chunks.map(({ length }) => length), [1024, 1])
})

it("closes a chunk before a datum that would bring it over the bytes, and fills it up to them", () => {
  assert.deepStrictEqual(lengths([3, 3, 3], { maxLength: 10, maxBytes: 96 }), [[3, 3], [3]])
  assert.deepStrictEqual(lengths([3, 3, 3], { maxLength: 10, maxBytes: 95 }), [[3], [3], [3]])
})

it("sends a datum over the limit alone, and never an empty request", () => {
  assert.deepStrictEqual(lengths([100], { maxLength: 10, maxBytes: 10 }), [[100]])
  assert.deepStrictEqual(lengths([1, 100, 2, 3], { maxLength: 10, maxBytes: 100 }), [[1], [100], [2, 3]])
  assert.deepStrictEqual(lengths([], { maxLength: 10, maxBytes: 10 }), [])
})

it("loses no datum, keeps their order, and holds both limits", () => {
  const limits = { maxLength: 4, maxBytes: 500 }
  FastCheck.assert(
    FastCheck.property(FastCheck.array(FastCheck.integer({ min: 1, max: 40 })), (sizes) => {
      const data = sizes.map(datum)
      const chunks = chunkData(data, limits)
      assert.deepStrictEqual(chunks.flat(), data)
      for (const chunk of chunks) {
        const bytes = chunk.reduce((sum, datum) => sum + Datum.byteLength(datum), 0)
        assert.isTrue(chunk.length >= 1 && chunk.length <= limits.maxLength)
        assert.isTrue(chunk.length === 1 || bytes <= limits.maxBytes)
      }
    })
  )
})
