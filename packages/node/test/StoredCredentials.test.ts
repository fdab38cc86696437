import { FileSystem, Path } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import { Effect, Option, Redacted } from "effect"
import { StoredCredentials } from "../src/index.js"

/** As the Python CLI writes it. */
const python = {
  version: 1,
  default: "key-1",
  keys: {
    "key-1": {
      type: "manual",
      key: "tml-stored",
      name: "laptop",
      note: null,
      details: { org_details: { name: "Org" }, user_details: { email: "a@b.c" } }
    },
    "key-2": { type: "generated", key: "tml-other", name: "other" }
  }
}

const inFolder = <A, E>(
  test: (place: { readonly folder: string; readonly file: string }) => Effect.Effect<
    A,
    E,
    FileSystem.FileSystem | Path.Path
  >
) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const folder = path.join(yield* fs.makeTempDirectoryScoped(), "of", ".tinker")
    return yield* test({ folder, file: path.join(folder, "credentials.json") }).pipe(
      Effect.provideService(StoredCredentials.Folder, folder)
    )
  }).pipe(Effect.scoped, Effect.provide(NodeContext.layer))

const put = (file: string, text: string, mode = 0o600) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    yield* fs.makeDirectory((yield* Path.Path).dirname(file), { recursive: true })
    yield* fs.writeFileString(file, text)
    yield* fs.chmod(file, mode)
  })

it.effect("there is no key without a file", () =>
  inFolder(() => Effect.map(StoredCredentials.defaultKey, (key) => assert.deepStrictEqual(key, Option.none()))))

it.effect("gives the default key of a file that the Python CLI wrote", () =>
  inFolder(({ file }) =>
    Effect.gen(function*() {
      yield* put(file, JSON.stringify(python))
      assert.deepStrictEqual(Option.map(yield* StoredCredentials.defaultKey, Redacted.value), Option.some("tml-stored"))
    })
  ))

for (
  const [what, file] of [
    ["names no default", { ...python, default: undefined }],
    ["names a default that is gone", { ...python, default: "key-3" }],
    ["is empty", {}]
  ] as const
) {
  it.effect(`gives no key when the file ${what}`, () =>
    inFolder((place) =>
      Effect.gen(function*() {
        yield* put(place.file, JSON.stringify(file))
        assert.deepStrictEqual(yield* StoredCredentials.defaultKey, Option.none())
      })
    ))
}

it.effect("writes what it has read with all that others keep there", () =>
  inFolder(({ file }) =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      yield* put(file, JSON.stringify({ ...python, later: [1] }))
      const keys = Option.getOrThrow(yield* StoredCredentials.read)
      yield* StoredCredentials.write({ ...keys, default: "key-2" })
      const written = JSON.parse(yield* fs.readFileString(file))
      const { note: _, ...first } = python.keys["key-1"]
      assert.deepStrictEqual(written, {
        ...python,
        default: "key-2",
        later: [1],
        keys: { ...python.keys, "key-1": first }
      })
    })
  ))

it.effect("writes for its owner alone, replaces in one step, and leaves nothing beside", () =>
  inFolder(({ file, folder }) =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      for (const id of ["a", "b"]) {
        yield* StoredCredentials.write({
          ...StoredCredentials.empty,
          default: id,
          keys: { [id]: { type: "manual", key: Redacted.make(`tml-${id}`), name: "laptop" } }
        })
      }
      assert.strictEqual((yield* fs.stat(folder)).mode & 0o777, 0o700)
      assert.strictEqual((yield* fs.stat(file)).mode & 0o777, 0o600)
      assert.deepStrictEqual(yield* fs.readDirectory(folder), ["credentials.json"])
      assert.deepStrictEqual(Option.map(yield* StoredCredentials.defaultKey, Redacted.value), Option.some("tml-b"))
    })
  ))

const damages: ReadonlyArray<readonly [string, string]> = [
  ["is cut off", "{\"version\":1,\"keys\":{\"a\":{\"key\":\"tml-secret"],
  [
    "has a key that is a number",
    JSON.stringify({ version: 1, keys: { a: { type: "manual", key: 1, name: "tml-secret" } } })
  ],
  ["is of another version", JSON.stringify({ ...python, version: 2, secret: "tml-secret" })]
]
for (const [what, text] of damages) {
  it.effect(`a file that ${what} is named, and nothing of it repeated`, () =>
    inFolder(({ file }) =>
      Effect.gen(function*() {
        yield* put(file, text)
        const error = yield* Effect.flip(StoredCredentials.defaultKey)
        assert.strictEqual(error._tag, "InvalidInputError")
        assert.include(error.message, file)
        assert.notInclude(error.message, "\n")
        assert.notInclude(error.message + JSON.stringify(error), "tml-secret")
      })
    ))
}

for (const mode of [0o644, 0o640, 0o602]) {
  it.effect(`a file with mode ${mode.toString(8)} is refused with the way to mend it`, () =>
    inFolder(({ file }) =>
      Effect.gen(function*() {
        yield* put(file, JSON.stringify(python), mode)
        const error = yield* Effect.flip(StoredCredentials.defaultKey)
        assert.include(error.message, file)
        assert.include(error.message, "chmod 600")
      })
    ))
}

it.effect("a place that cannot be written is named", () =>
  inFolder(({ file, folder }) =>
    Effect.gen(function*() {
      yield* put(folder, "a file where the folder should be")
      const error = yield* Effect.flip(StoredCredentials.write(StoredCredentials.empty))
      assert.include(error.message, file)
    })
  ))
