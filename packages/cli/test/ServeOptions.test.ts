import { NodeServer } from "@effect-tinker/node"
import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Either } from "effect"
import * as ServeOptions from "../src/ServeOptions.js"

const fileOf = (text: string) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const file = yield* fs.makeTempFileScoped()
    yield* fs.writeFileString(file, text)
    return file
  })

const failure = <A, R>(effect: Effect.Effect<A, { readonly message: string }, R>) =>
  Effect.map(Effect.flip(effect), ({ message }) => message)

describe("keys", () => {
  it("are one a line, with names behind them and comments between them", () => {
    assert.deepStrictEqual(ServeOptions.parseKeys("# mine\ntml-a\r\n\n  tml-b  # Bo's laptop #2\n"), [
      { key: "tml-a", name: undefined },
      { key: "tml-b", name: "Bo's laptop #2" }
    ])
  })

  it.scoped("of a file must be there, and be what a header can carry, and are never shown", () =>
    Effect.gen(function*() {
      assert.lengthOf(yield* ServeOptions.readKeys(yield* fileOf("tml-a\n")), 1)
      assert.include(yield* failure(ServeOptions.readKeys(yield* fileOf("# none\n"))), "has no key")
      const broken = yield* failure(ServeOptions.readKeys(yield* fileOf("tml-a\ntml secret\n")))
      assert.include(broken, "key 2")
      assert.notInclude(broken, "secret")
      const again = yield* failure(ServeOptions.readKeys(yield* fileOf("tml-a # Ann\ntml-b\ntml-a # Bo\n")))
      assert.include(again, "key 3 is there before")
      assert.notInclude(again, "tml-a")
    }).pipe(Effect.provide(NodeContext.layer)))
})

it.scoped("settings have the names of the wire, and one that there is not is named", () =>
  Effect.gen(function*() {
    const refused = (text: string) => Effect.flatMap(fileOf(text), (file) => failure(ServeOptions.readSettings(file)))
    const settings = {
      client_config: { fwdbwd_max_chunk_len: 2 },
      prices: { tokens: { m: { training: 1, prefill: 2, sampled: 3 } }, gigabyte_month: 4 },
      session_timeout_seconds: 300,
      keep_live_models: false,
      max_concurrent_samples: 1,
      max_models: 2,
      max_sessions: 7,
      max_waiting_bytes: 3,
      engine: { threads: 4, max_memory_bytes: 5, niceness: 6 }
    }
    const options = yield* ServeOptions.readSettings(yield* fileOf(JSON.stringify(settings)))
    assert.deepStrictEqual(options.clientConfig, { fwdbwd_max_chunk_len: 2 })
    assert.deepStrictEqual(options.prices, {
      tokens: { m: { training: 1, prefill: 2, sampled: 3 } },
      gigabyteMonth: 4
    })
    assert.strictEqual(options.sessionTimeout, 300_000)
    assert.strictEqual(options.keepLiveModels, false)
    assert.include(options, { maxConcurrentSamples: 1, maxModels: 2, maxSessions: 7, maxWaitingBytes: 3 })
    assert.deepStrictEqual(options.engine, { threads: 4, maxMemoryBytes: 5, niceness: 6 })
    assert.include(yield* refused("{\"engine\": {\"treads\": 1}}"), "engine.treads")
    assert.include(yield* refused("{\"engine\": {\"niceness\": 20}}"), "engine.niceness")
    assert.include(yield* refused("{\"max_models\": 0}"), "max_models")
    assert.include(yield* refused("{\"pricess\": {}}"), "pricess")
    assert.include(yield* refused("{\"prices\": {\"gigabyte_month\": -1}}"), "prices.gigabyte_month")
    assert.include(yield* refused("{\"token_lifetime_seconds\": 60}"), "token_lifetime_seconds")
    assert.include(yield* refused("no JSON"), "line 1: \"no\" stands where a value must")
    assert.include(
      yield* refused("{\n  \"max_models\": 1,\n}"),
      "line 3: \"}\" stands where a key in double quotes must"
    )
    assert.include(yield* refused("{\"max_models\": 1,\n \"max_models\": 2}"), "line 2: \"max_models\" is there twice")
  }).pipe(Effect.provide(NodeContext.layer)))

it.scoped("settings by which every client would fail or wait for ever are named", () =>
  Effect.gen(function*() {
    const read = (settings: unknown) =>
      Effect.flatMap(fileOf(JSON.stringify(settings)), (file) => Effect.either(ServeOptions.readSettings(file)))
    for (
      const [settings, named] of [
        [{ client_config: { fwdbwd_max_chunk_len: 0 } }, "client_config.fwdbwd_max_chunk_len"],
        [{ client_config: { fwdbwd_max_chunk_len: "two" } }, "client_config.fwdbwd_max_chunk_len"],
        [{ client_config: { sample_max_concurrent_requests: 1.5 } }, "client_config.sample_max_concurrent_requests"],
        [{ client_config: { parallel_fwdbwd_chunks: null } }, "client_config.parallel_fwdbwd_chunks"],
        [{ client_config: { pjwt_auth_enabled: true } }, "client_config.pjwt_auth_enabled"],
        [{ client_config: { pjwt_auth_enabled: false }, token_lifetime_seconds: 600 }, "pjwt_auth_enabled"],
        [{ client_config: { custom_loss_server_side: true } }, "client_config.custom_loss_server_side"],
        [{ client_config: { credential_default_source: "keychain" } }, "client_config.credential_default_source"],
        [{ dynamic_config: { refresh_interval_sec: -5 } }, "dynamic_config.refresh_interval_sec"]
      ] as const
    ) {
      const result = yield* read(settings)
      assert.isTrue(Either.isLeft(result) && result.left.message.includes(`${named} must be`), JSON.stringify(settings))
    }
    const fine = yield* read({
      client_config: { pjwt_auth_enabled: true, billing_exception_max_pause_duration_sec: 0, of_a_newer_client: "x" },
      token_lifetime_seconds: 600
    })
    assert.deepStrictEqual(Either.map(fine, ({ jwt }) => jwt), Either.right({ lifetime: 600_000 }))
  }).pipe(Effect.provide(NodeContext.layer)))

it.scoped("a file that cannot be read is said to be missing, or a folder, without words of the system", () =>
  Effect.gen(function*() {
    const folder = yield* Effect.flatMap(FileSystem.FileSystem, (fs) => fs.makeTempDirectoryScoped())
    assert.strictEqual(
      yield* failure(ServeOptions.readKeys(`${folder}/none`)),
      `--key-file ${folder}/none cannot be read: there is no such file.`
    )
    assert.strictEqual(
      yield* failure(ServeOptions.readSettings(`${folder}/none`)),
      `--settings ${folder}/none cannot be read: there is no such file.`
    )
    assert.strictEqual(
      yield* failure(ServeOptions.readSettings(folder)),
      `--settings ${folder} cannot be read: it is a folder. Give a file.`
    )
  }).pipe(Effect.provide(NodeContext.layer)))

it.scoped("a file that begins with the mark of an editor is read all the same", () =>
  Effect.gen(function*() {
    const options = yield* ServeOptions.readSettings(yield* fileOf("\uFEFF{\"max_models\": 2}"))
    assert.strictEqual(options.maxModels, 2)
  }).pipe(Effect.provide(NodeContext.layer)))

it.scoped("an address that is in use, or of another machine, is told of in plain words", () =>
  Effect.gen(function*() {
    const server = yield* NodeServer.make({ port: 0, host: "127.0.0.1" })
    assert.isTrue(server.address._tag === "TcpAddress")
    if (server.address._tag !== "TcpAddress") return
    const taken = yield* failure(ServeOptions.checkAddress("127.0.0.1", server.address.port))
    assert.include(taken, `cannot listen on 127.0.0.1:${server.address.port}: another program`)
    assert.include(taken, "--port")
    assert.notInclude(taken, "EADDR")
    assert.include(yield* failure(ServeOptions.checkAddress("192.0.2.1", 0)), "no address of this machine")
    yield* ServeOptions.checkAddress("127.0.0.1", 0)
  }))

it("what there is of an earlier server is told in a line, and nothing is not", () => {
  const none = { sessions: 0, liveModels: 0, lostModels: 0, samplers: 0, results: 0, requests: 0 }
  assert.isUndefined(ServeOptions.restoredLine(none))
  assert.strictEqual(
    ServeOptions.restoredLine({ sessions: 2, liveModels: 1, lostModels: 1, samplers: 0, results: 3, requests: 1 }),
    "goes on with 2 sessions, 1 live model, 3 results, 1 request to be done, "
      + "1 model lost, to be gone on with from a checkpoint"
  )
})

it("Python programs are told all three variables, with a key of the kind that they want, and never a real one", () => {
  const url = "http://127.0.0.1:8787"
  assert.include(
    ServeOptions.pythonLine(url, false),
    `TINKER_BASE_URL=${url} HF_ENDPOINT=${url} TINKER_API_KEY=tml-local`
  )
  const withKeys = ServeOptions.pythonLine(url, true)
  assert.include(withKeys, "TINKER_API_KEY=KEY, one of --key-file that begins with tml-")
  assert.notInclude(withKeys, "tml-local")
})

it("an address that others can reach needs keys", () => {
  const allowed = (host: string, hasKeys: boolean) =>
    Either.isRight(Effect.runSync(Effect.either(ServeOptions.checkExposure(host, hasKeys))))
  for (const host of ["127.0.0.1", "127.1.2.3", "::1", "localhost"]) assert.isTrue(allowed(host, false), host)
  for (const host of ["0.0.0.0", "::", "192.168.1.2", "example.org", "127.0.0.1.example.org"]) {
    assert.isFalse(allowed(host, false), host)
    assert.isTrue(allowed(host, true), host)
  }
})

it("the address for clients is one of a server as a whole", () => {
  const checked = (text: string) => Effect.runSync(Effect.either(ServeOptions.checkPublicUrl(text)))
  assert.deepStrictEqual(checked("https://tinker.example.org/"), Either.right("https://tinker.example.org"))
  assert.deepStrictEqual(checked("http://10.0.0.1:8000"), Either.right("http://10.0.0.1:8000"))
  for (const text of ["tinker.example.org", "ftp://a", "https://a/b", "https://a/?b", ""]) {
    assert.isTrue(Either.isLeft(checked(text)), text)
  }
})

it("a base model is a folder, or a name with the folder behind it, and what is neither is told with the option", () => {
  const parsed = (...texts: ReadonlyArray<string>) => Effect.runSync(Effect.either(ServeOptions.parseModels(texts)))
  const folder = "./folder"
  assert.deepStrictEqual(
    parsed("/models/qwen3", "Qwen/Qwen3-8B=./folder", "org/model/long:variant=./folder", "plain=./a=b"),
    Either.right([
      "/models/qwen3",
      { name: "Qwen/Qwen3-8B", folder },
      { name: "org/model/long:variant", folder },
      { name: "plain", folder: "./a=b" }
    ])
  )
  for (
    const text of ["./a=b", "=./folder", "/a=b", "a//b=./folder", "a b=./folder", "a/b/c/d=./folder", "a/..=./folder"]
  ) {
    const refused = parsed(text)
    assert.isTrue(Either.isLeft(refused), text)
    if (Either.isLeft(refused)) assert.include(refused.left.message, `--model ${text}: `)
  }
  for (const texts of [["Qwen/Qwen3-8B="], ["one=./a", "one=./b"]]) assert.isTrue(Either.isLeft(parsed(...texts)))
})

it("says what becomes of what was accepted when it stops, by what it writes down", () => {
  const words = (data: string | undefined, keepLiveModels?: boolean) =>
    ServeOptions.stoppingWords({ data, gracePeriod: Duration.seconds(30), keepLiveModels })
  const memory = words(undefined)
  assert.strictEqual(
    memory.first,
    "Stopping: what runs is given 30s to finish; nothing is kept, as there is no --data. Ctrl-C again stops at once."
  )
  assert.include(memory.second, "Stopped at once. Nothing is kept")
  const kept = words("folder")
  assert.strictEqual(
    kept.first,
    "Stopping: what runs is given 30s to finish, and every trained model is saved. Ctrl-C again stops at once."
  )
  assert.include(kept.second, "What training has accepted is not lost: the same command does it")
  assert.include(kept.second, "Kept in: folder")
  const ended = words("folder", false)
  assert.strictEqual(ended.first, kept.first)
  assert.include(ended.second, "requests that were not done are lost")
})
