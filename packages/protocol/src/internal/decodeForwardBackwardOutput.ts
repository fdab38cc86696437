/**
 * The result of a pass, from its message. The numbers of a record are copied once; the tensors of its data are views into
 * that copy.
 */
import type { ForwardBackwardOutput } from "../ForwardBackwardOutput.js"
import type { TensorData } from "../TensorData.js"
import { noBytes } from "./bytes.js"
import { DType } from "./generated/tinker_public_pb.js"
import { doubleTag, lengthTag, ProtobufReader, varintTag } from "./protobufReader.js"
import { fromWireName } from "./wireNames.js"
import { elements, itemSize } from "./wireTensor.js"

type Datum = Record<string, TensorData>

/** More data without any field is no answer to a request that we sent. */
const mostEmptyData = 1 << 20

export const decodeForwardBackwardOutput = (bytes: Uint8Array): ForwardBackwardOutput => {
  const reader = new ProtobufReader(bytes)
  const outputs: Array<Datum> = []
  const metrics: Record<string, number> = {}
  let type = ""
  let hasRecord = false
  while (reader.hasMore()) {
    const tag = reader.tag("forward_backward output")
    switch (tag) {
      case lengthTag(1):
        type = reader.text("loss_fn_output_type")
        break
      case lengthTag(2):
        hasRecord = true
        readRecord(reader, outputs)
        break
      case lengthTag(3):
        readMetric(reader, metrics)
        break
      default:
        reader.skip(tag, "forward_backward output")
    }
  }
  return {
    lossFnOutputType: hasRecord ? type.slice(type.lastIndexOf(":") + 1) : type || "ArrayRecord",
    lossFnOutputs: outputs,
    metrics
  }
}

const readMetric = (reader: ProtobufReader, metrics: Record<string, number>): void => {
  const outer = reader.enter("metrics")
  let key = ""
  let value = 0
  while (reader.hasMore()) {
    const tag = reader.tag("metrics")
    if (tag === lengthTag(1)) key = reader.text("metrics")
    else if (tag === doubleTag(2)) value = reader.double(`metrics ${key}`)
    else reader.skip(tag, "metrics")
  }
  reader.leave(outer)
  metrics[ownKey(key)] = value
}

/** The one name that an object does not take as a key of its own. */
const ownKey = (key: string): string => {
  if (key === "__proto__") throw new Error("__proto__ is no name of a field")
  return key
}

interface Field {
  readonly name: string
  readonly tensors: ReadonlyArray<TensorData>
}

const readRecord = (reader: ProtobufReader, outputs: Array<Datum>): void => {
  const outer = reader.enter("loss_fn_outputs")
  const fields: Array<Field> = []
  let numDatums = 0
  while (reader.hasMore()) {
    const tag = reader.tag("loss_fn_outputs")
    if (tag === lengthTag(2)) fields.push(readField(reader))
    else if (tag === varintTag(3)) numDatums = reader.uint("num_datums")
    else reader.skip(tag, "loss_fn_outputs")
  }
  reader.leave(outer)
  const count = numDatums || (fields[0]?.tensors.length ?? 0)
  for (const { name, tensors } of fields) {
    if (tensors.length < count) throw new Error(`${name} has ${tensors.length} entries for ${count} data`)
  }
  if (fields.length === 0 && count + outputs.length > mostEmptyData) {
    throw new Error(`num_datums is ${count} in a record without fields`)
  }
  for (let i = 0; i < count; i++) {
    const datum: Datum = {}
    for (const { name, tensors } of fields) datum[name] = tensors[i]!
    outputs.push(datum)
  }
}

const readField = (reader: ProtobufReader): Field => {
  const outer = reader.enter("loss_fn_outputs fields")
  let wireName = ""
  let tensors: ReadonlyArray<TensorData> = []
  while (reader.hasMore()) {
    const tag = reader.tag("loss_fn_outputs fields")
    if (tag === lengthTag(1)) wireName = reader.text("loss_fn_outputs fields")
    else if (tag === lengthTag(2)) tensors = readBatch(reader, wireName || "a field of loss_fn_outputs")
    else reader.skip(tag, "loss_fn_outputs fields")
  }
  reader.leave(outer)
  return { name: ownKey(fromWireName(wireName)), tensors }
}

const readBatch = (reader: ProtobufReader, name: string): ReadonlyArray<TensorData> => {
  const outer = reader.enter(name)
  let data = noBytes
  let offsets = noBytes
  let dtype: number = DType.DTYPE_UNSPECIFIED
  const trailing: Array<number> = []
  while (reader.hasMore()) {
    const tag = reader.tag(name)
    switch (tag) {
      case lengthTag(1):
        data = reader.bytes(name)
        break
      case lengthTag(2):
        offsets = reader.bytes(`${name} offsets`)
        break
      case varintTag(3):
        dtype = reader.uint(`${name} dtype`)
        break
      case varintTag(4):
        trailing.push(reader.uint(`${name} trailing_shape`))
        break
      case lengthTag(4):
        reader.packed(`${name} trailing_shape`, trailing)
        break
      default:
        reader.skip(tag, name)
    }
  }
  reader.leave(outer)
  return cut(name, elements(data, dtype, name), elementOffsets(name, offsets, itemSize(dtype)), trailing)
}

/** The offsets of a tensor, made elements of bytes. */
const elementOffsets = (name: string, bytes: Uint8Array, size: number): Float64Array => {
  if (bytes.byteLength % 8 !== 0) {
    throw new Error(`${name} offsets has ${bytes.byteLength} bytes, no multiple of 8`)
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const offsets = new Float64Array(bytes.byteLength / 8)
  for (let i = 0; i < offsets.length; i++) {
    const offset = view.getUint32(8 * i, true) + 0x1_0000_0000 * view.getInt32(8 * i + 4, true)
    if (offset % size !== 0) throw new Error(`${name} offsets has ${offset}, no multiple of ${size}`)
    offsets[i] = offset / size
  }
  return offsets
}

const cut = (
  name: string,
  all: Float32Array | BigInt64Array,
  offsets: Float64Array,
  trailing: ReadonlyArray<number>
): ReadonlyArray<TensorData> => {
  const width = trailing.reduce((product, n) => product * n, 1)
  const tensors: Array<TensorData> = []
  for (let i = 0; i + 1 < offsets.length; i++) {
    const start = offsets[i]!
    const end = offsets[i + 1]!
    if (!(start >= 0 && start <= end && end <= all.length)) {
      throw new Error(`${name} has offsets outside its ${all.length} elements`)
    }
    const rows = width === 0 ? 0 : (end - start) / width
    if (rows * width !== end - start || !Number.isInteger(rows)) {
      throw new Error(`${name} has ${end - start} elements in rows of ${width}`)
    }
    const shape = [rows, ...trailing]
    tensors.push(
      all instanceof Float32Array
        ? { dtype: "float32", data: all.subarray(start, end), shape }
        : { dtype: "int64", data: all.subarray(start, end), shape }
    )
  }
  return tensors
}
