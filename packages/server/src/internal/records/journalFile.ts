/** The journal as a file: changes are appended in batches, and what is out of date is left behind now and then. */
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
import * as JournalIndex from "./journalIndex.js"
import * as JournalRows from "./journalRows.js"
import * as JournalStart from "./journalStart.js"

export interface JournalFile {
  readonly unsafeCommit: (changes: ReadonlyArray<Change>) => Effect.Effect<void, PlatformError.PlatformError>
  /** Has changes without a payload written as soon as they can be, before all that are handed in later. */
  readonly unsafeDefer: (changes: ReadonlyArray<Change>) => void
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

export interface Opened {
  readonly file: JournalFile
  readonly entries: ReadonlyArray<Entry>
  /** The pieces that are damaged, as far as they can still be read. */
  readonly damage: ReadonlyArray<string>
}

export interface Options {
  /** The file is written anew when it has this many bytes more than twice what it would then have. */
  readonly slackBytes: number
  /** Puts away a file that cannot be used, and tells where. */
  readonly setAside: (name: string) => Effect.Effect<string, PlatformError.PlatformError>
}

/** A journal that is being written. */
interface Journal extends Options {
  readonly fs: FileSystem.FileSystem
  readonly path: Path.Path
  readonly folder: string
  /** The number in the name of its file. */
  count: number
  readonly index: JournalIndex.JournalIndex
  /** The bytes of the file that are whole. */
  length: number
  /** What is damaged is left where it is until the file is written anew, and then kept beside it. */
  isDamaged: boolean
  file: OpenFile
  /** Held by whoever reads or changes the file. */
  readonly semaphore: Effect.Semaphore
  /** Opened when there is something to write. */
  readonly wake: Effect.Latch
  waiting: Array<Pending>
  /** Changes that nobody waits for, by key, in the order in which they were last deferred. */
  readonly deferred: Map<string, Change>
  /**
   * Whether there is something of a batch behind `length` that failed: nothing is written until it is cut off, for a later
   * process would take what is whole of it for what was done.
   */
  isTorn: boolean
  isCopying: boolean
  /** A copy that is whole, to go on with. */
  copied: Successor | undefined
}

interface OpenFile {
  readonly file: FileSystem.File
  readonly close: Effect.Effect<void>
}

/**
 * Opens the newest file of the folder that says anything, and says what it holds. It closes, with everything written, with the
 * scope.
 */
export const open = (
  fs: FileSystem.FileSystem,
  path: Path.Path,
  folder: string,
  options: Options
): Effect.Effect<Opened, PlatformError.PlatformError, Scope.Scope> =>
  Effect.gen(function*() {
    const { bytes, count } = yield* JournalStart.choose(fs, path, folder, options.setAside)
    const place = path.join(folder, JournalStart.nameOf(count))
    const { damage, index, length, values } = yield* JournalStart.read(place, bytes)
    if (length < bytes.byteLength) {
      yield* Effect.logInfo(`${place}: the last ${bytes.byteLength - length} bytes were half written, and are dropped`)
      yield* fs.truncate(place, length)
    }
    const scope = yield* Scope.Scope
    const journal: Journal = {
      ...options,
      fs,
      path,
      folder,
      count,
      index,
      length,
      isDamaged: damage.length > 0,
      file: yield* openFile(fs, place),
      semaphore: yield* Effect.makeSemaphore(1),
      wake: yield* Effect.makeLatch(false),
      waiting: [],
      deferred: new Map(),
      isTorn: false,
      isCopying: false,
      copied: undefined
    }
    yield* Effect.addFinalizer(() => Effect.zipRight(writeWaiting(journal), Effect.suspend(() => journal.file.close)))
    // Not before it is written down what is lost with what is damaged.
    if (!journal.isDamaged && isStale(journal)) {
      yield* Effect.catchAll(Effect.flatMap(copy(journal), (copy) => goOnWith(journal, copy)), logFailure)
    }
    yield* journal.wake.await.pipe(
      Effect.zipRight(Effect.sync(() => journal.wake.unsafeClose())),
      Effect.zipRight(writeWaiting(journal)),
      Effect.zipRight(compact(journal, scope)),
      Effect.forever,
      Effect.interruptible,
      Effect.forkIn(scope)
    )
    return {
      entries: Array.from(values, ([key, value]) => ({ key, value })),
      damage,
      file: {
        unsafeCommit: (changes) => unsafeCommit(journal, changes),
        unsafeDefer: (changes) => unsafeDefer(journal, changes),
        payload: (key) => payload(journal, key)
      }
    }
  })

const openFile = (fs: FileSystem.FileSystem, place: string): Effect.Effect<OpenFile, PlatformError.PlatformError> =>
  Effect.gen(function*() {
    const own = yield* Scope.make()
    const file = yield* Scope.extend(fs.open(place, { flag: "a+" }), own)
    return { file, close: Scope.close(own, Exit.void) }
  })

const placeOf = ({ count, folder, path }: Journal): string => path.join(folder, JournalStart.nameOf(count))

/** Where the file is that is being written anew. */
const newPlaceOf = ({ count, folder, path }: Journal): string =>
  path.join(folder, `${JournalStart.nameOf(count + 1)}.new`)

const unsafeCommit = (
  journal: Journal,
  changes: ReadonlyArray<Change>
): Effect.Effect<void, PlatformError.PlatformError> => {
  const done = Deferred.unsafeMake<void, PlatformError.PlatformError>(FiberId.none)
  journal.waiting.push({ ...JournalRows.encode(changes), done })
  journal.wake.unsafeOpen()
  return Deferred.await(done)
}

const unsafeDefer = ({ deferred, wake }: Journal, changes: ReadonlyArray<Change>): void => {
  for (const change of changes) {
    deferred.delete(change.key)
    deferred.set(change.key, change)
  }
  wake.unsafeOpen()
}

const payload = (
  journal: Journal,
  key: string
): Effect.Effect<Uint8Array | undefined, PlatformError.PlatformError> =>
  Effect.suspend(() => {
    const at = journal.index.places.get(key)
    if (at === undefined) return Effect.succeed(undefined)
    const frame = Effect.scoped(
      Effect.flatMap(journal.fs.open(placeOf(journal), { flag: "r" }), (file) => JournalCopy.readFrame(file, at))
    )
    return Effect.map(frame, (frame) => frame && JournalRows.find(frame, key)?.payload)
  }).pipe(journal.semaphore.withPermits(1))

/** Writes what waits as one batch, behind what was deferred. */
const writeWaiting = (journal: Journal): Effect.Effect<void> =>
  Effect.suspend(() => {
    const batch = journal.waiting
    journal.waiting = []
    const deferred = Array.from(journal.deferred.values())
    if (batch.length + deferred.length === 0) return mend(journal)
    const pieces = deferred.length === 0 ? batch : [JournalRows.encode(deferred), ...batch]
    const bytes = pieces.length === 1 ? pieces[0]!.frame : joined(pieces.map(({ frame }) => frame))
    return Effect.gen(function*() {
      const exit = yield* Effect.exit(Effect.zipRight(mend(journal), journal.file.file.writeAll(bytes)))
      if (Exit.isFailure(exit)) {
        journal.isTorn = true
        yield* Effect.ignore(mend(journal))
        yield* Effect.logError(`${placeOf(journal)} could not be written`, exit.cause)
      } else {
        for (const change of deferred) {
          if (journal.deferred.get(change.key) === change) journal.deferred.delete(change.key)
        }
        for (const piece of pieces) noteWritten(journal, piece)
      }
      for (const { done } of batch) yield* Deferred.done(done, exit)
    })
  }).pipe(Effect.ignore, journal.semaphore.withPermits(1), Effect.uninterruptible)

const noteWritten = (journal: Journal, { frame, notes }: ReturnType<typeof JournalRows.encode>): void => {
  const { index, length: offset } = journal
  for (const [key, bytes] of notes) {
    JournalIndex.set(index, key, bytes === undefined ? undefined : { offset, length: frame.byteLength, bytes })
  }
  journal.length += frame.byteLength
}

/** Cuts off what is there of a batch that failed. */
const mend = (journal: Journal): Effect.Effect<void, PlatformError.PlatformError> =>
  Effect.suspend(() =>
    journal.isTorn
      ? Effect.map(journal.file.file.truncate(journal.length), () => {
        journal.isTorn = false
      })
      : Effect.void
  )

const isStale = ({ index, isDamaged, length, slackBytes }: Journal): boolean =>
  isDamaged || length > 2 * index.live + slackBytes

/** Begins to write the file anew where much of it is out of date, and goes on with the new one once it is whole. */
const compact = (journal: Journal, scope: Scope.Scope): Effect.Effect<void> =>
  Effect.suspend(() => {
    if (journal.copied !== undefined) {
      const whole = journal.copied
      journal.copied = undefined
      return Effect.catchAll(goOnWith(journal, whole), logFailure)
    }
    if (journal.isCopying || !isStale(journal)) return Effect.void
    journal.isCopying = true
    return copy(journal).pipe(
      Effect.map((copy) => {
        journal.copied = copy
        journal.wake.unsafeOpen()
      }),
      Effect.catchAll(logFailure),
      Effect.ensuring(Effect.sync(() => {
        journal.isCopying = false
      })),
      Effect.forkIn(scope)
    )
  })

// One that fails is tried again with the next changes; the present file is whole.
const logFailure = (error: PlatformError.PlatformError) => Effect.logError("the journal was not written anew", error)

/** Writes what is in force to a new file, while changes go on being appended to the old one. */
const copy = (journal: Journal): Effect.Effect<Successor, PlatformError.PlatformError> =>
  Effect.suspend(() => {
    const upTo = journal.length
    const places = Array.from(journal.index.places)
    return JournalCopy.write(journal.fs, placeOf(journal), newPlaceOf(journal), places).pipe(
      Effect.map((copy) => ({ ...copy, upTo })),
      Effect.onError(() => removeNew(journal))
    )
  })

/** What is half done takes room that is short, perhaps. */
const removeNew = (journal: Journal): Effect.Effect<void> =>
  Effect.suspend(() => Effect.ignore(journal.fs.remove(newPlaceOf(journal), { force: true })))

/** Appends to a copy what the old file has got since, and goes on with it. */
const goOnWith = (journal: Journal, copy: Successor): Effect.Effect<void, PlatformError.PlatformError> =>
  Effect.gen(function*() {
    const { folder, fs, index, path } = journal
    const next = yield* openFile(fs, newPlaceOf(journal))
    yield* JournalCopy.append(fs, placeOf(journal), next.file, copy.upTo, journal.length).pipe(
      // Before the old file goes: this is the only one then.
      Effect.zipRight(next.file.sync),
      Effect.zipRight(fs.rename(newPlaceOf(journal), path.join(folder, JournalStart.nameOf(journal.count + 1)))),
      Effect.onError(() => Effect.zipRight(next.close, removeNew(journal)))
    )
    const old = {
      name: JournalStart.nameOf(journal.count),
      place: placeOf(journal),
      close: journal.file.close,
      isDamaged: journal.isDamaged
    }
    journal.file = next
    journal.isTorn = false
    journal.isDamaged = false
    journal.count += 1
    const shift = copy.length - copy.upTo
    for (const [key, at] of index.places) {
      const moved = at.offset < copy.upTo ? copy.places.get(key) : { ...at, offset: at.offset + shift }
      JournalIndex.set(index, key, moved)
    }
    journal.length += shift
    yield* old.close
    if (!old.isDamaged) return yield* fs.remove(old.place, { force: true })
    const kept = yield* journal.setAside(old.name)
    yield* Effect.logWarning(`the damaged journal is kept as ${kept}; nothing needs it any more`)
  }).pipe(journal.semaphore.withPermits(1), Effect.uninterruptible)
