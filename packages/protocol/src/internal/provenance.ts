import * as Either from "effect/Either"
import type { Datum, ProvenanceSpan } from "../Datum.js"
import * as ModelInput from "../ModelInput.js"
import type { Issue } from "../TinkerError.js"

/**
 * What is wrong with the spans of a datum: they come for both lists or for neither, name their sequence, and their
 * lengths add up to the positions they stand for, so that there is neither gap nor overlap.
 */
export const provenanceIssues = (datum: Datum, name: string): ReadonlyArray<Issue> => {
  const { lossFnInputSpans, modelInputSpans } = datum
  if (modelInputSpans === undefined && lossFnInputSpans === undefined) return []
  if (modelInputSpans === undefined || lossFnInputSpans === undefined) {
    const missing = modelInputSpans === undefined ? "modelInputSpans" : "lossFnInputSpans"
    return [{ field: `${name}.${missing}`, description: "is missing; give both lists of spans, or neither." }]
  }
  const targets = datum.lossFnInputs.targetTokens
  return [
    ...tilingIssues(
      modelInputSpans,
      Either.match(ModelInput.length(datum.modelInput), {
        onLeft: ({ description, field }) => `modelInput.${field} ${description}`,
        onRight: (length) => length
      }),
      `${name}.modelInputSpans`
    ),
    ...tilingIssues(
      lossFnInputSpans,
      targets?.shape.length === 1 ? targets.shape[0]! : "there are no targets in one row for them.",
      `${name}.lossFnInputSpans`
    )
  ]
}

/** `length` is the number of positions, or why it is not known. */
const tilingIssues = (
  spans: ReadonlyArray<ProvenanceSpan>,
  length: number | string,
  field: string
): ReadonlyArray<Issue> => {
  const issues: Array<Issue> = []
  let position = 0
  let sound = true
  for (let i = 0; i < spans.length; i++) {
    const span = spans[i]!
    if (span.sequenceId === "") issues.push({ field: `${field}[${i}].sequenceId`, description: "is empty." })
    for (const key of ["offset", "length"] as const) {
      if (Number.isSafeInteger(span[key]) && span[key] >= 0) continue
      sound = false
      issues.push({
        field: `${field}[${i}].${key}`,
        description: `is ${span[key]}; it must be a whole number, 0 or more.`
      })
    }
    if (typeof length === "number" && sound && position <= length && position + span.length > length) {
      issues.push({
        field: `${field}[${i}]`,
        description: `covers positions ${position} to ${position + span.length}, and there are ${length}.`
      })
    }
    position += span.length
  }
  if (typeof length === "string") return [...issues, { field, description: length }]
  if (sound && position < length) {
    issues.push({ field, description: `leave a gap: they end at position ${position} of ${length}.` })
  }
  return issues
}
