/**
 * The message of a sample's result. Frequent on a server, so its size is computed first and each array copied once, to its
 * place.
 */
import type { SampledSequence, SampleResponse, TopkLogprobs } from "../SampleResponse.js"
import { fromArray } from "./bytes.js"
import { fieldSize, ProtobufWriter, varintSize } from "./protobufWriter.js"
import { bytesSize, tensorSize, writeBytes, writeTensor } from "./tensorWriter.js"

/** The ids of the sequences are no part of it. */
export const encodeSampleResponse = (response: SampleResponse): Uint8Array => {
  const { promptAltTokens, promptCacheHitTokens, promptLogprobs, targetPromptLogprobs, topkPromptLogprobs } = response
  let size = numberSize(promptCacheHitTokens)
  for (const sequence of response.sequences) size += fieldSize(sequenceSize(sequence))
  if (promptLogprobs !== undefined) size += fieldSize(promptLogprobs.byteLength)
  if (topkPromptLogprobs !== undefined) size += fieldSize(topkSize(topkPromptLogprobs))
  if (targetPromptLogprobs !== undefined) size += fieldSize(tensorSize(targetPromptLogprobs))
  if (promptAltTokens !== undefined) size += fieldSize(altTokensSize(promptAltTokens))

  const writer = new ProtobufWriter(new Uint8Array(size), 0)
  for (const sequence of response.sequences) writeSequence(writer, sequence)
  if (promptLogprobs !== undefined) writer.bytes(2, fromArray(promptLogprobs))
  if (topkPromptLogprobs !== undefined) writeTopk(writer, 3, topkPromptLogprobs)
  writeNumber(writer, 4, promptCacheHitTokens)
  if (targetPromptLogprobs !== undefined) writeTensor(writer, 5, targetPromptLogprobs)
  if (promptAltTokens !== undefined) {
    writer.message(6, altTokensSize(promptAltTokens))
    writeTensor(writer, 1, promptAltTokens.tokens)
    writeTensor(writer, 2, promptAltTokens.logprobs)
  }
  return writer.memory
}

/** 0 is left out. */
const numberSize = (value: number): number => value === 0 ? 0 : 1 + varintSize(value)

const writeNumber = (writer: ProtobufWriter, field: number, value: number): void => {
  if (value !== 0) writer.varint(field, value)
}

const stopReasons = { stop: 0, length: 1 } as const

const sequenceSize = ({ logprobs, stopReason, tokens, topkLogprobs }: SampledSequence): number =>
  numberSize(stopReasons[stopReason]) + bytesSize(tokens.byteLength)
  + (logprobs === undefined ? 0 : fieldSize(logprobs.byteLength))
  + (topkLogprobs === undefined ? 0 : fieldSize(topkSize(topkLogprobs)))

const writeSequence = (writer: ProtobufWriter, sequence: SampledSequence): void => {
  const { logprobs, stopReason, tokens, topkLogprobs } = sequence
  writer.message(1, sequenceSize(sequence))
  writeNumber(writer, 1, stopReasons[stopReason])
  writeBytes(writer, 2, fromArray(tokens))
  if (logprobs !== undefined) writer.bytes(3, fromArray(logprobs))
  if (topkLogprobs !== undefined) writeTopk(writer, 4, topkLogprobs)
}

const topkSize = ({ k, length, logprobs, tokenIds }: TopkLogprobs): number =>
  bytesSize(tokenIds.byteLength) + bytesSize(logprobs.byteLength) + numberSize(k) + numberSize(length)

const writeTopk = (writer: ProtobufWriter, field: number, topk: TopkLogprobs): void => {
  writer.message(field, topkSize(topk))
  writeBytes(writer, 1, fromArray(topk.tokenIds))
  writeBytes(writer, 2, fromArray(topk.logprobs))
  writeNumber(writer, 3, topk.k)
  writeNumber(writer, 4, topk.length)
}

const altTokensSize = ({ logprobs, tokens }: NonNullable<SampleResponse["promptAltTokens"]>): number =>
  fieldSize(tensorSize(tokens)) + fieldSize(tensorSize(logprobs))
