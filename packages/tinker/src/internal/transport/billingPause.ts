/** A request that waits while there is no credit (402), by the policy `billing`, for as long as the server or the user says. */
import { durationText } from "@effect-tinker/protocol/Prose"
import type { TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as RetryPolicy from "../../RetryPolicy.js"
import type * as TinkerEvents from "../../TinkerEvents.js"
import type { Request, Response } from "../../TinkerHttpClient.js"
import * as Monotonic from "../monotonic.js"
import type { Attempts } from "./attempts.js"
import * as PolicyRun from "./policyRun.js"
import type { Authenticated } from "./renewedToken.js"
import { statusError } from "./statusError.js"
import { unlessInterrupted } from "./unlessInterrupted.js"

export interface BillingPause {
  readonly send: Authenticated
  /** How long 402 is waited out from now on, unless the user has said. */
  readonly setLongest: (duration: Duration.Duration) => void
}

/** Between warnings that there is no credit. Source: the Python SDK 0.38.0. */
const betweenWarnings = Duration.minutes(1)

/** How long a request waits for credit, until the server says otherwise. Source: the Python SDK 0.38.0. */
const defaultLongest = Duration.hours(1)

/** `given` is what the user says of how long to wait. */
export const make = (
  authenticated: Authenticated,
  given: Option.Option<Duration.Duration>,
  hub: TinkerEvents.Hub
): BillingPause => {
  let longest = Option.getOrElse(given, () => defaultLongest)
  let lastWarning = -Infinity

  const pause = (request: Request, since: number, waited: number, wait: number) =>
    Effect.gen(function*() {
      const now = yield* Monotonic.now
      if (now - lastWarning >= Duration.toMillis(betweenWarnings)) {
        lastWarning = now
        yield* Effect.logWarning(
          `${request.operation}: the server answered 402: there is no credit. It was waited for for `
            + `${Math.round(waited / 1000)} s so far, and is for at most ${durationText(longest)}; add credit to go on`
        )
      }
      request.onBillingPause?.(DateTime.unsafeMake(since))
      yield* Monotonic.sleep(wait)
    })

  const untilThereIsCredit = (
    request: Request,
    attempts: Attempts,
    call: string | undefined,
    first: Response
  ): Effect.Effect<Response, TinkerError> =>
    Effect.gen(function*() {
      const { billing } = yield* RetryPolicy.CurrentPolicies
      const run = PolicyRun.begin(billing)
      const since = yield* Clock.currentTimeMillis
      const began = yield* Monotonic.now
      let response = first
      for (let attempt = 2; response.status === 402; attempt++) {
        const waited = (yield* Monotonic.now) - began
        if (waited >= Duration.toMillis(longest)) break
        const error = yield* statusError(response)
        const wait = yield* run.next(error)
        if (wait === undefined || waited + wait > Duration.toMillis(longest)) break
        if (hub.isHeard()) {
          const { operation } = request
          hub.publish({ _tag: "RetryScheduled", operation, policy: "billing", attempt, wait, error })
        }
        yield* unlessInterrupted(pause(request, since, waited, wait), attempts.watched)
        response = yield* authenticated(request, attempts, call)
      }
      return response
    })

  return {
    send: (request, attempts, call) =>
      Effect.flatMap(
        authenticated(request, attempts, call),
        (response) =>
          response.status !== 402 || request.pausesForBilling === false
            ? Effect.succeed(response)
            : untilThereIsCredit(request, attempts, call, response)
      ),
    setLongest: (duration) => {
      longest = Option.getOrElse(given, () => duration)
    }
  }
}
