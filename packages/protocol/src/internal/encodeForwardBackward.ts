/**
 * The body of a training request. Its size is computed first and its memory taken once, so that each tensor is copied
 * once, straight to its place.
 */
import type { Datum, ProvenanceSpan } from "../Datum.js"
import type { ModelInputChunk } from "../ModelInput.js"
import { joinText } from "../ModelInput.js"
import type { TensorData } from "../TensorData.js"
import { fromArray } from "./bytes.js"
import { fieldSize, ProtobufWriter, textSize, varintSize } from "./protobufWriter.js"
import { bytesSize, tensorSize, writeBytes, writeTensor } from "./tensorWriter.js"
import { toWireName } from "./wireNames.js"

/** What differs between two sendings of the same data. */
export interface ForwardBackwardHead {
  readonly modelId: string
  readonly seqId: number
  readonly forwardOnly: boolean
}

/** Data, loss and its settings, encoded once. A request number is known only when the request is sent. */
export interface EncodedData {
  /** The size of the whole request, up to a few bytes. */
  readonly byteLength: number
  /** The whole request. The first call completes the memory of the data in place; later ones copy it. */
  readonly withHead: (head: ForwardBackwardHead) => Uint8Array
}

/** Room in front of the data for model id and number. */
const headRoom = 160

const flagSize = 2

export const encodeForwardBackwardData = (request: {
  readonly data: ReadonlyArray<Datum>
  readonly lossFn: string
  readonly lossFnConfig: Readonly<Record<string, number | string>>
}): EncodedData => {
  const data = request.data.map(withJoinedText)
  const settings = Object.entries(request.lossFnConfig).map(([name, value]) => [toWireName(name), value] as const)
  // Servers from before text settings read only the first map, so numbers go into both.
  const numbers = settings.filter((entry): entry is readonly [string, number] => typeof entry[1] === "number")

  let size = request.lossFn === "" ? 0 : fieldSize(textSize(request.lossFn))
  for (const datum of data) size += fieldSize(datumSize(datum))
  for (const [name] of numbers) size += fieldSize(fieldSize(textSize(name)) + doubleSize)
  let settingsSize = 0
  for (const [name, value] of settings) settingsSize += fieldSize(settingSize(name, value))

  const memory = new Uint8Array(headRoom + size + flagSize + settingsSize)
  const writer = new ProtobufWriter(memory, headRoom)
  for (const datum of data) writeDatum(writer, datum)
  if (request.lossFn !== "") writer.text(4, request.lossFn)
  for (const [name, value] of numbers) {
    writer.message(5, fieldSize(textSize(name)) + doubleSize)
    writer.text(1, name)
    writer.double(2, value)
  }
  const end = writer.position

  let first = true
  return {
    byteLength: memory.length,
    withHead: (head) => {
      const before = headSize(head)
      const inPlace = first && before <= headRoom
      first = false
      const target = inPlace ? memory : new Uint8Array(before + size + flagSize + settingsSize)
      const start = inPlace ? headRoom - before : 0
      const writer = new ProtobufWriter(target, start)
      if (head.modelId !== "") writer.text(1, head.modelId)
      if (head.seqId !== 0) writer.varint(2, head.seqId)
      if (!inPlace) target.set(memory.subarray(headRoom, end), writer.position)
      writer.position += size
      if (head.forwardOnly) writer.varint(6, 1)
      for (const [name, value] of settings) writeSetting(writer, name, value)
      return target.subarray(start, writer.position)
    }
  }
}

const withJoinedText = (datum: Datum): Datum => {
  const modelInput = joinText(datum.modelInput)
  return modelInput === datum.modelInput ? datum : { ...datum, modelInput }
}

const headSize = ({ modelId, seqId }: ForwardBackwardHead): number =>
  (modelId === "" ? 0 : fieldSize(textSize(modelId))) + (seqId === 0 ? 0 : 1 + varintSize(seqId))

/** The size of a double with its tag. */
const doubleSize = 9

const settingSize = (name: string, value: number | string): number =>
  fieldSize(textSize(name)) + fieldSize(typeof value === "number" ? doubleSize : fieldSize(textSize(value)))

const writeSetting = (writer: ProtobufWriter, name: string, value: number | string): void => {
  writer.message(7, settingSize(name, value))
  writer.text(1, name)
  if (typeof value === "number") {
    writer.message(2, doubleSize)
    writer.double(1, value)
  } else {
    writer.message(2, fieldSize(textSize(value)))
    writer.text(2, value)
  }
}

const datumSize = (datum: Datum): number => {
  let size = 0
  for (const chunk of datum.modelInput.chunks) size += fieldSize(fieldSize(chunkSize(chunk)))
  for (const name of Object.keys(datum.lossFnInputs)) {
    size += fieldSize(inputSize(toWireName(name), datum.lossFnInputs[name]!))
  }
  for (const span of datum.modelInputSpans ?? []) size += fieldSize(fieldSize(spanSize(span)))
  for (const span of datum.lossFnInputSpans ?? []) size += fieldSize(fieldSize(spanSize(span)))
  return size
}

const writeDatum = (writer: ProtobufWriter, datum: Datum): void => {
  writer.message(3, datumSize(datum))
  for (const chunk of datum.modelInput.chunks) writeChunk(writer, chunk)
  for (const [key, tensor] of Object.entries(datum.lossFnInputs)) {
    const name = toWireName(key)
    writer.message(2, inputSize(name, tensor))
    writer.text(1, name)
    writeTensor(writer, 2, tensor)
  }
  for (const span of datum.modelInputSpans ?? []) writeSpan(writer, 3, span)
  for (const span of datum.lossFnInputSpans ?? []) writeSpan(writer, 4, span)
}

const chunkSize = (chunk: ModelInputChunk): number => {
  switch (chunk.type) {
    case "encoded_text":
      return bytesSize(chunk.tokens.byteLength)
    case "image":
      return bytesSize(chunk.data.byteLength) + fieldSize(chunk.format.length)
        + (chunk.expectedTokens === undefined ? 0 : 1 + varintSize(chunk.expectedTokens))
    case "dmel":
      return bytesSize(chunk.dmel.byteLength)
    case "image_asset_pointer":
      throw new Error("model_input has an image asset pointer, which has no protobuf form")
  }
}

const writeChunk = (writer: ProtobufWriter, chunk: ModelInputChunk): void => {
  const size = chunkSize(chunk)
  writer.message(1, fieldSize(size))
  switch (chunk.type) {
    case "encoded_text":
      writer.message(1, size)
      return writeBytes(writer, 1, fromArray(chunk.tokens))
    case "image":
      writer.message(2, size)
      writeBytes(writer, 1, chunk.data)
      writer.text(2, chunk.format)
      if (chunk.expectedTokens !== undefined) writer.varint(3, chunk.expectedTokens)
      return
    case "dmel":
      writer.message(3, size)
      return writeBytes(writer, 1, chunk.dmel)
  }
}

const inputSize = (name: string, tensor: TensorData): number =>
  fieldSize(textSize(name)) + fieldSize(tensorSize(tensor))

const spanSize = ({ length, offset, sequenceId }: ProvenanceSpan): number =>
  (sequenceId === "" ? 0 : fieldSize(textSize(sequenceId)))
  + (offset === 0 ? 0 : 1 + varintSize(offset))
  + (length === 0 ? 0 : 1 + varintSize(length))

const writeSpan = (writer: ProtobufWriter, field: number, span: ProvenanceSpan): void => {
  const size = spanSize(span)
  writer.message(field, fieldSize(size))
  writer.message(span.kind === "prompt" ? 1 : 2, size)
  if (span.sequenceId !== "") writer.text(1, span.sequenceId)
  if (span.offset !== 0) writer.varint(2, span.offset)
  if (span.length !== 0) writer.varint(3, span.length)
}
