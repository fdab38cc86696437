import * as RestClient from "effect-tinker/RestClient"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Change from "../Change.js"
import type { Handler } from "../CommandTree.js"
import * as Connection from "../Connection.js"
import * as Humanize from "../Humanize.js"
import * as Output from "../Output.js"
import * as Selection from "../Selection.js"
import { UsageError } from "../UsageError.js"

interface Input extends Selection.Selection {
  readonly ttl: Option.Option<number>
  readonly expiresAt: Option.Option<number>
  readonly remove: boolean
  readonly dryRun: boolean
}

/** The least and the most that the service takes, in milliseconds: an hour, and ten years. */
const [least, most] = [3_600_000, 10 * 365 * 86_400_000]

export const setTtl: Handler<Input> = (input) =>
  Effect.gen(function*() {
    const now = yield* Clock.currentTimeMillis
    const ttl = yield* ttlOf(input, now)
    const chosen = yield* Selection.find(input, "set-ttl")
    const what = ttl === null ? "Keep for ever" : "Change the expiry of"
    if (!(yield* Change.isWanted(chosen, { what, dryRun: input.dryRun, yes: false, isAsked: false }))) return
    yield* set(chosen, ttl, now)
  })

const set = (chosen: ReadonlyArray<Selection.Chosen>, ttl: number | null, now: number) =>
  Effect.gen(function*() {
    const rest = yield* RestClient.RestClient
    const output = yield* Output.Output
    const outcome = yield* Change.each(chosen, {
      what: "Changing",
      change: ({ path }) =>
        Connection.brief(
          rest.setCheckpointTtl(path, ttl === null ? null : Duration.millis(ttl))
        ),
      isAlready: () => false
    })
    const expiresAt = ttl === null ? undefined : DateTime.unsafeMake(now + ttl)
    yield* output.result({
      json: {
        checkpoints: outcome.done.map(({ path }) => ({
          tinker_path: path,
          ttl_seconds: ttl === null ? null : Math.round(ttl / 1000),
          expires_at: expiresAt === undefined ? null : DateTime.formatIso(expiresAt)
        })),
        failed: Change.failuresOf(outcome)
      },
      text: () =>
        outcome.done.map(({ path }) =>
          expiresAt === undefined
            ? `${path} never expires\n`
            : `${path} expires ${Humanize.fullTime(expiresAt, DateTime.unsafeMake(now))}\n`
        ).join("")
    })
    yield* Change.check(outcome, chosen, "changed")
  }).pipe(Effect.provide(Connection.layer))

/** How long from now, in milliseconds; null for ever. */
const ttlOf = ({ expiresAt, remove, ttl }: Input, now: number): Effect.Effect<number | null, UsageError> => {
  const given = [Option.isSome(ttl), Option.isSome(expiresAt), remove].filter((isGiven) => isGiven).length
  if (given !== 1) {
    return new UsageError({
      description: given === 0
        ? "for how long? Give --ttl DURATION, as --ttl 7d, --expires-at TIME, or --remove to keep it for ever."
        : "--ttl, --expires-at and --remove say different things. Give one of them."
    })
  }
  if (remove) return Effect.succeed(null)
  const millis = Option.getOrElse(ttl, () => Option.getOrThrow(expiresAt) - now)
  return millis < least || millis > most
    ? new UsageError({
      description: `${Option.isSome(ttl) ? "--ttl" : "--expires-at"} is ${
        millis < 0 ? "in the past" : millis < least ? "less than an hour from now" : "more than ten years from now"
      }; it must be from an hour to ten years. --remove keeps it for ever.`
    })
    : Effect.succeed(millis)
}
