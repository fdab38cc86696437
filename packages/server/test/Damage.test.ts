import { BigramEngine } from "@effect-tinker/engine"
import * as Frames from "@effect-tinker/engine/Frames"
import { FileSystem, HttpClient, type Path } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Layer, Logger, LogLevel, Scope, TestClock } from "effect"
import { CheckpointStore, ServerJournal, TinkerServer } from "../src/index.js"
import * as Wire from "./wire.js"

const long = process.env.TINKER_TEST_LONG === "1"

const journalName = "journal-000001"

/** A server in the folder, for as long as the work takes; with what it has logged as an error. */
const during = <A, E>(
  folder: string,
  work: (errors: ReadonlyArray<string>) => Effect.Effect<A, E, HttpClient.HttpClient | FileSystem.FileSystem>
) =>
  Effect.gen(function*() {
    const errors: Array<string> = []
    const logger = Logger.replace(
      Logger.defaultLogger,
      Logger.make(({ logLevel, message }) => {
        if (LogLevel.greaterThanEqual(logLevel, LogLevel.Error)) errors.push(String(message))
      })
    )
    const scope = yield* Scope.make()
    const context = yield* Layer.buildWithScope(
      TinkerServer.layerClientWithStore().pipe(
        Layer.provide(CheckpointStore.layer(folder)),
        Layer.provide(ServerJournal.layer(`${folder}/.server`)),
        Layer.provide(BigramEngine.layer({ vocabularySize: 8 })),
        Layer.provideMerge(logger)
      ),
      scope
    )
    const client = Context.get(context, HttpClient.HttpClient)
    const result = yield* Effect.exit(Effect.provideService(work(errors), HttpClient.HttpClient, client))
    yield* Scope.close(scope, Exit.void)
    return yield* result
  })

const datum = (...tokens: ReadonlyArray<number>) => Wire.datum(String.fromCharCode(...tokens))
const done = (submit: ReturnType<typeof Wire.post>) => Effect.flatMap(submit, Wire.result)

type Looks = ReadonlyMap<string, { readonly status: number; readonly text: string; readonly value: unknown }>

interface World {
  readonly sessions: ReadonlyArray<string>
  /** With the number of its next request. */
  readonly models: ReadonlyArray<readonly [id: string, next: number]>
  readonly samplers: ReadonlyArray<string>
}

/** With what it says when it goes on, in one life and in the next. */
interface KnownWorld extends World {
  readonly expected: Looks
  readonly later: Looks
}

/** Two sessions with two models, one with a gradient and one without, and samplers; and all that was done is written down. */
const makeWorld: Effect.Effect<World, unknown, HttpClient.HttpClient> = Effect.gen(function*() {
  const sessions: Array<string> = []
  const models: Array<readonly [string, number]> = []
  const samplers: Array<string> = []
  for (const hasGradient of [true, false]) {
    const { modelId, sessionId } = yield* Wire.readyModel
    sessions.push(sessionId)
    yield* done(Wire.forwardBackward(modelId, 1, { data: [datum(1, 2, 3, 4)] }))
    yield* done(Wire.optimStep(modelId, 2))
    if (hasGradient) yield* done(Wire.forwardBackward(modelId, 3, { data: [datum(4, 3, 2)] }))
    else yield* done(Wire.forwardBackward(modelId, 3, { data: [datum(4, 3, 2)], forwardOnly: true }))
    yield* done(
      Wire.post("save_weights_for_sampler", { model_id: modelId, seq_id: 4, sampling_session_seq_id: 1 })
    )
    samplers.push(`${sessionId}:sample:1`, String((yield* Wire.createSampler(sessionId)).body.sampling_session_id))
    yield* done(Wire.sample(samplers.at(-1), { prompt, sampling_params }))
    models.push([modelId, 5])
  }
  return { sessions, models, samplers }
})

const prompt = { chunks: [{ type: "encoded_text", tokens: [1] }] }
const sampling_params = { max_tokens: 5, seed: 1 }

/** What a request comes to, without waiting for what does not come. */
const outcome = (submit: ReturnType<typeof Wire.post>) =>
  Effect.gen(function*() {
    const accepted = yield* submit
    if (accepted.status !== 200) {
      return { status: accepted.status, text: String(accepted.body.detail), value: undefined }
    }
    const ask = Effect.gen(function*() {
      const asked = yield* Effect.fork(Wire.result(accepted))
      yield* TestClock.adjust("41 seconds")
      return yield* Fiber.join(asked)
    })
    const isRunning = ({ body }: Wire.Reply) => body.type === "try_again" && body.queue_state_reason === undefined
    const { body, status } = yield* Effect.repeat(ask, { while: isRunning })
    if (body.type === "try_again") return { status: 202, text: String(body.queue_state_reason), value: undefined }
    if (status !== 200) return { status, text: String(body.detail), value: undefined }
    return { status, text: "", value: body }
  })

/** How everything stands: numbers, or that it is gone. A step shows weights, moments and gradient, and is not the last request. */
const lookAt = (world: World, offset: number) =>
  Effect.gen(function*() {
    const looks = new Map<string, { readonly status: number; readonly text: string; readonly value: unknown }>()
    for (const id of world.sessions) {
      const { body, status } = yield* Wire.post("session_heartbeat", { session_id: id })
      looks.set(id, { status, text: String(body.detail), value: undefined })
    }
    for (const [id, next] of world.models) {
      const step = yield* outcome(Wire.optimStep(id, next + 2 * offset))
      const pass = yield* outcome(
        Wire.forwardBackward(id, next + 2 * offset + 1, { data: [datum(1, 2, 3)], forwardOnly: true })
      )
      looks.set(id, step.status === 200 ? { ...pass, value: [step.value, pass.value] } : step)
    }
    for (const id of world.samplers) {
      const { status, text, value } = yield* outcome(Wire.sample(id, { seq_id: 7 + offset, prompt, sampling_params }))
      looks.set(id, { status, text, value: value?.sequences })
    }
    return looks
  })

const statuses = (looks: ReadonlyMap<string, { readonly status: number }>) =>
  Array.from(looks, ([id, { status }]) => [id, status] as const)

const inFolder = (
  name: string,
  test: (folder: string, world: KnownWorld) => Effect.Effect<void, unknown, FileSystem.FileSystem | Path.Path>
) =>
  it.effect(name, () =>
    Effect.gen(function*() {
      const folder = yield* (yield* FileSystem.FileSystem).makeTempDirectoryScoped()
      const world = yield* during(`${folder}/whole`, () => makeWorld)
      const fs = yield* FileSystem.FileSystem
      yield* fs.copy(`${folder}/whole`, `${folder}/work`)
      const expected = yield* during(`${folder}/work`, () => lookAt(world, 0))
      const later = yield* during(`${folder}/work`, () => lookAt(world, 1))
      yield* fs.remove(`${folder}/work`, { recursive: true })
      yield* test(folder, { ...world, expected, later })
    }).pipe(Effect.scoped, Effect.provide(NodeContext.layer)), long ? 600_000 : 60_000)

const filesIn = (folder: string) =>
  Effect.flatMap(
    FileSystem.FileSystem,
    (fs) => Effect.orElseSucceed(fs.readDirectory(folder), () => [] as ReadonlyArray<string>)
  )

/** Whether the name is that of a file there, perhaps behind the time when it was put there. */
const has = (names: ReadonlyArray<string>, name: string) =>
  names.some((one) => one === name || one.endsWith(`-${name}`))

interface Spoiled {
  readonly what: string
  readonly spoil: (server: string) => Effect.Effect<unknown, unknown, FileSystem.FileSystem>
  /** Of what may be lost with it: all else goes on. Those whose session is lost are lost with it. */
  readonly mayLose: (id: string) => boolean
  /** Whether it must be told of as an error, or must not be. */
  readonly isDamage: boolean | undefined
  /** Whether it is in the journal, which then is kept as it was. */
  readonly isOfJournal?: boolean
  /** Whether what the journal does not say any more leaves models waiting, as after an earlier death. */
  readonly mayWait?: boolean
}

/** Starts a server on what was spoiled, and another one after it, and holds both to what they must do. */
const hold = (
  folder: string,
  world: KnownWorld,
  { isDamage, isOfJournal = false, mayLose, mayWait = false, spoil, what }: Spoiled
) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const work = `${folder}/work`
    yield* fs.copy(`${folder}/whole`, work)
    const server = `${work}/.server`
    yield* spoil(server)
    const spoiled = yield* Effect.option(fs.readFile(`${server}/${journalName}`))
    const remaining = yield* filesIn(`${server}/state`)

    const check = (
      looks: Looks,
      wanted: Looks
    ) => {
      for (const [id, { status, text, value }] of looks) {
        if (status === 200) {
          assert.deepStrictEqual(value, wanted.get(id)!.value, `${what}: ${id}`)
          continue
        }
        const isWaiting = mayWait && (status === 202 || status === 404)
        assert.isTrue(isWaiting || status === 410, `${what}: ${id} ${status} ${text}`)
        assert.isTrue(mayLose(id), `${what}: ${id} is lost: ${text}`)
        if (status === 410) assert.match(text, /is lost: .*damaged; see the server's log/, what)
        assert.notInclude(text, work)
      }
    }
    const first = yield* during(work, (errors) =>
      Effect.gen(function*() {
        const names = [...yield* filesIn(`${server}/state`), ...yield* filesIn(`${server}/aside`)]
        // What follows from requests that are done again is written again.
        if (isDamage !== undefined) {
          for (const name of remaining) assert.isTrue(has(names, name), `${what}: ${name} was deleted`)
        }
        if (isDamage === true) assert.isNotEmpty(errors, what)
        else if (isDamage === false) assert.isEmpty(errors, what)
        const looks = yield* lookAt(world, 0)
        check(looks, world.expected)
        // Whoever was lost has been told of, by name.
        for (const [id, { status }] of looks) {
          if (status === 410) assert.isTrue(errors.some((error) => error.includes(id)), `${what}: ${id} is not told of`)
        }
        return looks
      }))
    yield* during(work, () =>
      Effect.gen(function*() {
        const looks = yield* lookAt(world, 1)
        check(looks, world.later)
        assert.deepStrictEqual(statuses(looks), statuses(first), `${what}, in a later life`)
        const kept = yield* filesIn(`${server}/aside`)
        const bytes = yield* Effect.forEach(
          kept.filter((name) => name.endsWith(journalName)),
          (name) => fs.readFile(`${server}/aside/${name}`)
        )
        if (isOfJournal && spoiled._tag === "Some") {
          assert.isTrue(
            bytes.some((found) => Buffer.from(found.subarray(0, spoiled.value.length)).equals(spoiled.value)),
            `${what}: the damaged journal is kept`
          )
        }
      }))
    yield* fs.remove(work, { recursive: true })
    return statuses(first).filter(([, status]) => status === 410).map(([id]) => id)
  })

const flip = (file: string, at: number) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const bytes = yield* fs.readFile(file)
    bytes[at]! ^= 1
    yield* fs.writeFile(file, bytes)
  })

const framesOf = (bytes: Uint8Array) => {
  const frames: Array<Frames.Frame & { readonly begin: number }> = []
  for (let begin = 0; begin < bytes.length;) {
    const frame = Frames.decode(bytes, begin)!
    frames.push({ ...frame, begin })
    begin = frame.end
  }
  return frames
}

describe("a server that finds its journal damaged", () => {
  inFolder(
    "goes on with all but what a flipped byte of a record was about, wherever that byte is",
    (folder, world) =>
      Effect.gen(function*() {
        const fs = yield* FileSystem.FileSystem
        const bytes = yield* fs.readFile(`${folder}/whole/.server/${journalName}`)
        const frames = framesOf(bytes)
        assert.isAbove(frames.length, 20)
        const lost = new Set<string>()
        let turn = 0
        for (const { begin, end, payload, text } of frames) {
          const header = bytes.indexOf(10, begin) - begin
          const textBegin = begin + header + 1
          const places = [
            begin,
            begin + 2,
            begin + header - 1,
            begin + header,
            textBegin,
            textBegin + 12,
            textBegin + (text.length >> 1),
            end - 2 - (payload.length >> 1),
            end - 1
          ]
          const session = /^\[\["session:([0-9a-f-]{36})"/.exec(text)?.[1]
          const isTurn = turn++ % 2 === 0 || /"(session|model|sampler|progress):/.test(text)
          for (const at of long ? places : isTurn ? [places[turn % places.length]!] : []) {
            const gone = yield* hold(folder, world, {
              what: `byte ${at - begin} of the record at ${begin}: ${text.slice(0, 90)}`,
              spoil: (server) => flip(`${server}/${journalName}`, at),
              isOfJournal: true,
              mayLose: (id) => text.includes(id) || (session !== undefined && id.startsWith(session)),
              isDamage: true
            })
            for (const id of gone) lost.add(id)
          }
        }
        // Each kind of thing is lost by one of them.
        assert.isTrue(world.sessions.every((id) => lost.has(id)))
        assert.isTrue(world.models.every(([id]) => lost.has(id)))
        if (long) assert.isTrue(world.samplers.every((id) => lost.has(id)))
      })
  )

  inFolder(
    "takes a journal that ends too early for one whose server died then, as far as that can be",
    (folder, world) =>
      Effect.gen(function*() {
        const fs = yield* FileSystem.FileSystem
        const bytes = yield* fs.readFile(`${folder}/whole/.server/${journalName}`)
        const ends = framesOf(bytes).flatMap(({ begin, end }) => [begin, (begin + end) >> 1, end - 1])
        for (const [i, end] of ends.entries()) {
          if (!long && i % 11 !== 0) continue
          yield* hold(folder, world, {
            what: `cut at ${end}`,
            spoil: (server) =>
              Effect.flatMap(
                FileSystem.FileSystem,
                (fs) => fs.writeFile(`${server}/${journalName}`, bytes.subarray(0, end))
              ),
            mayLose: () => true,
            mayWait: true,
            isDamage: undefined
          })
        }
      })
  )

  inFolder(
    "starts with the journal that says something, whatever else there is",
    (folder, world) =>
      Effect.gen(function*() {
        const lost = yield* hold(folder, world, {
          what: "a stray empty journal",
          spoil: (server) =>
            Effect.flatMap(FileSystem.FileSystem, (fs) => fs.writeFile(`${server}/journal-999999`, new Uint8Array(0))),
          mayLose: () => false,
          isDamage: false
        })
        assert.isEmpty(lost)
      })
  )

  inFolder(
    "says 410 for what a journal that was deleted, or is nothing but damaged, had told of, and keeps its state",
    (
      folder,
      world
    ) =>
      Effect.gen(function*() {
        const all = [...world.sessions, ...world.models.map(([id]) => id), world.samplers[0], world.samplers[2]]
        for (
          const [what, spoil] of [
            ["deleted", (fs: FileSystem.FileSystem, file: string) => fs.remove(file)],
            ["zeros", (fs: FileSystem.FileSystem, file: string) => fs.writeFile(file, new Uint8Array(5000))]
          ] as const
        ) {
          const lost = yield* hold(folder, world, {
            what,
            spoil: (server) => Effect.flatMap(FileSystem.FileSystem, (fs) => spoil(fs, `${server}/${journalName}`)),
            mayLose: () => true,
            // Of a sampler of the base model nothing is left but the journal.
            mayWait: true,
            isOfJournal: what === "zeros",
            isDamage: true
          })
          assert.sameMembers(lost, all as Array<string>, what)
        }
      })
  )
})

describe("a server that finds the last record of its journal damaged", () => {
  it.effect(
    "says 410 for the request that it was of, rather than never to have heard of it, wherever the byte is",
    () =>
      Effect.gen(function*() {
        const fs = yield* FileSystem.FileSystem
        const folder = yield* fs.makeTempDirectoryScoped()
        const file = (place: string) => `${place}/.server/${journalName}`
        const { other, waiting } = yield* during(`${folder}/whole`, () =>
          Effect.gen(function*() {
            const { modelId: other } = yield* Wire.readyModel
            yield* done(Wire.forwardBackward(other, 1, { data: [datum(1, 2, 3)] }))
            const { modelId: waiting } = yield* Wire.readyModel
            yield* Wire.post("retrieve_future", { request_id: `${waiting}:0`, allow_metadata_only: false })
            // It waits for the request before it.
            yield* Wire.optimStep(waiting, 2)
            return { other, waiting }
          }))
        const last = framesOf(yield* fs.readFile(file(`${folder}/whole`))).at(-1)!
        assert.include(last.text, `request:${waiting}:2`)
        const step = long ? 1 : Math.floor((last.end - last.begin) / 7)
        for (let at = last.begin; at < last.end; at += step) {
          const work = `${folder}/work`
          yield* fs.copy(`${folder}/whole`, work)
          yield* flip(file(work), at)
          yield* during(work, (errors) =>
            Effect.gen(function*() {
              assert.isTrue(errors.some((error) => error.includes(waiting)), `byte ${at - last.begin}`)
              const asked = yield* Wire.post("retrieve_future", {
                request_id: `${waiting}:2`,
                allow_metadata_only: false
              })
              assert.strictEqual(asked.status, 410, `byte ${at - last.begin}: ${JSON.stringify(asked.body)}`)
              assert.strictEqual((yield* Wire.optimStep(waiting, 1)).status, 410)
              assert.strictEqual((yield* outcome(Wire.optimStep(other, 2))).status, 200)
            }))
          yield* fs.remove(work, { recursive: true })
        }
      }).pipe(Effect.scoped, Effect.provide(NodeContext.layer)),
    long ? 120_000 : 20_000
  )
})

describe("a server that finds live state damaged", () => {
  inFolder(
    "says so at its start, and 410 for what it was of, and goes on with the rest",
    (folder, world) =>
      Effect.gen(function*() {
        const fs = yield* FileSystem.FileSystem
        const states = yield* filesIn(`${folder}/whole/.server/state`)
        // Two models, one of them with a gradient, and two samplers of weights without a path.
        assert.lengthOf(states, 5)
        for (const [i, name] of states.entries()) {
          const file = (server: string) => `${server}/state/${name}`
          const size = Number((yield* fs.stat(file(`${folder}/whole/.server`))).size)
          const owner = decodeURIComponent(name.split(".")[0]!)
          const spoils: ReadonlyArray<readonly [string, Spoiled["spoil"]]> = [
            ...[0, 5, 40, size >> 1, size - 1].map((at) =>
              [`byte ${at}`, (server: string) => flip(file(server), at)] as const
            ),
            ["cut", (server) => fs.truncate(file(server), size >> 1)],
            ["emptied", (server) => fs.truncate(file(server), 0)],
            ["deleted", (server) => fs.remove(file(server))]
          ]
          for (const [j, [what, spoil]] of spoils.entries()) {
            if (!long && j % 5 !== i % 5) continue
            const lost = yield* hold(folder, world, {
              what: `${what} of ${name}`,
              spoil,
              mayLose: (id) => id === owner,
              isDamage: true
            })
            assert.deepStrictEqual(lost, [owner], `${what} of ${name}`)
          }
        }
      })
  )
})
