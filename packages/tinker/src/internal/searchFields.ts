import { isObject } from "@effect-tinker/protocol/CallOptions"
import {
  anyText,
  type Check,
  id,
  isText,
  json,
  must,
  optional,
  record,
  text,
  wholeWithin
} from "@effect-tinker/protocol/Checks"
import type { SessionSearchRequest } from "@effect-tinker/protocol/SessionsMessages"
import * as Predicate from "effect/Predicate"

const listOf = (fits: (value: unknown) => boolean, most: number) => (value: unknown): boolean =>
  Array.isArray(value) && value.length > 0 && value.length <= most && value.every(fits)

const owners = listOf(isText, 10)

const reasons = listOf((value) => value === "success" || value === "errored" || value === "interrupted", Infinity)

const isStatus = (value: unknown): boolean =>
  Predicate.isRecord(value) && (value.type === "client_finished"
    ? value.reasons === undefined || reasons(value.reasons)
    : value.type === "active" || value.type === "cancelled" || value.type === "failed")

/** The checks of a search for sessions, every part of which may be left out. Source of the bounds: the Python SDK 0.38.0. */
export const searchFields: Readonly<Record<Exclude<keyof SessionSearchRequest, "cursor">, Check>> = {
  sessionId: optional(id),
  projectIds: optional(must(listOf(isText, Infinity), "a list of texts, at least one, none empty")),
  displayName: optional(text),
  userMetadata: optional(record(anyText)),
  owner: optional(must(
    (value) =>
      Predicate.isRecord(value)
      && (value.type === "own" || value.type === "accessible" || (value.type === "user" && owners(value.ownerUrns))),
    "of type own, accessible, or user with 1 to 10 ownerUrns"
  )),
  statuses: optional(must(
    listOf(isStatus, Infinity),
    "a list of at least one status: active, cancelled, failed or client_finished"
  )),
  limit: optional(wholeWithin(1, 200))
}

const isPlace = must(isObject, "the nextCursor of the page before")

/** Where a page of the search begins. */
export const searchCursor: Check = (value, field) => {
  const issues = isPlace(value, field)
  return issues.length > 0 ? issues : json(value, field)
}
