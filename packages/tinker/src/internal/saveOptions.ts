/** What a save may be given, and what keeps it from being sent. */
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import type { Issue } from "../TinkerError.js"
import { kindOf, optionIssues } from "./callOptions.js"

interface Options {
  readonly name: string
  readonly ttl?: Duration.DurationInput | undefined
  readonly userMetadata?: Readonly<Record<string, string>> | undefined
}

export const ttlSeconds = (call: Pick<Options, "ttl">): number | undefined =>
  call.ttl === undefined ? undefined : secondsOf(call.ttl)

/** NaN of what is no duration, which {@link ttlIssues} refuses. */
const secondsOf = (ttl: Duration.DurationInput): number =>
  Option.match(Duration.decodeUnknown(ttl), { onNone: () => NaN, onSome: Duration.toSeconds })

/** In seconds. Source of the range: the Tinker documentation. */
const shortestTtl = 3600
const longestTtl = 10 * 365 * 24 * 3600

export const ttlIssues = (call: Pick<Options, "ttl">): ReadonlyArray<Issue> => {
  const ttl = ttlSeconds(call)
  if (Number.isNaN(ttl)) {
    const given = typeof call.ttl === "string" ? JSON.stringify(call.ttl) : kindOf(call.ttl)
    return [{ field: "ttl", description: `is ${given}, which is no duration; write it as "7 days" or "12 hours".` }]
  }
  return ttl === undefined || (Number.isInteger(ttl) && ttl >= shortestTtl && ttl <= longestTtl)
    ? []
    : [{ field: "ttl", description: "must be whole seconds, between an hour and ten years." }]
}

/** `names` are all that the save may be given. */
export const saveIssues = (call: Options, names: ReadonlyArray<string>): ReadonlyArray<Issue> => {
  const found: Array<Issue> = [...optionIssues(call, names)]
  if (typeof call !== "object" || call === null) return found
  if (typeof call.name !== "string") {
    found.push({ field: "name", description: `is ${kindOf(call.name)}; pass the name of the checkpoint.` })
  } else if (!/^[A-Za-z0-9._-]+$/.test(call.name)) {
    found.push({
      field: "name",
      description: `${JSON.stringify(call.name)} is no name of a checkpoint. Use letters, digits, -, _ and .`
    })
  }
  found.push(...ttlIssues(call))
  for (const [key, value] of Object.entries(call.userMetadata ?? {})) {
    if (typeof value !== "string") found.push({ field: `userMetadata.${key}`, description: "must be a text." })
  }
  return found
}

/** Source of the number: the Python SDK 0.38.0. */
const mostRecipients = 10

export const recipientIssues = (recipients: ReadonlyArray<string>): ReadonlyArray<Issue> => {
  const field = "ageEncryptionRecipients"
  if (recipients.length === 0 || recipients.length > mostRecipients) {
    return [{ field, description: `has ${recipients.length} recipients; pass from 1 to ${mostRecipients}.` }]
  }
  return recipients.flatMap((recipient, i) =>
    /^(age1[0-9a-z]+|ssh-(ed25519|rsa) \S+.*)$/.test(recipient)
      ? []
      : [{ field: `${field}[${i}]`, description: "is no age or SSH recipient; they begin with age1 or ssh-." }]
  )
}
