import { FileSystem, HttpClient, HttpClientError, HttpClientResponse, Path } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import { ConfigProvider, Deferred, Effect, Fiber, Inspectable, Layer } from "effect"
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { unpacked } from "../scripts/storedShipped.js"
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
    let models = 0
    const sent = (settings: Record<string, string>) => {
      const { asked, layer } = web(given)
      // Another model each time: one that was loaded is kept in the home folder.
      return Tokenizer.forModel({ modelName: `org/model${models++}` }).pipe(
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

/** A folder of its own for what the Hugging Face libraries keep, and what its environment says of it. */
const cacheFolder = Effect.gen(function*() {
  const files = yield* FileSystem.FileSystem
  const folder = yield* files.makeTempDirectoryScoped()
  return { folder, in: home({ HF_HOME: folder }) }
})

const commit = "0123456789abcdef0123456789abcdef01234567"

it.scoped("keeps what it has loaded, of one commit, so that a second program asks for nothing", () =>
  Effect.gen(function*() {
    const files = yield* FileSystem.FileSystem
    const cache = yield* cacheFolder
    const first = web((url) =>
      url.pathname.endsWith("/tokenizer.json")
        ? new Response(shippedFile, { headers: { "x-repo-commit": commit } })
        : new Response("{\"eos_token\": \"\\n\"}")
    )
    const loaded = yield* Tokenizer.forModel({ modelName: "org/model" }).pipe(cache.in, Effect.provide(first.layer))
    assert.deepStrictEqual(first.asked.map(({ url }) => url), [
      "https://huggingface.co/org/model/resolve/main/tokenizer.json",
      `https://huggingface.co/org/model/resolve/${commit}/tokenizer_config.json`
    ])
    const model = `${cache.folder}/hub/models--org--model`
    assert.strictEqual(yield* files.readFileString(`${model}/refs/main`), commit)
    assert.strictEqual(yield* files.readFileString(`${model}/snapshots/${commit}/tokenizer.json`), shippedFile)
    assert.deepStrictEqual((yield* files.readDirectory(model)).sort(), ["refs", "snapshots"])

    const second = web(() => new Response(null, { status: 500 }))
    for (const offline of [{}, { HF_HUB_OFFLINE: "1" }]) {
      const again = yield* Tokenizer.forModel({ modelName: "org/model" }).pipe(
        home({ HF_HOME: cache.folder, ...offline }),
        Effect.provide(second.layer)
      )
      assert.strictEqual(again.eosToken, loaded.eosToken)
      roundTrips(again)
    }
    assert.lengthOf(second.asked, 0)
  }).pipe(Effect.provide(NodeContext.layer)))

it.effect("keeps nothing in a home folder that is not there", () => {
  const { layer } = web(given)
  return Effect.gen(function*() {
    const files = yield* FileSystem.FileSystem
    roundTrips(yield* Tokenizer.forModel({ modelName: "org/model" }))
    assert.isFalse(yield* files.exists("/nowhere"))
  }).pipe(home({ HOME: "/nowhere" }), Effect.provide([layer, NodeContext.layer]))
})

it.scoped("gives a tokenizer also where it cannot be kept", () =>
  Effect.gen(function*() {
    const files = yield* FileSystem.FileSystem
    const file = yield* files.makeTempFileScoped()
    const { layer } = web(given)
    roundTrips(
      yield* Tokenizer.forModel({ modelName: "org/model" }).pipe(
        home({ HF_HOME: `${file}/not` }),
        Effect.provide(layer)
      )
    )
  }).pipe(Effect.provide(NodeContext.layer)))

it.scoped("never uses half a download, and loads it anew", () =>
  Effect.gen(function*() {
    const files = yield* FileSystem.FileSystem
    const cache = yield* cacheFolder
    const size = String(new TextEncoder().encode(shippedFile).length)
    const half = shippedFile.slice(0, 1000)
    const broken = () =>
      new ReadableStream<Uint8Array>({
        start: (body) => body.enqueue(new TextEncoder().encode(half)),
        pull: (body) => body.error(new Error("reset"))
      })
    const cuts: ReadonlyArray<(url: URL) => Response> = [
      () => new Response(half, { headers: { "content-length": size } }),
      () => new Response(half),
      () => new Response(broken()),
      (url) =>
        url.host === "files.test"
          ? new Response(half)
          : new Response(null, { status: 302, headers: { location: "https://files.test/a", "x-linked-size": size } }),
      // The second file is cut.
      (url) => url.pathname.endsWith("/tokenizer.json") ? new Response(shippedFile) : new Response("{\"eos_token\": ")
    ]
    for (const cut of cuts) {
      const error = yield* Tokenizer.forModel({ modelName: "org/model" }).pipe(
        cache.in,
        Effect.provide(web(cut).layer),
        Effect.flip
      )
      assert.include(["DownloadFailed", "Malformed"], error.reason)
      assert.isFalse(yield* files.exists(`${cache.folder}/hub`))
    }
    // What an interrupted program has left is no tokenizer.
    const left = `${cache.folder}/hub/models--org--model`
    yield* files.makeDirectory(`${left}/incomplete-1`, { recursive: true })
    yield* files.writeFileString(`${left}/incomplete-1/tokenizer.json`, half)
    yield* files.makeDirectory(`${left}/snapshots/main`, { recursive: true })
    yield* files.writeFileString(`${left}/snapshots/main/tokenizer_config.json`, "{}")
    const whole = web(given)
    roundTrips(yield* Tokenizer.forModel({ modelName: "org/model" }).pipe(cache.in, Effect.provide(whole.layer)))
    assert.lengthOf(whole.asked, 2)
  }).pipe(Effect.provide(NodeContext.layer)))

/** The Hub, whose answers wait, and how often it was asked for a tokenizer. */
const slowHub = Effect.gen(function*() {
  const gate = yield* Deferred.make<void>()
  const asked: Array<string> = []
  const layer = Layer.succeed(
    HttpClient.HttpClient,
    HttpClient.make((request, url) => {
      asked.push(url.pathname)
      return Effect.as(Deferred.await(gate), HttpClientResponse.fromWeb(request, given(url)))
    })
  )
  return { asked, layer, open: Deferred.succeed(gate, undefined) }
})

it.effect("loads once what many ask for at once or later, for all clients", () =>
  Effect.gen(function*() {
    const { asked, layer, open } = yield* slowHub
    const all = yield* Effect.gen(function*() {
      const loading = yield* Effect.fork(Effect.all(
        Array.from({ length: 20 }, (_, i) =>
          Tokenizer.forModel(i % 2 === 0 ? { modelName: "org/model" } : { modelName: "org/model/b" })),
        { concurrency: "unbounded" }
      ))
      yield* Effect.yieldNow()
      yield* open
      const all = yield* Fiber.join(loading)
      return [...all, yield* Tokenizer.forModel({ modelData: { tokenizerId: "org/model:x" } })]
    }).pipe(Effect.provide(layer))
    assert.strictEqual(new Set(all).size, 1)
    assert.deepStrictEqual(asked, [
      "/org/model/resolve/main/tokenizer.json",
      "/org/model/resolve/main/tokenizer_config.json"
    ])
  }).pipe(home({ HOME: "/nowhere" }), Effect.provide(NodeContext.layer)))

it.effect("goes on for those who wait when the one that loads is interrupted", () =>
  Effect.gen(function*() {
    const { asked, layer, open } = yield* slowHub
    const load = Tokenizer.forModel({ modelName: "org/model" }).pipe(Effect.provide(layer))
    const first = yield* Effect.fork(load)
    while (asked.length === 0) yield* Effect.yieldNow()
    const second = yield* Effect.fork(load)
    yield* Effect.yieldNow()
    yield* Fiber.interrupt(first)
    yield* open
    roundTrips(yield* Fiber.join(second))
    assert.lengthOf(asked, 3)
  }).pipe(home({ HOME: "/nowhere" }), Effect.provide(NodeContext.layer)))

it.effect("tells all who wait that loading failed, and tries again for who asks later", () =>
  Effect.gen(function*() {
    let isUp = false
    const { asked, layer } = web((url) => isUp ? given(url) : new Response(null, { status: 503 }))
    yield* Effect.gen(function*() {
      const failures = yield* Effect.all(
        Array.from({ length: 5 }, () => Effect.flip(Tokenizer.forModel({ modelName: "org/model" }))),
        { concurrency: "unbounded" }
      )
      for (const { reason } of failures) assert.strictEqual(reason, "DownloadFailed")
      assert.lengthOf(asked, 1)
      isUp = true
      roundTrips(yield* Tokenizer.forModel({ modelName: "org/model" }))
    }).pipe(Effect.provide(layer))
  }).pipe(home({ HOME: "/nowhere" }), Effect.provide(NodeContext.layer)))

it.effect("keeps the 32 tokenizers that were asked for last", () =>
  Effect.gen(function*() {
    const { asked, layer } = web(given)
    const load = (i: number) => Tokenizer.forModel({ modelName: `org/model${i}` })
    yield* Effect.gen(function*() {
      for (let i = 0; i < 32; i++) yield* load(i)
      yield* load(0)
      yield* load(32)
      assert.lengthOf(asked, 66)
      yield* load(0)
      assert.lengthOf(asked, 66)
      yield* load(1)
      assert.lengthOf(asked, 68)
    }).pipe(Effect.provide(layer))
  }).pipe(home({ HOME: "/nowhere" }), Effect.provide(NodeContext.layer)))

it.effect("takes what is registered for a name, once, before all else", () =>
  Effect.gen(function*() {
    let loads = 0
    const own = Effect.zipRight(
      Effect.sync(() => void (loads += 1)),
      Tokenizer.make({ tokenizerJson: JSON.parse(shippedFile) })
    )
    const { asked, layer } = web(given)
    yield* Effect.gen(function*() {
      for (const name of ["thinkingmachines/Inkling", "org/model", "org/model/variant"]) {
        const [one, other] = yield* Effect.all([
          Tokenizer.forModel({ modelName: name }),
          Tokenizer.forModel({ modelName: name })
        ])
        assert.strictEqual(one, other)
      }
      assert.strictEqual(loads, 2)
      assert.lengthOf(asked, 0)
    }).pipe(
      Effect.provideService(Tokenizer.Overrides, { "thinkingmachines/Inkling": own, "org/model": own }),
      Effect.provide(layer)
    )
  }).pipe(home({ HOME: "/nowhere" }), Effect.provide(NodeContext.layer)))

it.effect("asks the Hub for nothing that is no name of its own", () =>
  Effect.gen(function*() {
    const { asked, layer } = web(given)
    for (const tokenizerId of ["../../api/whoami-v2?x=", "org/..", "a/b/c", "C\\x", "org/model#x"]) {
      const error = yield* Effect.flip(Tokenizer.forModel({ modelData: { tokenizerId } })).pipe(Effect.provide(layer))
      assert.strictEqual(error.reason, "FolderMissing")
      assert.include(error.message, tokenizerId)
    }
    assert.lengthOf(asked, 0)
  }).pipe(home({ HOME: "/nowhere" }), Effect.provide(NodeContext.layer)))

it.effect("says of the tokenizers of Thinking Machines where they are, and asks nobody", () =>
  Effect.gen(function*() {
    const { asked, layer } = web(given)
    for (const name of ["thinkingmachines/Inkling", "TML/Some-Model", "thinkingmachines/Inkling/variant"]) {
      const error = yield* Effect.flip(Tokenizer.forModel({ modelName: name })).pipe(Effect.provide(layer))
      assert.strictEqual(error.reason, "Unsupported")
      assert.include(error.message, "tml-renderers")
      assert.include(error.message, "Overrides")
    }
    assert.lengthOf(asked, 0)
  }).pipe(home({ HOME: "/nowhere" }), Effect.provide(NodeContext.layer)))

const kept = unpacked(readFileSync(new URL("./fixtures/shippedTokenizers.json.br", import.meta.url)))
const kimi = kept.tokenizers.find(({ name }) => name === "KimiK2Thinking")!
const kimiRanks = kept.vocabularies[kimi.vocabulary]!.ranks
/** The Hub's files of a Kimi model: its special tokens follow the tokens of the file at once. */
const kimiFirst = kimiRanks.split("\n").length
const kimiFiles: Readonly<Record<string, string>> = {
  // The tokens of the file are numbered anew, as some of the true ones are left out.
  "tiktoken.model": kimiRanks.split("\n").map((line, i) => `${line.split(" ")[0]!} ${i}\n`).join(""),
  "tokenizer_config.json": JSON.stringify({
    auto_map: { AutoTokenizer: ["tokenization_kimi.TikTokenTokenizer", null] },
    added_tokens_decoder: {
      [kimiFirst]: { content: "[BOS]", special: true },
      [kimiFirst + 1]: { content: "[EOS]", special: true },
      [kimiFirst + 2]: { content: "<|im_end|>", special: true }
    },
    bos_token: "[BOS]",
    eos_token: { content: "[EOS]" }
  })
}

const kimiNames = [
  ["moonshotai/Kimi-K2-Thinking", "moonshotai/Kimi-K2-Thinking", "612681931a8c906ddb349f8ad0f582cb552189cd"],
  ["moonshotai/Kimi-K2.5", "moonshotai/Kimi-K2.5", "4d01dfe0332d63057c186e0b262165819efb6611"],
  ["moonshotai/Kimi-K2.5-Text-Only", "moonshotai/Kimi-K2.5", "4d01dfe0332d63057c186e0b262165819efb6611"],
  ["moonshotai/Kimi-K2.6", "moonshotai/Kimi-K2.6", "b5aabbfb20227ed42becbf5541dbffd213942c58"],
  ["moonshotai/Kimi-K3", "moonshotai/Kimi-K3", "f831ab66814297da540d832a5235f8e904f29d06"]
] as const

for (const [name, repository, revision] of kimiNames) {
  it.scoped(`reads ${name} at the revision that was looked at, and keeps it there`, () =>
    Effect.gen(function*() {
      const files = yield* FileSystem.FileSystem
      const cache = yield* cacheFolder
      const { asked, layer } = web((url) => new Response(kimiFiles[url.pathname.split("/").at(-1)!]!))
      const load = Tokenizer.forModel({ modelName: name }).pipe(cache.in)
      const tokenizer = yield* Effect.provide(load, layer)
      assert.deepStrictEqual(asked.map(({ url }) => url), [
        `https://huggingface.co/${repository}/resolve/${revision}/tiktoken.model`,
        `https://huggingface.co/${repository}/resolve/${revision}/tokenizer_config.json`
      ])
      const folder = `${cache.folder}/hub/models--${repository.replace("/", "--")}`
      assert.isTrue(yield* files.exists(`${folder}/snapshots/${revision}/tiktoken.model`))
      assert.isFalse(yield* files.exists(`${folder}/refs`))
      assert.strictEqual(tokenizer.bosToken, kimiFirst)
      assert.strictEqual(tokenizer.eosToken, kimiFirst + 1)
      assert.strictEqual(tokenizer.vocabularySize, kimiFirst + 256)
      assert.strictEqual(tokenizer.tokenId("<|im_end|>"), kimiFirst + 2)
      assert.strictEqual(tokenizer.tokenId(`<|reserved_token_${kimiFirst + 3}|>`), kimiFirst + 3)
      const text = "I'll say 漢字仮名 12345"
      assert.strictEqual(tokenizer.decode(tokenizer.encode(text)), text)
      const later = web(() => new Response(null, { status: 500 }))
      assert.deepStrictEqual((yield* Effect.provide(load, later.layer)).encode(text), tokenizer.encode(text))
      assert.lengthOf(later.asked, 0)
    }).pipe(Effect.provide(NodeContext.layer)))
}

it.effect("looks for a tiktoken.model where there is no tokenizer.json, and takes only what it knows the pattern of", () =>
  Effect.gen(function*() {
    const files = { ...kimiFiles }
    const { asked, layer } = web((url) => {
      const file = files[url.pathname.split("/").at(-1)!]
      return file === undefined ? new Response(null, { status: 404 }) : new Response(file)
    })
    const load = Tokenizer.forModel({ modelName: "moonshotai/Kimi-K2-Instruct" })
    assert.strictEqual((yield* Effect.provide(load, layer)).bosToken, kimiFirst)
    assert.lengthOf(asked, 3)
    files["tokenizer_config.json"] = "{\"tokenizer_class\": \"OtherTokenizer\"}"
    const error = yield* Effect.flip(Tokenizer.forModel({ modelName: "org/other" })).pipe(Effect.provide(layer))
    assert.strictEqual(error.reason, "Unsupported")
    assert.include(error.message, "Tiktoken.layerFile")
  }).pipe(home({ HOME: "/nowhere" }), Effect.provide(NodeContext.layer)))
