import type { InvalidInputError } from "@effect-tinker/protocol/TinkerError"
import { failOnIssues } from "@effect-tinker/protocol/TinkerError"
import type * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as ChatDataset from "../ChatDataset.js"
import { type ChatFile, placesIssues } from "../ChatFile.js"
import { DatasetError } from "../DatasetError.js"
import type { Message } from "../Message.js"
import { type Line, parseLine } from "./chatLine.js"
import { openBytes } from "./fileBytes.js"
import { textHash } from "./fingerprint.js"
import { gather } from "./gather.js"
import * as Keys from "./keys.js"
import type { MarkedIssue } from "./marks.js"

/** Looks at all of a file, and holds where its conversations are; or tells of all that is wrong with its lines, be it by `check`. */
export const openChatFile = (
  operation: string,
  file: string,
  options: ChatDataset.Options,
  check: (line: Line) => MarkedIssue | undefined
): Effect.Effect<ChatFile, DatasetError | InvalidInputError, FileSystem.FileSystem> =>
  Effect.gen(function*() {
    yield* ChatDataset.checkArguments(operation, file, options)
    const bytes = yield* openBytes(file)
    const index = makeIndex()
    yield* gather(
      ChatDataset.linesOfBytes(operation, file, bytes, options, check),
      ({ chat, offset }) => index.add(offset, chat.line, markOf(chat.messages))
    )
    const { lines, marks, offsets } = index.end()
    const ignoredKeys = Keys.ignoredKeys(options.ignoredKeys ?? [])

    /** There may be more in the content behind its line: lines that the file has for blank, and that JSON does not. */
    const chatAt = (place: number, content: Uint8Array): ChatDataset.Chat | undefined => {
      try {
        const end = content.indexOf(lineFeed)
        const text = new TextDecoder("utf-8", { fatal: true }).decode(end < 0 ? content : content.subarray(0, end))
        const line = Either.getOrUndefined(parseLine(text, { ignoredKeys, isLast: true }))
        const mark = line === undefined ? undefined : markOf(line.messages)
        return line !== undefined && mark?.[0] === marks[2 * place] && mark?.[1] === marks[2 * place + 1]
          ? { ...line, file, line: lines[place]! }
          : undefined
      } catch {
        return undefined
      }
    }
    const endOf = (place: number): number | undefined => place + 1 < offsets.length ? offsets[place + 1] : bytes.total

    const read = (places: ArrayLike<number>) =>
      Effect.gen(function*() {
        yield* failOnIssues("ChatFile.read", placesIssues(places, offsets.length))
        const chats: Array<ChatDataset.Chat> = []
        const inOrder = Uint32Array.from({ length: places.length }, (_, i) => i).sort((a, b) => places[a]! - places[b]!)
        for (let i = 0; i < inOrder.length;) {
          // Lines that are near to each other are read at once.
          const from = offsets[places[inOrder[i]!]!]!
          let next = i + 1
          while (next < inOrder.length && (endOf(places[inOrder[next]!]!) ?? Infinity) - from < mostBytes) next += 1
          const content = yield* bytes.range(from, endOf(places[inOrder[next - 1]!]!))
          for (; i < next; i++) {
            const place = places[inOrder[i]!]!
            const end = endOf(place)
            const chat = chatAt(place, content.subarray(offsets[place]! - from, end === undefined ? end : end - from))
            if (chat === undefined) return yield* changed(file, lines[place]!)
            chats[inOrder[i]!] = chat
          }
        }
        return chats
      })
    const bytesAt = (place: number): number => (endOf(place) ?? offsets[place]!) - offsets[place]!
    return { file, length: offsets.length, read, marks, bytesAt }
  })

const lineFeed = 0x0a

/** So many bytes are read at once, to have several lines of them. */
const mostBytes = 2 ** 16

const changed = (file: string, line: number) =>
  new DatasetError({
    reason: "Unreadable",
    file,
    line,
    description: "is not what it was when the file was checked. Train on a copy that nobody writes to."
  })

/** What is learned of a line depends on nothing else. */
const markOf = (messages: ReadonlyArray<Message>): readonly [number, number] => textHash(JSON.stringify(messages))

/** Grows as lines come, and holds 24 bytes of each. */
const makeIndex = () => {
  let capacity = 1024
  let length = 0
  let offsets = new Float64Array(capacity)
  let lines = new Float64Array(capacity)
  let marks = new Uint32Array(2 * capacity)
  const grow = (): void => {
    capacity *= 2
    const [oldOffsets, oldLines, oldMarks] = [offsets, lines, marks]
    offsets = new Float64Array(capacity)
    lines = new Float64Array(capacity)
    marks = new Uint32Array(2 * capacity)
    offsets.set(oldOffsets)
    lines.set(oldLines)
    marks.set(oldMarks)
  }
  return {
    add: (offset: number, line: number, mark: readonly [number, number]): void => {
      if (length === capacity) grow()
      offsets[length] = offset
      lines[length] = line
      marks.set(mark, 2 * length)
      length += 1
    },
    end: () => ({
      offsets: offsets.slice(0, length),
      lines: lines.slice(0, length),
      marks: marks.slice(0, 2 * length)
    })
  }
}
