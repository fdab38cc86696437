import { ApiStatusError, reasonOfStatus } from "@effect-tinker/protocol/TinkerError"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { Response } from "../../TinkerHttpClient.js"
import { isOfService } from "./answerOrigin.js"
import { readErrorDetail } from "./readErrorDetail.js"
import { retryAfter } from "./retryAfter.js"

/**
 * The `ApiStatusError` of a response.
 *
 * @since 0.1.0
 * @category constructors
 */
export const statusError = (
  response: Response,
  options?: { readonly operation?: string; readonly requestId?: string }
): Effect.Effect<ApiStatusError> =>
  Effect.map(Clock.currentTimeMillis, (now) => {
    const wait = retryAfter(response.headers, now)
    return new ApiStatusError({
      operation: options?.operation ?? response.request.operation,
      status: response.status,
      reason: reasonOfStatus(response.status),
      detail: readErrorDetail(response.body),
      retryAfter: wait,
      retryAt: wait === undefined || Duration.lessThanOrEqualTo(wait, "1 minute")
        ? undefined
        : DateTime.unsafeMake(now + Duration.toMillis(wait)),
      isForeign: isOfService(response.body) ? undefined : true,
      shouldRetry: shouldRetry.get(response.headers["x-should-retry"] ?? ""),
      requestId: options?.requestId,
      subject: response.request.subject
    })
  })

const shouldRetry = new Map([["true", true], ["false", false]])
