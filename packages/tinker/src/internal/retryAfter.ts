import type * as Headers from "@effect/platform/Headers"
import * as Duration from "effect/Duration"

/**
 * How long the server asks to wait: `retry-after-ms`, else `retry-after` in seconds or as a date. Longer than a minute is
 * ignored. Source: the Python SDK 0.38.0.
 */
export const retryAfter = (headers: Headers.Headers, now: number): Duration.Duration | undefined => {
  const millis = headers["retry-after-ms"] === undefined
    ? seconds(headers["retry-after"] ?? "", now) * 1000
    : Number(headers["retry-after-ms"])
  return millis > 0 && millis <= 60_000 ? Duration.millis(millis) : undefined
}

const seconds = (value: string, now: number): number => {
  const number = value.trim() === "" ? NaN : Number(value)
  return Number.isNaN(number) ? (Date.parse(value) - now) / 1000 : number
}
