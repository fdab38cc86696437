/**
 * What a run learns from, and what it is examined on.
 */
import type * as ChatDataset from "@effect-tinker/cookbook/ChatDataset"
import * as ChatFile from "@effect-tinker/cookbook/ChatFile"
import type { DatasetError } from "@effect-tinker/cookbook/DatasetError"
import * as Lighthouse from "@effect-tinker/cookbook/Lighthouse"
import * as Supervised from "@effect-tinker/cookbook/Supervised"
import type { Datum } from "@effect-tinker/protocol/Datum"
import type { InvalidInputError } from "@effect-tinker/protocol/TinkerError"
import type * as Tokenizer from "@effect-tinker/tokenizer/Tokenizer"
import type * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"

/**
 * @since 0.1.0
 * @category models
 */
export interface Lessons {
  readonly name: string
  /** How many conversations there are to learn from. */
  readonly trainLength: number
  /** The batches of the run. */
  readonly batches: Stream.Stream<Supervised.Batch, DatasetError | InvalidInputError>
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
  readonly train: ChatFile.ChatFile
  readonly heldOut: ChatFile.ChatFile
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
  file === undefined
    ? shipped
    : Effect.flatMap(Supervised.chatsFromFile(file, options), (chats) => split(file, chats))

/**
 * Conversations as a run of so many steps learns them. What it does not need is not turned into tokens: of those held out it is
 * examined on {@link mostExamined} at most, which stand all over the file. One longer than `maxTokens` is an error. `onProgress` is
 * told how far it is, as `Supervised.batchesFromChatFile` tells it.
 *
 * @since 0.1.0
 * @category constructors
 */
export const encode = (
  { heldOut, name, train }: Conversations,
  options: {
    readonly steps: number
    readonly batchSize: number
    readonly maxTokens: number | undefined
    readonly onProgress?: ((progress: ChatDataset.Progress) => Effect.Effect<void>) | undefined
  }
): Effect.Effect<Lessons, DatasetError | InvalidInputError, Tokenizer.Tokenizer> =>
  Effect.gen(function*() {
    const examined = yield* ChatFile.select(heldOut, spread(heldOut.length, mostExamined))
    const chats = yield* examined.read(places(examined.length))
    return {
      name,
      trainLength: train.length,
      batches: yield* Supervised.batchesFromChatFile(train, options),
      heldOut: yield* Supervised.dataFromChats(chats, { maxTokens: options.maxTokens }),
      alsoLearned: ChatFile.countShared(examined, train),
      prompts: chats.filter((chat) => chat.messages.at(-1)?.role === "assistant").slice(0, 3)
    }
  })

/**
 * More would say little more of how good a model is, and take longer than a short run.
 *
 * @since 0.1.0
 * @category config
 */
export const mostExamined = 256

/** The places of a list of so many. */
const places = (length: number): ReadonlyArray<number> => Array.from({ length }, (_, place) => place)

/** The same, but no more than `most` of them, evenly. */
const spread = (length: number, most: number): ReadonlyArray<number> =>
  places(Math.min(length, most)).map((i) => Math.floor(i * length / Math.min(length, most)))

const shipped = Effect.all({
  name: Effect.succeed("the lighthouse keeper's log, which ships"),
  train: Supervised.chatsFromFile(Lighthouse.trainFile),
  heldOut: Supervised.chatsFromFile(Lighthouse.heldOutFile)
})

/** Every tenth line is held out, or every third of a short file; a single line is trained on and examined. */
const split = (name: string, chats: ChatFile.ChatFile): Effect.Effect<Conversations, InvalidInputError> => {
  const every = Math.max(1, Math.min(10, Math.floor(chats.length / 3)))
  const isHeldOut = (index: number) => index % every === every - 1
  const all = places(chats.length)
  const train = all.filter((index) => !isHeldOut(index))
  return Effect.all({
    name: Effect.succeed(name),
    train: ChatFile.select(chats, train.length === 0 ? all : train),
    heldOut: ChatFile.select(chats, all.filter(isHeldOut))
  })
}
