import { ApiResponseValidationError, type TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { DownloadError } from "./downloadError.js"

/** Addresses of files as the server signed them at one time. */
export interface Signed {
  readonly urls: Readonly<Record<string, Redacted.Redacted>>
  /** The time until which the addresses are valid. */
  readonly expires: DateTime.Utc
}

export interface SignedUrls {
  /** Signed again when the present ones are soon to expire. */
  readonly current: Effect.Effect<Signed, TinkerError | DownloadError>
  /** When `used` was refused: newer ones, of which all who used it share the first. */
  readonly renew: (used: Signed) => Effect.Effect<Signed, TinkerError | DownloadError>
}

/** Whoever begins to fetch a file has this long at least. Source: the Python SDK 0.38.0. */
const leastValidity = Duration.minutes(5)

export const make = (
  subject: string,
  sign: Effect.Effect<Signed, TinkerError>,
  first: Signed
): SignedUrls => {
  const turn = Effect.unsafeMakeSemaphore(1)
  let current = first

  const signAgain = Effect.flatMap(sign, (signed) => {
    for (const name of Object.keys(first.urls)) {
      if (!Object.hasOwn(signed.urls, name)) {
        return new DownloadError({
          reason: "Changed",
          subject,
          file: name,
          description: "it is no longer among the files of the checkpoint"
        })
      }
    }
    current = signed
    return Effect.succeed(signed)
  })

  return {
    current: turn.withPermits(1)(
      Effect.flatMap(
        Clock.currentTimeMillis,
        (now) =>
          DateTime.toEpochMillis(current.expires) - now < Duration.toMillis(leastValidity)
            ? signAgain
            : Effect.succeed(current)
      )
    ),
    renew: (used) => turn.withPermits(1)(Effect.suspend(() => used === current ? signAgain : Effect.succeed(current)))
  }
}

/** The address of a file. The error does not repeat it. */
export const urlOf = (signed: Signed, name: string): Effect.Effect<URL, ApiResponseValidationError> => {
  const url = Redacted.value(signed.urls[name]!)
  return URL.canParse(url) && /^https?:/.test(url)
    ? Effect.succeed(new URL(url))
    : new ApiResponseValidationError({
      operation: "CheckpointDownload",
      description: `the address of the file ${JSON.stringify(name)} is no web address`
    })
}
