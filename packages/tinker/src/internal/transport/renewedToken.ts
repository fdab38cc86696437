/** A request with the current credential; one whose token is refused (401) is sent again with a new one, by the policy `refusedToken`. */
import type { TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import type * as Credentials from "../../Credentials.js"
import * as RetryPolicy from "../../RetryPolicy.js"
import type { Request, Response } from "../../TinkerHttpClient.js"
import * as Monotonic from "../monotonic.js"
import type { Attempt } from "./attempt.js"
import type { Attempts } from "./attempts.js"
import * as PolicyRun from "./policyRun.js"
import { statusError } from "./statusError.js"
import { unlessInterrupted } from "./unlessInterrupted.js"

export type Authenticated = (
  request: Request,
  attempts: Attempts,
  call: string | undefined
) => Effect.Effect<Response, TinkerError>

export const make = (attempt: Attempt, credentials: Credentials.Service): Authenticated => {
  const withNewToken = (
    request: Request,
    attempts: Attempts,
    call: string | undefined,
    refused: Option.Option<Redacted.Redacted>,
    response: Response,
    run: PolicyRun.PolicyRun
  ): Effect.Effect<Response, TinkerError> =>
    Effect.gen(function*() {
      const wait = yield* Effect.flatMap(statusError(response), run.next)
      const isWanted = wait !== undefined
      const renewed = yield* unlessInterrupted(credentials.renew(refused), attempts.watched)
      if (!isWanted || !renewed) return response
      yield* unlessInterrupted(Monotonic.sleep(wait), attempts.watched)
      const key = yield* credentials.current
      const again = yield* attempt(request, attempts, call, key)
      return again.status === 401 ? yield* withNewToken(request, attempts, call, key, again, run) : again
    })

  return (request, attempts, call) => {
    if (request.credential !== undefined) return attempt(request, attempts, call, request.credential)
    return Effect.flatMap(
      credentials.current,
      (key) =>
        Effect.flatMap(attempt(request, attempts, call, key), (response) =>
          response.status !== 401
            ? Effect.succeed(response)
            : Effect.flatMap(
              RetryPolicy.CurrentPolicies,
              ({ refusedToken }) => withNewToken(request, attempts, call, key, response, PolicyRun.begin(refusedToken))
            ))
    )
  }
}
