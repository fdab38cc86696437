/** The arguments of functions that take an effect, a stream or a future, and do something around it. */
import {
  argumentIssues,
  type Check,
  type Fields,
  fitting,
  none,
  object,
  optional
} from "@effect-tinker/protocol/Checks"
import { invalidInput, type InvalidInputError } from "@effect-tinker/protocol/TinkerError"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"

export const effect = fitting(Effect.isEffect, "pass an Effect")

export const stream = fitting((value) => Predicate.hasProperty(value, Stream.StreamTypeId), "pass a Stream")

export const schedule = fitting((value) => Predicate.hasProperty(value, Schedule.ScheduleTypeId), "pass a Schedule")

export const fun = fitting((value) => typeof value === "function", "pass a function")

/** Looked at elsewhere. */
export const anything: Check = () => none

/** An object that may have these fields and no others. */
export const partial = (fields: Fields, what: string): Check =>
  object(Object.fromEntries(Object.entries(fields).map(([name, check]) => [name, optional(check)])), what)

/**
 * What `run` gives, or a failure where the arguments are of the wrong kind. Types rule that out, so that the type of the failure says
 * nothing of it: whoever writes in them need not handle what cannot be.
 */
export const around = <A, E, R>(
  operation: string,
  given: ReadonlyArray<unknown>,
  parameters: Fields,
  run: () => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.suspend(() => {
    const issues = argumentIssues(given, parameters)
    return issues.length === 0 ? run() : impossible(invalidInput(operation, issues))
  })

/** The same of what gives a stream. */
export const aroundStream = <A, E, R>(
  operation: string,
  given: ReadonlyArray<unknown>,
  parameters: Fields,
  run: () => Stream.Stream<A, E, R>
): Stream.Stream<A, E, R> =>
  Stream.suspend(() => {
    const issues = argumentIssues(given, parameters)
    return issues.length === 0 ? run() : Stream.fromEffect(impossible(invalidInput(operation, issues)))
  })

const impossible = (error: InvalidInputError): Effect.Effect<never> => Effect.fail(error) as Effect.Effect<never, never>
