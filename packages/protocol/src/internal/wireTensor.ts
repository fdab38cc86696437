/**
 * Tensors of messages. Stored types that are narrow widen here: int32 to int64, bfloat16 to float32.
 */
import type { TensorData } from "../TensorData.js"
import { elementCount } from "../TensorData.js"
import { noBytes, toBigInt64Array, toFloat32Array, toInt32Array, toUint16Array } from "./bytes.js"
import { DType } from "./generated/tinker_public_pb.js"
import { lengthTag, type ProtobufReader, varintTag } from "./protobufReader.js"
import { sparseFault } from "./sparse.js"
import { widen, widenBfloat16 } from "./tensorValues.js"

export const elements = (bytes: Uint8Array, dtype: number, name: string): Float32Array | BigInt64Array => {
  switch (dtype) {
    case DType.DTYPE_FLOAT32:
      return toFloat32Array(bytes, name)
    case DType.DTYPE_INT64:
      return toBigInt64Array(bytes, name)
    case DType.DTYPE_INT32:
      return widen(toInt32Array(bytes, name))
    case DType.DTYPE_BFLOAT16:
      return widenBfloat16(toUint16Array(bytes, name))
    default:
      throw new Error(`${name} has no known dtype (${dtype})`)
  }
}

/** Bytes of an element as it is stored. */
export const itemSize = (dtype: number): number =>
  dtype === DType.DTYPE_INT64 ? 8 : dtype === DType.DTYPE_BFLOAT16 ? 2 : 4

export const makeTensor = (
  name: string,
  dtype: number,
  values: Uint8Array,
  dimensions: ReadonlyArray<number>,
  indices: { readonly crow: Uint8Array; readonly col: Uint8Array } | undefined
): TensorData => {
  const data = elements(values, dtype, name)
  const shape = dimensions.length === 0 && indices === undefined ? [data.length] : dimensions
  const sparse = indices && {
    crowIndices: toBigInt64Array(indices.crow, `${name} crow_indices`),
    colIndices: toBigInt64Array(indices.col, `${name} col_indices`)
  }
  const tensor: TensorData = data instanceof Float32Array
    ? { dtype: "float32", data, shape, sparse }
    : { dtype: "int64", data, shape, sparse }
  const fault = sparse !== undefined
    ? sparseFault(tensor)
    : elementCount(shape) === data.length
    ? undefined
    : `has ${data.length} elements, and its shape [${shape}] another number`
  if (fault !== undefined) throw new Error(`${name} ${fault}`)
  return tensor
}

/** Reads a tensor whose tag is already read. */
export const readTensor = (reader: ProtobufReader, name: string): TensorData => {
  const outer = reader.enter(name)
  let values = noBytes
  let indices: { crow: Uint8Array; col: Uint8Array } | undefined
  let dtype: number = DType.DTYPE_UNSPECIFIED
  const shape: Array<number> = []
  while (reader.hasMore()) {
    const tag = reader.tag(name)
    switch (tag) {
      case lengthTag(1):
        values = reader.bytes(name)
        indices = undefined
        break
      case lengthTag(2): {
        const tensorEnd = reader.enter(name)
        values = noBytes
        indices = { crow: noBytes, col: noBytes }
        while (reader.hasMore()) {
          const tag = reader.tag(name)
          if (tag === lengthTag(1)) values = reader.bytes(name)
          else if (tag === lengthTag(2)) indices.crow = reader.bytes(`${name} crow_indices`)
          else if (tag === lengthTag(3)) indices.col = reader.bytes(`${name} col_indices`)
          else reader.skip(tag, name)
        }
        reader.leave(tensorEnd)
        break
      }
      case varintTag(3):
        dtype = reader.uint(`${name} dtype`)
        break
      case varintTag(4):
        shape.push(reader.uint(`${name} shape`))
        break
      case lengthTag(4):
        reader.packed(`${name} shape`, shape)
        break
      default:
        reader.skip(tag, name)
    }
  }
  reader.leave(outer)
  return makeTensor(name, dtype, values, shape, indices)
}
