import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { WatchedRequest } from "./requestWatch.js"

/**
 * What the attempts at one logical request share: the key, which the first attempt draws, and how often it was repeated.
 *
 * @since 0.1.0
 * @category models
 */
export interface Attempts {
  idempotencyKey: string | undefined
  retryCount: number
  /** Whether more may follow. Then who makes them tells `watched` of the end. */
  readonly mayRepeat: boolean
  /** The request that they are attempts at, while somebody listens. */
  watched: WatchedRequest | undefined
  /** The client that sends them, known from the first attempt on. */
  sender: Sender | undefined
}

/**
 * What a client says of all its requests.
 *
 * @since 0.1.0
 * @category models
 */
export interface Sender {
  /** Attempts after the first that the default policies make at most: the option `maxRetries`. */
  readonly maxRetries: number
  /** Logs a warning of an operation, unless there was one of it less than a minute ago. */
  readonly warn: (operation: string, message: string) => Effect.Effect<void>
}

/**
 * @since 0.1.0
 * @category constructors
 */
export const makeAttempts = (mayRepeat = false): Attempts => ({
  idempotencyKey: undefined,
  retryCount: 0,
  mayRepeat,
  watched: undefined,
  sender: undefined
})

/**
 * Shared by the requests of a region of code, unless they say otherwise.
 *
 * @since 0.1.0
 * @category config
 */
export class CurrentAttempts extends Context.Reference<CurrentAttempts>()(
  "effect-tinker/TinkerHttpClient/CurrentAttempts",
  { defaultValue: (): Attempts | undefined => undefined }
) {}
