/** The journal as a file: changes are appended in batches, and what is out of date is left behind now and then. */
import type * as PlatformError from "@effect/platform/Error"
import type * as FileSystem from "@effect/platform/FileSystem"
import type * as Path from "@effect/platform/Path"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import * as Scope from "effect/Scope"
import type { Change, Entry } from "../ServerJournal.js"
import { joined } from "./bytes.js"
import * as Frames from "./frames.js"

export interface JournalFile {
  readonly unsafeCommit: (changes: ReadonlyArray<Change>) => Effect.Effect<void, PlatformError.PlatformError>
  /** None when nothing is known of the key. */
  readonly payload: (key: string) => Effect.Effect<Uint8Array | undefined, PlatformError.PlatformError>
}

/** Where the newest change of a key is. */
interface Place {
  /** Of its frame. */
  readonly offset: number
  readonly length: number
  /** What it takes when it is written alone, more or less. */
  readonly bytes: number
}

interface Pending {
  /** What each change takes, nothing where it forgets its key. */
  readonly notes: ReadonlyArray<readonly [key: string, bytes: number | undefined]>
  readonly frame: Uint8Array
  readonly done: Deferred.Deferred<void, PlatformError.PlatformError>
}

/** Key; with the value, and the bytes of its payload, unless it is forgotten. */
type Row = readonly [key: string] | readonly [key: string, value: unknown, payloadBytes: number]

const fileName = /^journal-(\d{6,})$/

const nameOf = (count: number): string => `journal-${String(count).padStart(6, "0")}`

/** Opens the newest file of the folder, and says what it holds. It closes, with everything written, with the scope. */
export const open = (
  fs: FileSystem.FileSystem,
  path: Path.Path,
  folder: string,
  slackBytes: number
): Effect.Effect<
  { readonly file: JournalFile; readonly entries: ReadonlyArray<Entry> },
  PlatformError.PlatformError,
  Scope.Scope
> =>
  Effect.gen(function*() {
    const names = yield* fs.readDirectory(folder)
    let count = Math.max(1, ...names.map((name) => Number(fileName.exec(name)?.[1] ?? 0)))
    // A file that is being written anew has its name once it is whole, so older ones are not needed any more.
    for (const name of names) {
      if (name.startsWith("journal-") && name !== nameOf(count)) yield* fs.remove(path.join(folder, name))
    }

    const place = () => path.join(folder, nameOf(count))
    const bytes = (yield* fs.exists(place())) ? yield* fs.readFile(place()) : new Uint8Array(0)
    const index = new Map<string, Place>()
    const values = new Map<string, unknown>()
    let length = 0
    let live = 0

    const note = (key: string, at: Place | undefined) => {
      live += (at?.bytes ?? 0) - (index.get(key)?.bytes ?? 0)
      if (at === undefined) index.delete(key)
      else index.set(key, at)
    }

    for (let frame = Frames.decode(bytes, 0); frame !== undefined; frame = Frames.decode(bytes, length)) {
      const place = { offset: length, length: frame.end - length }
      for (const row of JSON.parse(frame.text) as ReadonlyArray<Row>) {
        const [key] = row
        if (row.length === 1) {
          values.delete(key)
          note(key, undefined)
        } else {
          note(key, { ...place, bytes: sizeOf(JSON.stringify(row), row[2]) })
          values.set(key, row[1])
        }
      }
      length = frame.end
    }
    if (length < bytes.byteLength) {
      yield* Effect.logInfo(
        `${place()}: the last ${bytes.byteLength - length} bytes were half written, and are dropped`
      )
      yield* fs.truncate(place(), length)
    }

    const scope = yield* Scope.Scope
    const openFile = Effect.suspend(() =>
      Effect.gen(function*() {
        const own = yield* Scope.make()
        const file = yield* Scope.extend(fs.open(place(), { flag: "a+" }), own)
        return { file, close: Scope.close(own, Exit.void) }
      })
    )
    let current = yield* openFile

    const alone = yield* Effect.makeSemaphore(1)
    const wake = yield* Effect.makeLatch(false)
    let waiting: Array<Pending> = []

    const payloadOf = (key: string, frame: Frames.Frame) => {
      let begin = 0
      let found: { readonly row: Row; readonly payload: Uint8Array } | undefined
      for (const row of JSON.parse(frame.text) as ReadonlyArray<Row>) {
        const bytes = row.length === 1 ? 0 : row[2]
        if (row[0] === key) found = { row, payload: frame.payload.subarray(begin, begin + bytes) }
        begin += bytes
      }
      return found
    }

    /** Writes what is in force to a new file. */
    const compact = Effect.gen(function*() {
      const next = path.join(folder, nameOf(count + 1))
      const places = new Map<string, Place>()
      let written = 0
      yield* fs.remove(`${next}.new`, { force: true })
      yield* Effect.scoped(Effect.gen(function*() {
        const read = readFrames(yield* fs.open(place(), { flag: "r" }))
        const file = yield* fs.open(`${next}.new`, { flag: "a" })
        let parts: Array<Uint8Array> = []
        let collected = 0
        const flush = Effect.suspend(() => {
          const batch = joined(parts)
          parts = []
          collected = 0
          return batch.byteLength === 0 ? Effect.void : file.writeAll(batch)
        })
        for (const [key, at] of index) {
          const frame = yield* read(at)
          const found = frame && payloadOf(key, frame)
          if (found === undefined) continue
          const bytes = Frames.encode(JSON.stringify([found.row]), [found.payload])
          places.set(key, { offset: written, length: bytes.byteLength, bytes: at.bytes })
          written += bytes.byteLength
          collected += bytes.byteLength
          parts.push(bytes)
          if (collected >= batchBytes) yield* flush
        }
        yield* flush
      }))
      yield* fs.rename(`${next}.new`, next)
      const old = place()
      yield* current.close
      count += 1
      current = yield* openFile
      index.clear()
      live = 0
      length = written
      for (const [key, at] of places) note(key, at)
      yield* fs.remove(old, { force: true })
    })

    const isStale = () => length > 2 * live + slackBytes

    const drain = Effect.suspend(() => {
      const batch = waiting
      waiting = []
      if (batch.length === 0) return Effect.void
      const bytes = batch.length === 1 ? batch[0]!.frame : joined(batch.map(({ frame }) => frame))
      return Effect.gen(function*() {
        const exit = yield* Effect.exit(current.file.writeAll(bytes))
        if (Exit.isFailure(exit)) {
          // Whatever of it was written would hide all that follows.
          yield* Effect.ignore(current.file.truncate(length))
          yield* Effect.logError(`${place()} could not be written`, exit.cause)
        } else {
          for (const { frame, notes } of batch) {
            for (const [key, bytes] of notes) {
              note(key, bytes === undefined ? undefined : { offset: length, length: frame.byteLength, bytes })
            }
            length += frame.byteLength
          }
        }
        for (const { done } of batch) yield* Deferred.done(done, exit)
        // One that fails is tried again with the next changes; the present file is whole.
        if (isStale()) {
          yield* Effect.catchAll(compact, (error) => Effect.logError("the journal was not written anew", error))
        }
      })
    }).pipe(alone.withPermits(1), Effect.uninterruptible)

    yield* Effect.addFinalizer(() => Effect.zipRight(drain, Effect.suspend(() => current.close)))
    yield* Effect.forkIn(
      Effect.interruptible(
        Effect.forever(Effect.zipRight(Effect.zipRight(wake.await, Effect.sync(() => wake.unsafeClose())), drain))
      ),
      scope
    )
    if (isStale()) yield* compact

    return {
      entries: Array.from(values, ([key, value]) => ({ key, value })),
      file: {
        unsafeCommit: (changes) => {
          const texts = changes.map((change) => JSON.stringify(rowOf(change)))
          const payloads = changes.flatMap(({ payload, value }) =>
            value === undefined || payload === undefined ? [] : [payload]
          )
          const done = Deferred.unsafeMake<void, PlatformError.PlatformError>(FiberId.none)
          waiting.push({
            notes: changes.map(({ key, payload, value }, i) => [
              key,
              value === undefined ? undefined : sizeOf(texts[i]!, payload?.byteLength ?? 0)
            ]),
            frame: Frames.encode(`[${texts.join(",")}]`, payloads),
            done
          })
          wake.unsafeOpen()
          return Deferred.await(done)
        },
        payload: (key) =>
          Effect.suspend(() => {
            const at = index.get(key)
            if (at === undefined) return Effect.succeed(undefined)
            const frame = Effect.scoped(
              Effect.flatMap(fs.open(place(), { flag: "r" }), (file) => readFrame(file, at))
            )
            return Effect.map(frame, (frame) => frame && payloadOf(key, frame)?.payload)
          }).pipe(alone.withPermits(1))
      }
    }
  })

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

const readFrame = (file: FileSystem.File, { length, offset }: Place): Read<Frames.Frame | undefined> =>
  Effect.map(readBytes(file, offset, length), (bytes) => Frames.decode(bytes))

/** For many frames, nearly all of them in the order of the file: those are read by the hundreds. */
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

const rowOf = ({ key, payload, value }: Change): Row =>
  value === undefined ? [key] : [key, value, payload?.byteLength ?? 0]

const frameOverhead = 32

const sizeOf = (text: string, payloadBytes: number): number => text.length + payloadBytes + frameOverhead
