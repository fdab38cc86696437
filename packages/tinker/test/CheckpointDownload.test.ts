import { Error as PlatformError, FileSystem } from "@effect/platform"
import { assert, it } from "@effect/vitest"
import {
  Cause,
  Deferred,
  Duration,
  Effect,
  Exit,
  Fiber,
  Layer,
  Logger,
  LogLevel,
  Option,
  Stream,
  TestClock,
  Tracer
} from "effect"
import { CheckpointDownload, RetryPolicy } from "effect-tinker"
import { createHash } from "node:crypto"
import {
  atOnce,
  bytesOf,
  external,
  folder,
  layer,
  makeStorage,
  numbers,
  ref,
  secret,
  type Storage,
  whole
} from "./storage.js"

const files = {
  "adapter_config.json": bytesOf(300, 1),
  "adapter_model.safetensors": bytesOf(25_000, 2),
  "tokenizer/vocabulary.txt": bytesOf(4_000, 3)
}

const sent = (storage: Storage) => storage.requests.reduce((sum, { sent }) => sum + sent, 0)
const sizeOf = (all: Record<string, Uint8Array>) => Object.values(all).reduce((sum, { length }) => sum + length, 0)

const reasonOf = (error: { readonly _tag: string }) =>
  error._tag === "DownloadError" ? (error as unknown as { readonly reason: string }).reason : error._tag

it.scoped("brings all files, in their folders, and says what came", () =>
  Effect.gen(function*() {
    const storage = makeStorage(files)
    yield* Effect.gen(function*() {
      const { target, tree } = yield* folder
      const done = yield* external({ directory: target })
      assert.deepStrictEqual(yield* tree, whole(files))
      assert.deepStrictEqual(done, {
        _tag: "Done",
        directory: target,
        files: Object.keys(files).sort(),
        bytes: sizeOf(files)
      })
    }).pipe(Effect.provide(layer(storage)))
    assert.strictEqual(sent(storage), sizeOf(files))
  }))

it.scoped("fetches ten files four at a time, and tells one progress of them all", () =>
  Effect.gen(function*() {
    const ten = Object.fromEntries(Array.from({ length: 10 }, (_, i) => [`file-${i}`, bytesOf(1_500_000, i)]))
    const storage = makeStorage(ten)
    storage.partBytes = 64 * 1024
    const four = yield* Deferred.make<void>()
    let most = 0
    storage.fault = () =>
      Effect.gen(function*() {
        const under = storage.requests.filter(({ name, sent }) => sent < ten[name]!.length).length
        most = Math.max(most, under)
        if (under === 4) yield* Deferred.succeed(four, undefined)
        yield* Deferred.await(four)
        return undefined
      })
    yield* Effect.gen(function*() {
      const { target } = yield* folder
      const download = yield* CheckpointDownload.CheckpointDownload
      const states = Array.from(yield* Stream.runCollect(download.externalWeights(ref, { directory: target })))
      const progress = states.filter((state) => state._tag === "Progress")
      assert.isAbove(progress.length, 4)
      for (let i = 1; i < progress.length; i++) assert.isAtLeast(progress[i]!.bytes, progress[i - 1]!.bytes)
      const last = progress.at(-1)!
      assert.deepStrictEqual([last.bytes, last.totalBytes, last.files, last.totalFiles], [15e6, 15e6, 10, 10])
      assert.strictEqual(states.at(-1)?._tag, "Done")
    }).pipe(Effect.provide(layer(storage)))
    assert.strictEqual(most, 4)
  }))

it.scoped("shows no credential to the storage, and the addresses to nobody", () =>
  Effect.gen(function*() {
    const heard: Array<unknown> = []
    const logger = Logger.make((log) => heard.push(log.message, String(log.cause)))
    const tracer = Tracer.make({
      span: (name, parent, context, links, startTime, kind) => {
        const attributes = new Map<string, unknown>()
        heard.push(name, attributes)
        return {
          _tag: "Span",
          name,
          parent,
          context,
          links,
          kind,
          attributes,
          spanId: "1",
          traceId: "2",
          sampled: true,
          status: { _tag: "Started", startTime },
          end: (_, exit) => heard.push(String(exit)),
          attribute: (key, value) => void attributes.set(key, value),
          event: (name) => heard.push(name),
          addLinks: () => {}
        }
      },
      context: (f) => f()
    })
    const storage = makeStorage(files)
    const faults = [undefined, { status: 403 }, { status: 404 }, { cutAfter: 0 }, { endAfter: 0 }] as const
    for (const fault of faults) {
      storage.fault = () => fault
      yield* Effect.gen(function*() {
        const { target } = yield* folder
        heard.push(yield* Effect.exit(external({ directory: target })))
      }).pipe(
        Effect.provide(layer(storage)),
        Effect.provide(Logger.replace(Logger.defaultLogger, logger)),
        Logger.withMinimumLogLevel(LogLevel.All),
        Effect.withTracer(tracer)
      )
    }
    const told = heard.map((one) =>
      Exit.isExit(one) && Exit.isFailure(one)
        ? `${Cause.pretty(one.cause)} ${JSON.stringify(one)}`
        : one instanceof Map
        ? JSON.stringify(Array.from(one))
        : String(one)
    ).join("\n")
    assert.include(told, "CheckpointDownload.externalWeights")
    assert.notInclude(told, secret)
    for (const { headers } of storage.requests) {
      assert.notProperty(headers, "x-api-key")
      assert.notProperty(headers, "traceparent")
    }
  }))

it.scoped("signs again when less than five minutes remain, and fetches nothing twice", () =>
  Effect.gen(function*() {
    const forty = Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`file-${i}`, bytesOf(2_000, i)]))
    const storage = makeStorage(forty)
    storage.validity = Duration.toMillis("6 minutes")
    storage.fault = () => Effect.as(TestClock.adjust("10 seconds"), undefined)
    yield* Effect.gen(function*() {
      const { target, tree } = yield* folder
      yield* external({ directory: target })
      assert.deepStrictEqual(yield* tree, whole(forty))
    }).pipe(Effect.provide(layer(storage)))
    assert.isAtLeast(storage.signings, 4)
    assert.strictEqual(storage.requests.length, 40)
    assert.strictEqual(sent(storage), sizeOf(forty))
  }))

for (const status of [400, 401, 403, 410]) {
  it.scoped(`an address that is answered ${status} is signed again, once for all files, and goes on where it was`, () =>
    Effect.gen(function*() {
      const storage = makeStorage(files)
      storage.fault = ({ headers, name, signing }) =>
        signing > 1
          ? undefined
          : name === "adapter_model.safetensors" && headers.range === undefined
          ? { cutAfter: 7_000 }
          : name === "adapter_config.json"
          ? undefined
          : { status }
      yield* Effect.gen(function*() {
        const { target, tree } = yield* folder
        yield* external({ directory: target })
        assert.deepStrictEqual(yield* tree, whole(files))
      }).pipe(Effect.provide(layer(storage)))
      assert.strictEqual(storage.signings, 2)
      const useful = storage.requests.filter((request) => request.status !== status)
      assert.strictEqual(useful.reduce((sum, { sent }) => sum + sent, 0), sizeOf(files))
    }))
}

it.scoped("an address that is refused although it is new fails, and leaves nothing", () =>
  Effect.gen(function*() {
    const storage = makeStorage(files)
    storage.fault = ({ name }) => name === "adapter_config.json" ? { status: 403 } : undefined
    yield* Effect.gen(function*() {
      const { target, tree } = yield* folder
      const error = yield* Effect.flip(external({ directory: target }))
      assert.strictEqual(error._tag === "ApiStatusError" && error.status, 403)
      assert.include(error.message, "adapter_config.json")
      assert.deepStrictEqual(yield* tree, {})
    }).pipe(Effect.provide(layer(storage)))
  }))

it.scoped("follows an address that leads elsewhere, and goes on there after a break", () =>
  Effect.gen(function*() {
    const storage = makeStorage(files)
    storage.redirects = 2
    storage.fault = ({ headers, name }) =>
      name === "adapter_model.safetensors" && headers.range === undefined ? { cutAfter: 7_000 } : undefined
    yield* Effect.gen(function*() {
      const { target, tree } = yield* folder
      yield* external({ directory: target })
      assert.deepStrictEqual(yield* tree, whole(files))
      storage.redirects = 30
      assert.strictEqual((yield* Effect.flip(external({ directory: `${target}-2` })))._tag, "ApiStatusError")
    }).pipe(Effect.provide(layer(storage)))
    assert.strictEqual(sent(storage), sizeOf(files))
  }))

it.scoped("a storage that asks for time is asked again no sooner", () =>
  Effect.gen(function*() {
    const storage = makeStorage({ one: bytesOf(100) })
    storage.headers = { "retry-after": "7" }
    const refused = yield* Deferred.make<void>()
    storage.fault = () =>
      storage.requests.length > 1 ? undefined : Effect.as(Deferred.succeed(refused, undefined), { status: 503 })
    yield* Effect.gen(function*() {
      const { target, tree } = yield* folder
      const running = yield* Effect.fork(external({ directory: target }))
      yield* Deferred.await(refused)
      for (let i = 0; i < 50; i++) yield* turn
      yield* TestClock.adjust("6999 millis")
      for (let i = 0; i < 50; i++) yield* turn
      assert.strictEqual(storage.requests.length, 1)
      yield* TestClock.adjust("1 millis")
      yield* Fiber.join(running)
      assert.deepStrictEqual(yield* tree, whole(storage.files))
    }).pipe(Effect.provide(layer(storage)))
  }))

for (const seed of [1, 2, 3, 4, 5, 6]) {
  it.scoped(`a file cut at ten places comes byte for byte, and no byte twice (places ${seed})`, () =>
    Effect.gen(function*() {
      const random = numbers(seed)
      const one = { "weights.bin": bytesOf(50_000, seed) }
      const storage = makeStorage(one)
      storage.headers = { "content-md5": createHash("md5").update(one["weights.bin"]).digest("base64") }
      let cuts = 0
      storage.fault = () => cuts++ < 10 ? { cutAfter: 1 + random() % 4_500 } : undefined
      yield* Effect.gen(function*() {
        const { target, tree } = yield* folder
        yield* external({ directory: target })
        assert.deepStrictEqual(yield* tree, whole(one))
      }).pipe(Effect.provide(layer(storage)))
      assert.strictEqual(storage.requests.length, 11)
      assert.strictEqual(sent(storage), 50_000)
      for (const { headers } of storage.requests.slice(1)) assert.match(headers["if-range"] ?? "", /^"\d+"$/)
    }))
}

it.scoped("what an earlier run has left is gone on from, and what it had whole is not fetched", () =>
  Effect.gen(function*() {
    const storage = makeStorage(files)
    storage.headers = {
      "x-goog-hash": `md5=${createHash("md5").update(files["adapter_model.safetensors"]).digest("base64")}`
    }
    storage.files = {
      "adapter_model.safetensors": files["adapter_model.safetensors"],
      other: files["adapter_model.safetensors"]
    }
    storage.fault = ({ name }) => name === "other" ? undefined : { cutAfter: 1_000 }
    yield* Effect.gen(function*() {
      const { path, target, tree } = yield* folder
      // No attempt is left after the one that fails, and the other file is whole by then.
      const fs = yield* FileSystem.FileSystem
      for (const _ of [1, 2, 3]) {
        yield* Effect.flip(RetryPolicy.withPolicies(
          Effect.flatMap(
            CheckpointDownload.CheckpointDownload,
            (download) =>
              CheckpointDownload.result(download.externalWeights(ref, { directory: target, keepParts: true }))
          ),
          { request: RetryPolicy.none }
        ))
        assert.isTrue(yield* fs.exists(`${path}/.target.partial`))
        assert.isFalse(yield* fs.exists(target))
      }
      storage.fault = () => undefined
      yield* external({ directory: target, keepParts: true })
      assert.deepStrictEqual(yield* tree, whole(storage.files))
    }).pipe(Effect.provide(layer(storage)))
    const model = storage.requests.filter(({ name }) => name === "adapter_model.safetensors")
    assert.deepStrictEqual(model.map(({ sent }) => sent), [1_000, 1_000, 1_000, 22_000])
    const other = storage.requests.filter(({ name, sent }) => name === "other" && sent > 0)
    assert.strictEqual(other.reduce((sum, { sent }) => sum + sent, 0), 25_000)
  }))

it.scoped("parts of another checkpoint are not gone on from", () =>
  Effect.gen(function*() {
    const storage = makeStorage(files)
    storage.fault = ({ headers }) => headers.range === undefined ? { cutAfter: 100 } : { status: 404 }
    yield* Effect.gen(function*() {
      const { target, tree } = yield* folder
      yield* Effect.flip(external({ directory: target, keepParts: true }))
      storage.fault = () => undefined
      storage.requests.length = 0
      yield* external({ directory: target, keepParts: true }, ref.replace("final", "other"))
      assert.deepStrictEqual(yield* tree, whole(files))
      for (const { headers } of storage.requests) assert.notProperty(headers, "range")
    }).pipe(Effect.provide(layer(storage)))
  }))

for (const when of ["between two connections", "between two runs", "after it was whole, between two runs"]) {
  it.scoped(`a file that changes ${when} begins anew`, () =>
    Effect.gen(function*() {
      const before = { "weights.bin": bytesOf(20_000, 1), z: bytesOf(10, 1) }
      const after = { "weights.bin": bytesOf(20_000, 2), z: bytesOf(10, 1) }
      const storage = makeStorage(before)
      const isWhole = when.startsWith("after")
      storage.fault = ({ headers, name }) => {
        if (storage.files === after) return undefined
        if (headers.range !== undefined) return { status: 404 }
        if (name === "z") return isWhole ? { status: 404 } : undefined
        if (when === "between two connections") storage.files = after
        return isWhole ? undefined : { cutAfter: 9_000 }
      }
      yield* Effect.gen(function*() {
        const { target, tree } = yield* folder
        if (when !== "between two connections") {
          yield* Effect.flip(external({ directory: target, keepParts: true }))
          storage.files = after
        }
        yield* external({ directory: target, keepParts: true })
        assert.deepStrictEqual(yield* tree, whole(after))
      }).pipe(Effect.provide(layer(storage)))
    }))
}

for (
  const [what, prepare] of [
    ["has no mark by which it is known", (storage: Storage) => {
      storage.etag = () => undefined
    }],
    ["has a weak mark alone", (storage: Storage) => {
      storage.etag = () => "W/\"1\""
    }],
    ["is sent whole whatever is asked for", (storage: Storage) => {
      storage.ranges = false
    }]
  ] as const
) {
  it.scoped(`a file that ${what} begins anew when its connection breaks`, () =>
    Effect.gen(function*() {
      const storage = makeStorage(files)
      prepare(storage)
      storage.fault = () => storage.requests.length > 3 ? undefined : { cutAfter: 200 }
      yield* Effect.gen(function*() {
        const { target, tree } = yield* folder
        yield* external({ directory: target })
        assert.deepStrictEqual(yield* tree, whole(files))
      }).pipe(Effect.provide(layer(storage)))
    }))
}

it.scoped("a file known by its date alone goes on after a break", () =>
  Effect.gen(function*() {
    const storage = makeStorage(files)
    storage.etag = () => undefined
    storage.headers = { "last-modified": "Tue, 01 Jul 2025 00:00:00 GMT" }
    storage.fault = ({ headers }) => headers.range === undefined ? { cutAfter: 200 } : undefined
    yield* Effect.gen(function*() {
      const { target, tree } = yield* folder
      yield* external({ directory: target })
      assert.deepStrictEqual(yield* tree, whole(files))
    }).pipe(Effect.provide(layer(storage)))
    assert.strictEqual(sent(storage), sizeOf(files))
  }))

it.scoped("a body shorter than announced fails, and leaves nothing", () =>
  Effect.gen(function*() {
    const storage = makeStorage(files)
    storage.ranges = false
    storage.fault = ({ name }) => name === "adapter_model.safetensors" ? { endAfter: 100 } : undefined
    yield* Effect.gen(function*() {
      const { target, tree } = yield* folder
      const error = yield* Effect.flip(external({ directory: target }))
      assert.strictEqual(reasonOf(error), "Truncated")
      assert.include(error.message, "100 of 25000 bytes")
      assert.deepStrictEqual(yield* tree, {})
    }).pipe(Effect.provide(layer(storage)))
    assert.strictEqual(storage.requests.filter(({ name }) => name === "adapter_model.safetensors").length, 4)
  }))

it.effect("a storage that stops sending is left after the time for a request, and asked for the rest", () =>
  Effect.gen(function*() {
    const storage = makeStorage({ one: bytesOf(5_000) })
    const hanging = yield* Deferred.make<void>()
    storage.fault = ({ headers }) =>
      headers.range === undefined
        ? Effect.as(Deferred.succeed(hanging, undefined), { hangAfter: 3_000 })
        : undefined
    yield* Effect.gen(function*() {
      const { target, tree } = yield* folder
      const running = yield* Effect.fork(external({ directory: target }))
      yield* Deferred.await(hanging)
      while (storage.requests[0]!.sent < 3_000) yield* turn
      for (let i = 0; i < 50; i++) yield* turn
      assert.strictEqual(storage.requests.length, 1)
      yield* TestClock.adjust("60 seconds")
      yield* Fiber.join(running)
      assert.deepStrictEqual(yield* tree, whole(storage.files))
    }).pipe(Effect.scoped, Effect.provide(layer(storage)))
    assert.strictEqual(sent(storage), 5_000)
  }))

/** Lets the files of this machine go on. */
const turn = Effect.async<void>((resume) => {
  setImmediate(() => resume(Effect.void))
})

const one = { "weights.bin": bytesOf(12_345, 9) }
const sha256 = createHash("sha256").update(one["weights.bin"]).digest("base64")
const md5 = createHash("md5").update(one["weights.bin"]).digest("base64")
const wrong = (hash: string) => {
  const bytes = Buffer.from(hash, "base64")
  bytes[0]! ^= 1
  return bytes.toString("base64")
}
const crc32cOf = (bytes: Uint8Array) => {
  let crc = -1
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 0 ? crc >>> 1 : (crc >>> 1) ^ 0x82f63b78
  }
  const out = Buffer.alloc(4)
  out.writeInt32BE(~crc)
  return out.toString("base64")
}
const crc32c = crc32cOf(one["weights.bin"])
const withWrongOnes: ReadonlyArray<readonly [header: string, right: string, wrong: string]> = [
  ["repr-digest", `sha-256=:${sha256}:`, `sha-256=:${wrong(sha256)}:`],
  ["content-digest", `sha-512=:AAAA:, sha-256=:${sha256}:`, `sha-256=:${wrong(sha256)}:`],
  ["digest", `SHA-256=${sha256}`, `sha-256=${wrong(sha256)}`],
  ["content-md5", md5, wrong(md5)],
  ["x-goog-hash", `crc32c=${crc32c}`, `crc32c=${wrong(crc32c)}`],
  ["x-goog-hash", `crc32c=${crc32c},md5=${md5}`, `crc32c=${crc32c}, md5=${wrong(md5)}`],
  ["x-amz-checksum-sha256", sha256, wrong(sha256)],
  ["x-amz-checksum-crc32c", crc32c, wrong(crc32c)]
]

for (const [header, right, wrong] of withWrongOnes) {
  it.scoped(`a file is held to the hash in ${header}: ${right.slice(0, 12)}…`, () =>
    Effect.gen(function*() {
      const storage = makeStorage(one)
      let cuts = 0
      storage.fault = () => cuts++ % 3 < 2 ? { cutAfter: 4_001 } : undefined
      yield* Effect.gen(function*() {
        const { target, tree } = yield* folder
        storage.headers = { [header]: wrong }
        assert.strictEqual(reasonOf(yield* Effect.flip(external({ directory: target }))), "Damaged")
        assert.deepStrictEqual(yield* tree, {})
        storage.headers = { [header]: right }
        yield* external({ directory: target })
        assert.deepStrictEqual(yield* tree, whole(one))
      }).pipe(Effect.provide(layer(storage)))
    }))
}

it.scoped("a hash of parts is no hash of the file", () =>
  Effect.gen(function*() {
    const storage = makeStorage(one)
    storage.headers = { "x-amz-checksum-sha256": `${wrong(sha256)}-3`, etag: `"${wrong(md5)}"` }
    yield* Effect.gen(function*() {
      const { target, tree } = yield* folder
      yield* external({ directory: target })
      assert.deepStrictEqual(yield* tree, whole(one))
    }).pipe(Effect.provide(layer(storage)))
  }))

it.scoped("a damaged part is not kept for the next run", () =>
  Effect.gen(function*() {
    const storage = makeStorage(one)
    storage.headers = { "content-md5": wrong(md5) }
    yield* Effect.gen(function*() {
      const { target, tree } = yield* folder
      yield* Effect.flip(external({ directory: target, keepParts: true }))
      storage.headers = { "content-md5": md5 }
      yield* external({ directory: target, keepParts: true })
      assert.deepStrictEqual(yield* tree, whole(one))
    }).pipe(Effect.provide(layer(storage)))
  }))

const badNames: ReadonlyArray<string> = [
  "",
  "..",
  "../x",
  "a/../../x",
  "a/./b",
  "a//b",
  "a/",
  "/etc/passwd",
  "C:/x",
  "c:x",
  "a\\b",
  "..\\x",
  "a\u0000b",
  "a\nb",
  "CON",
  "nul.txt",
  "a/Com1.json",
  "lpt9",
  "a.",
  "a ",
  "x:stream",
  "x".repeat(256),
  `${"d/".repeat(600)}x`,
  "ADAPTER_config.json",
  "adapter_config.json/below"
]

for (const name of badNames) {
  it.scoped(`refuses a file called ${JSON.stringify(name.slice(0, 30))} before the first byte`, () =>
    Effect.gen(function*() {
      const storage = makeStorage({ "adapter_config.json": bytesOf(10), [name]: bytesOf(10) })
      yield* Effect.gen(function*() {
        const { target, tree } = yield* folder
        const error = yield* Effect.flip(external({ directory: target, keepParts: true }))
        assert.strictEqual(reasonOf(error), "UnsafeName")
        assert.include(error.message, JSON.stringify(name))
        assert.deepStrictEqual(yield* tree, {})
      }).pipe(Effect.provide(layer(storage)))
      assert.strictEqual(storage.requests.length, 0)
    }))
}

it.scoped("a checkpoint without files, or with more than are allowed, fails before the first byte", () =>
  Effect.gen(function*() {
    const storage = makeStorage({})
    yield* Effect.gen(function*() {
      const { target } = yield* folder
      assert.strictEqual(reasonOf(yield* Effect.flip(external({ directory: target }))), "NotDownloadable")
      storage.files = files
      assert.strictEqual(reasonOf(yield* Effect.flip(external({ directory: target, maxFiles: 2 }))), "TooLarge")
    }).pipe(Effect.provide(layer(storage)))
    assert.strictEqual(storage.requests.length, 0)
  }))

it.scoped("more bytes than are allowed fail, whether they are announced or not, and leave nothing", () =>
  Effect.gen(function*() {
    const storage = makeStorage(files)
    yield* Effect.gen(function*() {
      const { target, tree } = yield* folder
      for (const headers of [{}, { "content-length": "" }]) {
        storage.headers = headers as Record<string, string>
        const error = yield* Effect.flip(external({ directory: target, maxBytes: sizeOf(files) - 1 }))
        assert.strictEqual(reasonOf(error), "TooLarge")
        assert.deepStrictEqual(yield* tree, {})
        yield* external({ directory: `${target}-${Object.keys(headers).length}`, maxBytes: sizeOf(files) })
        const fs = yield* FileSystem.FileSystem
        yield* fs.remove(`${target}-${Object.keys(headers).length}`, { recursive: true })
      }
    }).pipe(Effect.provide(layer(storage)))
  }))

it.scoped("checkpoints of other kinds are refused without a request", () =>
  Effect.gen(function*() {
    const storage = makeStorage(files)
    yield* Effect.gen(function*() {
      const { target, tree } = yield* folder
      for (const kind of ["weights", "sampler_weights"]) {
        const error = yield* Effect.flip(external({ directory: target }, ref.replace("external_weights", kind)))
        assert.strictEqual(reasonOf(error), "NotDownloadable")
      }
      const download = yield* CheckpointDownload.CheckpointDownload
      const error = yield* Effect.flip(CheckpointDownload.result(
        download.exportTrainingCheckpoint(ref.replace("external_weights", "sampler_weights"), { directory: target })
      ))
      assert.strictEqual(reasonOf(error), "NotDownloadable")
      assert.include(error.message, "saveWeightsExternal")
      assert.deepStrictEqual(yield* tree, {})
    }).pipe(Effect.provide(layer(storage)))
    assert.deepStrictEqual(storage.calls, [])
  }))

const old = { "old.txt": bytesOf(20, 7) }

const writeOld = (target: string) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    yield* fs.makeDirectory(target)
    yield* fs.writeFile(`${target}/old.txt`, old["old.txt"])
  })

it.scoped("a target that is there is refused without a request, and replaced where that is wanted", () =>
  Effect.gen(function*() {
    const storage = makeStorage(files)
    yield* Effect.gen(function*() {
      const { target, tree } = yield* folder
      yield* writeOld(target)
      const error = yield* Effect.flip(external({ directory: target }))
      assert.strictEqual(reasonOf(error), "TargetExists")
      assert.deepStrictEqual(storage.calls, [])
      assert.deepStrictEqual(yield* tree, whole(old))
      yield* external({ directory: target, overwrite: true })
      assert.deepStrictEqual(yield* tree, whole(files))
    }).pipe(Effect.provide(layer(storage)))
  }))

it.scoped("an old target that a killed process left beside its place is put back", () =>
  Effect.gen(function*() {
    const storage = makeStorage(files)
    yield* Effect.gen(function*() {
      const { path, target, tree } = yield* folder
      yield* writeOld(`${path}/.target.replaced`)
      assert.strictEqual(reasonOf(yield* Effect.flip(external({ directory: target }))), "TargetExists")
      assert.deepStrictEqual(yield* tree, whole(old))
    }).pipe(Effect.provide(layer(storage)))
  }))

/** The files of this machine, of which every operation can be met. */
const met = (meet: (operation: string, path: string) => Effect.Effect<void, PlatformError.PlatformError>) =>
  Layer.effect(
    FileSystem.FileSystem,
    Effect.map(FileSystem.FileSystem, (fs) => ({
      ...fs,
      makeDirectory: (path: string, options?: FileSystem.MakeDirectoryOptions) =>
        Effect.zipRight(meet("makeDirectory", path), fs.makeDirectory(path, options)),
      makeTempDirectory: (options?: FileSystem.MakeTempDirectoryOptions) =>
        Effect.zipRight(meet("makeTempDirectory", options?.directory ?? ""), fs.makeTempDirectory(options)),
      rename: (from: string, to: string) => Effect.zipRight(meet("rename", to), fs.rename(from, to)),
      exists: (path: string) => Effect.zipRight(meet("exists", path), fs.exists(path)),
      open: (path: string, options?: FileSystem.OpenFileOptions) =>
        Effect.zipRight(
          meet("open", path),
          Effect.map(fs.open(path, options), (file) =>
            new Proxy(file, {
              get: (target, name: keyof FileSystem.File) =>
                name === "writeAll"
                  ? (bytes: Uint8Array) => Effect.zipRight(meet("write", path), target.writeAll(bytes))
                  : name === "sync"
                  ? Effect.zipRight(meet("sync", path), target.sync)
                  : Reflect.get(target, name) as unknown
            }))
        )
    }))
  )

const full = new PlatformError.SystemError({
  reason: "Unknown",
  module: "FileSystem",
  method: "writeAll",
  description: "ENOSPC: no space left on device"
})

for (const broken of ["makeDirectory", "makeTempDirectory", "open", "write", "sync", "rename"]) {
  it.scoped(`a disk that fails at ${broken} leaves the old target and nothing else`, () =>
    Effect.gen(function*() {
      for (let nth = 1;; nth++) {
        const storage = makeStorage(files)
        let n = 0
        const failing = met((operation) => operation === broken && ++n === nth ? Effect.fail(full) : Effect.void)
        const failed = yield* Effect.gen(function*() {
          const { target, tree } = yield* folder
          yield* Effect.provide(writeOld(target), layer(storage))
          const exit = yield* Effect.exit(external({ directory: target, overwrite: true }))
          assert.deepStrictEqual(yield* tree, whole(Exit.isSuccess(exit) ? files : old))
          if (Exit.isFailure(exit)) {
            const error = Option.getOrThrow(Cause.failureOption(exit.cause))
            assert.strictEqual(reasonOf(error), "FileSystem")
            assert.include(error.message, "no space left")
          }
          return n >= nth
        }).pipe(Effect.scoped, Effect.provide(layer(storage, failing)))
        if (!failed) {
          assert.isAbove(nth, 1)
          return
        }
      }
    }))
}

it.scoped("wherever it is interrupted, the target is the old one or the whole new one, and nothing else is left", () =>
  Effect.gen(function*() {
    let completed = 0
    let interrupted = 0
    for (let nth = 1;; nth++) {
      const storage = makeStorage({
        "a.json": files["adapter_config.json"],
        "b/c.txt": files["tokenizer/vocabulary.txt"]
      })
      let n = 0
      const reached = yield* Deferred.make<void>()
      const meet = Effect.suspend(() => ++n === nth ? Deferred.succeed(reached, undefined) : Effect.void).pipe(
        Effect.zipRight(Effect.yieldNow())
      )
      storage.fault = () => Effect.as(meet, undefined)
      const wasReached = yield* Effect.gen(function*() {
        const { target, tree } = yield* folder
        yield* writeOld(target)
        const running = yield* Effect.fork(external({ directory: target, overwrite: true }))
        yield* Effect.raceFirst(Deferred.await(reached), Fiber.await(running))
        const exit = yield* Fiber.interrupt(running)
        const after = yield* tree
        if (Exit.isSuccess(exit)) assert.deepStrictEqual(after, whole(storage.files))
        else if (after["target/old.txt"] === undefined) assert.deepStrictEqual(after, whole(storage.files))
        else assert.deepStrictEqual(after, whole(old))
        if (Exit.isSuccess(exit)) completed++
        else interrupted++
        return n >= nth
      }).pipe(Effect.scoped, Effect.provide(layer(storage, met(() => Effect.asVoid(meet)))))
      if (!wasReached) break
    }
    assert.isAbove(interrupted, 12)
    assert.isAtLeast(completed, 1)
  }))

it.scoped("who stops reading the states stops the download, which leaves nothing", () =>
  Effect.gen(function*() {
    const storage = makeStorage({ one: bytesOf(3_000_000) })
    storage.partBytes = 64 * 1024
    yield* Effect.gen(function*() {
      const { target, tree } = yield* folder
      const download = yield* CheckpointDownload.CheckpointDownload
      yield* atOnce(Stream.runDrain(Stream.take(download.externalWeights(ref, { directory: target }), 1)))
      assert.deepStrictEqual(yield* tree, {})
    }).pipe(Effect.provide(layer(storage)))
    assert.isBelow(sent(storage), 3_000_000)
  }))
