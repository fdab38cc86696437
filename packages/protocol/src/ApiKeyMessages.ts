/**
 * Messages of an API key itself, for logging in and out. Each request carries the key that it is about, whatever
 * credential the client has.
 */
import * as Schema from "effect/Schema"
import { field, nullable } from "./WireField.js"

/**
 * What the server knows of a key.
 *
 * @since 0.1.0
 * @category schemas
 */
export const ApiKey = Schema.Struct({
  keyId: field(Schema.Int, "key_id"),
  name: nullable(Schema.String),
  note: nullable(Schema.String),
  details: Schema.optional(Schema.Unknown)
})

/**
 * @since 0.1.0
 * @category models
 */
export type ApiKey = typeof ApiKey.Type
