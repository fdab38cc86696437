/**
 * Finds the stored key that a command is about: the profile's where one is named, else the default one.
 */
import * as StoredCredentials from "@effect-tinker/node/StoredCredentials"
import type { InvalidInputError } from "@effect-tinker/protocol/TinkerError"
import type { PlatformError } from "@effect/platform/Error"
import type * as FileSystem from "@effect/platform/FileSystem"
import type * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as GlobalOptions from "./GlobalOptions.js"
import * as Profile from "./Profile.js"
import type { UsageError } from "./UsageError.js"
import { Variables } from "./Variables.js"

/**
 * The name of the profile that was asked for, by option or variable.
 *
 * @since 0.1.0
 * @category config
 */
export const profileName: Effect.Effect<string | undefined, never, GlobalOptions.GlobalOptions> = Effect.zipWith(
  GlobalOptions.GlobalOptions,
  Variables,
  ({ profile }, { TINKER_PROFILE }) => profile ?? (TINKER_PROFILE?.trim() || undefined)
)

/**
 * The id of the key, and the key where it is stored.
 *
 * @since 0.1.0
 * @category models
 */
export interface Found {
  readonly id: string
  readonly key: StoredCredentials.StoredKey | undefined
}

type Requirements = GlobalOptions.GlobalOptions | FileSystem.FileSystem | Path.Path

/**
 * The stored key; none where nothing is stored.
 *
 * @since 0.1.0
 * @category utils
 */
export const find: Effect.Effect<Option.Option<Found>, UsageError | InvalidInputError, Requirements> = Effect.gen(
  function*() {
    const stored = Option.getOrElse(yield* StoredCredentials.read, () => StoredCredentials.empty)
    const name = yield* profileName
    const profiles = yield* Profile.read
    const id = name === undefined ? stored.default : profiles.profiles[name]?.key
    return id === undefined ? Option.none() : Option.some({ id, key: stored.keys[id] })
  }
)

/**
 * Stores a key, for the profile that was asked for, which is made if it is not there, or as the default one. Services number their keys
 * each for itself, so that one whose number another key has gets a number of its own behind it.
 *
 * @since 0.1.0
 * @category utils
 */
export const store = (
  id: string,
  key: StoredCredentials.StoredKey
): Effect.Effect<void, UsageError | InvalidInputError | PlatformError, Requirements> =>
  Effect.gen(function*() {
    const stored = Option.getOrElse(yield* StoredCredentials.read, () => StoredCredentials.empty)
    const name = yield* profileName
    const free = freeId(stored.keys, id, key)
    const keys = { ...stored.keys, [free]: key }
    yield* StoredCredentials.write({ ...stored, keys, ...(name === undefined ? { default: free } : {}) })
    if (name !== undefined) yield* ofProfile(name, free)
  })

const freeId = (
  keys: StoredCredentials.StoredKeys["keys"],
  id: string,
  { key }: StoredCredentials.StoredKey
): string => {
  const isFree = (candidate: string) => {
    const taken = keys[candidate]?.key
    return taken === undefined || Redacted.value(taken) === Redacted.value(key)
  }
  let candidate = id
  for (let n = 2; !isFree(candidate); n++) candidate = `${id}-${n}`
  return candidate
}

/**
 * Removes a key that was found, from the file too unless something else uses it.
 *
 * @since 0.1.0
 * @category utils
 */
export const remove = (
  { id }: Found
): Effect.Effect<void, UsageError | InvalidInputError | PlatformError, Requirements> =>
  Effect.gen(function*() {
    const stored = Option.getOrElse(yield* StoredCredentials.read, () => StoredCredentials.empty)
    const name = yield* profileName
    if (name !== undefined) yield* ofProfile(name, undefined)
    const { profiles } = yield* Profile.read
    const { default: current, ...others } = stored
    const fallback = name === undefined && current === id ? undefined : current
    const isUsed = fallback === id || Object.values(profiles).some((profile) => profile.key === id)
    const { [id]: removed, ...left } = stored.keys
    const keys = isUsed && removed !== undefined ? stored.keys : left
    yield* StoredCredentials.write({ ...others, keys, ...(fallback === undefined ? {} : { default: fallback }) })
  })

const ofProfile = (name: string, key: string | undefined) =>
  Effect.gen(function*() {
    const { default: fallback, profiles } = yield* Profile.read
    const { key: _, ...others } = profiles[name] ?? {}
    yield* Profile.write({
      ...(fallback === undefined ? {} : { default: fallback }),
      profiles: { ...profiles, [name]: { ...others, ...(key === undefined ? {} : { key }) } }
    })
  })
