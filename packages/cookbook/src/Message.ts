/**
 * One turn of a conversation.
 */
import * as Schema from "effect/Schema"

/**
 * @since 0.1.0
 * @category schemas
 */
export const Message = Schema.Struct({
  /** One of {@link roles}. */
  role: Schema.NonEmptyString,
  content: Schema.String,
  /** Whether it is learned. Default: the assistant's messages are, and no others. */
  trainable: Schema.optional(Schema.Boolean),
  /** What else it says, under the names of its file, e.g. `tool_calls`. A renderer refuses what it cannot write. */
  rest: Schema.optional(Schema.Record({ key: Schema.String, value: Schema.Unknown }))
})

/**
 * @since 0.1.0
 * @category models
 */
export type Message = typeof Message.Type

/**
 * Who may speak.
 *
 * @since 0.1.0
 * @category models
 */
export const roles: ReadonlyArray<string> = ["system", "developer", "user", "assistant", "tool"]

/**
 * Whether a message is learned.
 *
 * @since 0.1.0
 * @category guards
 */
export const isTrainable = ({ role, trainable }: Message): boolean => trainable ?? role === "assistant"
