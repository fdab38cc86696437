/**
 * Profiles: settings under a name, in `~/.tinker/profiles.json`, for people who use more than one service, account or project.
 *
 * ```json
 * {
 *   "default": "work",
 *   "profiles": {
 *     "work": { "base_url": "https://tinker.example.org", "project_id": "p-1", "key": "key-1" },
 *     "here": { "base_url": "http://127.0.0.1:8787" }
 *   }
 * }
 * ```
 *
 * `key` is the id of a key in `~/.tinker/credentials.json`; keys themselves are not in this file.
 */
import * as StoredCredentials from "@effect-tinker/node/StoredCredentials"
import { nearest } from "@effect-tinker/protocol/CallOptions"
import { defaulted } from "@effect-tinker/protocol/WireField"
import type { PlatformError } from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import * as PlatformErrors from "./internal/effect/platformErrors.js"
import { UsageError } from "./UsageError.js"

/**
 * The settings of a profile, under the names of the file. Those of the environment go before them.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Profile = Schema.Struct({
  base_url: Schema.optional(Schema.NonEmptyString),
  project_id: Schema.optional(Schema.NonEmptyString),
  credential_command: Schema.optional(Schema.NonEmptyString),
  key: Schema.optional(Schema.NonEmptyString)
})

/**
 * @since 0.1.0
 * @category models
 */
export type Profile = typeof Profile.Type

/**
 * The whole file.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Profiles = Schema.Struct({
  default: Schema.optional(Schema.NonEmptyString),
  profiles: defaulted(Schema.Record({ key: Schema.String, value: Profile }), () => ({}))
})

/**
 * @since 0.1.0
 * @category models
 */
export type Profiles = typeof Profiles.Type

/**
 * Where the file is.
 *
 * @since 0.1.0
 * @category config
 */
export const file: Effect.Effect<string, never, Path.Path> = Effect.zipWith(
  Path.Path,
  StoredCredentials.Folder,
  (path, folder) => path.join(folder, "profiles.json")
)

/**
 * Reads the file; none when it is not there. `UsageError`, which names the file, when it cannot be read, or says what it does not have.
 *
 * @since 0.1.0
 * @category utils
 */
export const read: Effect.Effect<Profiles, UsageError, FileSystem.FileSystem | Path.Path> = Effect.gen(function*() {
  const files = yield* FileSystem.FileSystem
  const place = yield* file
  const text = yield* files.readFileString(place).pipe(
    Effect.asSome,
    Effect.catchIf(
      (error) => PlatformErrors.kindOf(error) === "NotFound",
      () => Effect.succeedNone
    ),
    Effect.mapError((cause) =>
      new UsageError({
        description: `${place} cannot be read (${PlatformErrors.kindOf(cause)}).`,
        cause
      })
    )
  )
  if (Option.isNone(text)) return { profiles: {} }
  return yield* Effect.mapError(
    decode(text.value),
    (cause) =>
      new UsageError({
        description: `${place} is not as profiles are: ${
          ParseResult.ArrayFormatter.formatErrorSync(cause)[0]?.message ?? ""
        }`,
        cause
      })
  )
})

const decode = Schema.decode(Schema.parseJson(Profiles), { onExcessProperty: "error", errors: "first" })

/**
 * The profile of a name, or else the file's default one; none where there is neither. `UsageError` for a name that the file does not have.
 *
 * @since 0.1.0
 * @category utils
 */
export const find = (
  wanted: string | undefined
): Effect.Effect<Option.Option<Profile>, UsageError, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function*() {
    const { default: fallback, profiles } = yield* read
    const name = wanted ?? fallback
    if (name === undefined) return Option.none()
    const found = Object.hasOwn(profiles, name) ? profiles[name] : undefined
    if (found !== undefined) return Option.some(found)
    const place = yield* file
    const names = Object.keys(profiles)
    const meant = nearest(name, names)
    return yield* new UsageError({
      description: `there is no profile ${JSON.stringify(name)} in ${place}. ${
        meant !== undefined
          ? `Was ${meant} meant?`
          : names.length === 0
          ? "It has none yet."
          : `It has: ${names.join(", ")}.`
      }`
    })
  })

/**
 * Writes the file, in one step.
 *
 * @since 0.1.0
 * @category utils
 */
export const write = (profiles: Profiles): Effect.Effect<void, PlatformError, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function*() {
    const files = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const place = yield* file
    const folder = path.dirname(place)
    yield* files.makeDirectory(folder, { recursive: true, mode: 0o700 })
    yield* Effect.scoped(Effect.gen(function*() {
      const beside = yield* files.makeTempFileScoped({ directory: folder, prefix: "profiles-" })
      yield* files.writeFileString(beside, `${JSON.stringify(profiles, null, 2)}\n`)
      yield* files.rename(beside, place)
    }))
  })
