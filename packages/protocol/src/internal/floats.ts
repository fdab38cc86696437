import * as Schema from "effect/Schema"
import { attempt } from "./attempt.js"
import { floatsOf, floatsToJson } from "./tensorJson.js"

const Numbers: Schema.Schema<ReadonlyArray<number | null>> = Schema.declare(
  (u): u is ReadonlyArray<number | null> => Array.isArray(u),
  { identifier: "Floats", jsonSchema: { type: "array", items: { type: ["number", "null"] } } }
)

const Float32ArrayFromSelf = Schema.declare((u): u is Float32Array => u instanceof Float32Array, {
  identifier: "Float32Array"
})

/** Floats: a list of numbers on the wire, null for NaN, and a `Float32Array` here. Checked in one loop, not by a schema an element. */
export const Floats: Schema.Schema<Float32Array, ReadonlyArray<number | null>> = Schema.transformOrFail(
  Numbers,
  Float32ArrayFromSelf,
  {
    strict: true,
    decode: (numbers, _, ast) => attempt(ast, numbers, () => floatsOf(numbers, "floats")),
    encode: (floats, _, ast) => attempt(ast, floats, () => floatsToJson(floats, "floats"))
  }
)
