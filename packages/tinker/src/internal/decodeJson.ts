import * as Effect from "effect/Effect"
import { ArrayFormatter } from "effect/ParseResult"
import * as Schema from "effect/Schema"
import { ApiResponseValidationError } from "../TinkerError.js"

/** Reads a JSON body by its schema. The error names the fields that do not fit, not what they hold. */
export const decodeJson = <A, I>(
  operation: string,
  body: Uint8Array,
  schema: Schema.Schema<A, I>
): Effect.Effect<A, ApiResponseValidationError> =>
  Effect.flatMap(parseJson(operation, body), (value) => decodeValue(operation, value, schema))

export const parseJson = (operation: string, body: Uint8Array): Effect.Effect<unknown, ApiResponseValidationError> =>
  Effect.try({
    try: (): unknown => JSON.parse(new TextDecoder().decode(body)),
    catch: () => new ApiResponseValidationError({ operation, description: "it is no JSON" })
  })

export const decodeValue = <A, I>(
  operation: string,
  value: unknown,
  schema: Schema.Schema<A, I>
): Effect.Effect<A, ApiResponseValidationError> =>
  Effect.mapError(Schema.decodeUnknown(schema)(value), (error) => {
    const fields = ArrayFormatter.formatErrorSync(error).map((issue) => issue.path.map(String).join("."))
    return new ApiResponseValidationError({
      operation,
      description: `these fields are missing or of another type: ${fields.map((field) => field || "(all)").join(", ")}`
    })
  })
