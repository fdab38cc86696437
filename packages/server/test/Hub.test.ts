import { BigramEngine, Engine } from "@effect-tinker/engine"
import { HttpClient, HttpClientRequest } from "@effect/platform"
import { NodeHttpServer } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { CheckpointStore, type TinkerProtocol, TinkerServer } from "../src/index.js"

const text = (bytes: string) => Effect.sync(() => new TextEncoder().encode(bytes))

const tokenizer = JSON.stringify({ version: "1.0" })

const published: Engine.BaseModel["files"] = new Map([
  ["config.json", text("{}")],
  ["tokenizer.json", text(tokenizer)],
  // Sent as it is read, not as a whole.
  ["vocab.json", text("x".repeat(300_000))]
])

const engine = (names: ReadonlyArray<string>, files = published) => {
  const bigram = BigramEngine.make({ baseModels: names })
  return Layer.succeed(Engine.Engine, {
    ...bigram,
    baseModels: bigram.baseModels.map((model) => ({ ...model, files }))
  })
}

const inProcess = (names: ReadonlyArray<string>, options: TinkerProtocol.Options = {}, files = published) =>
  TinkerServer.layerClientWithStore(options).pipe(Layer.provide([engine(names, files), CheckpointStore.layerMemory]))

const ask = (method: "GET" | "HEAD", path: string, headers: Record<string, string> = {}) =>
  Effect.gen(function*() {
    const client = yield* HttpClient.HttpClient
    const url = path.startsWith("http") ? path : `http://tinker.test${path}`
    const answer = yield* client.execute(HttpClientRequest.make(method)(url, { headers }))
    const body = yield* answer.text
    return { status: answer.status, headers: answer.headers, body }
  })

it.effect("a base model's files are where a Hugging Face hub has them, for whoever asks", () =>
  Effect.gen(function*() {
    const { body, headers, status } = yield* ask("GET", "/Qwen/Qwen3-8B/resolve/main/tokenizer.json")
    assert.strictEqual(status, 200)
    assert.strictEqual(body, tokenizer)
    const commit = headers["x-repo-commit"]!
    assert.match(commit, /^[0-9a-f]{40}$/)
    assert.match(headers.etag!, /^"[0-9a-f]{64}"$/)
    assert.strictEqual(headers["content-length"], String(tokenizer.length))

    const again = yield* ask("GET", `/Qwen/Qwen3-8B/resolve/${commit}/tokenizer.json`, {
      "if-none-match": headers.etag!
    })
    assert.strictEqual(again.status, 304)
    const rest = yield* ask("GET", `/Qwen/Qwen3-8B/resolve/main/vocab.json`, { range: "bytes=299990-" })
    assert.deepStrictEqual([rest.status, rest.body], [206, "x".repeat(10)])
  }).pipe(Effect.provide(inProcess(["Qwen/Qwen3-8B"], { apiKeys: ["tml-mine"] }))))

const numbered = (length: number) => Array.from({ length }, (_, i) => String.fromCharCode(97 + i % 23)).join("")

// The second is sent as it is read, and so are most of its parts.
for (const size of [1000, 700_000]) {
  const whole = numbered(size)
  const files = new Map([["vocab.txt", text(whole)], ["empty.txt", text("")]])
  const server = inProcess(["org/model"], {}, files)
  const path = "/org/model/resolve/main/vocab.txt"

  const parts: ReadonlyArray<readonly [range: string, from: number, to: number]> = [
    ["bytes=0-9", 0, 10],
    ["bytes=0-", 0, size],
    ["bytes=0-0", 0, 1],
    ["bytes=17-899", 17, 900],
    [`bytes=17-${size - 2}`, 17, size - 1],
    [`bytes=${size - 1}-`, size - 1, size],
    [`bytes=${size - 3}-${size + 3}`, size - 3, size],
    ["bytes=5-99999999999999999999", 5, size],
    ["bytes=-7", size - 7, size],
    [`bytes=-${size + 1}`, 0, size],
    ["Bytes= 2-4 ,", 2, 5]
  ]
  it.effect(`one part of ${size} bytes is sent as it is asked for`, () =>
    Effect.gen(function*() {
      for (const [range, from, to] of parts) {
        const { body, headers, status } = yield* ask("GET", path, { range })
        assert.strictEqual(status, 206, range)
        assert.strictEqual(body, whole.slice(from, to), range)
        assert.strictEqual(headers["content-range"], `bytes ${from}-${to - 1}/${size}`)
        assert.strictEqual(headers["content-length"], String(to - from))
      }
    }).pipe(Effect.provide(server)))

  it.effect(`of ${size} bytes a part behind the end is refused, with how many there are`, () =>
    Effect.gen(function*() {
      for (const range of [`bytes=${size}-`, `bytes=${size}-${size + 9}`, "bytes=99999999999999999999-", "bytes=-0"]) {
        const { headers, status } = yield* ask("GET", path, { range })
        assert.deepStrictEqual([status, headers["content-range"]], [416, `bytes */${size}`], range)
      }
    }).pipe(Effect.provide(server)))

  const unclear = ["bytes=0-1,4-5", "bytes=9-3", "bytes=-", "bytes=", "bytes=a-b", "bytes=1.5-2", "lines=0-9", "0-9"]
  it.effect(`all ${size} bytes are sent to whoever asks for several parts, or for none that there can be`, () =>
    Effect.gen(function*() {
      for (const range of unclear) {
        const { body, headers, status } = yield* ask("GET", path, { range })
        assert.deepStrictEqual([status, body === whole, headers["content-range"]], [200, true, undefined], range)
      }
      const empty = yield* ask("GET", "/org/model/resolve/main/empty.txt", { range: "bytes=0-" })
      assert.deepStrictEqual([empty.status, empty.body], [200, ""])
    }).pipe(Effect.provide(server)))

  it.effect(`a part of ${size} bytes is sent only of the file that the client has begun with`, () =>
    Effect.gen(function*() {
      const { etag } = (yield* ask("GET", path)).headers
      const withCondition = (condition: string, range: string) =>
        Effect.map(ask("GET", path, { range, "if-range": condition }), ({ status }) => status)
      assert.strictEqual(yield* withCondition(etag!, "bytes=3-5"), 206)
      assert.strictEqual(yield* withCondition(`W/${etag}`, "bytes=3-5"), 200)
      assert.strictEqual(yield* withCondition("\"other\"", `bytes=${size}-`), 200)
      assert.strictEqual(yield* withCondition("Wed, 21 Oct 2015 07:28:00 GMT", "bytes=3-5"), 200)
      assert.strictEqual((yield* ask("GET", path, { range: "bytes=3-5", "if-none-match": etag! })).status, 304)
    }).pipe(Effect.provide(server)))
}

it.effect("a file is not sent to whoever has it, as any of the tags says that the client knows, weak ones too", () =>
  Effect.gen(function*() {
    const path = "/org/model/resolve/main/config.json"
    const { etag } = (yield* ask("GET", path)).headers
    const status = (headers: Record<string, string>) => Effect.map(ask("GET", path, headers), ({ status }) => status)
    const known = ["*", ` ${etag} `, `W/${etag}`, `"a,b", W/"c",${etag}`, `"x" , W/${etag}, "y"`]
    for (const tags of known) assert.strictEqual(yield* status({ "if-none-match": tags }), 304, tags)
    const unknown = ["\"other\"", `"x${etag!.slice(1)}`, "", `w/${etag!.slice(0, -1)}`]
    for (const tags of unknown) assert.strictEqual(yield* status({ "if-none-match": tags }), 200, tags)
    for (const tags of ["*", etag!, `"a,b",${etag}`]) assert.strictEqual(yield* status({ "if-match": tags }), 200, tags)
    for (const tags of ["\"other\"", `W/${etag}`, ""]) {
      assert.strictEqual(yield* status({ "if-match": tags, range: "bytes=0-0" }), 412, tags)
    }
    assert.strictEqual(yield* status({ "if-match": "\"other\"", "if-none-match": etag! }), 412)
    assert.strictEqual(yield* status({ "if-unmodified-since": "Wed, 21 Oct 2015 07:28:00 GMT" }), 200, "it has no date")
  }).pipe(Effect.provide(inProcess(["org/model"]))))

it.effect("a hub's questions about a model and the list of its files are answered", () =>
  Effect.gen(function*() {
    const model = yield* ask("GET", "/api/models/org/model")
    const { id, sha, siblings, tags } = JSON.parse(model.body)
    assert.deepStrictEqual([id, tags], ["org/model", ["transformers"]])
    assert.deepStrictEqual(siblings, Array.from(published.keys(), (rfilename) => ({ rfilename })))
    assert.deepStrictEqual(yield* ask("GET", `/api/models/org/model/revision/${sha}`), model)
    const tree = yield* ask("GET", `/api/models/org/model/tree/main?recursive=true&expand=false`)
    assert.deepStrictEqual(
      JSON.parse(tree.body).map((one: Record<string, unknown>) => [one.type, one.path, one.size]),
      [["file", "config.json", 2], ["file", "tokenizer.json", tokenizer.length], ["file", "vocab.json", 300_000]]
    )
    const templates = yield* ask("GET", "/api/models/org/model/tree/main/additional_chat_templates?recursive=false")
    assert.deepStrictEqual([templates.status, templates.headers["x-error-code"]], [404, "EntryNotFound"])
  }).pipe(Effect.provide(inProcess(["org/model"]))))

it.effect("what there is not is told in the hub's words, with the commit by which clients remember it", () =>
  Effect.gen(function*() {
    const commit = (yield* ask("HEAD", "/org/model/resolve/main/config.json")).headers["x-repo-commit"]
    for (const file of ["model.safetensors", "README.md", "..%2f..%2fetc%2fpasswd", "config.json%00", "Config.json"]) {
      const { headers, status } = yield* ask("GET", `/org/model/resolve/main/${file}`)
      assert.deepStrictEqual([status, headers["x-error-code"]], [404, "EntryNotFound"], file)
      assert.strictEqual(headers["x-repo-commit"], commit)
    }
    for (
      const [path, code] of [
        ["/org/other/resolve/main/config.json", "RepoNotFound"],
        ["/api/models/model", "RepoNotFound"],
        ["/toString/resolve/main/config.json", "RepoNotFound"],
        ["/org/model/resolve/v2/config.json", "RevisionNotFound"],
        ["/api/models/org/model/tree/refs%2Fpr%2F1", "RevisionNotFound"]
      ]
    ) {
      const { headers, status } = yield* ask("GET", path!)
      assert.deepStrictEqual([status, headers["x-error-code"]], [404, code], path)
    }
  }).pipe(Effect.provide(inProcess(["org/model"]))))

it.effect("a base model answers to its name, and to what clients make of it to load a tokenizer", () =>
  Effect.gen(function*() {
    const found = (name: string) =>
      Effect.map(ask("HEAD", `/${name}/resolve/main/tokenizer.json`), ({ status }) => status)
    for (
      const name of [
        "plain",
        "org/model",
        "Qwen/Qwen3.5-9B",
        "meta-llama/Llama-3.1-8B",
        "thinkingmachineslabinc/meta-llama-3-instruct-tokenizer"
      ]
    ) assert.strictEqual(yield* found(name), 200, name)
    for (const name of ["org", "model", "org/Model", "Qwen/Qwen3.5-9B:peft"]) {
      assert.strictEqual(yield* found(name), name.endsWith(":peft") ? 200 : 404, name)
    }
  }).pipe(
    Effect.provide(inProcess(["plain", "org/model/long-context", "Qwen/Qwen3.5-9B:peft", "meta-llama/Llama-3.1-8B"]))
  ))

it.effect("of two models that clients take for one the tokenizer is that of the one with the very name", () =>
  Effect.gen(function*() {
    const bigram = BigramEngine.make({ baseModels: ["org/model:variant", "org/model"] })
    const engine = Layer.succeed(Engine.Engine, {
      ...bigram,
      baseModels: bigram.baseModels.map((model) => ({ ...model, files: new Map([["vocab.txt", text(model.name)]]) }))
    })
    const layer = TinkerServer.layerClientWithStore().pipe(Layer.provide([engine, CheckpointStore.layerMemory]))
    const { body } = yield* Effect.provide(ask("GET", "/org/model/resolve/main/vocab.txt"), layer)
    assert.strictEqual(body, "org/model")
  }))

it.effect("a file that was changed since it was described, or cannot be read, is not sent", () =>
  Effect.gen(function*() {
    let now = "one"
    const failing = Effect.fail(
      new Engine.EngineError({ reason: "UnsupportedModel", description: "vocab.txt is gone" })
    )
    const files = new Map([["vocab.txt", Effect.suspend(() => now === "" ? failing : text(now))]])
    yield* Effect.gen(function*() {
      const path = "/org/model/resolve/main/vocab.txt"
      assert.strictEqual((yield* ask("GET", path)).body, "one")
      now = "two"
      const changed = yield* ask("GET", path)
      assert.strictEqual(changed.status, 500)
      assert.include(changed.body, "changed while the server ran")
      now = ""
      assert.include((yield* ask("GET", path)).body, "vocab.txt is gone")
    }).pipe(Effect.provide(inProcess(["org/model"], {}, files)))
  }))

it.live("on a port, what HEAD says is what GET sends, and pages of others get nothing", () => {
  const layer = TinkerServer.layer().pipe(
    Layer.provideMerge(NodeHttpServer.layerTest),
    Layer.provide(engine(["org/model"])),
    Layer.provide(CheckpointStore.layerMemory)
  )
  return Effect.gen(function*() {
    for (const [name, size] of [["tokenizer.json", tokenizer.length], ["vocab.json", 300_000]] as const) {
      const client = yield* HttpClient.HttpClient
      const path = `/org/model/resolve/main/${name}`
      const head = yield* client.head(path)
      const get = yield* client.get(path)
      assert.strictEqual(yield* head.text, "")
      assert.lengthOf(yield* get.text, size)
      for (const header of ["content-length", "etag", "x-repo-commit", "accept-ranges"]) {
        assert.strictEqual(head.headers[header], get.headers[header], `${header} of ${name}`)
      }
      assert.strictEqual(head.headers["content-length"], String(size))
      const part = yield* client.get(path, { headers: { range: "bytes=4-9" } })
      assert.deepStrictEqual([part.status, part.headers["content-length"]], [206, "6"])
      assert.lengthOf(yield* part.text, 6)
      // By the standard parts are of GET alone.
      const headOfPart = yield* client.head(path, { headers: { range: "bytes=4-9" } })
      assert.deepStrictEqual([headOfPart.status, headOfPart.headers["content-length"]], [200, String(size)])
      const foreign = yield* client.get(path, { headers: { origin: "https://elsewhere.example" } })
      assert.strictEqual(foreign.status, 403)
    }
  }).pipe(Effect.provide(layer))
})
