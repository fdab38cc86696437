/**
 * Protobuf bodies, in both directions: the client writes requests and reads results, the local server the other way.
 * Decoding throws a plain `Error` that names the field; callers turn it into theirs.
 */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf"
import type { Datum, ProvenanceSpan } from "../Datum.js"
import type { ForwardBackwardOutput } from "../ForwardBackwardOutput.js"
import type { ModelInputChunk } from "../ModelInput.js"
import type { SampledSequence, SampleResponse, TopkLogprobs } from "../SampleResponse.js"
import * as TensorData from "../TensorData.js"
import { fromArray, toBigInt64Array, toFloat32Array, toInt32Array, toUint16Array } from "./bytes.js"
import * as Wire from "./generated/tinker_public_pb.js"
import { fromWireName, toWireName } from "./wireNames.js"

export interface ForwardBackwardRequest {
  readonly modelId: string
  readonly seqId: number
  readonly data: ReadonlyArray<Datum>
  readonly lossFn: string
  readonly lossFnConfig: Readonly<Record<string, number | string>>
  readonly forwardOnly: boolean
}

const tensorToWire = (tensor: TensorData.TensorData): Wire.Tensor => {
  const values = fromArray(tensor.data)
  return create(Wire.TensorSchema, {
    encoding: tensor.sparse === undefined
      ? { case: "dense", value: values }
      : {
        case: "sparseCsr",
        value: create(Wire.SparseCsrSchema, {
          values,
          crowIndices: fromArray(tensor.sparse.crowIndices),
          colIndices: fromArray(tensor.sparse.colIndices)
        })
      },
    dtype: tensor.dtype === "float32" ? Wire.DType.DTYPE_FLOAT32 : Wire.DType.DTYPE_INT64,
    shape: tensor.shape.map(BigInt)
  })
}

const tensorFromWire = (tensor: Wire.Tensor, name: string): TensorData.TensorData => {
  const values = tensor.encoding.case === "sparseCsr" ? tensor.encoding.value.values : tensor.encoding.value
  const data = elements(values ?? new Uint8Array(0), tensor.dtype, name)
  const shape = tensor.shape.length === 0 ? [data.length] : tensor.shape.map(Number)
  const sparse = tensor.encoding.case === "sparseCsr"
    ? {
      crowIndices: toBigInt64Array(tensor.encoding.value.crowIndices, `${name} crow_indices`),
      colIndices: toBigInt64Array(tensor.encoding.value.colIndices, `${name} col_indices`)
    }
    : undefined
  return data instanceof Float32Array
    ? { dtype: "float32", data, shape, sparse }
    : { dtype: "int64", data, shape, sparse }
}

/** Narrow stored types widen: int32 to int64, bfloat16 to float32. */
const elements = (bytes: Uint8Array, dtype: Wire.DType, name: string): Float32Array | BigInt64Array => {
  switch (dtype) {
    case Wire.DType.DTYPE_FLOAT32:
      return toFloat32Array(bytes, name)
    case Wire.DType.DTYPE_INT64:
      return toBigInt64Array(bytes, name)
    case Wire.DType.DTYPE_INT32:
      return TensorData.int64(toInt32Array(bytes, name)).data
    case Wire.DType.DTYPE_BFLOAT16: {
      const halves = toUint16Array(bytes, name)
      const bits = new Uint32Array(halves.length)
      for (let i = 0; i < halves.length; i++) bits[i] = halves[i]! << 16
      return new Float32Array(bits.buffer)
    }
    default:
      throw new Error(`${name} has no known dtype (${dtype})`)
  }
}

const itemSize = (dtype: Wire.DType): number =>
  dtype === Wire.DType.DTYPE_INT64 ? 8 : dtype === Wire.DType.DTYPE_BFLOAT16 ? 2 : 4

const chunkToWire = (chunk: ModelInputChunk): Wire.Chunk => {
  switch (chunk.type) {
    case "encoded_text":
      return create(Wire.ChunkSchema, { chunk: { case: "encodedText", value: { tokens: fromArray(chunk.tokens) } } })
    case "image":
      return create(Wire.ChunkSchema, {
        chunk: {
          case: "image",
          value: {
            data: chunk.data,
            format: chunk.format,
            ...(chunk.expectedTokens === undefined ? {} : { expectedTokens: chunk.expectedTokens })
          }
        }
      })
    case "dmel":
      return create(Wire.ChunkSchema, { chunk: { case: "dmel", value: { dmel: chunk.dmel } } })
    case "image_asset_pointer":
      throw new Error("an image asset pointer has no protobuf form")
  }
}

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

const spanToWire = (span: ProvenanceSpan): Wire.ProvenanceSpan => {
  const value = { sequenceId: span.sequenceId, offset: BigInt(span.offset), length: BigInt(span.length) }
  return create(Wire.ProvenanceSpanSchema, {
    span: span.kind === "prompt"
      ? { case: "promptTokens", value: create(Wire.PromptProvenanceSpanSchema, value) }
      : { case: "sampledTokens", value: create(Wire.SampledProvenanceSpanSchema, value) }
  })
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

export const encodeForwardBackwardRequest = (request: ForwardBackwardRequest): Uint8Array => {
  const config = Object.entries(request.lossFnConfig).map(([name, value]) => [toWireName(name), value] as const)
  return toBinary(
    Wire.ForwardBackwardRequestSchema,
    create(Wire.ForwardBackwardRequestSchema, {
      modelId: request.modelId,
      seqId: request.seqId,
      data: request.data.map((datum) => ({
        modelInput: datum.modelInput.chunks.map(chunkToWire),
        lossFnInputs: mapEntries(datum.lossFnInputs, toWireName, tensorToWire),
        modelInputSpans: (datum.modelInputSpans ?? []).map(spanToWire),
        lossFnInputSpans: (datum.lossFnInputSpans ?? []).map(spanToWire)
      })),
      lossFn: request.lossFn,
      // Servers from before string settings read only the first map, so numbers go into both.
      lossFnConfig: Object.fromEntries(
        config.filter((entry): entry is readonly [string, number] => typeof entry[1] === "number")
      ),
      forwardOnly: request.forwardOnly,
      lossFnConfigV2: Object.fromEntries(config.map(([name, value]) => [
        name,
        create(Wire.LossConfigValueSchema, {
          value: typeof value === "number" ? { case: "number", value } : { case: "text", value }
        })
      ]))
    })
  )
}

export const decodeForwardBackwardRequest = (bytes: Uint8Array): ForwardBackwardRequest => {
  const request = fromBinary(Wire.ForwardBackwardRequestSchema, bytes)
  const typed = Object.entries(request.lossFnConfigV2)
  return {
    modelId: request.modelId,
    seqId: request.seqId,
    data: request.data.map((datum) => ({
      modelInput: { chunks: datum.modelInput.map(chunkFromWire) },
      lossFnInputs: mapEntries(datum.lossFnInputs, fromWireName, tensorFromWire),
      ...(datum.modelInputSpans.length === 0 ? {} : { modelInputSpans: datum.modelInputSpans.map(spanFromWire) }),
      ...(datum.lossFnInputSpans.length === 0 ? {} : { lossFnInputSpans: datum.lossFnInputSpans.map(spanFromWire) })
    })),
    lossFn: request.lossFn,
    lossFnConfig: typed.length === 0
      ? mapEntries(request.lossFnConfig, fromWireName, (value) => value)
      : Object.fromEntries(typed.map(([name, { value }]) => [fromWireName(name), value.value ?? 0])),
    forwardOnly: request.forwardOnly
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

export const decodeForwardBackwardOutput = (bytes: Uint8Array): ForwardBackwardOutput => {
  const output = fromBinary(Wire.ForwardBackwardOutputSchema, bytes)
  const type = output.lossFnOutputType
  const outputs: Array<Record<string, TensorData.TensorData>> = []
  for (const record of output.lossFnOutputs) {
    const fields = Object.entries(record.fields).map(([name, field]) => unbatch(name, field))
    const count = Number(record.numDatums) || (fields[0]?.tensors.length ?? 0)
    for (let i = 0; i < count; i++) {
      const datum: Record<string, TensorData.TensorData> = {}
      for (const { name, tensors } of fields) {
        const tensor = tensors[i]
        if (tensor === undefined) throw new Error(`${name} has ${tensors.length} entries for ${count} data`)
        datum[fromWireName(name)] = tensor
      }
      outputs.push(datum)
    }
  }
  return {
    lossFnOutputType: output.lossFnOutputs.length === 0 ? type || "ArrayRecord" : type.slice(type.lastIndexOf(":") + 1),
    lossFnOutputs: outputs,
    metrics: output.metrics
  }
}

/** The tensors of all data share one copy of the record's bytes. */
const unbatch = (name: string, field: Wire.BatchedTensor) => {
  const offsets = toBigInt64Array(field.offsets, `${name} offsets`)
  const all = elements(field.data, field.dtype, name)
  const size = itemSize(field.dtype)
  const trailing = field.trailingShape.map(Number)
  const width = trailing.reduce((product, n) => product * n, 1)
  const tensors: Array<TensorData.TensorData> = []
  for (let i = 0; i + 1 < offsets.length; i++) {
    const start = Number(offsets[i]) / size
    const end = Number(offsets[i + 1]) / size
    if (!(Number.isInteger(start) && Number.isInteger(end) && start <= end && end <= all.length)) {
      throw new Error(`${name} has offsets outside its ${all.length} elements`)
    }
    const shape = [width === 0 ? 0 : (end - start) / width, ...trailing]
    tensors.push(
      all instanceof Float32Array
        ? { dtype: "float32", data: all.subarray(start, end), shape }
        : { dtype: "int64", data: all.subarray(start, end), shape }
    )
  }
  return { name, tensors }
}

const topkToWire = (topk: TopkLogprobs): Wire.TopkLogprobs =>
  create(Wire.TopkLogprobsSchema, {
    tokenIds: fromArray(topk.tokenIds),
    logprobs: fromArray(topk.logprobs),
    k: topk.k,
    length: topk.length
  })

const topkFromWire = (topk: Wire.TopkLogprobs | undefined, name: string): TopkLogprobs | undefined => {
  if (topk === undefined || topk.k === 0 || topk.length === 0) return undefined
  const tokenIds = toInt32Array(topk.tokenIds, `${name} token_ids`)
  const logprobs = toFloat32Array(topk.logprobs, `${name} logprobs`)
  if (tokenIds.length !== topk.k * topk.length || logprobs.length !== tokenIds.length) {
    throw new Error(
      `${name} has ${tokenIds.length} tokens and ${logprobs.length} logprobs for ${topk.length} x ${topk.k}`
    )
  }
  return { k: topk.k, length: topk.length, tokenIds, logprobs }
}

export const encodeSampleResponse = (response: SampleResponse): Uint8Array =>
  toBinary(
    Wire.SampleResponseSchema,
    create(Wire.SampleResponseSchema, {
      sequences: response.sequences.map((sequence) => ({
        stopReason: sequence.stopReason === "stop" ? Wire.StopReason.STOP : Wire.StopReason.LENGTH,
        tokens: fromArray(sequence.tokens),
        ...(sequence.logprobs === undefined ? {} : { logprobs: fromArray(sequence.logprobs) }),
        ...(sequence.topkLogprobs === undefined ? {} : { topkSampledLogprobs: topkToWire(sequence.topkLogprobs) })
      })),
      ...(response.promptLogprobs === undefined ? {} : { promptLogprobs: fromArray(response.promptLogprobs) }),
      ...(response.topkPromptLogprobs === undefined
        ? {}
        : { topkPromptLogprobs: topkToWire(response.topkPromptLogprobs) }),
      promptCacheHitTokens: response.promptCacheHitTokens,
      ...(response.targetPromptLogprobs === undefined
        ? {}
        : { targetPromptLogprobs: tensorToWire(response.targetPromptLogprobs) }),
      ...(response.promptAltTokens === undefined
        ? {}
        : {
          promptAltTokens: {
            tokens: tensorToWire(response.promptAltTokens.tokens),
            logprobs: tensorToWire(response.promptAltTokens.logprobs)
          }
        })
    })
  )

/** An empty field of numbers counts as absent. The ids come from the answer to the submission, in order. */
export const decodeSampleResponse = (bytes: Uint8Array, sequenceIds: ReadonlyArray<string>): SampleResponse => {
  const response = fromBinary(Wire.SampleResponseSchema, bytes)
  const floats = (field: Uint8Array | undefined, name: string) =>
    field === undefined || field.byteLength === 0 ? undefined : toFloat32Array(field, name)
  return {
    sequences: response.sequences.map((sequence, i): SampledSequence => ({
      sequenceId: sequenceIds[i] ?? "",
      tokens: toInt32Array(sequence.tokens, "tokens"),
      logprobs: floats(sequence.logprobs, "logprobs"),
      topkLogprobs: topkFromWire(sequence.topkSampledLogprobs, "topk_sampled_logprobs"),
      stopReason: stopReason(sequence.stopReason)
    })),
    promptLogprobs: floats(response.promptLogprobs, "prompt_logprobs"),
    topkPromptLogprobs: topkFromWire(response.topkPromptLogprobs, "topk_prompt_logprobs"),
    targetPromptLogprobs: response.targetPromptLogprobs &&
      floatTensor(response.targetPromptLogprobs, "target_prompt_logprobs"),
    promptAltTokens: response.promptAltTokens && altTokens(response.promptAltTokens),
    promptCacheHitTokens: response.promptCacheHitTokens
  }
}

const floatTensor = (wire: Wire.Tensor | undefined, name: string): TensorData.Float32Tensor => {
  const tensor = wire && tensorFromWire(wire, name)
  if (tensor?.dtype !== "float32") throw new Error(`${name} is no float tensor`)
  return tensor
}

const altTokens = (wire: Wire.PromptAltTokens): NonNullable<SampleResponse["promptAltTokens"]> => {
  const tokens = wire.tokens && tensorFromWire(wire.tokens, "prompt_alt_tokens tokens")
  if (tokens?.dtype !== "int64") throw new Error("prompt_alt_tokens has no integer tokens")
  return { tokens, logprobs: floatTensor(wire.logprobs, "prompt_alt_tokens logprobs") }
}

const stopReason = (reason: Wire.StopReason): "stop" | "length" => {
  switch (reason) {
    case Wire.StopReason.STOP:
      return "stop"
    case Wire.StopReason.LENGTH:
      return "length"
    default:
      throw new Error(`stop_reason ${String(reason)} is unknown`)
  }
}
