import * as Predicate from "effect/Predicate"
import * as ModelInputs from "../ModelInput.js"
import type { SampleOptions } from "../SamplingClient.js"
import * as SamplingParams from "../SamplingParams.js"
import type { Issue } from "../TinkerError.js"
import { kindOf, notOptions, optionIssues } from "./callOptions.js"
import { inputFault } from "./inputShape.js"

/** Everything that keeps a sample from being asked for. */
export const sampleIssues = (call: SampleOptions, maxContextLength: number | undefined): ReadonlyArray<Issue> => {
  const none = notOptions(call, names)
  if (none !== undefined) return none
  const found: Array<Issue> = [...optionIssues(call, names)]
  const fault = inputFault(call.prompt)
  if (fault !== undefined) found.push({ field: "prompt", description: fault })
  if (!Predicate.isRecord(call.samplingParams)) {
    found.push({
      field: "samplingParams",
      description: `is ${kindOf(call.samplingParams)}; make them with SamplingParams.make({ maxTokens }).`
    })
  }
  // All else is about what is not there.
  if (found.length > 0) return found
  const length = ModelInputs.textLength(call.prompt)
  if (length === 0 || call.prompt.chunks.some((chunk) => chunk.type === "encoded_text" && chunk.tokens.length === 0)) {
    found.push({ field: "prompt", description: "there are no tokens." })
  }
  if (length !== undefined && maxContextLength !== undefined && length >= maxContextLength) {
    found.push({
      field: "prompt",
      description: `has ${length} tokens, and the context holds ${maxContextLength}, the answer included.`
    })
  }
  for (const [i, chunk] of call.prompt.chunks.entries()) {
    if (chunk.type === "encoded_text" && hasNegative(chunk.tokens)) {
      found.push({ field: `prompt.chunks[${i}]`, description: "has a negative token." })
    }
  }
  const whole = (field: keyof SampleOptions, value: number | undefined, least: number) => {
    if (value !== undefined && !(Number.isInteger(value) && value >= least)) {
      found.push({ field, description: `is ${value}; it must be a whole number, ${least} or more.` })
    }
  }
  whole("numSamples", call.numSamples, 1)
  whole("topkPromptLogprobs", call.topkPromptLogprobs, 0)
  whole("topkSampleLogprobs", call.topkSampleLogprobs, 0)
  whole("promptAltTokensK", call.promptAltTokensK, 0)
  whole("promptLogprobsLastN", call.promptLogprobsLastN, 1)
  const { promptLogprobsLastN: lastN, targetPromptLogprobs: targets } = call
  if (lastN !== undefined && call.includePromptLogprobs !== true) {
    found.push({ field: "promptLogprobsLastN", description: "needs includePromptLogprobs." })
  }
  if (lastN !== undefined && length !== undefined && lastN > length - 1) {
    found.push({
      field: "promptLogprobsLastN",
      description: `is ${lastN}, and ${Math.max(0, length - 1)} tokens of the prompt have a log-probability.`
    })
  }
  if (targets !== undefined) {
    if (targets.dtype !== "int64" || targets.shape.length !== 2) {
      found.push({ field: "targetPromptLogprobs", description: "must be an int64 matrix." })
    } else if (length !== undefined && targets.shape[0] !== length - 1) {
      found.push({
        field: "targetPromptLogprobs",
        description: `has ${targets.shape[0]} rows, and ${length - 1} tokens of the prompt have a log-probability.`
      })
    }
  }
  for (const issue of SamplingParams.issues(call.samplingParams)) {
    found.push({ ...issue, field: `samplingParams.${issue.field}` })
  }
  return found
}

const names = [
  "prompt",
  "samplingParams",
  "numSamples",
  "includePromptLogprobs",
  "topkPromptLogprobs",
  "topkSampleLogprobs",
  "targetPromptLogprobs",
  "promptAltTokensK",
  "promptLogprobsLastN"
]

const hasNegative = (tokens: Int32Array): boolean => {
  for (let i = 0; i < tokens.length; i++) if (tokens[i]! < 0) return true
  return false
}
