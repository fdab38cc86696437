/**
 * Keys kept in a file of the user, `~/.tinker/credentials.json`, which other Tinker clients on this machine read and write
 * too.
 */
import { InvalidInputError } from "@effect-tinker/protocol/TinkerError"
import { defaulted, nullish } from "@effect-tinker/protocol/WireField"
import type { PlatformError } from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Credentials from "effect-tinker/Credentials"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { homedir } from "node:os"

/**
 * One key, under its id. What other clients keep beside these fields stays when the file is written again.
 *
 * @since 0.1.0
 * @category schemas
 */
export const StoredKey = Schema.Struct({
  /** `manual`: pasted by the user. `generated`: made for this machine. */
  type: Schema.String,
  key: Schema.Redacted(Schema.NonEmptyString),
  name: Schema.String,
  note: nullish(Schema.String)
})

/**
 * One key, under its id.
 *
 * @since 0.1.0
 * @category models
 */
export type StoredKey = typeof StoredKey.Type

/**
 * The whole file. Source of the format: the Python SDK 0.38.0.
 *
 * @since 0.1.0
 * @category schemas
 */
export const StoredKeys = Schema.Struct({
  version: defaulted(Schema.Literal(1), () => 1 as const),
  /** Id of the key that is used when no other credential is given; it may name a key that is gone. */
  default: nullish(Schema.String),
  keys: defaulted(Schema.Record({ key: Schema.String, value: StoredKey }), () => ({}))
})

/**
 * The whole file, decoded.
 *
 * @since 0.1.0
 * @category models
 */
export type StoredKeys = typeof StoredKeys.Type

/**
 * No keys at all.
 *
 * @since 0.1.0
 * @category models
 */
export const empty: StoredKeys = { version: 1, keys: {} }

/**
 * The folder of the file. Default: `.tinker` in the home folder of the user.
 *
 * @since 0.1.0
 * @category config
 */
export class Folder extends Context.Reference<Folder>()("@effect-tinker/node/StoredCredentials/Folder", {
  defaultValue: () => `${homedir()}/.tinker`
}) {}

/**
 * The id of the key that is used when no other credential is given. Default: the file's own default.
 *
 * @since 0.1.0
 * @category config
 */
export class KeyId extends Context.Reference<KeyId>()("@effect-tinker/node/StoredCredentials/KeyId", {
  defaultValue: (): string | undefined => undefined
}) {}

/**
 * Reads the file; none when it is not there. `InvalidInputError`, which names the file and repeats nothing of it, when it
 * is damaged, or others than its owner may read it.
 *
 * @since 0.1.0
 * @category utils
 */
export const read: Effect.Effect<
  Option.Option<StoredKeys>,
  InvalidInputError,
  FileSystem.FileSystem | Path.Path
> = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  const { file } = yield* place
  const unreadable = (what: string) => Effect.fail(wrong(`${file} ${what}`))
  const found = yield* Effect.matchEffect(fs.stat(file), {
    onFailure: (error) =>
      reason(error) === "NotFound" ? Effect.succeedNone : unreadable(`cannot be read (${reason(error)})`),
    onSuccess: ({ mode }) => Effect.succeedSome(mode)
  })
  if (Option.isNone(found)) return Option.none()
  if (hasModes && (found.value & forOthers) !== 0) {
    return yield* unreadable("may be read by others. Make it yours alone: chmod 600")
  }
  const text = yield* Effect.catchAll(
    fs.readFileString(file),
    (error) => unreadable(`cannot be read (${reason(error)})`)
  )
  const keys = yield* Effect.catchAll(decode(text), () => unreadable("is damaged. Remove it, and store the key again"))
  return Option.some(keys)
})

/**
 * Writes the file, readable by its owner alone, in one step: whoever reads it meanwhile sees the old one or the new one.
 *
 * @since 0.1.0
 * @category utils
 */
export const write = (keys: StoredKeys): Effect.Effect<void, InvalidInputError, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const { file: named, folder } = yield* place
    // Where the file is a link, what it leads to is written.
    const file = yield* Effect.orElseSucceed(fs.realPath(named), () => named)
    // The type of the keys leaves nothing that could not be encoded.
    const text = JSON.stringify(yield* Effect.orDie(encode(keys)), null, 2)
    yield* fs.makeDirectory(folder, { recursive: true, mode: 0o700 })
    yield* fs.chmod(folder, 0o700)
    // Beside the file, as a rename within a folder is one step.
    yield* Effect.scoped(Effect.gen(function*() {
      const beside = yield* fs.makeTempFileScoped({ directory: path.dirname(file), prefix: "credentials-" })
      yield* fs.chmod(beside, 0o600)
      yield* fs.writeFileString(beside, `${text}\n`)
      yield* fs.rename(beside, file)
    }))
  }).pipe(
    Effect.catchAll((error) =>
      Effect.flatMap(place, ({ file }) => Effect.fail(wrong(`${file} cannot be written (${reason(error)})`)))
    )
  )

/**
 * The key that is used when no other credential is given.
 *
 * @since 0.1.0
 * @category utils
 */
export const defaultKey: Effect.Effect<
  Option.Option<Redacted.Redacted>,
  InvalidInputError,
  FileSystem.FileSystem | Path.Path
> = Effect.flatMap(Effect.all([read, KeyId]), ([stored, wanted]) => {
  const { default: fallback, keys } = Option.getOrElse(stored, () => empty)
  if (wanted !== undefined && keys[wanted] === undefined) {
    return Effect.flatMap(
      place,
      ({ file }) => wrong(`the key ${wanted}, which is to be used, is not in ${file}. Store it again`)
    )
  }
  const id = wanted ?? fallback
  return Effect.succeed(id === undefined ? Option.none() : Option.fromNullable(keys[id]?.key))
})

/**
 * Provides the stored keys to the SDK.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<Credentials.StoredCredentials, never, FileSystem.FileSystem | Path.Path> = Layer.effect(
  Credentials.StoredCredentials,
  Effect.map(
    Effect.context<FileSystem.FileSystem | Path.Path>(),
    (context) => ({ defaultKey: Effect.provide(defaultKey, context) })
  )
)

const place = Effect.gen(function*() {
  const path = yield* Path.Path
  const folder = yield* Folder
  return { folder, file: path.join(folder, "credentials.json") }
})

const keep = { onExcessProperty: "preserve" } as const
const decode = Schema.decodeUnknown(Schema.parseJson(StoredKeys), keep)
const encode = Schema.encode(StoredKeys, keep)

/** Windows keeps a user's folder to the user, and has no such bits. */
const hasModes = process.platform !== "win32"
const forOthers = 0o077

const reason = (error: PlatformError): string => error._tag === "SystemError" ? error.reason : error._tag

const wrong = (description: string) =>
  new InvalidInputError({ operation: "StoredCredentials", field: "apiKey", description })
