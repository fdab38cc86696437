import type { InvalidInputError } from "@effect-tinker/protocol/TinkerError"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Chat } from "../ChatDataset.js"
import type { DataProgress } from "../Supervised.js"
import { reportProgress } from "./reportProgress.js"

/** A model's tokenizer reads about a million characters a second. So many lie between two reports. */
const toldEvery = 250_000

/** Gives conversations one after another, and tells how many of their characters have been given. */
export const countCharacters = (
  operation: string,
  chats: ReadonlyArray<Chat>,
  onProgress: ((progress: DataProgress) => Effect.Effect<void>) | undefined
): Stream.Stream<Chat, InvalidInputError> => {
  if (onProgress === undefined) return Stream.fromIterable(chats)
  const totalCharacters = chats.reduce((sum, chat) => sum + charactersOf(chat), 0)
  let characters = 0
  let told = -Infinity
  return Stream.tap(Stream.fromIterable(chats), (chat) => {
    const done = characters
    characters += charactersOf(chat)
    if (characters - told <= toldEvery) return Effect.void
    told = done
    return reportProgress(operation, onProgress, { characters: done, totalCharacters })
  })
}

const charactersOf = ({ messages }: Chat): number => messages.reduce((sum, { content }) => sum + content.length, 0)
