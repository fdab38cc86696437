/**
 * Protobuf bodies, in both directions: the client writes requests and reads results, the local server the other way. The
 * client's are written by hand, since they are large or frequent, as are the results of samples; the rest goes through the
 * generated code. Decoding throws a plain `Error` that names the field; callers turn it into theirs.
 */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf"
import type { Datum, ProvenanceSpan } from "../Datum.js"
import type { ForwardBackwardOutput } from "../ForwardBackwardOutput.js"
import type { ModelInputChunk } from "../ModelInput.js"
import type * as TensorData from "../TensorData.js"
import { fromArray, noBytes, toInt32Array } from "./bytes.js"
import { encodeForwardBackwardData } from "./encodeForwardBackward.js"
import * as FieldCount from "./fieldCount.js"
import * as Wire from "./generated/tinker_public_pb.js"
import { fromRequestName, toWireName } from "./wireNames.js"
import { makeTensor } from "./wireTensor.js"

export { decodeForwardBackwardOutput } from "./decodeForwardBackwardOutput.js"
export { decodeSampleResponse } from "./decodeSampleResponse.js"
export { encodeForwardBackwardData } from "./encodeForwardBackward.js"
export { encodeSampleResponse } from "./encodeSampleResponse.js"

export interface ForwardBackwardRequest {
  readonly modelId: string
  readonly seqId: number
  readonly data: ReadonlyArray<Datum>
  readonly lossFn: string
  readonly lossFnConfig: Readonly<Record<string, number | string>>
  readonly forwardOnly: boolean
}

export const encodeForwardBackwardRequest = (request: ForwardBackwardRequest): Uint8Array =>
  encodeForwardBackwardData(request).withHead(request)

const tensorFromWire = ({ dtype, encoding, shape }: Wire.Tensor, name: string): TensorData.TensorData =>
  encoding.case === "sparseCsr"
    ? makeTensor(name, dtype, encoding.value.values, shape.map(Number), {
      crow: encoding.value.crowIndices,
      col: encoding.value.colIndices
    })
    : makeTensor(name, dtype, encoding.value ?? noBytes, shape.map(Number), undefined)

const chunkFromWire = (chunk: Wire.Chunk): ModelInputChunk => {
  switch (chunk.chunk.case) {
    case "encodedText":
      return { type: "encoded_text", tokens: toInt32Array(chunk.chunk.value.tokens, "model_input tokens") }
    case "image": {
      const { data, expectedTokens, format } = chunk.chunk.value
      if (format !== "png" && format !== "jpeg") throw new Error(`model_input image has the unknown format ${format}`)
      return { type: "image", data, format, expectedTokens }
    }
    case "dmel":
      return { type: "dmel", dmel: chunk.chunk.value.dmel }
    default:
      throw new Error("model_input has a chunk of an unknown kind")
  }
}

const spanFromWire = ({ span }: Wire.ProvenanceSpan): ProvenanceSpan => {
  if (span.case === undefined) throw new Error("a provenance span is of an unknown kind")
  const { length, offset, sequenceId } = span.value
  return {
    kind: span.case === "promptTokens" ? "prompt" : "sampled",
    sequenceId,
    offset: Number(offset),
    length: Number(length)
  }
}

const mapEntries = <A, B>(
  record: Readonly<Record<string, A>>,
  name: (key: string) => string,
  f: (a: A, key: string) => B
) => Object.fromEntries(Object.entries(record).map(([key, value]) => [name(key), f(value, key)]))

export const decodeForwardBackwardRequest = (bytes: Uint8Array): ForwardBackwardRequest => {
  const request = parse(bytes)
  const typed = Object.entries(request.lossFnConfigV2)
  return {
    modelId: request.modelId,
    seqId: request.seqId,
    data: request.data.map((datum) => ({
      modelInput: { chunks: datum.modelInput.map(chunkFromWire) },
      lossFnInputs: mapEntries(datum.lossFnInputs, fromRequestName, tensorFromWire),
      ...(datum.modelInputSpans.length === 0 ? {} : { modelInputSpans: datum.modelInputSpans.map(spanFromWire) }),
      ...(datum.lossFnInputSpans.length === 0 ? {} : { lossFnInputSpans: datum.lossFnInputSpans.map(spanFromWire) })
    })),
    lossFn: request.lossFn,
    lossFnConfig: typed.length === 0
      ? mapEntries(request.lossFnConfig, fromRequestName, (value) => value)
      : Object.fromEntries(typed.map(([name, { value }]) => [fromRequestName(name), value.value ?? 0])),
    forwardOnly: request.forwardOnly
  }
}

/** A datum has about 30. Each becomes an object many times as large as the two bytes that it may take. */
const mostFields = 2 ** 18

const parse = (bytes: Uint8Array): Wire.ForwardBackwardRequest => {
  if (FieldCount.exceeds(bytes, Wire.ForwardBackwardRequestSchema, mostFields)) {
    throw new Error(`the forward_backward request has more than ${mostFields} fields`)
  }
  try {
    return fromBinary(Wire.ForwardBackwardRequestSchema, bytes)
  } catch (error) {
    throw new Error(`the forward_backward request is damaged: ${(error as Error).message}`)
  }
}

/** One record for all data, its fields stored end to end with byte offsets. All data must have the same fields. */
export const encodeForwardBackwardOutput = (output: ForwardBackwardOutput): Uint8Array => {
  const outputs = output.lossFnOutputs
  const record = (): Wire.ArrayRecord =>
    create(Wire.ArrayRecordSchema, {
      typeTag: output.lossFnOutputType,
      numDatums: BigInt(outputs.length),
      fields: mapEntries(outputs[0]!, toWireName, (first, name) => batch(outputs, name, first))
    })
  return toBinary(
    Wire.ForwardBackwardOutputSchema,
    create(Wire.ForwardBackwardOutputSchema, {
      lossFnOutputType: output.lossFnOutputType,
      lossFnOutputs: outputs.length === 0 ? [] : [record()],
      metrics: { ...output.metrics }
    })
  )
}

const batch = (
  outputs: ForwardBackwardOutput["lossFnOutputs"],
  name: string,
  first: TensorData.TensorData
): Wire.BatchedTensor => {
  const offsets = new BigInt64Array(outputs.length + 1)
  let length = 0
  outputs.forEach((output, i) => {
    length += output[name]!.data.byteLength
    offsets[i + 1] = BigInt(length)
  })
  const data = new Uint8Array(length)
  outputs.forEach((output, i) => data.set(fromArray(output[name]!.data), Number(offsets[i])))
  return create(Wire.BatchedTensorSchema, {
    data,
    offsets: fromArray(offsets),
    dtype: first.dtype === "float32" ? Wire.DType.DTYPE_FLOAT32 : Wire.DType.DTYPE_INT64,
    trailingShape: first.shape.slice(1).map(BigInt)
  })
}
