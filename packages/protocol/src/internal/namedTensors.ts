import * as Schema from "effect/Schema"
import type { TensorData } from "../TensorData.js"
import { attempt } from "./attempt.js"
import type { TensorJson } from "./tensorJson.js"
import { TensorFromJson } from "./tensorSchema.js"
import { fromRequestName, toWireName } from "./wireNames.js"

type Named<A> = Readonly<Record<string, A>>

/** Tensors by name: those whose names differ on the wire have the wire's there. */
export const NamedTensors: Schema.Schema<Named<TensorData>, Named<TensorJson>> = Schema.transformOrFail(
  Schema.Record({ key: Schema.String, value: TensorFromJson }),
  Schema.typeSchema(Schema.Record({ key: Schema.String, value: TensorFromJson })),
  {
    strict: true,
    decode: (tensors, _, ast) => attempt(ast, tensors, () => renamed(tensors, fromRequestName)),
    encode: (tensors, _, ast) => attempt(ast, tensors, () => renamed(tensors, toWireName))
  }
)

export const renamed = <A>(values: Named<A>, nameOf: (name: string) => string): Named<A> =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [nameOf(name), value]))
