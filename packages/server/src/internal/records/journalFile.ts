/** The journal as a file: changes are appended in batches, and what is out of date is left behind now and then. */
import * as Frames from "@effect-tinker/engine/Frames"
import type * as PlatformError from "@effect/platform/Error"
import type * as FileSystem from "@effect/platform/FileSystem"
import type * as Path from "@effect/platform/Path"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import * as Scope from "effect/Scope"
import type { Change, Entry } from "../../ServerJournal.js"
import { joined } from "../fast/bytes.js"
import * as JournalCopy from "./journalCopy.js"
import * as JournalRows from "./journalRows.js"

export interface JournalFile {
  readonly unsafeCommit: (changes: ReadonlyArray<Change>) => Effect.Effect<void, PlatformError.PlatformError>
  /** Has changes without a payload written as soon as they can be, before all that are handed in later. */
  readonly unsafeOwe: (changes: ReadonlyArray<Change>) => void
  /** None when nothing is known of the key. */
  readonly payload: (key: string) => Effect.Effect<Uint8Array | undefined, PlatformError.PlatformError>
}

interface Pending extends ReturnType<typeof JournalRows.encode> {
  readonly done: Deferred.Deferred<void, PlatformError.PlatformError>
}

interface Successor extends JournalCopy.Copy {
  /** The bytes of the old file that it stands for. */
  readonly upTo: number
}

const fileName = /^journal-(\d{6,})$/

const nameOf = (count: number): string => `journal-${String(count).padStart(6, "0")}`

export interface Opened {
  readonly file: JournalFile
  readonly entries: ReadonlyArray<Entry>
  /** The pieces that are damaged, as far as they can still be read. */
  readonly damage: ReadonlyArray<string>
}

/**
 * Opens the newest file of the folder that says anything, and says what it holds. It closes, with everything written, with the
 * scope. `setAside` puts away a file that cannot be used, and tells where.
 */
export const open = (
  fs: FileSystem.FileSystem,
  path: Path.Path,
  folder: string,
  options: {
    readonly slackBytes: number
    readonly setAside: (name: string) => Effect.Effect<string, PlatformError.PlatformError>
  }
): Effect.Effect<Opened, PlatformError.PlatformError, Scope.Scope> =>
  Effect.gen(function*() {
    const { setAside, slackBytes } = options
    const found = yield* choose(fs, path, folder, setAside)
    const { bytes } = found
    let { count } = found

    const place = () => path.join(folder, nameOf(count))
    const index = new Map<string, JournalCopy.Place>()
    const values = new Map<string, unknown>()
    let length = 0
    let live = 0

    const note = (key: string, at: JournalCopy.Place | undefined) => {
      live += (at?.bytes ?? 0) - (index.get(key)?.bytes ?? 0)
      if (at === undefined) index.delete(key)
      else index.set(key, at)
    }

    const damage: Array<string> = []
    while (length < bytes.byteLength) {
      const frame = Frames.decode(bytes, length)
      if (frame === undefined) {
        const next = Frames.nextWhole(bytes, length)
        if (next === bytes.byteLength && Frames.isBeginning(bytes, length)) break
        damage.push(latin.decode(bytes.subarray(length, Math.min(next, length + longestPiece))))
        yield* Effect.logError(
          `${place()}: the ${next - length} bytes from ${length} on are damaged, and what they say is lost`
        )
        length = next
        continue
      }
      const at = { offset: length, length: frame.end - length }
      for (const row of JournalRows.rowsOf(frame)) {
        const [key] = row
        if (row.length === 1) {
          values.delete(key)
          note(key, undefined)
        } else {
          note(key, { ...at, bytes: JournalRows.bytesOf(row) })
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
    // What is damaged is left where it is until the file is written anew, and then kept beside it.
    let isDamaged = damage.length > 0

    const scope = yield* Scope.Scope
    const openFile = (name: string) =>
      Effect.gen(function*() {
        const own = yield* Scope.make()
        const file = yield* Scope.extend(fs.open(name, { flag: "a+" }), own)
        return { file, close: Scope.close(own, Exit.void) }
      })
    let current = yield* openFile(place())

    const alone = yield* Effect.makeSemaphore(1)
    const wake = yield* Effect.makeLatch(false)
    let waiting: Array<Pending> = []

    // By key, in the order in which they were last owed.
    const owed = new Map<string, Change>()
    // Whether there is something of a batch behind `length` that failed: nothing is written until it is cut off, for a later
    // process would take what is whole of it for what was done.
    let isTorn = false
    const mend = Effect.suspend(() =>
      isTorn
        ? Effect.map(current.file.truncate(length), () => {
          isTorn = false
        })
        : Effect.void
    )

    const drain = Effect.suspend(() => {
      const batch = waiting
      waiting = []
      const debts = Array.from(owed.values())
      if (batch.length + debts.length === 0) return mend
      const pieces = debts.length === 0 ? batch : [JournalRows.encode(debts), ...batch]
      const bytes = pieces.length === 1 ? pieces[0]!.frame : joined(pieces.map(({ frame }) => frame))
      return Effect.gen(function*() {
        const exit = yield* Effect.exit(Effect.zipRight(mend, current.file.writeAll(bytes)))
        if (Exit.isFailure(exit)) {
          isTorn = true
          yield* Effect.ignore(mend)
          yield* Effect.logError(`${place()} could not be written`, exit.cause)
        } else {
          for (const debt of debts) if (owed.get(debt.key) === debt) owed.delete(debt.key)
          for (const { frame, notes } of pieces) {
            for (const [key, bytes] of notes) {
              note(key, bytes === undefined ? undefined : { offset: length, length: frame.byteLength, bytes })
            }
            length += frame.byteLength
          }
        }
        for (const { done } of batch) yield* Deferred.done(done, exit)
      })
    }).pipe(Effect.ignore, alone.withPermits(1), Effect.uninterruptible)

    const newPlace = () => path.join(folder, `${nameOf(count + 1)}.new`)

    /** Writes what is in force to a new file, while changes go on being appended to the old one. */
    const copy: Effect.Effect<Successor, PlatformError.PlatformError> = Effect.suspend(() => {
      const upTo = length
      return JournalCopy.write(fs, place(), newPlace(), Array.from(index)).pipe(
        Effect.map((copy) => ({ ...copy, upTo })),
        Effect.onError(() => clear)
      )
    })

    /** What is half done takes room that is short, perhaps. */
    const clear = Effect.suspend(() => Effect.ignore(fs.remove(newPlace(), { force: true })))

    /** Appends to a copy what the old file has got since, and goes on with it. */
    const changeTo = (copy: Successor) =>
      Effect.gen(function*() {
        const next = yield* openFile(newPlace())
        yield* JournalCopy.append(fs, place(), next.file, copy.upTo, length).pipe(
          // Before the old file goes: this is the only one then.
          Effect.zipRight(next.file.sync),
          Effect.zipRight(fs.rename(newPlace(), path.join(folder, nameOf(count + 1)))),
          Effect.onError(() => Effect.zipRight(next.close, clear))
        )
        const old = { name: nameOf(count), place: place(), close: current.close, isDamaged }
        current = next
        isTorn = false
        isDamaged = false
        count += 1
        const shift = copy.length - copy.upTo
        for (const [key, at] of index) {
          note(key, at.offset < copy.upTo ? copy.places.get(key) : { ...at, offset: at.offset + shift })
        }
        length += shift
        yield* old.close
        if (!old.isDamaged) return yield* fs.remove(old.place, { force: true })
        const kept = yield* setAside(old.name)
        yield* Effect.logWarning(`the damaged journal is kept as ${kept}; nothing needs it any more`)
      }).pipe(alone.withPermits(1), Effect.uninterruptible)

    const isStale = () => isDamaged || length > 2 * live + slackBytes

    // One that fails is tried again with the next changes; the present file is whole.
    const logFailure = (error: PlatformError.PlatformError) =>
      Effect.logError("the journal was not written anew", error)

    let isCopying = false
    let copied: Successor | undefined

    const compact = Effect.suspend(() => {
      if (copied !== undefined) {
        const whole = copied
        copied = undefined
        return Effect.catchAll(changeTo(whole), logFailure)
      }
      if (isCopying || !isStale()) return Effect.void
      isCopying = true
      return copy.pipe(
        Effect.map((copy) => {
          copied = copy
          wake.unsafeOpen()
        }),
        Effect.catchAll(logFailure),
        Effect.ensuring(Effect.sync(() => {
          isCopying = false
        })),
        Effect.forkIn(scope)
      )
    })

    yield* Effect.addFinalizer(() => Effect.zipRight(drain, Effect.suspend(() => current.close)))
    // Not before it is written down what is lost with what is damaged.
    if (!isDamaged && isStale()) yield* Effect.catchAll(Effect.flatMap(copy, changeTo), logFailure)
    yield* wake.await.pipe(
      Effect.zipRight(Effect.sync(() => wake.unsafeClose())),
      Effect.zipRight(drain),
      Effect.zipRight(compact),
      Effect.forever,
      Effect.interruptible,
      Effect.forkIn(scope)
    )

    return {
      entries: Array.from(values, ([key, value]) => ({ key, value })),
      damage,
      file: {
        unsafeCommit: (changes) => {
          const done = Deferred.unsafeMake<void, PlatformError.PlatformError>(FiberId.none)
          waiting.push({ ...JournalRows.encode(changes), done })
          wake.unsafeOpen()
          return Deferred.await(done)
        },
        unsafeOwe: (changes) => {
          for (const change of changes) {
            owed.delete(change.key)
            owed.set(change.key, change)
          }
          wake.unsafeOpen()
        },
        payload: (key) =>
          Effect.suspend(() => {
            const at = index.get(key)
            if (at === undefined) return Effect.succeed(undefined)
            const frame = Effect.scoped(
              Effect.flatMap(fs.open(place(), { flag: "r" }), (file) => JournalCopy.readFrame(file, at))
            )
            return Effect.map(frame, (frame) => frame && JournalRows.find(frame, key)?.payload)
          }).pipe(alone.withPermits(1))
      }
    }
  })

/** The most that is read of a damaged piece, in bytes; whom it is about is said at its beginning. */
const longestPiece = 2 ** 26

/** Every byte is a character of it. */
const latin = new TextDecoder("latin1")

interface Found {
  readonly count: number
  readonly bytes: Uint8Array
}

/**
 * The newest file that says anything. A file that is being written anew has its name once it is whole, so older ones are not
 * needed then; newer ones that say nothing are not ours, or are damaged as a whole.
 */
const choose = (
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
