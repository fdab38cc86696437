/**
 * Conversations that stay in their file, which may be of any size: what is held is where each of them stands, about 24 bytes, and
 * what it says is read when it is asked for. `Supervised.chatsFromFile` makes one of a file that is fit to train on.
 */
import { failOnIssues, type InvalidInputError } from "@effect-tinker/protocol/TinkerError"
import * as Effect from "effect/Effect"
import type { Chat } from "./ChatDataset.js"
import type { DatasetError } from "./DatasetError.js"
import * as Given from "./internal/given.js"

/**
 * Conversations of a file, or some of them, in an order.
 *
 * @since 0.1.0
 * @category models
 */
export interface ChatFile {
  readonly file: string
  /** How many they are. */
  readonly length: number
  /**
   * Reads those at some places, counted from 0, as the places come. Fails with `Unreadable` where a line is not what it was when the file
   * was looked at, and with an `InvalidInputError` for a place at which none is.
   */
  readonly read: (places: ArrayLike<number>) => Effect.Effect<ReadonlyArray<Chat>, DatasetError | InvalidInputError>
  /**
   * Two numbers for each, which are the same for the same messages, and almost surely others for others.
   *
   * @internal
   */
  readonly marks: Uint32Array
  /**
   * How many bytes the line of one takes.
   *
   * @internal
   */
  readonly bytesAt: (place: number) => number
}

/**
 * Takes those at some places, counted from 0, in their order, without reading them. A place at which none is gives an
 * `InvalidInputError`.
 *
 * @since 0.1.0
 * @category combinators
 */
export const select = (
  chats: ChatFile,
  places: ArrayLike<number>
): Effect.Effect<ChatFile, InvalidInputError> =>
  Effect.map(failOnIssues("ChatFile.select", issuesOf(chats, places)), () => {
    const selected = Uint32Array.from(places)
    const marks = new Uint32Array(2 * selected.length)
    selected.forEach((place, i) => marks.set(chats.marks.subarray(2 * place, 2 * place + 2), 2 * i))
    return {
      file: chats.file,
      length: selected.length,
      read: (places) =>
        Effect.zipRight(
          failOnIssues("ChatFile.read", placesIssues(places, selected.length)),
          chats.read(Uint32Array.from(places, (place) => selected[place]!))
        ),
      marks,
      bytesAt: (place) => chats.bytesAt(selected[place]!)
    }
  })

/**
 * How many conversations of some are, word for word, among others.
 *
 * @since 0.1.0
 * @category combinators
 */
export const countShared = (some: ChatFile, others: ChatFile): number => {
  const alone = new Map<string, number>()
  for (let i = 0; i < some.length; i++) {
    const mark = markAt(some, i)
    alone.set(mark, (alone.get(mark) ?? 0) + 1)
  }
  for (let i = 0; i < others.length && alone.size > 0; i++) alone.delete(markAt(others, i))
  return Array.from(alone.values()).reduce((left, count) => left - count, some.length)
}

const markAt = ({ marks }: ChatFile, place: number): string => `${marks[2 * place]} ${marks[2 * place + 1]}`

const issuesOf = (chats: ChatFile, places: ArrayLike<number>) => {
  const issues = chatFile(chats, "chats")
  return issues.length > 0 ? issues : placesIssues(places, chats.length)
}

/**
 * The check of what should be a {@link ChatFile}.
 *
 * @internal
 */
export const chatFile: Given.Check = Given.having(
  { length: Given.count, read: Given.func, bytesAt: Given.func, marks: Given.must(ArrayBuffer.isView, "its own") },
  "what Supervised.chatsFromFile gives"
)

/**
 * What is wrong with places.
 *
 * @internal
 */
export const placesIssues = (places: ArrayLike<number>, length: number) =>
  Given.must(
    (places) =>
      (Array.isArray(places) || ArrayBuffer.isView(places))
      && Array.from(places as unknown as ArrayLike<unknown>).every((place) =>
        Number.isSafeInteger(place) && Number(place) >= 0 && Number(place) < length
      ),
    length === 0 ? "an empty list, as there are none" : `a list of whole numbers from 0 to ${length - 1}`
  )(places, "places")
