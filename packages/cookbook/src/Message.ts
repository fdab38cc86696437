/**
 * One turn of a conversation.
 */
import * as Schema from "effect/Schema"

/**
 * @since 0.1.0
 * @category schemas
 */
export const Message = Schema.Struct({
  /** `user`, `assistant`, `system` or another; the renderer writes it as it is. */
  role: Schema.NonEmptyString,
  content: Schema.String
})

/**
 * @since 0.1.0
 * @category models
 */
export type Message = typeof Message.Type
