/** Lists of numbers in JSON, as arrays or as they were lifted out of a long body. */
import * as ModelInput from "@effect-tinker/protocol/ModelInput"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import type { Bounds } from "../http/http.js"

/** Its elements are looked at by whoever reads them alone. */
export const isNumbers = (value: unknown): value is ArrayLike<unknown> =>
  Array.isArray(value) || value instanceof Int32Array || value instanceof Float64Array

export const Numbers: Schema.Schema<ArrayLike<unknown>> = Schema.declare(isNumbers, {
  identifier: "Numbers",
  jsonSchema: { type: "array", items: { type: "number" } }
})

const Tokens = Schema.transformOrFail(
  Schema.declare(isNumbers, {
    identifier: "Tokens",
    jsonSchema: { type: "array", items: { type: "integer" } }
  }),
  Schema.declare((value): value is Int32Array => value instanceof Int32Array, { identifier: "Int32Array" }),
  {
    strict: true,
    decode: (numbers, _, ast) => {
      if (numbers instanceof Int32Array) return ParseResult.succeed(numbers)
      const tokens = new Int32Array(numbers.length)
      for (let i = 0; i < numbers.length; i++) {
        const token = numbers[i]
        if (typeof token !== "number" || (token | 0) !== token) {
          return ParseResult.fail(new ParseResult.Type(ast, i, `element ${i} is no 32-bit integer`))
        }
        tokens[i] = token
      }
      return ParseResult.succeed(tokens)
    },
    encode: (tokens) => ParseResult.succeed(Array.from(tokens))
  }
)

const [, ...otherChunks] = ModelInput.ModelInputChunk.members

/** The client's own schema takes arrays alone. */
export const Input = Schema.Struct({
  chunks: Schema.Array(
    Schema.Union(Schema.Struct({ ...ModelInput.EncodedTextChunk.fields, tokens: Tokens }), ...otherChunks)
  )
})

/** A request has up to sixty parts for each datum, in protobuf half of that, and a thousand data. */
export const trainingParts = 2 ** 16

/** Nearly nothing beside its numbers, if it has no images. */
const textBytes = 2 ** 23

export const trainingBounds: Bounds = {
  parts: trainingParts,
  text: textBytes,
  lift: [
    { key: "tokens", as: "short" },
    ...["data", "sparse_crow_indices", "sparse_col_indices"].map((key) => ({ key, as: "wide" } as const))
  ]
}

/** A prompt may be of thousands of texts. Tensors of samples are read by the client's own schema. */
export const sampleBounds: Bounds = {
  parts: 2 ** 15,
  text: textBytes,
  lift: [{ key: "tokens", as: "short" }, { key: "data", as: "array" }]
}
