import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import type { TensorData } from "../TensorData.js"
import { attempt } from "./attempt.js"
import { tensorFromJson, type TensorJson, tensorToJson } from "./tensorJson.js"

const isTensor = (u: unknown, dtypes: ReadonlyArray<unknown>): boolean =>
  Predicate.hasProperty(u, "dtype") && dtypes.includes(u.dtype) && Predicate.hasProperty(u, "data")

const list = (items: string) => ({ type: "array", items: { type: items } })

const Json: Schema.Schema<TensorJson> = Schema.declare((u): u is TensorJson => Predicate.isRecord(u), {
  identifier: "TensorJson",
  jsonSchema: {
    type: "object",
    required: ["data", "dtype"],
    properties: {
      data: { type: "array", items: { type: ["number", "null"] } },
      dtype: { enum: ["float32", "int64"] },
      shape: list("integer"),
      sparse_crow_indices: list("integer"),
      sparse_col_indices: list("integer")
    }
  }
})

/** Checked in one loop, not by a schema an element. */
const make = <A extends TensorData>(
  identifier: string,
  dtypes: ReadonlyArray<A["dtype"]>
): Schema.Schema<A, TensorJson> =>
  Schema.transformOrFail(
    Json,
    Schema.declare((u): u is A => isTensor(u, dtypes), { identifier }),
    {
      strict: true,
      decode: (json, _, ast) =>
        attempt(ast, json, () => {
          const tensor = tensorFromJson(json, "tensor")
          if (!isTensor(tensor, dtypes)) {
            throw new Error(`tensor is ${tensor.dtype}; it must be ${dtypes.join(" or ")}`)
          }
          return tensor as A
        }),
      encode: (tensor, _, ast) => attempt(ast, tensor, () => tensorToJson(tensor, "tensor"))
    }
  )

/** A tensor as the JSON of sampling requests has it. */
export const TensorFromJson: Schema.Schema<TensorData, TensorJson> = make("TensorData", ["float32", "int64"])

export const Float32FromJson = make<Extract<TensorData, { readonly dtype: "float32" }>>("Float32Tensor", ["float32"])

export const Int64FromJson = make<Extract<TensorData, { readonly dtype: "int64" }>>("Int64Tensor", ["int64"])
