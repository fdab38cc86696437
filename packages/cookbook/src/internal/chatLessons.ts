import type { Datum } from "@effect-tinker/protocol/Datum"
import type { InvalidInputError } from "@effect-tinker/protocol/TinkerError"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { Progress } from "../ChatDataset.js"
import type { ChatFile } from "../ChatFile.js"
import { DatasetError, type Issue } from "../DatasetError.js"
import type { Message } from "../Message.js"
import type { RoleRenderer } from "../RoleRenderer.js"
import { fingerprint } from "./fingerprint.js"
import { gather } from "./gather.js"
import { reportProgress } from "./reportProgress.js"

/** The data of conversations that stay in their file. */
export interface ChatLessons {
  /** Makes those at some places, of which what fits is held, and tells of all that cannot be learned. */
  readonly check: (
    places: Uint32Array,
    onProgress: ((progress: Progress) => Effect.Effect<void>) | undefined
  ) => Effect.Effect<void, DatasetError | InvalidInputError>
  /** Gives those at some places, which are held or made once more. */
  readonly read: (places: Uint32Array) => Effect.Effect<ReadonlyArray<Datum>, DatasetError | InvalidInputError>
}

/** Held are the first, of so many tokens, each of which takes 16 bytes. */
export const chatLessons = (
  chats: ChatFile,
  datumOf: (messages: ReadonlyArray<Message>) => Either.Either<Datum, Issue>,
  mostHeldTokens = 4e6
): ChatLessons => {
  const held = new Map<number, Datum>()
  let heldTokens = 0

  const make = (places: Uint32Array) =>
    Effect.map(chats.read(places), (all) =>
      all.map(({ file, line, messages }, i) =>
        Either.mapBoth(datumOf(messages), {
          onLeft: (issue): Issue => ({ ...issue, file, line }),
          onRight: (datum) => [places[i]!, datum] as const
        })
      ))

  return {
    check: (places, onProgress) =>
      Effect.suspend(() => {
        const totalBytes = places.reduce((sum, place) => sum + chats.bytesAt(place), 0)
        let bytes = 0
        const tell = (conversations: number) =>
          Effect.suspend(() =>
            reportProgress("Supervised.batchesFromChatFile", onProgress, { bytes, totalBytes, conversations })
          )
        return gather(
          Stream.unfold(0, (from) =>
            from < places.length
              ? Option.some([{ from, part: places.subarray(from, from + partLength) }, from + partLength])
              : Option.none()).pipe(
              Stream.mapEffect(({ from, part }) =>
                Effect.zipRight(tell(from), make(part)).pipe(
                  Effect.tap(() => Effect.sync(() => part.forEach((place) => bytes += chats.bytesAt(place))))
                )
              ),
              Stream.mapConcat((made) => made)
            ),
          ([place, datum]) => {
            if (heldTokens >= mostHeldTokens) return
            heldTokens += tokensOf(datum)
            held.set(place, datum)
          }
        ).pipe(Effect.zipRight(tell(places.length)))
      }),
    read: (places) =>
      Effect.gen(function*() {
        const missing = places.filter((place) => !held.has(place))
        const made = new Map<number, Datum>()
        for (const one of missing.length === 0 ? [] : yield* make(missing)) {
          if (Either.isLeft(one)) return yield* new DatasetError(one.left)
          made.set(...one.right)
        }
        return Array.from(places, (place) => (held.get(place) ?? made.get(place))!)
      })
  }
}

/** So many conversations are made between two reports. */
const partLength = 500

const tokensOf = ({ lossFnInputs }: Datum): number => lossFnInputs["weights"]?.data.length ?? 0

/**
 * The same for conversations that say the same in the same order, and are written by the same renderer and tokenizer; of these it
 * is enough to look at a few.
 */
export const fingerprintOfChats = (
  chats: ChatFile,
  renderer: RoleRenderer
): Effect.Effect<string, DatasetError | InvalidInputError> =>
  Effect.map(
    chats.read(Array.from({ length: Math.min(8, chats.length) }, (_, i, of = Math.min(8, chats.length)) =>
      Math.floor(i * chats.length / of))),
    (few) =>
      `texts:${
        fingerprint({
          marks: chats.marks,
          examples: few.map(({ messages }) =>
            Either.getOrElse(renderer.supervisedExample(messages), () => "refused")
          )
        })
      }`
  )
