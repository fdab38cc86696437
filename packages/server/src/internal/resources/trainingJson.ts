/** Training requests in JSON, as clients wrote them before protobuf: the Python SDK up to 0.24.1. */
import type { Datum } from "@effect-tinker/protocol/Datum"
import * as ReceivedRequests from "@effect-tinker/protocol/ReceivedRequests"
import type * as TensorData from "@effect-tinker/protocol/TensorData"
import type { ForwardBackwardRequest } from "@effect-tinker/protocol/TrainingMessages"
import * as Effect from "effect/Effect"
import * as Eithers from "../effect/eithers.js"
import * as Http from "../http/http.js"

/** The body of `forward_backward`, which always wants gradients. */
export const decodeForwardBackward = (value: unknown): Effect.Effect<ForwardBackwardRequest, Http.Refusal> =>
  Effect.flatMap(
    Eithers.toEffect(Http.decode(ReceivedRequests.ForwardBackwardRequest, value)),
    (request) => requestOf(request, false)
  )

/** The body of `forward`. */
export const decodeForward = (value: unknown): Effect.Effect<ForwardBackwardRequest, Http.Refusal> =>
  Effect.flatMap(
    Eithers.toEffect(Http.decode(ReceivedRequests.ForwardRequest, value)),
    (request) => requestOf(request, true)
  )

const requestOf = (
  { input, modelId, seqId }: typeof ReceivedRequests.ForwardRequest.Type,
  forwardOnly: boolean
): Effect.Effect<ForwardBackwardRequest, Http.Refusal> =>
  Effect.try({
    try: () => ({
      modelId,
      seqId,
      data: input.data.map((datum): Datum => ({
        modelInput: datum.modelInput,
        lossFnInputs: renamed(datum.lossFnInputs, (tensor, name) => tensorOf(tensor, name))
      })),
      lossFn: input.lossFn,
      lossFnConfig: renamed(input.lossFnConfig ?? {}, (value) => value),
      forwardOnly
    }),
    catch: (error) => Http.refuse(422, error instanceof Error ? error.message : String(error))
  })

/** Names that this server reads and that are others here. */
const names = new Map([
  ["target_tokens", "targetTokens"],
  ["clip_low_threshold", "clipLowThreshold"],
  ["clip_high_threshold", "clipHighThreshold"],
  ["sequence_ratio_mask", "sequenceRatioMask"],
  ["kl_coeff", "klCoeff"]
])

const ours = new Map(Array.from(names, ([wire, name]) => [name, wire]))

/** Throws an `Error` at a name that is one of ours, which nobody else reads. */
const renamed = <A, B>(record: Readonly<Record<string, A>>, f: (value: A, name: string) => B): Record<string, B> => {
  const output: Record<string, B> = {}
  for (const name of Object.keys(record)) {
    const wire = ours.get(name)
    if (wire !== undefined) throw new Error(`${name} is no name of an input or a setting; ${wire} is`)
    output[names.get(name) ?? name] = f(record[name]!, name)
  }
  return output
}

/** Throws an `Error` that names what is no number. */
export const tensorOf = (tensor: ReceivedRequests.Tensor, name: string): TensorData.TensorData => {
  const shape = tensor.shape ?? [tensor.data.length]
  const { colIndices: columns, crowIndices: rows } = tensor
  if ((rows === undefined) !== (columns === undefined)) throw new Error(`${name} has one of two kinds of indices`)
  const sparse = rows === undefined || columns === undefined
    ? undefined
    : { crowIndices: integersOf(rows, `${name} rows`), colIndices: integersOf(columns, `${name} columns`) }
  return tensor.dtype === "float32"
    ? { dtype: "float32", data: floatsOf(tensor.data, name), shape, sparse }
    : { dtype: "int64", data: integersOf(tensor.data, name), shape, sparse }
}

// A long list is converted where it lies, each number no further on than it was: a copy would be as large as the body.

const floatsOf = (values: ArrayLike<unknown>, name: string): Float32Array => {
  const floats = values instanceof Float64Array
    ? new Float32Array(values.buffer, values.byteOffset, values.length)
    : new Float32Array(values.length)
  for (let i = 0; i < values.length; i++) {
    const value = values[i]
    if (typeof value !== "number") throw new Error(`${name}: element ${i} is no number`)
    floats[i] = value
  }
  return floats
}

const integersOf = (values: ArrayLike<unknown>, name: string): BigInt64Array => {
  const integers = values instanceof Float64Array
    ? new BigInt64Array(values.buffer, values.byteOffset, values.length)
    : new BigInt64Array(values.length)
  for (let i = 0; i < values.length; i++) {
    const value = values[i]
    if (typeof value !== "number" || !Number.isSafeInteger(value)) {
      throw new Error(
        `${name}: element ${i} is no whole number that JSON can hold exactly, of at most ${Number.MAX_SAFE_INTEGER}`
      )
    }
    integers[i] = BigInt(value)
  }
  return integers
}

export const tensorJson = ({ data, dtype, shape, sparse }: TensorData.TensorData) => ({
  data: Array.from<number | bigint, number>(data, Number),
  dtype,
  shape,
  sparse_crow_indices: sparse && Array.from(sparse.crowIndices, Number),
  sparse_col_indices: sparse && Array.from(sparse.colIndices, Number)
})
