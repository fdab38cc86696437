/**
 * What a run learns from, and what it is examined on.
 */
import * as ChatDataset from "@effect-tinker/cookbook/ChatDataset"
import type { DatasetError } from "@effect-tinker/cookbook/DatasetError"
import * as Lighthouse from "@effect-tinker/cookbook/Lighthouse"
import * as Supervised from "@effect-tinker/cookbook/Supervised"
import type * as Tokenizer from "@effect-tinker/tokenizer/Tokenizer"
import type * as FileSystem from "@effect/platform/FileSystem"
import type { Datum } from "effect-tinker/Datum"
import type { InvalidInputError } from "effect-tinker/TinkerError"
import * as Effect from "effect/Effect"

/**
 * @since 0.1.0
 * @category models
 */
export interface Lessons {
  readonly name: string
  readonly train: ReadonlyArray<Datum>
  /** Never trained on. */
  readonly heldOut: ReadonlyArray<Datum>
  /** Held-out conversations whose last message is asked for, before and after. */
  readonly prompts: ReadonlyArray<ChatDataset.Chat>
}

/**
 * The data set that ships, or `file`, a tenth of whose lines, three at least, are held out. A sequence longer than
 * `maxTokens` is an error.
 *
 * @since 0.1.0
 * @category constructors
 */
export const read = (
  file: string | undefined,
  maxTokens: number | undefined
): Effect.Effect<Lessons, DatasetError | InvalidInputError, Tokenizer.Tokenizer | FileSystem.FileSystem> =>
  Effect.gen(function*() {
    const { heldOut, name, train } = file === undefined ? yield* shipped : yield* split(file)
    return {
      name,
      train: yield* Supervised.dataFromChats(train, { maxTokens }),
      heldOut: yield* Supervised.dataFromChats(heldOut, { maxTokens }),
      prompts: heldOut.filter((chat) => chat.messages.at(-1)?.role === "assistant").slice(0, 3)
    }
  })

const shipped = Effect.all({
  name: Effect.succeed("the lighthouse keeper's log, which ships"),
  train: ChatDataset.read(Lighthouse.trainFile),
  heldOut: ChatDataset.read(Lighthouse.heldOutFile)
})

/** Every tenth line is held out, or every third of a short file; a single line is trained on and examined. */
const split = (file: string) =>
  Effect.map(ChatDataset.read(file), (chats) => {
    const every = Math.max(1, Math.min(10, Math.floor(chats.length / 3)))
    const isHeldOut = (index: number) => index % every === every - 1
    const train = chats.filter((_, index) => !isHeldOut(index))
    return {
      name: file,
      train: train.length === 0 ? chats : train,
      heldOut: chats.filter((_, index) => isHeldOut(index))
    }
  })
