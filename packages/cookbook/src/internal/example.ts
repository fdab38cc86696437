/** What is learned of a conversation. */
import type { Datum } from "@effect-tinker/protocol/Datum"
import * as Either from "effect/Either"
import type { Issue } from "../DatasetError.js"
import type { Message } from "../Message.js"
import * as RoleRenderer from "../RoleRenderer.js"

/** Makes the datum of messages, of so many tokens at most. */
export const datumOf =
  (renderer: RoleRenderer.RoleRenderer, maxTokens: number | undefined) =>
  (messages: ReadonlyArray<Message>): Either.Either<Datum, Issue> =>
    Either.flatMap(
      Either.mapLeft(renderer.supervisedExample(messages), (error): Issue =>
        error._tag === "DatasetError"
          ? { reason: error.reason, description: error.description, keys: error.keys }
          : { reason: "MalformedLine", description: error.message }),
      (example): Either.Either<Datum, Issue> => {
        const { length } = example.tokens
        return maxTokens === undefined || length <= maxTokens
          ? Either.right(RoleRenderer.toDatum(example))
          : Either.left({
            reason: "SequenceTooLong",
            description: `takes ${length} tokens, and ${maxTokens} are allowed. Shorten or split it.`
          })
      }
    )
