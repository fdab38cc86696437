/** How a journal is found in its folder when a server starts, and what it says. */
import * as Frames from "@effect-tinker/engine/Frames"
import type * as PlatformError from "@effect/platform/Error"
import type * as FileSystem from "@effect/platform/FileSystem"
import type * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as JournalIndex from "./journalIndex.js"
import * as JournalRows from "./journalRows.js"

const fileName = /^journal-(\d{6,})$/

export const nameOf = (count: number): string => `journal-${String(count).padStart(6, "0")}`

export interface Found {
  /** The number in its name. */
  readonly count: number
  readonly bytes: Uint8Array
}

/**
 * The newest file that says anything. A file that is being written anew has its name once it is whole, so older ones are not
 * needed then; newer ones that say nothing are not ours, or are damaged as a whole.
 */
export const choose = (
  fs: FileSystem.FileSystem,
  path: Path.Path,
  folder: string,
  setAside: (name: string) => Effect.Effect<string, PlatformError.PlatformError>
): Effect.Effect<Found, PlatformError.PlatformError> =>
  Effect.gen(function*() {
    const odd = (name: string, what: string) =>
      Effect.matchEffect(setAside(name), {
        onSuccess: (kept) => Effect.logError(`${path.join(folder, name)} ${what}; it is kept as ${kept}`),
        onFailure: ({ message }) => Effect.logError(`${path.join(folder, name)} ${what}, and is left there: ${message}`)
      })
    const names = (yield* fs.readDirectory(folder)).filter((name) => name.startsWith("journal-"))
    const numbered = names.filter((name) => fileName.test(name)).sort((a, b) => numberOf(b) - numberOf(a))
    for (const name of names) {
      // Of a file that was being written anew when its process died.
      if (!numbered.includes(name)) yield* fs.remove(path.join(folder, name), { force: true, recursive: true })
    }
    let highest = 0
    let chosen: Found | undefined
    let blank: Found | undefined
    for (const name of numbered) {
      const place = path.join(folder, name)
      const isFile = yield* Effect.match(fs.stat(place), {
        onFailure: () => false,
        onSuccess: ({ type }) => type === "File"
      })
      if (!isFile) {
        yield* odd(name, "is no file")
        continue
      }
      const count = numberOf(name)
      highest = Math.max(highest, count)
      if (chosen !== undefined) {
        yield* odd(name, `is older than ${nameOf(chosen.count)}`)
        continue
      }
      const bytes = yield* fs.readFile(place)
      const first = Frames.decode(bytes) === undefined ? Frames.nextWhole(bytes, 0) : 0
      if (first < bytes.byteLength) chosen = { count, bytes }
      else if (bytes.byteLength > 0 && !Frames.isBeginning(bytes, 0)) {
        yield* odd(name, "is damaged from its beginning to its end")
      } else blank ??= { count, bytes }
    }
    return chosen ?? blank ?? { count: highest + 1, bytes: new Uint8Array(0) }
  })

const numberOf = (name: string): number => Number(fileName.exec(name)?.[1])

export interface Contents {
  readonly index: JournalIndex.JournalIndex
  /** The values by their keys, in the order in which they were first written. */
  readonly values: ReadonlyMap<string, unknown>
  /** The bytes up to what was half written, if anything was. */
  readonly length: number
  /** The pieces that are damaged, as far as they can still be read. */
  readonly damage: ReadonlyArray<string>
}

/** What a file says; damaged pieces are told of in the log. */
export const read = (place: string, bytes: Uint8Array): Effect.Effect<Contents> =>
  Effect.gen(function*() {
    const index = JournalIndex.make()
    const values = new Map<string, unknown>()
    const damage: Array<string> = []
    let length = 0
    while (length < bytes.byteLength) {
      const frame = Frames.decode(bytes, length)
      if (frame === undefined) {
        const next = Frames.nextWhole(bytes, length)
        if (next === bytes.byteLength && Frames.isBeginning(bytes, length)) break
        damage.push(latin.decode(bytes.subarray(length, Math.min(next, length + longestPiece))))
        yield* Effect.logError(
          `${place}: the ${next - length} bytes from ${length} on are damaged, and what they say is lost`
        )
        length = next
        continue
      }
      const at = { offset: length, length: frame.end - length }
      for (const row of JournalRows.rowsOf(frame)) {
        const [key] = row
        if (row.length === 1) {
          values.delete(key)
          JournalIndex.set(index, key, undefined)
        } else {
          JournalIndex.set(index, key, { ...at, bytes: JournalRows.bytesOf(row) })
          values.set(key, row[1])
        }
      }
      length = frame.end
    }
    return { index, values, length, damage }
  })

/** The most that is read of a damaged piece, in bytes; whom it is about is said at its beginning. */
const longestPiece = 2 ** 26

/** Every byte is a character of it. */
const latin = new TextDecoder("latin1")
