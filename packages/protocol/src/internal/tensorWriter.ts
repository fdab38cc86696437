/** Tensors as messages, for what is written by hand. */
import type { TensorData } from "../TensorData.js"
import { fromArray } from "./bytes.js"
import type { ProtobufWriter } from "./protobufWriter.js"
import { fieldSize, packedSize } from "./protobufWriter.js"

/** An empty field of bytes is left out, except where its presence says something. */
export const bytesSize = (byteLength: number): number => byteLength === 0 ? 0 : fieldSize(byteLength)

export const writeBytes = (writer: ProtobufWriter, field: number, bytes: Uint8Array): void => {
  if (bytes.byteLength > 0) writer.bytes(field, bytes)
}

const sparseSize = (tensor: TensorData): number =>
  bytesSize(tensor.data.byteLength) + bytesSize(tensor.sparse!.crowIndices.byteLength)
  + bytesSize(tensor.sparse!.colIndices.byteLength)

const dtypeSize = 2

/** Bytes of the message, without tag and length. */
export const tensorSize = (tensor: TensorData): number =>
  fieldSize(tensor.sparse === undefined ? tensor.data.byteLength : sparseSize(tensor)) + dtypeSize
  + (tensor.shape.length === 0 ? 0 : fieldSize(packedSize(tensor.shape)))

export const writeTensor = (writer: ProtobufWriter, field: number, tensor: TensorData): void => {
  writer.message(field, tensorSize(tensor))
  if (tensor.sparse === undefined) {
    writer.bytes(1, fromArray(tensor.data))
  } else {
    writer.message(2, sparseSize(tensor))
    writeBytes(writer, 1, fromArray(tensor.data))
    writeBytes(writer, 2, fromArray(tensor.sparse.crowIndices))
    writeBytes(writer, 3, fromArray(tensor.sparse.colIndices))
  }
  writer.varint(3, tensor.dtype === "float32" ? 1 : 2)
  if (tensor.shape.length > 0) writer.packed(4, tensor.shape)
}
