/** A journal's file written anew, without what is out of date in it. */
import * as Frames from "@effect-tinker/engine/Frames"
import type * as PlatformError from "@effect/platform/Error"
import type * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import { joined } from "../fast/bytes.js"
import * as JournalRows from "./journalRows.js"

/** Where the newest change of a key is. */
export interface Place {
  /** The place where its frame begins. */
  readonly offset: number
  readonly length: number
  /** What it takes when it is written alone, more or less. */
  readonly bytes: number
}

export interface Copy {
  readonly places: ReadonlyMap<string, Place>
  readonly length: number
}

/** Writes to a file what another one says at these places, in their order. */
export const write = (
  fs: FileSystem.FileSystem,
  from: string,
  to: string,
  places: ReadonlyArray<readonly [key: string, place: Place]>
): Effect.Effect<Copy, PlatformError.PlatformError> =>
  Effect.gen(function*() {
    yield* fs.remove(to, { force: true })
    const read = readFrames(yield* fs.open(from, { flag: "r" }))
    const file = yield* fs.open(to, { flag: "a" })
    const copied = new Map<string, Place>()
    let length = 0
    let parts: Array<Uint8Array> = []
    let collected = 0
    const flush = Effect.suspend(() => {
      const batch = joined(parts)
      parts = []
      collected = 0
      return batch.byteLength === 0 ? Effect.void : file.writeAll(batch)
    })
    for (const [key, place] of places) {
      const frame = yield* read(place)
      const found = frame && JournalRows.find(frame, key)
      if (found === undefined) continue
      const bytes = Frames.encode(JSON.stringify([found.row]), [found.payload])
      copied.set(key, { offset: length, length: bytes.byteLength, bytes: place.bytes })
      length += bytes.byteLength
      collected += bytes.byteLength
      parts.push(bytes)
      if (collected >= batchBytes) yield* flush
    }
    yield* flush
    return { places: copied, length }
  }).pipe(Effect.scoped)

/** Appends what a file has in a range of bytes. */
export const append = (
  fs: FileSystem.FileSystem,
  from: string,
  to: FileSystem.File,
  begin: number,
  end: number
): Effect.Effect<void, PlatformError.PlatformError> =>
  Effect.gen(function*() {
    const file = yield* fs.open(from, { flag: "r" })
    for (let offset = begin; offset < end; offset += batchBytes) {
      yield* to.writeAll(yield* readBytes(file, offset, Math.min(batchBytes, end - offset)))
    }
  }).pipe(Effect.scoped)

export const readFrame = (file: FileSystem.File, { length, offset }: Place): Read<Frames.Frame | undefined> =>
  Effect.map(readBytes(file, offset, length), (bytes) => Frames.decode(bytes))

/** What is read at a time, or collected in memory before it is written. */
const batchBytes = 1 << 20

type Read<A> = Effect.Effect<A, PlatformError.PlatformError>

const readBytes = (file: FileSystem.File, offset: number, length: number): Read<Uint8Array> =>
  Effect.gen(function*() {
    yield* file.seek(offset, "start")
    const bytes = new Uint8Array(length)
    let filled = 0
    while (filled < length) {
      const count = Number(yield* file.read(bytes.subarray(filled)))
      if (count === 0) break
      filled += count
    }
    return bytes.subarray(0, filled)
  })

/** Reads many frames, nearly all of them in the order of the file: those are read by the hundreds. */
const readFrames = (file: FileSystem.File): (place: Place) => Read<Frames.Frame | undefined> => {
  let begin = 0
  let bytes: Uint8Array = new Uint8Array(0)
  let last = 0
  return (place) => {
    const { length, offset } = place
    const inPiece = offset - begin
    if (inPiece >= 0 && inPiece + length <= bytes.length) return Effect.sync(() => Frames.decode(bytes, inPiece))
    // One that lies elsewhere is not to take the place of those that come next.
    const isNear = offset >= last && offset - last < batchBytes
    last = offset
    if (!isNear) return readFrame(file, place)
    return Effect.map(readBytes(file, offset, Math.max(length, batchBytes)), (found) => {
      begin = offset
      bytes = found
      return Frames.decode(bytes)
    })
  }
}
