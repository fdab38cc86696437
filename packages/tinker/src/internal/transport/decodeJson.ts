import { ApiResponseValidationError } from "@effect-tinker/protocol/TinkerError"
import * as Effect from "effect/Effect"
import { ArrayFormatter, type ParseError } from "effect/ParseResult"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as HttpRuntime from "../../HttpRuntime.js"
import type * as TinkerHttpClient from "../../TinkerHttpClient.js"
import * as ResponseLimits from "./responseLimits.js"

/** Where a value came from, for the error about it. */
export interface Origin {
  readonly operation: string
  readonly requestId?: string | undefined
  readonly response: TinkerHttpClient.Response
}

export const malformed = (origin: Origin, description: string, cause?: unknown): ApiResponseValidationError =>
  new ApiResponseValidationError(fieldsOfError(origin, description, cause))

/** What arrived is a page, empty or cut off. */
export const unreadable = (origin: Origin, description: string, cause?: unknown): ApiResponseValidationError =>
  new ApiResponseValidationError({ ...fieldsOfError(origin, description, cause), isUnreadable: true })

const fieldsOfError = (origin: Origin, description: string, cause: unknown) => ({
  operation: origin.operation,
  description,
  status: origin.response.status,
  path: origin.response.request.path,
  requestId: origin.requestId,
  body: Redacted.make(origin.response.body),
  cause
})

/** Reads a JSON body by its schema. The error names the fields that do not fit, not what they hold. */
export const decodeJson = <A, I>(
  response: TinkerHttpClient.Response,
  schema: Schema.Schema<A, I>
): Effect.Effect<A, ApiResponseValidationError> => {
  const origin = { operation: response.request.operation, response }
  return Effect.flatMap(parseJson(origin), (value) => decodeValue(origin, value, schema))
}

export const parseJson = (origin: Origin): Effect.Effect<unknown, ApiResponseValidationError> =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(ResponseLimits.parseJson(origin.response.body))
    } catch (cause) {
      return cause instanceof HttpRuntime.RefusedAnswer
        ? malformed(origin, cause.message, cause)
        : unreadable(origin, "it is no JSON")
    }
  })

export const decodeValue = <A, I>(
  origin: Origin,
  value: unknown,
  schema: Schema.Schema<A, I>
): Effect.Effect<A, ApiResponseValidationError> =>
  Effect.mapError(Schema.decodeUnknown(schema)(value), (error) => malformed(origin, parseErrorText(error)))

/** Names the fields that do not fit, not what they hold. */
export const parseErrorText = (error: ParseError): string =>
  `these fields are missing or of another type: ${fieldsOf(error).map((field) => field || "(all)").join(", ")}`

const fieldsOf = (error: ParseError): ReadonlyArray<string> =>
  ArrayFormatter.formatErrorSync(error).map(({ path }) => path.map(String).join("."))
