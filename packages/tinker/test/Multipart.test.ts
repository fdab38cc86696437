import { Error as PlatformError, FileSystem, Path } from "@effect/platform"
import { assert, it } from "@effect/vitest"
import { Deferred, Effect, Exit, FastCheck, Layer, Random, Stream } from "effect"
import { FileInput } from "effect-tinker"
import * as FormFields from "../src/internal/transport/formFields.js"
import * as Multipart from "../src/internal/transport/multipart.js"

/** Reads a body with the runtime's own parser. */
const parsed = ({ bytes, contentType }: Multipart.Multipart) =>
  Effect.promise(() => new Response(bytes.slice().buffer, { headers: { "content-type": contentType } }).formData())

const contentOf = (file: unknown) =>
  Effect.promise(async () => file instanceof Blob ? Array.from(new Uint8Array(await file.arrayBuffer())) : undefined)

it("nested values become fields with brackets", () => {
  assert.deepStrictEqual(
    FormFields.flatten({ a: { b: [1, 2] }, c: true, d: null, e: undefined, f: [], g: [{ h: "x" }] }),
    [
      ["a[b][]", "1"],
      ["a[b][]", "2"],
      ["c", "true"],
      ["d", ""],
      ["g[][h]", "x"]
    ]
  )
})

it("fields are written for the query of an address as well", () => {
  assert.strictEqual(FormFields.urlEncoded({ a: { b: ["x y", "&"] } }), "a%5Bb%5D%5B%5D=x+y&a%5Bb%5D%5B%5D=%26")
})

it.effect("a form with files is what another parser reads", () =>
  Effect.gen(function*() {
    const form = yield* parsed(
      yield* Multipart.make({
        fields: { purpose: "training", tags: ["a", "b"] },
        files: {
          file: FileInput.fromBytes(Uint8Array.of(0, 255, 13, 10), { name: "a.bin" }),
          more: [
            FileInput.fromBytes(Uint8Array.of(1), { name: "1.txt", contentType: "text/plain" }),
            FileInput.fromBytes(new Uint8Array(0), { name: "2.txt" })
          ]
        }
      })
    )
    assert.strictEqual(form.get("purpose"), "training")
    assert.deepStrictEqual(form.getAll("tags[]"), ["a", "b"])
    const file = form.get("file") as File
    assert.strictEqual(file.name, "a.bin")
    assert.strictEqual(file.type, "application/octet-stream")
    assert.deepStrictEqual(yield* contentOf(file), [0, 255, 13, 10])
    assert.deepStrictEqual(form.getAll("more").map((one) => (one as File).name), ["1.txt", "2.txt"])
    assert.strictEqual((form.getAll("more")[0] as File).type, "text/plain")
  }))

const bytes = FastCheck.array(FastCheck.constantFrom(13, 10, 45, 45, 45, 0, 255, 101), { maxLength: 60 })
const names = FastCheck.string({
  minLength: 1,
  unit: FastCheck.constantFrom("a", "\"", "\\", ";", "é", "🎈", " ", "=")
})

it.effect("whatever is in the names, texts and files, another parser reads it back", () =>
  Effect.promise(() =>
    FastCheck.assert(
      FastCheck.asyncProperty(names, names, bytes, (field, name, content) =>
        Effect.gen(function*() {
          const text = `${field}\n--${name}`
          const form = yield* parsed(
            yield* Multipart.make({
              fields: { [field]: text },
              files: { file: FileInput.fromBytes(Uint8Array.from(content), { name }) }
            })
          )
          assert.strictEqual(form.get(field.replaceAll("\"", "%22")) ?? form.get(field), text)
          assert.deepStrictEqual(yield* contentOf(form.get("file")), content)
        }).pipe(Effect.runPromise)),
      { numRuns: 200, seed: 1 }
    )
  ))

it.effect("line breaks and quotes in names cannot end a header", () =>
  Effect.gen(function*() {
    const { bytes } = yield* Multipart.make({
      fields: { "a\"\r\nx: y": "1" },
      files: { f: FileInput.fromBytes(new Uint8Array(0), { name: "b\r\n\r\nc" }) }
    })
    const text = new TextDecoder().decode(bytes)
    assert.include(text, "name=\"a%22%0D%0Ax: y\"")
    assert.include(text, "filename=\"b%0D%0A%0D%0Ac\"")
  }))

it.effect("a content type with a line break is refused by name", () =>
  Effect.gen(function*() {
    const file = FileInput.fromBytes(new Uint8Array(1), { contentType: "text/plain\r\nx: y" })
    const error = yield* Effect.flip(Multipart.make({ files: { notes: file } }))
    assert.strictEqual(error.field, "files.notes.contentType")
  }))

it.effect("the boundary is in none of the parts", () =>
  Effect.gen(function*() {
    const boundaryOf = ({ contentType }: Multipart.Multipart) => contentType.slice(contentType.indexOf("=") + 1)
    const first = yield* Multipart.make({ fields: { a: "1" } }).pipe(Effect.withRandom(Random.make("seed")))
    const second = yield* Multipart.make({ fields: { a: `--${boundaryOf(first)}--` } }).pipe(
      Effect.withRandom(Random.make("seed"))
    )
    assert.notStrictEqual(boundaryOf(second), boundaryOf(first))
    assert.strictEqual((yield* parsed(second)).get("a"), `--${boundaryOf(first)}--`)
  }))

it.effect("files come from blobs and streams too, with their own names and types", () =>
  Effect.gen(function*() {
    const blob = yield* FileInput.fromBlob(new File(["ab"], "n.txt", { type: "text/plain" }))
    assert.deepInclude(blob, { name: "n.txt", contentType: "text/plain", bytes: Uint8Array.of(97, 98) })
    const stream = yield* FileInput.fromStream(Stream.make(Uint8Array.of(1), Uint8Array.of(2, 3)), { name: "s" })
    assert.deepStrictEqual(stream.bytes, Uint8Array.of(1, 2, 3))
  }))

it.effect("a file that is not there fails before any request, by its path", () =>
  Effect.gen(function*() {
    const error = yield* Effect.flip(FileInput.fromPath("/nowhere/a.bin"))
    assert.strictEqual(error._tag, "InvalidInputError")
    assert.include(error.message, "/nowhere/a.bin")
  }).pipe(Effect.provide(Layer.merge(
    FileSystem.layerNoop({
      readFile: (path) =>
        new PlatformError.SystemError({
          reason: "NotFound",
          module: "FileSystem",
          method: "readFile",
          pathOrDescriptor: path
        })
    }),
    Path.layer
  ))))

it.effect("two files are read at the same time", () =>
  Effect.gen(function*() {
    const both = yield* Deferred.make<void>()
    let reading = 0
    const files = FileSystem.layerNoop({
      readFile: () =>
        Effect.suspend(() => {
          reading += 1
          return Effect.zipRight(
            reading === 2 ? Deferred.succeed(both, undefined) : Effect.void,
            Effect.as(Deferred.await(both), Uint8Array.of(reading))
          )
        })
    })
    const exit = yield* Effect.exit(
      Effect.all([FileInput.fromPath("/tmp/a"), FileInput.fromPath("/tmp/b")], { concurrency: 2 })
    ).pipe(Effect.provide(Layer.merge(files, Path.layer)))
    assert.deepStrictEqual(Exit.isSuccess(exit) && exit.value.map(({ name }) => name), ["a", "b"])
  }))
