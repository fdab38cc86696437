/** Results of passes and samples: as JSON, and as what is kept of them. */
import type { ForwardBackwardOutput } from "@effect-tinker/protocol/ForwardBackwardOutput"
import * as SampleResponse from "@effect-tinker/protocol/SampleResponse"
import * as SamplingMessages from "@effect-tinker/protocol/SamplingMessages"
import * as TrainingMessages from "@effect-tinker/protocol/TrainingMessages"
import type * as Futures from "../../Futures.js"
import type * as Records from "../records/records.js"
import { tensorJson } from "./trainingJson.js"

type Recorded = Exclude<Records.Result["outcome"], { readonly _tag: "Lost" }>

/** A result as it is kept; its bytes are kept beside it. */
export const toRecord = (outcome: Futures.Outcome): Recorded => {
  if (outcome._tag === "Failed") return { _tag: "Failed", error: outcome.error, category: outcome.category }
  return outcome.form === undefined || outcome.bytes === undefined
    ? { _tag: "Json", value: outcome.json() }
    : { _tag: "Bytes", form: outcome.form }
}

export const bytesOf = (outcome: Futures.Outcome): Uint8Array | undefined =>
  outcome._tag === "Completed" && outcome.form !== undefined ? outcome.bytes : undefined

/** The result that was kept. Its JSON is the same but for numbers of sequences, which JSON does not have. */
export const fromRecord = (outcome: Recorded, bytes: Uint8Array): Futures.Outcome => {
  switch (outcome._tag) {
    case "Failed":
      return outcome
    case "Json":
      return { _tag: "Completed", json: () => outcome.value }
    case "Bytes":
      return ofBytes(outcome.form, bytes)
  }
}

/** A result that is there as protobuf, from which its JSON is made for the few who want it: so only its bytes are kept. */
export const ofBytes = (form: "pass" | "sample", bytes: Uint8Array): Futures.Completed => ({
  _tag: "Completed",
  form,
  bytes,
  json: () =>
    form === "pass"
      ? passJson(TrainingMessages.decodeForwardBackwardOutput(bytes))
      : sampleJson(SamplingMessages.decodeSampleResponse(bytes, []))
})

const passJson = ({ lossFnOutputType, lossFnOutputs, metrics }: ForwardBackwardOutput) => ({
  loss_fn_output_type: lossFnOutputType,
  loss_fn_outputs: lossFnOutputs.map((outputs) => ({
    logprobs: outputs.logprobs && tensorJson(outputs.logprobs),
    elementwise_loss: outputs.elementwiseLoss && tensorJson(outputs.elementwiseLoss)
  })),
  metrics
})

const sampleJson = (response: SampleResponse.SampleResponse) => ({
  sequences: response.sequences.map(({ logprobs, stopReason, tokens, topkLogprobs }) => ({
    stop_reason: stopReason,
    tokens: Array.from(tokens),
    logprobs: Array.from(logprobs ?? []),
    topk_logprobs: topkLogprobs && topkJson(topkLogprobs)
  })),
  prompt_logprobs: response.promptLogprobs === undefined
    ? null
    : Array.from(response.promptLogprobs, (logprob) => Number.isNaN(logprob) ? null : logprob),
  topk_prompt_logprobs: response.topkPromptLogprobs === undefined ? null : topkJson(response.topkPromptLogprobs),
  target_prompt_logprobs: response.targetPromptLogprobs && tensorJson(response.targetPromptLogprobs),
  prompt_alt_tokens: response.promptAltTokens && {
    tokens: tensorJson(response.promptAltTokens.tokens),
    logprobs: tensorJson(response.promptAltTokens.logprobs)
  },
  prompt_cache_hit_tokens: response.promptCacheHitTokens,
  type: "sample"
})

const topkJson = (topk: SampleResponse.TopkLogprobs) =>
  Array.from({ length: topk.length }, (_, position) => {
    const row = SampleResponse.topkAt(topk, position)
    return row.length === 0 ? null : row
  })
