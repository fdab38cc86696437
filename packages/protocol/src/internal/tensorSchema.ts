import * as Either from "effect/Either"
import * as ParseResult from "effect/ParseResult"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import type { TensorData } from "../TensorData.js"
import { tensorFromJson, tensorToJson } from "./tensorJson.js"

const TensorFromSelf: Schema.Schema<TensorData> = Schema.declare(
  (u): u is TensorData => Predicate.hasProperty(u, "dtype") && Predicate.hasProperty(u, "data"),
  { identifier: "TensorData" }
)

/** A tensor as the JSON of sampling requests has it. Checked in one loop, not by a schema an element. */
export const TensorFromJson: Schema.Schema<TensorData, unknown> = Schema.transformOrFail(
  Schema.Unknown,
  TensorFromSelf,
  {
    strict: true,
    decode: (json, _, ast) => attempt(ast, json, () => tensorFromJson(json, "tensor")),
    encode: (tensor, _, ast) => attempt(ast, tensor, () => tensorToJson(tensor, "tensor"))
  }
)

const attempt = <A>(ast: ConstructorParameters<typeof ParseResult.Type>[0], input: unknown, f: () => A) =>
  Either.try({
    try: f,
    catch: (error) => new ParseResult.Type(ast, input, error instanceof Error ? error.message : String(error))
  })
