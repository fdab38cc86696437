import { BigramEngine, type Engine, Safetensors } from "@effect-tinker/engine"
import * as AgeRecipient from "@effect-tinker/protocol/AgeRecipient"
import type { ModelId } from "@effect-tinker/protocol/Identifiers"
import { HttpClient, HttpClientRequest } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import * as age from "age-encryption"
import { Effect, Layer, TestClock } from "effect"
import { execFileSync } from "node:child_process"
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { CheckpointStore, TinkerServer } from "../src/index.js"

const run = "S:train:0"

const snapshot = (rank: number): Engine.Snapshot => ({
  baseModel: "bigram",
  lora: { rank: 2, seed: 1, trainAttn: true, trainMlp: true, trainUnembed: true },
  step: 3,
  weights: new Map([
    ["base_model.model.q_proj.lora_A.weight", {
      shape: [rank, 1000],
      data: Float32Array.from({ length: rank * 1000 }, (_, i) => i)
    }]
  ]),
  expAvg: new Map(),
  expAvgSq: new Map()
})

const rows = 400

const pathOf = (checkpointType: "external" | "training") => ({
  trainingRunId: run as ModelId,
  checkpointType,
  name: "final"
})

const stores = {
  memory: CheckpointStore.layerMemory,
  folder: Layer.unwrapScoped(
    Effect.map(
      Effect.acquireRelease(
        Effect.sync(() => mkdtempSync(`${tmpdir()}/store-`)),
        (folder) => Effect.sync(() => rmSync(folder, { recursive: true }))
      ),
      (folder) => Layer.provide(Layer.orDie(CheckpointStore.layer(folder)), NodeContext.layer)
    )
  )
}

const get = (url: string, headers: Record<string, string> = {}) =>
  Effect.gen(function*() {
    const { headers: answered, status, ...response } = yield* Effect.flatMap(
      HttpClient.HttpClient,
      (client) => client.execute(HttpClientRequest.get(url, { headers }))
    ).pipe(Effect.flatMap((response) =>
      Effect.map(response.arrayBuffer, (body) => ({
        status: response.status,
        headers: response.headers,
        body: new Uint8Array(body)
      }))
    ))
    return { status, headers: answered, body: response.body }
  })

const json = (body: Uint8Array) => JSON.parse(new TextDecoder().decode(body))

const api = "http://tinker.test:1234/api/v1"
const checkpoints = `${api}/training_runs/${run}/checkpoints`

const addresses = Effect.gen(function*() {
  const { body, status } = yield* get(`${checkpoints}/external_weights/final/external_weights_urls`)
  assert.strictEqual(status, 200)
  return json(body) as { readonly urls: Record<string, string>; readonly expires: string }
})

for (const [name, store] of Object.entries(stores)) {
  const server = (options: Parameters<typeof TinkerServer.layerClientWithStore>[0] = {}) =>
    TinkerServer.layerClientWithStore(options).pipe(
      Layer.provide(BigramEngine.layer()),
      Layer.provideMerge(store)
    )

  const save = (type: "external" | "training" = "external") =>
    Effect.flatMap(CheckpointStore.CheckpointStore, (store) => store.save(pathOf(type), snapshot(rows)))

  it.effect(`gives the files of external weights under its own address, kept in ${name}`, () =>
    Effect.gen(function*() {
      yield* save()
      const { expires, urls } = yield* addresses
      assert.deepStrictEqual(Object.keys(urls).sort(), ["adapter_config.json", "adapter_model.safetensors"])
      assert.strictEqual(new Date(expires).getTime(), 15 * 60_000)
      const model = yield* get(urls["adapter_model.safetensors"]!)
      assert.isTrue(urls["adapter_model.safetensors"]!.startsWith("http://tinker.test:1234/files/"))
      assert.strictEqual(Number(model.headers["content-length"]), model.body.length)
      const tensors = Safetensors.decode(model.body)
      assert.strictEqual(tensors._tag, "Right")
      const config = yield* get(urls["adapter_config.json"]!)
      assert.strictEqual(json(config.body).peft_type, "LORA")
    }).pipe(Effect.provide(server())))

  it.effect(`files of an encrypted checkpoint open for each holder of a key, and are no other's, kept in ${name}`, () =>
    Effect.gen(function*() {
      const store = yield* CheckpointStore.CheckpointStore
      const keys = yield* Effect.promise(() => Promise.all([age.generateIdentity(), age.generateIdentity()]))
      const recipients = yield* Effect.promise(() => Promise.all(keys.map(age.identityToRecipient)))
      // Longer than what is encrypted at a time, and not a multiple of it.
      const info = yield* store.save(pathOf("external"), snapshot(rows), { recipients })
      const { urls } = yield* addresses
      assert.deepStrictEqual(Object.keys(urls).sort(), ["adapter_config.json.age", "adapter_model.safetensors.age"])
      const url = urls["adapter_model.safetensors.age"]!
      const { body, headers } = yield* get(url)
      const decrypted = (key: string, bytes: Uint8Array) =>
        Effect.promise(() => {
          const decrypter = new age.Decrypter()
          decrypter.addIdentity(key)
          return decrypter.decrypt(bytes)
        })
      for (const key of keys) {
        const tensors = Safetensors.decode(yield* decrypted(key, body))
        assert.strictEqual(tensors._tag === "Right" && tensors.right.size, 1)
      }
      const config = yield* get(urls["adapter_config.json.age"]!)
      assert.strictEqual(json(yield* decrypted(keys[0]!, config.body)).peft_type, "LORA")
      assert.strictEqual(info.sizeBytes >= body.length + config.body.length, true)
      // The same bytes at each time, so that downloads go on.
      const rest = yield* get(url, { range: "bytes=70000-", "if-range": headers.etag! })
      assert.deepStrictEqual(rest.body, body.slice(70_000))
      const other = yield* Effect.promise(() => age.generateIdentity())
      assert.strictEqual(yield* Effect.exit(decrypted(other, body)).pipe(Effect.map((exit) => exit._tag)), "Failure")
      assert.strictEqual((yield* Effect.flip(store.load(pathOf("external")))).reason, "Encrypted")
    }).pipe(Effect.provide(server())))

  it.effect(`gives the rest of a file that is the same, and the whole of another, kept in ${name}`, () =>
    Effect.gen(function*() {
      yield* save()
      const url = (yield* addresses).urls["adapter_model.safetensors"]!
      const whole = yield* get(url)
      const { etag } = whole.headers
      for (const from of [1, 1000, whole.body.length - 1]) {
        const range = { range: `bytes=${from}-` }
        const part = yield* get(url, { ...range, "if-range": etag! })
        assert.strictEqual(part.status, 206)
        assert.strictEqual(
          part.headers["content-range"],
          `bytes ${from}-${whole.body.length - 1}/${whole.body.length}`
        )
        assert.deepStrictEqual(part.body, whole.body.slice(from))
        assert.strictEqual((yield* get(url, { ...range, "if-range": "\"other\"" })).status, 200)
      }
      const middle = yield* get(url, { range: "bytes=1000-400999" })
      assert.strictEqual(middle.headers["content-length"], "400000")
      assert.deepStrictEqual(middle.body, whole.body.slice(1000, 401_000))
      assert.strictEqual((yield* get(url, { range: `bytes=${whole.body.length}-` })).status, 416)
      assert.strictEqual((yield* get(url, { "if-none-match": `"other", W/${etag}` })).status, 304)
      const modified = whole.headers["last-modified"]!
      const [before, behind] = [-1000, 1000].map((by) => new Date(Date.parse(modified) + by).toUTCString())
      const conditions = [
        [{ "if-modified-since": modified }, 304],
        [{ "if-modified-since": behind! }, 304],
        [{ "if-modified-since": before! }, 200],
        [{ "if-modified-since": "lately" }, 200],
        [{ "if-modified-since": modified, "if-none-match": "\"other\"" }, 200],
        [{ "if-unmodified-since": modified }, 200],
        [{ "if-unmodified-since": before! }, 412],
        [{ "if-unmodified-since": "lately" }, 200],
        [{ "if-unmodified-since": before!, "if-match": etag! }, 200],
        [{ "if-unmodified-since": modified, "if-match": "\"other\"" }, 412]
      ] as const
      for (const [headers, status] of conditions) {
        assert.strictEqual((yield* get(url, headers)).status, status, JSON.stringify(headers))
      }
    }).pipe(Effect.provide(server())))

  it.effect(`an address is valid for its time, and no longer than its checkpoint, kept in ${name}`, () =>
    Effect.gen(function*() {
      yield* save()
      const first = (yield* addresses).urls["adapter_config.json"]!
      assert.strictEqual((yield* get(first)).status, 200)
      yield* TestClock.adjust("59 seconds")
      assert.strictEqual((yield* get(first)).status, 200)
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* get(first)).status, 403)
      assert.strictEqual((yield* get(first.replace(/files\/[^/]+/, "files/AAAA"))).status, 403)
      const second = (yield* addresses).urls["adapter_config.json"]!
      assert.notStrictEqual(first, second)
      assert.strictEqual((yield* get(`${second}x`)).status, 404)
      yield* Effect.flatMap(CheckpointStore.CheckpointStore, (store) => store.remove(pathOf("external")))
      assert.strictEqual((yield* get(second)).status, 404)
    }).pipe(Effect.provide(server({ fileUrlLifetime: "1 minute" }))))

  it.effect(`gives an archive that tar reads, from any byte on, where it is asked to, kept in ${name}`, () =>
    Effect.gen(function*() {
      yield* save("training")
      const { headers, status } = yield* get(`${checkpoints}/weights/final/archive`)
      assert.strictEqual(status, 302)
      assert.strictEqual(new Date(headers.expires!).getTime(), 15 * 60_000)
      const archive = yield* get(headers.location!)
      for (const from of [1, 511, 512, 513, 700, archive.body.length - 1]) {
        const part = yield* get(headers.location!, { range: `bytes=${from}-`, "if-range": archive.headers.etag! })
        assert.deepStrictEqual(part.body, archive.body.slice(from))
        const piece = yield* get(headers.location!, { range: `bytes=${from}-${from + 600}` })
        assert.deepStrictEqual(piece.body, archive.body.slice(from, from + 601))
      }
      const folder = mkdtempSync(`${tmpdir()}/unpacked-`)
      writeFileSync(`${folder}/archive.tar`, archive.body)
      execFileSync("tar", ["-xf", "archive.tar"], { cwd: folder })
      assert.deepStrictEqual(readdirSync(folder).sort(), ["archive.tar", "state.safetensors"])
      assert.strictEqual(Safetensors.decode(readFileSync(`${folder}/state.safetensors`))._tag, "Right")
      rmSync(folder, { recursive: true })
    }).pipe(Effect.provide(server({ archives: true }))))
}

it.effect("takes for public keys what the library that encrypts takes for them, and nothing else", () =>
  Effect.gen(function*() {
    const taken = (key: string) => {
      try {
        new age.Encrypter().addRecipient(key)
        return true
      } catch {
        return false
      }
    }
    for (let i = 0; i < 20; i++) {
      const identity = yield* Effect.promise(() => age.generateIdentity())
      const key = yield* Effect.promise(() => age.identityToRecipient(identity))
      const place = 4 + i * 2
      for (
        const given of [
          key,
          key.toUpperCase(),
          key.slice(1),
          key.slice(0, -1),
          ` ${key}`,
          `${key}\n`,
          identity,
          ...Array.from("qpzry9x8gf2tvdw0s3jn54khce6mua7l1b", (x) => key.slice(0, place) + x + key.slice(place + 1))
        ]
      ) assert.strictEqual(AgeRecipient.kindOf(given) === "native", taken(given))
    }
  }))

it.effect("tells what has no files, and that it makes no archives", () =>
  Effect.gen(function*() {
    yield* Effect.flatMap(CheckpointStore.CheckpointStore, (store) => store.save(pathOf("training"), snapshot(2)))
    for (
      const [path, status] of [
        ["weights/final/external_weights_urls", 400],
        ["external_weights/none/external_weights_urls", 404],
        ["weights/final/archive", 404],
        ["other/final/external_weights_urls", 400]
      ] as const
    ) {
      assert.strictEqual((yield* get(`${checkpoints}/${path}`)).status, status)
    }
  }).pipe(Effect.provide(
    TinkerServer.layerClientWithStore().pipe(
      Layer.provide(BigramEngine.layer()),
      Layer.provideMerge(CheckpointStore.layerMemory)
    )
  )))
