/**
 * Training requests, and results of passes and samples, as the JSON that servers without protobuf speak. Throws a plain
 * `Error` that names the field when something does not fit.
 */
import * as Schema from "effect/Schema"
import type { Datum } from "../Datum.js"
import type { ForwardBackwardOutput } from "../ForwardBackwardOutput.js"
import { joinText, ModelInput } from "../ModelInput.js"
import type { SampledSequence, SampleResponse, TopkLogprobs } from "../SampleResponse.js"
import type { ForwardBackwardRequest } from "./protobuf.js"
import { floatsOf, integerOf, listOf, numberOf, objectOf, tensorFromJson, tensorToJson, tokenOf } from "./tensorJson.js"
import { topkOf } from "./topkRows.js"
import { fromWireName, toWireName } from "./wireNames.js"

/** The body for `forward` if the request is that alone, else for `forward_backward`. */
export const encodeForwardBackwardJson = (request: ForwardBackwardRequest): Readonly<Record<string, unknown>> => ({
  [request.forwardOnly ? "forward_input" : "forward_backward_input"]: {
    data: request.data.map(datumToJson),
    loss_fn: request.lossFn,
    ...(Object.keys(request.lossFnConfig).length === 0 ? {} : { loss_fn_config: configToJson(request.lossFnConfig) })
  },
  model_id: request.modelId,
  seq_id: request.seqId
})

const configToJson = (config: ForwardBackwardRequest["lossFnConfig"]): Readonly<Record<string, number>> =>
  Object.fromEntries(
    Object.entries(config).map(([name, value]) => {
      if (typeof value !== "number") throw new Error(`lossFnConfig.${name} is a text, which only protobuf carries`)
      if (!Number.isFinite(value)) throw new Error(`lossFnConfig.${name} is ${value}, which JSON lacks`)
      return [toWireName(name), value]
    })
  )

const encodeModelInput = Schema.encodeSync(ModelInput)

const datumToJson = (datum: Datum, i: number) => {
  if (datum.modelInputSpans !== undefined || datum.lossFnInputSpans !== undefined) {
    throw new Error(`data[${i}] has spans, which only protobuf carries`)
  }
  return {
    model_input: encodeModelInput(joinText(datum.modelInput)),
    loss_fn_inputs: Object.fromEntries(
      Object.entries(datum.lossFnInputs).map(([name, tensor]) => [
        toWireName(name),
        tensorToJson(tensor, `data[${i}].lossFnInputs.${name}`)
      ])
    )
  }
}

export const decodeForwardBackwardOutputJson = (value: unknown): ForwardBackwardOutput => {
  const json = objectOf(value, "the output")
  return {
    lossFnOutputType: textOf(json.loss_fn_output_type, "loss_fn_output_type"),
    lossFnOutputs: listOf(json.loss_fn_outputs, "loss_fn_outputs").map((output, i) =>
      Object.fromEntries(
        Object.entries(objectOf(output, `loss_fn_outputs[${i}]`)).map(([name, tensor]) => [
          fromWireName(name),
          tensorFromJson(tensor, `loss_fn_outputs[${i}].${name}`)
        ])
      )
    ),
    metrics: Object.fromEntries(
      Object.entries(objectOf(json.metrics ?? {}, "metrics")).map((
        [name, metric]
      ) => [name, numberOf(metric, `metrics ${name}`)])
    )
  }
}

/** The ids of the sequences come from the answer to the submission, in order. */
export const decodeSampleResponseJson = (value: unknown, sequenceIds: ReadonlyArray<string>): SampleResponse => {
  const json = objectOf(value, "the response")
  const target = json.target_prompt_logprobs ?? undefined
  const targetPromptLogprobs = target === undefined ? undefined : tensorFromJson(target, "target_prompt_logprobs")
  if (targetPromptLogprobs?.dtype === "int64") throw new Error("target_prompt_logprobs is no float tensor")
  return {
    sequences: listOf(json.sequences, "sequences").map((sequence, i) =>
      sequenceFromJson(sequence, sequenceIds[i] ?? "", `sequences[${i}]`)
    ),
    promptLogprobs: floats(json.prompt_logprobs, "prompt_logprobs"),
    topkPromptLogprobs: topkFromJson(json.topk_prompt_logprobs, "topk_prompt_logprobs"),
    targetPromptLogprobs,
    promptAltTokens: altTokensFromJson(json.prompt_alt_tokens),
    promptCacheHitTokens: integerOf(json.prompt_cache_hit_tokens ?? 0, "prompt_cache_hit_tokens")
  }
}

const sequenceFromJson = (value: unknown, sequenceId: string, name: string): SampledSequence => {
  const json = objectOf(value, name)
  const stopReason = json.stop_reason
  if (stopReason !== "stop" && stopReason !== "length") throw new Error(`${name}.stop_reason is unknown`)
  return {
    sequenceId,
    tokens: Int32Array.from(
      listOf(json.tokens, `${name}.tokens`),
      (token, i) => tokenOf(token, `${name}.tokens[${i}]`)
    ),
    logprobs: finite(floats(json.logprobs, `${name}.logprobs`), `${name}.logprobs`),
    topkLogprobs: topkFromJson(json.topk_logprobs, `${name}.topk_logprobs`),
    stopReason
  }
}

/** An empty list counts as absent, as an empty field does in protobuf. */
const floats = (value: unknown, name: string): Float32Array | undefined => {
  if (value === undefined || value === null) return undefined
  const list = listOf(value, name)
  return list.length === 0 ? undefined : floatsOf(list, name)
}

/** JSON has no number that is not finite: what a server computed so comes as null. */
const finite = (values: Float32Array | undefined, name: string): Float32Array | undefined => {
  const at = values?.findIndex((value) => !Number.isFinite(value)) ?? -1
  if (at >= 0) throw new Error(`${name}[${at}] is no finite number`)
  return values
}

const topkFromJson = (value: unknown, name: string): TopkLogprobs | undefined => {
  if (value === undefined || value === null) return undefined
  const topk = topkOf(value, name)
  return topk.k === 0 ? undefined : topk
}

const altTokensFromJson = (value: unknown): SampleResponse["promptAltTokens"] => {
  if (value === undefined || value === null) return undefined
  const json = objectOf(value, "prompt_alt_tokens")
  const tokens = tensorFromJson(json.tokens, "prompt_alt_tokens.tokens")
  const logprobs = tensorFromJson(json.logprobs, "prompt_alt_tokens.logprobs")
  if (tokens.dtype !== "int64") throw new Error("prompt_alt_tokens.tokens is no integer tensor")
  if (logprobs.dtype !== "float32") throw new Error("prompt_alt_tokens.logprobs is no float tensor")
  return { tokens, logprobs }
}

const textOf = (value: unknown, name: string): string => {
  if (typeof value !== "string") throw new Error(`${name} is no text`)
  return value
}
