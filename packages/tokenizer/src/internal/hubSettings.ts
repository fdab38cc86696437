/** What the environment says of the Hugging Face Hub. Source: the Python library huggingface_hub. */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"

/** A variable of the environment; an empty one counts as not given. */
const given = (name: string): Effect.Effect<Option.Option<string>> =>
  Effect.map(
    Effect.option(Config.string(name)),
    (value) => Option.filter(Option.map(value, (text) => text.trim()), (text) => text !== "")
  )

const firstOf = (...names: ReadonlyArray<string>): Effect.Effect<Option.Option<string>> =>
  Effect.map(Effect.all(names.map(given)), (values) => Option.firstSomeOf(values))

export const endpoint: Effect.Effect<string> = Effect.map(
  given("HF_ENDPOINT"),
  (address) => Option.getOrElse(address, () => "https://huggingface.co").replace(/\/+$/, "")
)

/** Whether nothing may be fetched. */
export const isOffline: Effect.Effect<boolean> = Effect.map(
  Effect.all(["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"].map(given)),
  (words) => words.some(Option.exists((word) => ["1", "on", "yes", "true"].includes(word.toLowerCase())))
)

const home = firstOf("HOME", "USERPROFILE")

/** The place with the home folder for `~`. */
const expanded = (place: string, folder: Option.Option<string>, path: Path.Path): string =>
  /^~(?=[/\\]|$)/.test(place) && Option.isSome(folder) ? path.join(folder.value, place.slice(1)) : place

/** What the Hugging Face libraries keep on this machine. None without a home folder. */
const library: Effect.Effect<Option.Option<string>, never, Path.Path> = Effect.gen(function*() {
  const path = yield* Path.Path
  const folder = yield* home
  const named = yield* given("HF_HOME")
  if (Option.isSome(named)) return Option.some(expanded(named.value, folder, path))
  const caches = Option.orElse(
    yield* given("XDG_CACHE_HOME"),
    () => Option.map(folder, (folder) => path.join(folder, ".cache"))
  )
  return Option.map(caches, (caches) => path.join(expanded(caches, folder, path), "huggingface"))
})

/** Where they keep what they have loaded. None where nothing says. */
export const cache: Effect.Effect<Option.Option<string>, never, Path.Path> = Effect.gen(function*() {
  const path = yield* Path.Path
  const named = yield* firstOf("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE")
  if (Option.isSome(named)) return Option.some(expanded(named.value, yield* home, path))
  return Option.map(yield* library, (folder) => path.join(folder, "hub"))
})

/**
 * The same to write to: none where it would be in a home folder that is not there. A folder that is named is made when it is not.
 */
export const writableCache = Effect.gen(function*() {
  const files = yield* FileSystem.FileSystem
  const folder = yield* home
  const named = yield* firstOf("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME")
  if (Option.isNone(named) && (Option.isNone(folder) || !(yield* files.exists(folder.value)))) {
    return Option.none<string>()
  }
  return yield* cache
})

/** The token of the environment, else the one that `huggingface-cli login` has left. */
export const token: Effect.Effect<Option.Option<Redacted.Redacted>, never, FileSystem.FileSystem | Path.Path> = Effect
  .gen(
    function*() {
      const named = yield* firstOf("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
      if (Option.isSome(named)) return Option.some(Redacted.make(named.value))
      const files = yield* FileSystem.FileSystem
      const path = yield* Path.Path
      const folder = yield* library
      const file = Option.orElse(
        yield* given("HF_TOKEN_PATH"),
        () => Option.map(folder, (folder) => path.join(folder, "token"))
      )
      if (Option.isNone(file)) return Option.none()
      const text = yield* Effect.orElseSucceed(files.readFileString(expanded(file.value, yield* home, path)), () => "")
      return text.trim() === "" ? Option.none() : Option.some(Redacted.make(text.trim()))
    }
  )
