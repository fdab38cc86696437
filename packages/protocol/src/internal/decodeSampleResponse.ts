/**
 * The result of a sample, from its message. Small and frequent, so each array is copied out in one step.
 */
import type { SampledSequence, SampleResponse, TopkLogprobs } from "../SampleResponse.js"
import type { Float32Tensor } from "../TensorData.js"
import { noBytes, toFloat32Array, toInt32Array } from "./bytes.js"
import { lengthTag, ProtobufReader, varintTag } from "./protobufReader.js"
import { readTensor } from "./wireTensor.js"

/** An empty field of numbers counts as absent. The ids come from the answer to the submission, in order. */
export const decodeSampleResponse = (bytes: Uint8Array, sequenceIds: ReadonlyArray<string>): SampleResponse => {
  const reader = new ProtobufReader(bytes)
  const sequences: Array<SampledSequence> = []
  let promptLogprobs: Float32Array | undefined
  let topkPromptLogprobs: TopkLogprobs | undefined
  let targetPromptLogprobs: Float32Tensor | undefined
  let promptAltTokens: SampleResponse["promptAltTokens"]
  let promptCacheHitTokens = 0
  while (reader.hasMore()) {
    const tag = reader.tag("sample response")
    switch (tag) {
      case lengthTag(1):
        sequences.push(readSequence(reader, sequenceIds[sequences.length] ?? ""))
        break
      case lengthTag(2):
        promptLogprobs = floats(reader, "prompt_logprobs")
        break
      case lengthTag(3):
        topkPromptLogprobs = readTopk(reader, "topk_prompt_logprobs")
        break
      case varintTag(4):
        promptCacheHitTokens = reader.uint("prompt_cache_hit_tokens")
        break
      case lengthTag(5):
        targetPromptLogprobs = floatTensor(reader, "target_prompt_logprobs")
        break
      case lengthTag(6):
        promptAltTokens = readAltTokens(reader)
        break
      default:
        reader.skip(tag, "sample response")
    }
  }
  return {
    sequences,
    promptLogprobs,
    topkPromptLogprobs,
    targetPromptLogprobs,
    promptAltTokens,
    promptCacheHitTokens
  }
}

const readSequence = (reader: ProtobufReader, sequenceId: string): SampledSequence => {
  const outer = reader.enter("sequences")
  // Protobuf leaves out what is 0, and 0 is `stop`.
  let stopReason: SampledSequence["stopReason"] = "stop"
  let tokens: Int32Array | undefined
  let logprobs: Float32Array | undefined
  let topkLogprobs: TopkLogprobs | undefined
  while (reader.hasMore()) {
    const tag = reader.tag("sequences")
    switch (tag) {
      case varintTag(1):
        stopReason = stopReasonOf(reader.uint("stop_reason"))
        break
      case lengthTag(2):
        tokens = toInt32Array(reader.bytes("tokens"), "tokens")
        break
      case lengthTag(3):
        logprobs = floats(reader, "logprobs")
        break
      case lengthTag(4):
        topkLogprobs = readTopk(reader, "topk_sampled_logprobs")
        break
      default:
        reader.skip(tag, "sequences")
    }
  }
  reader.leave(outer)
  return { sequenceId, tokens: tokens ?? new Int32Array(0), logprobs, topkLogprobs, stopReason }
}

const stopReasonOf = (reason: number): SampledSequence["stopReason"] => {
  switch (reason) {
    case 0:
      return "stop"
    case 1:
      return "length"
    default:
      throw new Error(`stop_reason ${reason} is unknown`)
  }
}

const floats = (reader: ProtobufReader, name: string): Float32Array | undefined => {
  const bytes = reader.bytes(name)
  return bytes.byteLength === 0 ? undefined : toFloat32Array(bytes, name)
}

const readTopk = (reader: ProtobufReader, name: string): TopkLogprobs | undefined => {
  const outer = reader.enter(name)
  let tokens = noBytes
  let scores = noBytes
  let k = 0
  let length = 0
  while (reader.hasMore()) {
    const tag = reader.tag(name)
    if (tag === lengthTag(1)) tokens = reader.bytes(`${name} token_ids`)
    else if (tag === lengthTag(2)) scores = reader.bytes(`${name} logprobs`)
    else if (tag === varintTag(3)) k = reader.uint(`${name} k`)
    else if (tag === varintTag(4)) length = reader.uint(`${name} length`)
    else reader.skip(tag, name)
  }
  reader.leave(outer)
  if (k === 0 || length === 0) return undefined
  const tokenIds = toInt32Array(tokens, `${name} token_ids`)
  const logprobs = toFloat32Array(scores, `${name} logprobs`)
  if (tokenIds.length !== k * length || logprobs.length !== tokenIds.length) {
    throw new Error(`${name} has ${tokenIds.length} tokens and ${logprobs.length} logprobs for ${length} x ${k}`)
  }
  return { k, length, tokenIds, logprobs }
}

const floatTensor = (reader: ProtobufReader, name: string): Float32Tensor => {
  const tensor = readTensor(reader, name)
  if (tensor.dtype !== "float32") throw new Error(`${name} is no float tensor`)
  return tensor
}

const readAltTokens = (reader: ProtobufReader): NonNullable<SampleResponse["promptAltTokens"]> => {
  const outer = reader.enter("prompt_alt_tokens")
  let tokens: ReturnType<typeof readTensor> | undefined
  let logprobs: Float32Tensor | undefined
  while (reader.hasMore()) {
    const tag = reader.tag("prompt_alt_tokens")
    if (tag === lengthTag(1)) tokens = readTensor(reader, "prompt_alt_tokens tokens")
    else if (tag === lengthTag(2)) logprobs = floatTensor(reader, "prompt_alt_tokens logprobs")
    else reader.skip(tag, "prompt_alt_tokens")
  }
  reader.leave(outer)
  if (tokens?.dtype !== "int64") throw new Error("prompt_alt_tokens has no integer tokens")
  if (logprobs === undefined) throw new Error("prompt_alt_tokens has no logprobs")
  return { tokens, logprobs }
}
