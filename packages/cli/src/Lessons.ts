/**
 * What a run learns from, and what it is examined on.
 */
import * as ChatDataset from "@effect-tinker/cookbook/ChatDataset"
import type { DatasetError } from "@effect-tinker/cookbook/DatasetError"
import * as Lighthouse from "@effect-tinker/cookbook/Lighthouse"
import * as Supervised from "@effect-tinker/cookbook/Supervised"
import type { Datum } from "@effect-tinker/protocol/Datum"
import type { InvalidInputError } from "@effect-tinker/protocol/TinkerError"
import type * as Tokenizer from "@effect-tinker/tokenizer/Tokenizer"
import type * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"

/**
 * @since 0.1.0
 * @category models
 */
export interface Lessons {
  readonly name: string
  readonly train: ReadonlyArray<Datum>
  /** What the run is examined on. */
  readonly heldOut: ReadonlyArray<Datum>
  /** How many of those are learned too, because they stand in the file again or because it is too short to hold lines out. */
  readonly alsoLearned: number
  /** Held-out conversations whose last message is asked for, before and after. */
  readonly prompts: ReadonlyArray<ChatDataset.Chat>
}

/**
 * What there is to learn and to be examined on, as conversations.
 *
 * @since 0.1.0
 * @category models
 */
export interface Conversations {
  readonly name: string
  readonly train: ReadonlyArray<ChatDataset.Chat>
  readonly heldOut: ReadonlyArray<ChatDataset.Chat>
}

/**
 * The data set that ships, or `file`, a tenth of whose lines, three at least, are held out.
 *
 * @since 0.1.0
 * @category constructors
 */
export const read = (
  file: string | undefined,
  options: ChatDataset.Options = {}
): Effect.Effect<Conversations, DatasetError | InvalidInputError, FileSystem.FileSystem> =>
  file === undefined ? shipped : Effect.map(Supervised.chatsFromFile(file, options), (chats) => split(file, chats))

/**
 * Conversations as a run learns them. One longer than `maxTokens` is an error. `onProgress` is told how far it is, as
 * `Supervised.dataFromChats` tells it.
 *
 * @since 0.1.0
 * @category constructors
 */
export const encode = (
  { heldOut, name, train }: Conversations,
  options: {
    readonly maxTokens: number | undefined
    readonly onProgress?: ((progress: Supervised.DataProgress) => Effect.Effect<void>) | undefined
  }
): Effect.Effect<Lessons, DatasetError | InvalidInputError, Tokenizer.Tokenizer> =>
  Effect.gen(function*() {
    // One that is in both is encoded once.
    const chats = Array.from(new Set([...train, ...heldOut]))
    const encoded = yield* Supervised.dataFromChats(chats, options)
    const data = new Map(chats.map((chat, i) => [chat, encoded[i]!]))
    const dataOf = (chats: ReadonlyArray<ChatDataset.Chat>) => chats.map((chat) => data.get(chat)!)
    return {
      name,
      train: dataOf(train),
      heldOut: dataOf(heldOut),
      alsoLearned: shared(heldOut, train),
      prompts: heldOut.filter((chat) => chat.messages.at(-1)?.role === "assistant").slice(0, 3)
    }
  })

/** How many of some conversations are among others too. */
const shared = (some: ReadonlyArray<ChatDataset.Chat>, others: ReadonlyArray<ChatDataset.Chat>): number => {
  const textOf = ({ messages }: ChatDataset.Chat) => JSON.stringify(messages)
  const alone = new Set(some.map(textOf))
  for (const chat of others) alone.delete(textOf(chat))
  return some.filter((chat) => !alone.has(textOf(chat))).length
}

const shipped = Effect.all({
  name: Effect.succeed("the lighthouse keeper's log, which ships"),
  train: ChatDataset.read(Lighthouse.trainFile),
  heldOut: ChatDataset.read(Lighthouse.heldOutFile)
})

/** Every tenth line is held out, or every third of a short file; a single line is trained on and examined. */
const split = (name: string, chats: ReadonlyArray<ChatDataset.Chat>): Conversations => {
  const every = Math.max(1, Math.min(10, Math.floor(chats.length / 3)))
  const isHeldOut = (index: number) => index % every === every - 1
  const train = chats.filter((_, index) => !isHeldOut(index))
  return {
    name,
    train: train.length === 0 ? chats : train,
    heldOut: chats.filter((_, index) => isHeldOut(index))
  }
}
