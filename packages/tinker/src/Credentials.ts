/**
 * The credential of each request: a key, what a command prints, a stored key, or a short-lived token that the server gives
 * in exchange for one of these.
 */
import { InvalidInputError, type TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import { isJwt, readClaims } from "./internal/jwt.js"
import { shared } from "./internal/shared.js"
import * as PolicyRun from "./internal/transport/policyRun.js"
import * as RetryPolicy from "./RetryPolicy.js"
import * as TinkerConfig from "./TinkerConfig.js"

/**
 * @since 0.1.0
 * @category tags
 */
export class Credentials extends Context.Tag("effect-tinker/Credentials")<Credentials, Service>() {}

/**
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /**
   * What goes into `X-API-Key`: the token, once there is an exchange, else {@link Service.own}.
   */
  readonly current: Effect.Effect<Option.Option<Redacted.Redacted>, TinkerError>

  /**
   * The user's own credential; none for a server on this machine when none was given. `InvalidInputError`, before anything
   * is sent, when it is missing, expired, or cannot be one of the hosted service's.
   */
  readonly own: Effect.Effect<Option.Option<Redacted.Redacted>, InvalidInputError>

  /**
   * Has requests carry a token from now on, which `exchange` gets for the user's own credential. It is renewed at about half its life, and
   * on demand shortly before its end; all callers share one exchange.
   *
   * `preferCommand`: the credential command goes before a key.
   */
  readonly exchangeBy: (
    exchange: (own: Option.Option<Redacted.Redacted>) => Effect.Effect<Redacted.Redacted, TinkerError>,
    options: { readonly preferCommand: boolean }
  ) => Effect.Effect<void>

  /** Replaces a token that the server refused. False when there is no exchange, so that sending again is pointless. */
  readonly renew: (refused: Option.Option<Redacted.Redacted>) => Effect.Effect<boolean, TinkerError>

  /** Whether there is a credential to be had, without running a command. */
  readonly present: Effect.Effect<boolean, InvalidInputError>
}

/**
 * Runs a shell command that prints a credential. Only some runtimes can; `@effect-tinker/node` supplies it for Node.
 *
 * @since 0.1.0
 * @category tags
 */
export class CredentialCommand extends Context.Tag("effect-tinker/Credentials/CredentialCommand")<CredentialCommand, {
  readonly run: (command: string) => Effect.Effect<Redacted.Redacted, InvalidInputError>
}>() {}

/**
 * Keys kept on this machine, the last resort. `@effect-tinker/node` supplies it for Node.
 *
 * @since 0.1.0
 * @category tags
 */
export class StoredCredentials extends Context.Tag("effect-tinker/Credentials/StoredCredentials")<StoredCredentials, {
  readonly defaultKey: Effect.Effect<Option.Option<Redacted.Redacted>, InvalidInputError>
}>() {}

/** A credential of a command or a file is used for this long, or to the end of the token that it is. */
const keptFor = Duration.minutes(1)

/** Tokens are renewed on demand when this much, or a quarter of their life, is left. Source: the Python SDK 0.38.0. */
const margin = Duration.seconds(60)

/** A token that does not say how long it lives is renewed after this. Source: the Python SDK 0.38.0. */
const unknownLife = Duration.seconds(60)

/** However short a token lives, it is not renewed ahead of time more often than this. */
const shortestRenewal = Duration.seconds(5)

/**
 * Fails when the given key cannot be right.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<Service, InvalidInputError, TinkerConfig.TinkerConfig | Scope.Scope> = Effect.gen(
  function*() {
    const config = yield* TinkerConfig.TinkerConfig
    const commands = yield* Effect.serviceOption(CredentialCommand)
    const stored = yield* Effect.serviceOption(StoredCredentials)
    const scope = yield* Effect.scope

    const key = config.apiKey
    if (Option.isSome(key)) yield* Effect.zipRight(checkKey(config, key.value), check("apiKey", key.value))

    const command = Option.map(config.credentialCommand, (command) => {
      const run = Option.match(commands, {
        onNone: () =>
          wrong("credentialCommand", "commands cannot be run here. On Node provide TinkerNode.layer, or set a key."),
        onSome: ({ run }) => run(command)
      })
      return kept(Effect.asSome(Effect.tap(run, (found) => check("credentialCommand", found))), scope)
    }).pipe(Option.getOrUndefined)

    const defaultKey = Option.match(stored, { onNone: () => Effect.succeedNone, onSome: (keys) => keys.defaultKey })
    const fromFile = kept(
      Effect.tap(defaultKey, (found) => Option.isSome(found) ? check("apiKey", found.value) : Effect.void),
      scope
    )

    const fallback = command?.get ??
      Effect.flatMap(fromFile.get, (found) =>
        Option.isSome(found) || isLoopback(config.baseUrl)
          ? Effect.succeed(found)
          : wrong("apiKey", "there is no API key. Set TINKER_API_KEY, or pass the option apiKey."))

    /** Forgets credentials that were refused: by the next use somebody may have mended it. */
    const forgetRefused = Effect.sync(() => {
      command?.forget()
      fromFile.forget()
    })

    const resolve = (preferCommand: boolean): Effect.Effect<Option.Option<Redacted.Redacted>, InvalidInputError> => {
      const keyIsJwt = Option.isSome(key) && isJwt(Redacted.value(key.value))
      if (Option.isSome(key) && (keyIsJwt || !preferCommand || command === undefined)) {
        return keyIsJwt ? Effect.as(check("apiKey", key.value), key) : Effect.succeed(key)
      }
      return preferCommand && command === undefined && Option.isNone(key)
        ? wrong("credentialCommand", "the server wants the output of a credential command. Set TINKER_CREDENTIAL_CMD.")
        : fallback
    }
    const own = resolve(false)

    let exchange: Effect.Effect<Redacted.Redacted, TinkerError> | undefined
    let token: Token | undefined
    let renewsAhead = false
    let failedAt = -Infinity

    const isRefusal = (error: TinkerError) => error._tag === "ApiStatusError" && error.reason === "Authentication"

    const fetchToken: Effect.Effect<Redacted.Redacted, TinkerError> = shared(
      Effect.suspend(() => exchange!).pipe(
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
            if (isRefusal(error)) return forgetRefused
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
        const share = yield* Random.nextRange(0.45, 0.55)
        yield* Effect.sleep(
          current.lifetime === undefined
            ? unknownLife
            : Duration.max(Duration.times(current.lifetime, share), shortestRenewal)
        )
        const run = PolicyRun.begin((yield* RetryPolicy.CurrentPolicies).tokenRenewal)
        while (token === current) {
          const outcome = yield* Effect.either(fetchToken)
          if (Either.isRight(outcome)) break
          if (isRefusal(outcome.left)) {
            // The next request asks for a token itself, and reports this to its caller.
            renewsAhead = false
            return
          }
          if (!(yield* run.pause(outcome.left))) {
            renewsAhead = false
            return
          }
        }
      }
    })

    const currentToken: Effect.Effect<Redacted.Redacted, TinkerError> = Effect.flatMap(
      Clock.currentTimeMillis,
      (now) => {
        if (token !== undefined) {
          const left = remaining(token, now)
          const hasJustFailed = now - failedAt < Duration.toMillis(shortestRenewal)
          if (left > (hasJustFailed ? 0 : marginOf(token))) return Effect.succeed(token.value)
        }
        return Effect.catchAll(
          fetchToken,
          (error) =>
            Effect.flatMap(
              Clock.currentTimeMillis,
              (now) =>
                !isRefusal(error) && token !== undefined && remaining(token, now) > 0
                  ? Effect.succeed(token.value)
                  : Effect.fail(error)
            )
        )
      }
    )

    return Credentials.of({
      own,
      current: Effect.suspend(() => exchange === undefined ? own : Effect.asSome(currentToken)),
      exchangeBy: (by, { preferCommand }) =>
        Effect.sync(() => {
          exchange = Effect.flatMap(resolve(preferCommand), by)
        }),
      renew: (refused) =>
        Effect.suspend(() =>
          exchange === undefined || Option.isNone(refused)
            ? Effect.as(forgetRefused, false)
            : Effect.as(token?.value === refused.value ? fetchToken : Effect.void, true)
        ),
      present: Effect.suspend(() => {
        if (Option.isSome(key) || command !== undefined) return Effect.succeed(true)
        return Effect.map(fromFile.get, Option.isSome)
      })
    })
  }
)

/**
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<Credentials, InvalidInputError, TinkerConfig.TinkerConfig> = Layer.scoped(
  Credentials,
  make
)

interface Token {
  readonly value: Redacted.Redacted
  readonly receivedAt: number
  /** Undefined when the token does not say. */
  readonly lifetime: Duration.Duration | undefined
}

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

const wrong = (field: string, description: string) =>
  Effect.fail(new InvalidInputError({ operation: "Credentials", field, description }))

interface Kept<E> {
  readonly get: Effect.Effect<Option.Option<Redacted.Redacted>, E>
  /** The server has refused it, so the next use runs the effect. */
  readonly forget: () => void
}

/** Runs the effect when its last success is too old. Nobody runs it twice at once, and failures are not kept. */
const kept = <E>(effect: Effect.Effect<Option.Option<Redacted.Redacted>, E>, scope: Scope.Scope): Kept<E> => {
  let last: { readonly found: Option.Option<Redacted.Redacted>; readonly until: number } | undefined
  const run = shared(
    Effect.tap(effect, (found) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        last = { found, until: Math.min(now + Duration.toMillis(keptFor), Option.match(found, endOfLife)) }
      })),
    scope
  )
  return {
    get: Effect.flatMap(
      Clock.currentTimeMillis,
      (now) => last !== undefined && now < last.until ? Effect.succeed(last.found) : run
    ),
    forget: () => {
      last = undefined
    }
  }
}

const checkKey = (config: TinkerConfig.Service, key: Redacted.Redacted): Effect.Effect<void, InvalidInputError> =>
  config.baseUrl === TinkerConfig.hosted && !/^(tml-|eyJ)/.test(Redacted.value(key))
    ? wrong("apiKey", "the API key is not one of Tinker's, which start with tml-. Check TINKER_API_KEY.")
    : Effect.void

/** The end of a credential's life, in milliseconds since 1970; for ever, unless the credential is a token that says otherwise. */
const endOfLife = {
  onNone: () => Infinity,
  onSome: (credential: Redacted.Redacted): number => {
    const text = Redacted.value(credential)
    return ((isJwt(text) ? readClaims(text)?.expiresAt : undefined) ?? Infinity) * 1000
  }
}

/** Errors of transports repeat a header that cannot be sent, so such a credential must not get there. */
const check = (field: string, credential: Redacted.Redacted): Effect.Effect<void, InvalidInputError> =>
  Effect.flatMap(Clock.currentTimeMillis, (now) => {
    if (!/^[\x21-\x7e]+$/.test(Redacted.value(credential))) {
      return wrong(field, "the credential has a space, a line break or another character that no credential has.")
    }
    const end = endOfLife.onSome(credential)
    return end <= now
      ? wrong(field, `the credential is a token that expired at ${new Date(end).toISOString()}. Get a new one.`)
      : Effect.void
  })

const isLoopback = (url: string): boolean => /^https?:\/\/(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?(\/|$)/i.test(url)
