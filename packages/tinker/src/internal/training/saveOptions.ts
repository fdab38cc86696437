/** What a save may be given, and what keeps it from being sent. */
import * as AgeRecipient from "@effect-tinker/protocol/AgeRecipient"
import { kindOf } from "@effect-tinker/protocol/CallOptions"
import { type Check, none } from "@effect-tinker/protocol/Checks"
import { durationText, quoted } from "@effect-tinker/protocol/Prose"
import type { Issue } from "@effect-tinker/protocol/TinkerError"
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"

/** The seconds of a time to live that {@link ttl} has let pass. */
export const ttlSeconds = (call: { readonly ttl?: Duration.DurationInput | undefined }): number | undefined =>
  call.ttl === undefined ? undefined : Duration.toSeconds(call.ttl)

/** The bounds of a time to live, in seconds. Source of the range: the Tinker documentation. */
const shortestTtl = 3600
const longestTtl = 10 * 365 * 24 * 3600

/** How long a checkpoint is kept. */
export const ttl: Check = (value, field) => {
  const duration = Duration.decodeUnknown(value)
  if (Option.isNone(duration)) {
    const given = typeof value === "string" ? JSON.stringify(value.slice(0, 40)) : kindOf(value)
    return [{ field, description: `is ${given}, which is no duration; write it as "7 days" or "12 hours".` }]
  }
  const seconds = Duration.toSeconds(duration.value)
  if (Number.isInteger(seconds) && seconds >= shortestTtl && seconds <= longestTtl) return none
  const wanted = "must be whole seconds, between an hour and ten years"
  return [{
    field,
    // Who writes a number means seconds more often than not.
    description: typeof value === "number"
      ? `${wanted}, and the number ${value} means ${
        durationText(duration.value)
      }: numbers are milliseconds, so write it as "12 hours".`
      : `is ${durationText(duration.value)}, and ${wanted}; write it as "7 days" or "12 hours".`
  }]
}

/** The check of the name of a checkpoint to be made. */
export const checkpointName: Check = (value, field) => {
  if (typeof value !== "string") {
    return [{ field, description: `is ${kindOf(value)}; pass the name of the checkpoint.` }]
  }
  return /^[A-Za-z0-9._-]+$/.test(value) ? none : [{
    field,
    description: `${quoted(value)} is no name of a checkpoint. Use letters, digits, -, _ and .`
  }]
}

/** Source of the number: the Python SDK 0.38.0. */
const mostRecipients = 10

/** One recipient, or a list of them. */
export const recipients: Check = (value, field) => {
  if (typeof value === "string") return recipientIssues(value, field)
  if (!Array.isArray(value)) {
    return [{ field, description: `is ${kindOf(value)}; pass an age or SSH recipient, or a list of them.` }]
  }
  return value.length === 0 || value.length > mostRecipients
    ? [{ field, description: `has ${value.length} recipients; pass from 1 to ${mostRecipients}.` }]
    : Array.from(value).flatMap((recipient, i) => recipientIssues(recipient, `${field}[${i}]`))
}

const recipientIssues = (recipient: unknown, field: string): ReadonlyArray<Issue> => {
  const kind = typeof recipient === "string" ? AgeRecipient.kindOf(recipient) : "unknown"
  switch (kind) {
    case "mistyped":
    case "private":
      return [{ field, description: `${AgeRecipient.mistakes[kind]}.` }]
    case "unknown":
      return [{ field, description: "is no age or SSH recipient; they begin with age1 or ssh-." }]
    default:
      return none
  }
}
