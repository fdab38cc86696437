import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import { isNumbers } from "./isNumbers.js"

const Numbers: Schema.Schema<ReadonlyArray<number>> = Schema.declare(
  (u): u is ReadonlyArray<number> => isNumbers(u),
  { identifier: "Tokens", jsonSchema: { type: "array", items: { type: "integer" } } }
)

const Int32ArrayFromSelf = Schema.declare((u): u is Int32Array => u instanceof Int32Array, {
  identifier: "Int32Array"
})

/**
 * Token ids: a list of integers on the wire, an `Int32Array` here. Checked in one loop, not by a schema an element. A reader of JSON may
 * have made an array of numbers of a long list, which is kept if it is one.
 */
export const Tokens: Schema.Schema<Int32Array, ReadonlyArray<number>> = Schema.transformOrFail(
  Numbers,
  Int32ArrayFromSelf,
  {
    strict: true,
    decode: (numbers: ArrayLike<unknown>, _, ast) => {
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

/** No request accepts a negative token, so what would otherwise turn into another token stays visible. */
export const toTokens = (numbers: ReadonlyArray<number>): Int32Array => {
  const tokens = new Int32Array(numbers.length)
  for (let i = 0; i < tokens.length; i++) {
    const token: unknown = numbers[i]
    tokens[i] = typeof token === "number" && (token | 0) === token ? token : -1
  }
  return tokens
}
