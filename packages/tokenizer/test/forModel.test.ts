import { FileSystem, HttpClient, HttpClientResponse, Path } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import { ConfigProvider, Effect, Layer } from "effect"
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import * as Tokenizer from "../src/Tokenizer.js"

const shipped = fileURLToPath(new URL("../../engine/model", import.meta.url))
const text = "Grüße, 世界 🙂"

const roundTrips = (tokenizer: Tokenizer.Service) => assert.strictEqual(tokenizer.decode(tokenizer.encode(text)), text)

/** With a home folder of these settings alone. */
const home = (settings: Record<string, string>) =>
  Effect.withConfigProvider(ConfigProvider.fromMap(new Map(Object.entries(settings))))

/** The Hub with these files, and what it was asked for. */
const hub = (files: Readonly<Record<string, string | number>>) => {
  const asked: Array<string> = []
  const layer = Layer.succeed(
    HttpClient.HttpClient,
    HttpClient.make((request) => {
      asked.push(request.url)
      const file = files[request.url.slice("https://huggingface.co/".length)] ?? 404
      return Effect.succeed(HttpClientResponse.fromWeb(
        request,
        typeof file === "number" ? new Response(null, { status: file }) : new Response(file)
      ))
    })
  )
  return { asked, layer }
}

it.effect("finds the tokenizer in a folder that the server names", () =>
  Effect.gen(function*() {
    const tokenizer = yield* Tokenizer.forModel({ modelData: { modelName: "other", tokenizerId: shipped } })
    roundTrips(tokenizer)
  }).pipe(Effect.provide(NodeContext.layer)))

it.scoped("finds it where the Hugging Face libraries keep what they loaded", () =>
  Effect.gen(function*() {
    const files = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const folder = yield* files.makeTempDirectoryScoped()
    const model = path.join(folder, "hub", "models--org--name")
    yield* files.makeDirectory(path.join(model, "refs"), { recursive: true })
    yield* files.writeFileString(path.join(model, "refs", "main"), "abc\n")
    yield* files.makeDirectory(path.join(model, "snapshots", "abc"), { recursive: true })
    yield* files.copyFile(path.join(shipped, "tokenizer.json"), path.join(model, "snapshots", "abc", "tokenizer.json"))
    const { asked, layer } = hub({})
    const tokenizer = yield* Tokenizer.forModel({ modelData: { tokenizerId: "org/name" } }).pipe(
      home({ HOME: "/nowhere", HF_HOME: folder }),
      Effect.provide(layer)
    )
    roundTrips(tokenizer)
    assert.lengthOf(asked, 0)
  }).pipe(Effect.provide(NodeContext.layer)))

const names: ReadonlyArray<readonly [Tokenizer.ModelInfo, string]> = [
  [{ modelData: { tokenizerId: "org/tok:variant", modelName: "org/model" } }, "org/tok"],
  [{ modelData: { modelName: "org/model" } }, "org/model"],
  [{ modelData: { modelName: "org/model/long" } }, "org/model"],
  [{ modelName: "meta-llama/Llama-3.1-8B" }, "thinkingmachineslabinc/meta-llama-3-instruct-tokenizer"]
]

for (const [info, id] of names) {
  it.effect(`takes ${JSON.stringify(info)} for ${id}`, () => {
    const { asked, layer } = hub({
      [`${id}/resolve/main/tokenizer.json`]: readFileSync(`${shipped}/tokenizer.json`, "utf8")
    })
    return Effect.gen(function*() {
      roundTrips(yield* Tokenizer.forModel(info))
      assert.deepStrictEqual(asked, [
        `https://huggingface.co/${id}/resolve/main/tokenizer.json`,
        `https://huggingface.co/${id}/resolve/main/tokenizer_config.json`
      ])
    }).pipe(home({ HOME: "/nowhere" }), Effect.provide([layer, NodeContext.layer]))
  })
}

it.effect("says what to do when it is nowhere, not there, or not given out", () =>
  Effect.gen(function*() {
    const fail = (files: Readonly<Record<string, number>> | undefined) =>
      Effect.flip(Tokenizer.forModel({ modelName: "org/model" })).pipe(
        home({ HOME: "/nowhere" }),
        files === undefined ? (effect) => effect : Effect.provide(hub(files).layer)
      )
    const nowhere = yield* fail(undefined)
    assert.strictEqual(nowhere.reason, "FolderMissing")
    assert.include(nowhere.message, "huggingface-cli download org/model")
    assert.strictEqual((yield* fail({})).reason, "FileMissing")
    const refused = yield* fail({ "org/model/resolve/main/tokenizer.json": 403 })
    assert.strictEqual(refused.reason, "DownloadFailed")
    assert.include(refused.message, "layerFolder")
    assert.strictEqual((yield* Effect.flip(Tokenizer.forModel({}))).reason, "FolderMissing")
  }).pipe(Effect.provide(NodeContext.layer)))
