/** A short-lived token that the server gives for the user's own credential: got once for all who need it, and renewed before its end. */
import type { TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Random from "effect/Random"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as RetryPolicy from "../../RetryPolicy.js"
import { readClaims } from "../jwt.js"
import { shared } from "../shared.js"
import * as PolicyRun from "./policyRun.js"

export interface ExchangedToken {
  /** One that lives for a while yet. */
  readonly current: Effect.Effect<Redacted.Redacted, TinkerError>
  /** Replaces it, if it is this one, which the server has refused. */
  readonly replace: (refused: Redacted.Redacted) => Effect.Effect<void, TinkerError>
}

/** Tokens are renewed on demand when this much, or a quarter of their life, is left. Source: the Python SDK 0.38.0. */
const margin = Duration.seconds(60)

/** A token that does not say how long it lives is renewed after this. Source: the Python SDK 0.38.0. */
const unknownLife = Duration.seconds(60)

/** However short a token lives, it is not renewed ahead of time more often than this. */
const shortestRenewal = Duration.seconds(5)

interface Token {
  readonly value: Redacted.Redacted
  readonly receivedAt: number
  /** Undefined when the token does not say. */
  readonly lifetime: Duration.Duration | undefined
}

export const make = (options: {
  readonly exchange: Effect.Effect<Redacted.Redacted, TinkerError>
  /** Runs when the server refuses the credential that is exchanged. */
  readonly onRefused: Effect.Effect<void>
  readonly scope: Scope.Scope
}): ExchangedToken => {
  const { exchange, onRefused, scope } = options
  let token: Token | undefined
  let renewsAhead = false
  let failedAt = -Infinity

  const renewed: Effect.Effect<Redacted.Redacted, TinkerError> = shared(
    exchange.pipe(
      Effect.flatMap((value) =>
        Effect.map(Clock.currentTimeMillis, (now) => {
          token = { value, receivedAt: now, lifetime: lifetimeOf(value) }
          return value
        })
      ),
      Effect.tap(() => {
        if (renewsAhead) return Effect.void
        renewsAhead = true
        return Effect.forkIn(Effect.interruptible(Effect.suspend(() => renewAhead)), scope)
      }),
      Effect.tapError((error) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) => {
          failedAt = now
          if (isRefusal(error)) return onRefused
          return token === undefined
            ? Effect.void
            : Effect.logWarning("the token could not be renewed", error.message)
        })
      ),
      Effect.annotateLogs("module", "Credentials")
    ),
    scope
  )

  const renewAhead: Effect.Effect<void> = Effect.gen(function*() {
    while (token !== undefined) {
      const current: Token = token
      // The time is drawn anew for each token, so that those who began together do not renew together. A schedule would renew also one
      // that was replaced meanwhile.
      yield* Effect.sleep(untilRenewal(current, yield* Random.nextRange(0.45, 0.55)))
      const run = PolicyRun.begin((yield* RetryPolicy.CurrentPolicies).tokenRenewal)
      while (token === current) {
        const outcome = yield* Effect.either(renewed)
        if (Either.isRight(outcome)) break
        // When the credential is refused, the next request asks for a token itself, and reports this to its caller.
        if (isRefusal(outcome.left) || !(yield* run.pause(outcome.left))) {
          renewsAhead = false
          return
        }
      }
    }
  })

  return {
    current: Effect.flatMap(Clock.currentTimeMillis, (now) => {
      if (token !== undefined) {
        const left = remaining(token, now)
        const hasJustFailed = now - failedAt < Duration.toMillis(shortestRenewal)
        if (left > (hasJustFailed ? 0 : marginOf(token))) return Effect.succeed(token.value)
      }
      return Effect.catchAll(
        renewed,
        (error) =>
          Effect.flatMap(
            Clock.currentTimeMillis,
            (now) =>
              !isRefusal(error) && token !== undefined && remaining(token, now) > 0
                ? Effect.succeed(token.value)
                : Effect.fail(error)
          )
      )
    }),
    replace: (refused) => Effect.suspend(() => token?.value === refused ? Effect.asVoid(renewed) : Effect.void)
  }
}

const isRefusal = (error: TinkerError): boolean => error._tag === "ApiStatusError" && error.reason === "Authentication"

const untilRenewal = ({ lifetime }: Token, share: number): Duration.Duration =>
  lifetime === undefined ? unknownLife : Duration.max(Duration.times(lifetime, share), shortestRenewal)

/** The time that a token lives, by the server's two times, so that a wrong clock here does no harm. */
const lifetimeOf = (token: Redacted.Redacted): Duration.Duration | undefined => {
  const claims = readClaims(Redacted.value(token))
  return claims?.expiresAt === undefined || claims.issuedAt === undefined
    ? undefined
    : Duration.seconds(Math.max(0, claims.expiresAt - claims.issuedAt))
}

const remaining = (token: Token, now: number): number =>
  token.receivedAt + Duration.toMillis(token.lifetime ?? Duration.times(margin, 2)) - now

const marginOf = (token: Token): number =>
  Math.min(Duration.toMillis(margin), Duration.toMillis(token.lifetime ?? margin) / 4)
