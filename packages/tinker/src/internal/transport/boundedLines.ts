import { ApiResponseValidationError, type TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as ResponseLimits from "./responseLimits.js"

/** The same text, until a line is too long: one without end would be kept until the memory is full. */
export const boundedLines = (
  operation: string,
  text: Stream.Stream<string, TinkerError>,
  most = ResponseLimits.defaults.others
): Stream.Stream<string, TinkerError> =>
  Stream.suspend(() => {
    let length = 0
    return Stream.mapEffect(text, (part) => {
      const end = Math.max(part.lastIndexOf("\n"), part.lastIndexOf("\r"))
      length = end < 0 ? length + part.length : part.length - end - 1
      return length > most
        ? new ApiResponseValidationError({
          operation,
          description: `a line is longer than ${most.toLocaleString("en")} characters`
        })
        : Effect.succeed(part)
    })
  })
