import { isObject, kindOf } from "@effect-tinker/protocol/CallOptions"
import { type Check, checkFields, flag, none, optional, optionsOf, wholeFrom } from "@effect-tinker/protocol/Checks"
import { modelInput, tensor } from "@effect-tinker/protocol/InputShape"
import * as ModelInputs from "@effect-tinker/protocol/ModelInput"
import * as SamplingParams from "@effect-tinker/protocol/SamplingParams"
import type { Issue } from "@effect-tinker/protocol/TinkerError"
import type { SampleOptions } from "../../SamplingClient.js"

/** Everything that keeps a sample from being asked for. */
export const sampleIssues = (call: SampleOptions, maxContextLength: number | undefined): ReadonlyArray<Issue> => {
  const issues = shape(call, "options")
  if (issues.length > 0) return issues
  const found: Array<Issue> = []
  const length = ModelInputs.textLength(call.prompt)
  if (length !== undefined && maxContextLength !== undefined && length >= maxContextLength) {
    found.push({
      field: "prompt",
      description: `has ${length} tokens, and the context holds ${maxContextLength}, the answer included.`
    })
  }
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
  if (targets !== undefined && length !== undefined && targets.shape[0] !== length - 1) {
    found.push({
      field: "targetPromptLogprobs",
      description: `has ${targets.shape[0]} rows, and ${length - 1} tokens of the prompt have a log-probability.`
    })
  }
  return found
}

/** The check of a model input that can be sampled from. */
export const prompt: Check = (value, field) => {
  const issues = modelInput(value, field)
  if (issues.length > 0) return issues
  const { chunks } = value as ModelInputs.ModelInput
  const found: Array<Issue> = []
  if (chunks.length === 0 || chunks.some((chunk) => chunk.type === "encoded_text" && chunk.tokens.length === 0)) {
    found.push({ field, description: "there are no tokens." })
  }
  for (const [i, chunk] of chunks.entries()) {
    if (chunk.type === "encoded_text" && hasNegative(chunk.tokens)) {
      found.push({ field: `${field}.chunks[${i}]`, description: "has a negative token." })
    }
  }
  return found
}

const samplingParams: Check = (value, field) =>
  isObject(value)
    ? paramIssues(value, field)
    : [{ field, description: `is ${kindOf(value)}; make them with SamplingParams.make({ maxTokens }).` }]

const paramIssues = (value: Readonly<Record<string, unknown>>, field: string): ReadonlyArray<Issue> => {
  const issues = checkFields(value, SamplingParams.rules, "parameter", `${field}.`)
  if (issues.length === 0) return none
  // Whoever wrote them as they are gets no advice to write out what has a default.
  const left = defaulted.filter((name) => !(name in value)).map((name) => `${field}.${name}`)
  const own = issues.filter((issue) => !left.includes(issue.field))
  return own.length === issues.length ? issues : [
    ...own,
    { field, description: "are a plain object; pass it through SamplingParams.make, which adds what it leaves out." }
  ]
}

/** Parameters that {@link SamplingParams.make} adds. */
const defaulted = ["temperature", "topK", "topP"]

const matrix: Check = (value, field) => {
  const issues = tensor(value, field)
  if (issues.length > 0) return issues
  const { dtype, shape } = value as { readonly dtype: string; readonly shape: ReadonlyArray<number> }
  return dtype === "int64" && shape.length === 2 ? none : [{ field, description: "must be an int64 matrix." }]
}

const shape = optionsOf(
  {
    prompt,
    samplingParams,
    numSamples: optional(wholeFrom(1)),
    includePromptLogprobs: optional(flag),
    topkPromptLogprobs: optional(wholeFrom(0)),
    topkSampleLogprobs: optional(wholeFrom(0)),
    targetPromptLogprobs: optional(matrix),
    promptAltTokensK: optional(wholeFrom(0)),
    promptLogprobsLastN: optional(wholeFrom(1))
  } satisfies Record<keyof SampleOptions, Check>
)

const hasNegative = (tokens: Int32Array): boolean => {
  for (let i = 0; i < tokens.length; i++) if (tokens[i]! < 0) return true
  return false
}
