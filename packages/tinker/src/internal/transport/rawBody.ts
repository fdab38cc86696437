import { InvalidInputError } from "@effect-tinker/protocol/TinkerError"
import * as Effect from "effect/Effect"
import { ArrayFormatter } from "effect/ParseResult"
import * as Schema from "effect/Schema"
import type { Payload } from "../../RawClient.js"
import type * as TinkerHttpClient from "../../TinkerHttpClient.js"
import * as FormFields from "./formFields.js"
import * as Multipart from "./multipart.js"

/** What a payload is on the wire. `InvalidInputError` names what is wrong in it, not what it holds. */
export const rawBody = <A, I>(
  operation: string,
  payload: Payload<A, I>
): Effect.Effect<TinkerHttpClient.Body, InvalidInputError> => {
  if ("schema" in payload) {
    return Schema.encode(payload.schema)(payload.value).pipe(
      Effect.mapError((error) => {
        const [first = field, ...others] = ArrayFormatter.formatErrorSync(error).map(({ path }) =>
          [field, ...path.map(String)].join(".")
        )
        const description = "does not fit the schema."
        return new InvalidInputError({
          operation,
          field: first,
          description,
          others: others.map((field) => ({ field, description }))
        })
      }),
      Effect.flatMap((encoded) => json(operation, encoded))
    )
  }
  if ("json" in payload) return json(operation, payload.json)
  if ("form" in payload) {
    const bytes = encoder.encode(FormFields.urlEncoded(payload.form))
    return Effect.succeed({ contentType: "application/x-www-form-urlencoded", bytes })
  }
  if ("multipart" in payload) return Multipart.make(payload.multipart)
  return Effect.succeed({ contentType: payload.contentType ?? "application/octet-stream", bytes: payload.bytes })
}

const json = (operation: string, value: unknown): Effect.Effect<TinkerHttpClient.Body, InvalidInputError> =>
  Effect.try({
    try: () => JSON.stringify(value) as string | undefined,
    catch: () => unfit(operation)
  }).pipe(
    Effect.flatMap((text) => text === undefined ? Effect.fail(unfit(operation)) : Effect.succeed(text)),
    Effect.map((text) => ({ contentType: "application/json", bytes: encoder.encode(text) }))
  )

const field = "payload"
const encoder = new TextEncoder()

const unfit = (operation: string) =>
  new InvalidInputError({ operation, field, description: "has a value that JSON cannot hold." })
