import type * as Headers from "@effect/platform/Headers"
import * as Duration from "effect/Duration"

/** How long the server asks to wait: `retry-after-ms`, else `retry-after` in seconds. Longer than a minute is ignored. */
export const retryAfter = (headers: Headers.Headers): Duration.Duration | undefined => {
  const millis = headers["retry-after-ms"] === undefined
    ? Number(headers["retry-after"] ?? NaN) * 1000
    : Number(headers["retry-after-ms"])
  return millis > 0 && millis <= 60_000 ? Duration.millis(millis) : undefined
}
