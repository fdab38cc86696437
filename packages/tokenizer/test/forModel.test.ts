import { FileSystem, HttpClient, HttpClientError, HttpClientResponse, Path } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import { ConfigProvider, Effect, Inspectable, Layer } from "effect"
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import * as Tokenizer from "../src/Tokenizer.js"

const shipped = fileURLToPath(new URL("../../llama/model", import.meta.url))
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

/** An `HttpClient` that answers by address, and what it was asked. */
const web = (answer: (url: URL) => Response) => {
  const asked: Array<{ readonly url: string; readonly headers: Readonly<Record<string, string>> }> = []
  const layer = Layer.succeed(
    HttpClient.HttpClient,
    HttpClient.make((request, url) => {
      asked.push({ url: url.href, headers: { ...request.headers } })
      return Effect.succeed(HttpClientResponse.fromWeb(request, answer(url)))
    })
  )
  return { asked, layer }
}

const shippedFile = readFileSync(`${shipped}/tokenizer.json`, "utf8")

const given = (url: URL) =>
  url.pathname.endsWith("/tokenizer.json") ? new Response(shippedFile) : new Response(null, { status: 404 })

it.effect("asks the Hub that HF_ENDPOINT names, with HF_TOKEN, which goes nowhere else", () => {
  const { asked, layer } = web((url) =>
    url.host === "mirror.test"
      ? new Response(null, { status: 302, headers: { location: `https://files.test${url.pathname}` } })
      : given(url)
  )
  return Effect.gen(function*() {
    roundTrips(yield* Tokenizer.forModel({ modelName: "org/model" }))
    assert.deepStrictEqual(asked.map(({ headers, url }) => [url, headers.authorization]), [
      ["https://mirror.test/hub/org/model/resolve/main/tokenizer.json", "Bearer hf_secret"],
      ["https://files.test/hub/org/model/resolve/main/tokenizer.json", undefined],
      ["https://mirror.test/hub/org/model/resolve/main/tokenizer_config.json", "Bearer hf_secret"],
      ["https://files.test/hub/org/model/resolve/main/tokenizer_config.json", undefined]
    ])
  }).pipe(
    home({ HOME: "/nowhere", HF_ENDPOINT: "https://mirror.test/hub/", HF_TOKEN: "hf_secret" }),
    Effect.provide([layer, NodeContext.layer])
  )
})

it.scoped("takes the token that a login has left, and no token for none", () =>
  Effect.gen(function*() {
    const files = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const folder = yield* files.makeTempDirectoryScoped()
    yield* files.makeDirectory(path.join(folder, ".cache", "huggingface"), { recursive: true })
    yield* files.writeFileString(path.join(folder, ".cache", "huggingface", "token"), "hf_login\n")
    const sent = (settings: Record<string, string>) => {
      const { asked, layer } = web(given)
      return Tokenizer.forModel({ modelName: "org/model" }).pipe(
        home(settings),
        Effect.provide(layer),
        Effect.map(() => asked[0]?.headers.authorization)
      )
    }
    assert.strictEqual(yield* sent({ HOME: folder }), "Bearer hf_login")
    assert.strictEqual(yield* sent({ HOME: folder, HF_TOKEN: " " }), "Bearer hf_login")
    assert.strictEqual(
      yield* sent({ HF_TOKEN_PATH: path.join(folder, ".cache", "huggingface", "token") }),
      "Bearer hf_login"
    )
    assert.isUndefined(yield* sent({ HOME: "/nowhere" }))
    assert.isUndefined(yield* sent({}))
  }).pipe(Effect.provide(NodeContext.layer)))

it.effect("asks nobody when HF_HUB_OFFLINE says so", () => {
  const { asked, layer } = web(given)
  return Effect.gen(function*() {
    for (const name of ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"]) {
      const error = yield* Effect.flip(Tokenizer.forModel({ modelName: "org/model" })).pipe(home({ [name]: "1" }))
      assert.strictEqual(error.reason, "FolderMissing")
      assert.include(error.message, "HF_HUB_OFFLINE")
    }
    assert.lengthOf(asked, 0)
    roundTrips(yield* Tokenizer.forModel({ modelName: "org/model" }).pipe(home({ HF_HUB_OFFLINE: "0" })))
  }).pipe(Effect.provide([layer, NodeContext.layer]))
})

it.scoped("finds the cache by HF_HOME, HF_HUB_CACHE or XDG_CACHE_HOME, with no home folder at all", () =>
  Effect.gen(function*() {
    const files = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const folder = yield* files.makeTempDirectoryScoped()
    const hub = path.join(folder, "huggingface", "hub")
    const model = path.join(hub, "models--org--name")
    yield* files.makeDirectory(path.join(model, "refs"), { recursive: true })
    yield* files.writeFileString(path.join(model, "refs", "main"), "abc")
    yield* files.makeDirectory(path.join(model, "snapshots", "abc"), { recursive: true })
    yield* files.writeFileString(path.join(model, "snapshots", "abc", "tokenizer.json"), shippedFile)
    for (
      const settings of [
        { HF_HOME: path.join(folder, "huggingface") },
        { HF_HUB_CACHE: hub },
        { XDG_CACHE_HOME: folder },
        { HOME: folder, HF_HOME: "~/huggingface" }
      ]
    ) {
      roundTrips(yield* Tokenizer.forModel({ modelName: "org/name" }).pipe(home(settings)))
    }
  }).pipe(Effect.provide(NodeContext.layer)))

it.effect("no id of a span goes to the Hub", () => {
  const { asked, layer } = web(given)
  return Effect.gen(function*() {
    yield* Effect.withSpan(Tokenizer.forModel({ modelName: "org/model" }), "mine")
    assert.lengthOf(asked, 2)
    for (const { headers } of asked) assert.notIncludeMembers(Object.keys(headers), ["traceparent", "b3"])
  }).pipe(home({ HOME: "/nowhere" }), Effect.provide([layer, NodeContext.layer]))
})

it.effect("no error tells the token", () => {
  const answers = [new Response(null, { status: 403 }), new Response("no JSON")]
  return Effect.gen(function*() {
    for (const answer of answers) {
      const { layer } = web(() => answer)
      const error = yield* Effect.flip(Tokenizer.forModel({ modelName: "org/model" })).pipe(Effect.provide(layer))
      assert.notInclude(JSON.stringify(error) + Inspectable.toStringUnknown(error), "hf_secret")
    }
    const layer = Layer.succeed(
      HttpClient.HttpClient,
      HttpClient.make((request) =>
        Effect.fail(new HttpClientError.RequestError({ request, reason: "Transport", cause: request.headers }))
      )
    )
    const error = yield* Effect.flip(Tokenizer.forModel({ modelName: "org/model" })).pipe(Effect.provide(layer))
    assert.strictEqual(error.reason, "DownloadFailed")
    assert.notInclude(JSON.stringify(error) + Inspectable.toStringUnknown(error), "hf_secret")
  }).pipe(home({ HOME: "/nowhere", HF_TOKEN: "hf_secret" }), Effect.provide(NodeContext.layer))
})
