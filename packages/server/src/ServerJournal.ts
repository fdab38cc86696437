/**
 * What a server keeps so that it goes on after it was killed: a journal of its sessions, models, samplers, requests and
 * results, and the state of live models. A server without this service keeps all of that in memory, with {@link none}.
 *
 * In its folder, `journal-<n>` is an append-only file of changes, each a {@link Change} or several that hold together or
 * not at all. What is half written when the process dies is dropped at the next start. When more than half of the file
 * is out of date it is written anew, as `journal-<n + 1>`. `state/` holds what is too large for it; a file there counts
 * once a change names it. `aside/` holds what could not be used: journals that are damaged, and state that no journal
 * knows. Nothing there is read again.
 *
 * Nothing is forced to the disk: what is written survives the death of the process, not that of the machine. A folder
 * belongs to one server at a time, which whoever starts it has to see to.
 */
import * as Frames from "@effect-tinker/engine/Frames"
import type * as PlatformError from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as DiskTrouble from "./internal/http/diskTrouble.js"
import * as JournalFile from "./internal/records/journalFile.js"
import { ServerError } from "./ServerError.js"

/**
 * @since 0.1.0
 * @category tags
 */
export class ServerJournal extends Context.Tag("@effect-tinker/server/ServerJournal")<ServerJournal, Service>() {}

/**
 * Something to remember under a key, in place of what was there; or, without a value, to forget.
 *
 * @since 0.1.0
 * @category models
 */
export interface Change {
  readonly key: string
  /** JSON. */
  readonly value?: unknown
  /** Bytes that belong to the value; they stay in the file until they are asked for. */
  readonly payload?: Uint8Array | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Entry {
  readonly key: string
  readonly value: unknown
}

/**
 * A file of the folder `state`, which is whole if it has this many bytes.
 *
 * @since 0.1.0
 * @category models
 */
export interface StateFile {
  readonly name: string
  readonly bytes: number
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** Whether what it takes is there after a restart. Where it is not, whoever makes much for it alone need not. */
  readonly isPersistent: boolean

  /** Whether accepted requests and the state of live models are kept, so that training goes on after a restart. */
  readonly liveModels: boolean

  /** What was there at the start, in the order in which it was first written. For the server, which asks once. */
  readonly take: Effect.Effect<ReadonlyArray<Entry>>

  /** Pieces of what was there at the start that are damaged, as far as they can still be read. */
  readonly damage: ReadonlyArray<string>

  /**
   * Takes changes, all or none of them. Their place among the others is that of this call; the effect waits until they
   * are written.
   */
  readonly unsafeCommit: (changes: ReadonlyArray<Change>) => Effect.Effect<void, ServerError>

  /**
   * Takes small changes, without payloads, that nobody waits for. When they cannot be written they are written together with
   * the next that can, and before them.
   */
  readonly unsafeDefer: (changes: ReadonlyArray<Change>) => void

  /** The bytes that belong to the value of a key. */
  readonly payload: (key: string) => Effect.Effect<Uint8Array, ServerError>

  /** Tells files of this server from those of an earlier one, whose engine may still be writing. */
  readonly instanceId: string

  /** Where the file of this name is. */
  readonly statePath: (name: string) => string

  readonly writeState: (name: string, bytes: Uint8Array) => Effect.Effect<StateFile, ServerError>

  /** Fails with `DamagedFile` when the file is not as it was written. */
  readonly readState: (file: StateFile) => Effect.Effect<Uint8Array, ServerError>

  /** Whether the file is there, and as it was written. */
  readonly hasState: (file: StateFile) => Effect.Effect<boolean>

  /** One that does not exist is no error. */
  readonly removeState: (name: string) => Effect.Effect<void>

  /** Names of all files of the folder. */
  readonly states: Effect.Effect<ReadonlyArray<string>>

  /** Puts away one that cannot be used. */
  readonly setStateAside: (name: string) => Effect.Effect<void>
}

/**
 * Keeps nothing: what is handed to it is gone at once.
 *
 * @since 0.1.0
 * @category constructors
 */
export const none: Service = {
  isPersistent: false,
  liveModels: false,
  take: Effect.succeed([]),
  damage: [],
  unsafeCommit: () => Effect.void,
  unsafeDefer: () => undefined,
  payload: (key) => notKept(key),
  instanceId: "",
  statePath: (name) => name,
  writeState: (name) => Effect.succeed({ name, bytes: 0 }),
  readState: ({ name }) => notKept(name),
  hasState: () => Effect.succeed(false),
  removeState: () => Effect.void,
  states: Effect.succeed([]),
  setStateAside: () => Effect.void
}

const notKept = (what: string) =>
  new ServerError({ reason: "NotFound", description: `this server keeps nothing, and so not ${what}` })

/**
 * @since 0.1.0
 * @category config
 */
export interface Options {
  /**
   * Keep accepted requests, and after each one that changes it the adapter, the optimizer's moments and the gradient of a
   * model: then training goes on after a restart as if nothing had happened. Without it models end with the process, and
   * those of an earlier one are given up. Default true.
   */
  readonly liveModels?: boolean | undefined
  /** The journal is written anew when it has this many bytes more than twice what it would then have. Default 16 MiB. */
  readonly slackBytes?: number | undefined
}

/**
 * Keeps the journal in a folder, which is made if need be.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  folder: string,
  options: Options = {}
): Layer.Layer<ServerJournal, ServerError, FileSystem.FileSystem | Path.Path> =>
  Layer.scoped(
    ServerJournal,
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const path = yield* Path.Path
      const states = path.join(folder, "state")
      const place = (name: string) => path.join(states, name)
      const instanceId = (yield* Clock.currentTimeMillis).toString(36)
      const aside = path.join(folder, "aside")
      const setAside = (...names: ReadonlyArray<string>) => {
        const kept = path.join(aside, `${instanceId}-${names.at(-1)}`)
        return Effect.as(
          Effect.zipRight(fs.makeDirectory(aside, { recursive: true }), fs.rename(path.join(folder, ...names), kept)),
          kept
        )
      }
      const open = Effect.gen(function*() {
        yield* fs.makeDirectory(folder, { recursive: true })
        const isOdd = yield* Effect.match(fs.readDirectory(states), {
          onFailure: (error) => !DiskTrouble.isMissing(error),
          onSuccess: () => false
        })
        if (isOdd) {
          const kept = yield* setAside("state")
          yield* Effect.logError(`${states} is no folder that can be read; it is kept as ${kept}`)
        }
        yield* fs.makeDirectory(states, { recursive: true })
        return yield* JournalFile.open(fs, path, folder, { slackBytes: options.slackBytes ?? 16 * 2 ** 20, setAside })
      })
      const { damage, entries, file } = yield* Effect.mapError(open, failed(folder))
      let kept = entries

      const refused = (place: string) => (cause: PlatformError.PlatformError): Effect.Effect<never, ServerError> =>
        Effect.zipRight(
          Effect.logError(`${place}: ${cause.message}`),
          new ServerError({ reason: "FileSystem", description: DiskTrouble.refused(cause), cause })
        )
      const damaged = (place: string) =>
        Effect.zipRight(
          Effect.logError(`${place} is not as it was written`),
          new ServerError({
            reason: "DamagedFile",
            description: "a file of what the server keeps is damaged; see the server's log"
          })
        )

      return {
        isPersistent: true,
        liveModels: options.liveModels ?? true,
        take: Effect.sync(() => {
          const taken = kept
          kept = []
          return taken
        }),
        // Its failure is in the log already, once for all that were to be written together.
        unsafeCommit: (changes) =>
          Effect.mapError(
            file.unsafeCommit(changes),
            (cause) => new ServerError({ reason: "FileSystem", description: DiskTrouble.refused(cause), cause })
          ),
        unsafeDefer: file.unsafeDefer,
        damage,
        payload: (key) =>
          Effect.catchAll(file.payload(key), refused(folder)).pipe(
            Effect.flatMap((payload) => payload === undefined ? damaged(folder) : Effect.succeed(payload))
          ),
        instanceId,
        statePath: place,
        writeState: (name, bytes) => {
          const sealed = Frames.encode("", [bytes])
          return fs.writeFile(place(name), sealed).pipe(
            Effect.as({ name, bytes: sealed.byteLength }),
            Effect.tapError(() => Effect.ignore(fs.remove(place(name), { force: true }))),
            Effect.catchAll(refused(place(name)))
          )
        },
        readState: ({ name }) =>
          Effect.catchAll(fs.readFile(place(name)), refused(place(name))).pipe(
            Effect.flatMap((bytes) => {
              const frame = Frames.decode(bytes)
              return frame === undefined ? damaged(place(name)) : Effect.succeed(frame.payload)
            })
          ),
        hasState: ({ bytes, name }) =>
          Effect.match(fs.readFile(place(name)), {
            onFailure: () => false,
            onSuccess: (found) => found.byteLength === bytes && Frames.decode(found) !== undefined
          }),
        removeState: (name) => Effect.ignoreLogged(fs.remove(place(name), { force: true, recursive: true })),
        states: Effect.catchAll(
          fs.readDirectory(states),
          ({ message }) => Effect.as(Effect.logWarning(`${states}: ${message}`), [])
        ),
        setStateAside: (name) =>
          Effect.matchEffect(setAside("state", name), {
            onSuccess: (kept) =>
              Effect.logError(`${place(name)} belongs to nothing that is known; it is kept as ${kept}`),
            onFailure: ({ message }) => Effect.logError(`${place(name)} belongs to nothing that is known: ${message}`)
          })
      }
    })
  )

const failed = (place: string) => (cause: PlatformError.PlatformError): ServerError =>
  new ServerError({ reason: "FileSystem", description: `${place}: ${cause.message}`, cause })
