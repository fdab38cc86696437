import * as Predicate from "effect/Predicate"
import type { SessionSearchRequest } from "../SessionsApi.js"
import type { Issue } from "../TinkerError.js"
import { checkFields, id, optional, type Rule, text, wholeWithin } from "./checkFields.js"

/** What keeps a search from being sent. Source of the bounds: the Python SDK 0.38.0. */
export const searchIssues = (search: SessionSearchRequest): ReadonlyArray<Issue> => checkFields(search, rules)

const listOf = (fits: (value: unknown) => boolean, most: number) => (value: unknown): boolean =>
  Array.isArray(value) && value.length > 0 && value.length <= most && value.every(fits)

const texts: Rule = { fits: listOf(text.fits, Infinity), must: "a list of texts, at least one, none empty" }

const owners = listOf(text.fits, 10)

const rules: Readonly<Record<keyof SessionSearchRequest, Rule>> = {
  sessionId: optional(id),
  projectIds: optional(texts),
  displayName: optional(text),
  userMetadata: {
    fits: (value) => Predicate.isRecord(value) && Object.values(value).every(Predicate.isString),
    must: "texts by their names"
  },
  owner: {
    fits: (value) =>
      Predicate.isRecord(value)
      && (value.type === "own" || value.type === "accessible" || (value.type === "user" && owners(value.ownerUrns))),
    must: "of type own, accessible, or user with 1 to 10 ownerUrns"
  },
  statuses: optional({
    fits: listOf(isStatus, Infinity),
    must: "a list of at least one status: active, cancelled, failed or client_finished"
  }),
  limit: wholeWithin(1, 200),
  cursor: optional({ fits: Predicate.isRecord, must: "the nextCursor of the page before" })
}

const reasons = listOf((value) => value === "success" || value === "errored" || value === "interrupted", Infinity)

function isStatus(value: unknown): boolean {
  if (!Predicate.isRecord(value)) return false
  return value.type === "client_finished"
    ? value.reasons === undefined || reasons(value.reasons)
    : value.type === "active" || value.type === "cancelled" || value.type === "failed"
}
