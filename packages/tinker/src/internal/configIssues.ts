import { lostFields, optionIssues } from "@effect-tinker/protocol/CallOptions"
import type { Issue } from "@effect-tinker/protocol/TinkerError"
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import type { Options } from "../TinkerConfig.js"
import { withoutUserInfo } from "./transport/requestLog.js"

/** Everything that cannot be right in options, without what may be secret. `baseUrl`: the one that they lead to. */
export const configIssues = (options: Options, baseUrl: string): ReadonlyArray<Issue> => {
  const issues: Array<Issue> = [...optionIssues(options, optionNames)]
  for (const [field, value] of Object.entries(options)) {
    const rule = rules.get(field)
    if (rule !== undefined && value !== undefined && value !== null) {
      issues.push(...rule(value).map(([inner, description]) => ({ field: field + inner, description })))
    }
    if (field === "baseUrl") issues.push(...addressIssues(baseUrl))
  }
  if (!("baseUrl" in options)) issues.unshift(...addressIssues(baseUrl))
  return issues
}

/** Where in the option something is wrong, and what. */
type Rule = (value: unknown) => ReadonlyArray<readonly [inner: string, description: string]>

const must = (fits: (value: unknown) => boolean, be: string): Rule => (value) =>
  fits(value) ? [] : [["", `must be ${be}.`]]

const text = must(Predicate.isString, "a text")
const flag = must(Predicate.isBoolean, "true or false")

const duration = (atLeast: number) =>
  must(
    (value) =>
      Option.match(Duration.decodeUnknown(value), {
        onNone: () => false,
        onSome: (duration) => Duration.toMillis(duration) >= atLeast
      }),
    atLeast > 0 ? "a duration longer than zero" : "a duration"
  )

const record = (each: (name: string, value: unknown) => string | undefined): Rule => (value) =>
  Predicate.isReadonlyRecord(value)
    ? [
      ...lostFields(value, ".").map(({ description, field }) => [field, description] as const),
      ...Object.entries(value).flatMap(([name, item]) => {
        const description = each(name, item)
        return description === undefined ? [] : [[`.${name}`, description] as const]
      })
    ]
    : [["", "must be an object."]]

/** Errors of transports repeat a header that cannot be sent, so such a value must not get there. */
const headerValue = (value: unknown): string | undefined =>
  !Predicate.isString(value)
    ? "must be a text."
    : /^[\t\x20-\x7e\x80-\xff]*$/.test(value)
    ? undefined
    : "has a line break or another character that no header can carry."

const secret = (value: unknown): string | undefined =>
  Redacted.isRedacted(value) ? headerValue(Redacted.value(value)) : "must be Redacted."

const rules: ReadonlyMap<string, Rule> = new Map(Object.entries<Rule>(
  {
    apiKey: must(
      (value) => Redacted.isRedacted(value) && Predicate.isString(Redacted.value(value)),
      "a Redacted text, as Redacted.make(text) makes it, which keeps it out of logs"
    ),
    credentialCommand: text,
    baseUrl: text,
    headers: record((name, value) =>
      name.toLowerCase() === "x-api-key"
        ? "cannot be replaced; pass the option apiKey."
        : /^[!#$%&'*+.^_`|~0-9a-z-]+$/i.test(name)
        ? headerValue(value)
        : "is no name of a header."
    ),
    query: record(() => undefined),
    cloudflareAccess: record((name, value) =>
      value === undefined ? undefined : name === "clientSecret" ? secret(value) : headerValue(value)
    ),
    requestTimeout: duration(1),
    maxRetries: must((value) => Number.isInteger(value) && Number(value) >= 0, "a whole number, 0 or more"),
    parity: must((value) => value === "python" || value === "beam", "python or beam"),
    serverProfile: must(
      (value) => value === "tinker" || value === "skyrl" || value === "open-rl",
      "tinker, skyrl or open-rl"
    ),
    maxResponseBytes: record((name, value) =>
      name !== "results" && name !== "others"
        ? "is no kind of answer. There are results and others."
        : value === undefined || (Predicate.isNumber(value) && value >= 1)
        ? undefined
        : "must be a number of bytes, 1 or more."
    ),
    billingPause: duration(0),
    heartbeatInterval: duration(1),
    heartbeatFailureLimit: must((value) => Predicate.isNumber(value) && value >= 1, "a number, 1 or more"),
    tags: must((value) => Array.isArray(value) && value.every(Predicate.isString), "a list of texts"),
    userMetadata: record((_, value) => Predicate.isString(value) ? undefined : "must be a text."),
    projectId: text,
    displayName: text,
    telemetry: flag,
    propagateTrace: flag
  } satisfies Record<keyof Options, Rule>
))

/** The names of all options. */
export const optionNames: ReadonlyArray<string> = Array.from(rules.keys())

const addressIssues = (baseUrl: string): ReadonlyArray<Issue> =>
  /^https?:\/\/[^/?#]+/.test(baseUrl) && URL.canParse(baseUrl) ? [] : [{
    field: "baseUrl",
    description: `${
      JSON.stringify(withoutUserInfo(baseUrl))
    } is no address, which begins with https:// or http://. Check the option baseUrl, or TINKER_BASE_URL.`
  }]
