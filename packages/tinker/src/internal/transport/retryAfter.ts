import type * as Headers from "@effect/platform/Headers"
import * as Duration from "effect/Duration"

/**
 * How long the server asks to wait: `retry-after-ms`, else `retry-after` in seconds or as a date. A time beyond all dates is
 * none.
 */
export const retryAfter = (headers: Headers.Headers, now: number): Duration.Duration | undefined => {
  const millis = headers["retry-after-ms"] === undefined
    ? seconds(headers["retry-after"] ?? "", sentAt(headers, now)) * 1000
    : Number(headers["retry-after-ms"])
  return millis > 0 && now + millis <= lastDate ? Duration.millis(millis) : undefined
}

/** The last time that a date can have, in milliseconds since 1970. Source: ECMA-262, the range of time values. */
const lastDate = 8.64e15

/** When the answer was sent by the server's clock, against which it gives dates, if it tells it. */
const sentAt = (headers: Headers.Headers, now: number): number => {
  const date = Date.parse(headers["date"] ?? "")
  return Number.isNaN(date) ? now : date
}

const seconds = (value: string, now: number): number => {
  const number = value.trim() === "" ? NaN : Number(value)
  return Number.isNaN(number) ? (Date.parse(value) - now) / 1000 : number
}
