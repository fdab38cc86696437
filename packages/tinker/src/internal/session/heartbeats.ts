/** The heartbeats of a session, by a schedule, until it is over; enough of them in vain are its end. */
import { durationText } from "@effect-tinker/protocol/Prose"
import type { SessionClosedError, TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as ServiceApi from "../../ServiceApi.js"
import type * as TinkerConfig from "../../TinkerConfig.js"
import * as ThrottledWarning from "../call/throttledWarning.js"
import * as Schedules from "../effect/schedules.js"
import * as Monotonic from "../monotonic.js"
import * as LiveSession from "./liveSession.js"

/** Heartbeats that fail this long are worth a warning. Source: the Python SDK 0.38.0. */
const silence = Duration.minutes(2)

/** A heartbeat later than this means that something else kept the thread busy, or that the process was paused. */
const lateness = Duration.seconds(5)

/** So often in a row the service has to say that it does not know the session. */
const convincing = 2

export const run = (session: LiveSession.LiveSession, options: {
  readonly api: Pick<ServiceApi.Service, "sessionHeartbeat">
  readonly config: Pick<TinkerConfig.Service, "heartbeatFailureLimit" | "heartbeatInterval">
  readonly onAccepted: Effect.Effect<void>
  readonly onFailed: Effect.Effect<void>
}): Effect.Effect<void> =>
  Effect.gen(function*() {
    const { api, config, onAccepted, onFailed } = options
    const { sessionId } = session
    let lastAccepted = yield* Monotonic.now
    let failures = 0
    let denials = 0
    let wait = yield* beginWait
    const warnOfSilence = ThrottledWarning.make()

    const accepted = Effect.flatMap(Monotonic.now, (now) => {
      lastAccepted = now
      failures = 0
      denials = 0
      return onAccepted
    })

    const failed = (error: TinkerError) =>
      Effect.gen(function*() {
        failures += 1
        const now = yield* Monotonic.now
        const denied = LiveSession.sessionEndReason(error)
        denials = denied === undefined ? 0 : denials + 1
        if (denied !== undefined && denials >= convincing) return yield* lost(session, error.message, denied)
        if (failures > config.heartbeatFailureLimit) {
          return yield* lost(session, `${failures} heartbeats in a row failed: ${error.message}`, "lost")
        }
        yield* onFailed
        if (now - lastAccepted > Duration.toMillis(silence)) {
          yield* warnOfSilence(
            `no heartbeat was accepted for ${
              durationText(now - lastAccepted)
            }; the server may end the session: ${error.message}`
          )
        }
      })

    const beat = Effect.gen(function*() {
      if (session.over() !== undefined) return
      yield* warnIfLate(wait, config.heartbeatInterval)
      yield* Effect.matchEffect(api.sessionHeartbeat(sessionId), { onFailure: failed, onSuccess: () => accepted })
      wait = yield* beginWait
    })

    yield* Effect.schedule(
      beat,
      Schedules.spacedWhile(config.heartbeatInterval, () => session.over() === undefined)
    )
  }).pipe(
    Effect.annotateLogs({ module: "SessionManager", sessionId: session.sessionId }),
    Effect.interruptible
  )

const lost = (session: LiveSession.LiveSession, why: string, reason: SessionClosedError["reason"]) =>
  Effect.zipRight(
    Effect.logWarning(
      `the session is over (${reason}), and its training clients with it; the next call that creates or samples starts `
        + `a new one. ${why}`
    ),
    session.end(reason)
  )

/** A wait begins, in milliseconds of either clock: while a machine sleeps, its wall clock alone goes on. */
const beginWait = Effect.zip(Monotonic.now, Clock.currentTimeMillis)

const warnIfLate = (
  [began, beganAt]: readonly [monotonic: number, wall: number],
  interval: Duration.Duration
): Effect.Effect<void> =>
  Effect.flatMap(beginWait, ([now, nowAt]) => {
    const late = Math.max(now - began, nowAt - beganAt) - Duration.toMillis(interval)
    return late < Duration.toMillis(lateness) ? Effect.void : Effect.logWarning(
      `a heartbeat of the session is ${durationText(late)} late, and the server ends `
        + "sessions that it does not hear of. Either this machine or process was paused, or synchronous code kept the "
        + "thread busy, which belongs in a worker"
    )
  })
