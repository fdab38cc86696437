import { BigramEngine } from "@effect-tinker/engine"
import { TinkerNode } from "@effect-tinker/node"
import { CheckpointStore, Faults, TinkerServer } from "@effect-tinker/server"
import { HttpServer, KeyValueStore } from "@effect/platform"
import { NodeHttpServer } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Stream, TestClock } from "effect"
import type { ApiFuture } from "effect-tinker"
import { RestClient, ServiceClient, Tinker } from "effect-tinker"
import * as Display from "../src/Display.js"
import * as FineTune from "../src/FineTune.js"
import { bigram, byteTokenizer, lessons, recording } from "./fixture.js"

const program = Effect.flatMap(
  lessons(30),
  (lessons) => FineTune.program({ lessons, steps: 30, batchSize: 2, rank: 4, learningRate: 0.3 })
)

type Result = Effect.Effect.Success<typeof program>

const assertLearned = ({ after, before, lossAfter, lossBefore, steps }: Result) => {
  assert.strictEqual(steps.length, 30)
  assert.isBelow(lossAfter.nllPerToken, lossBefore.nllPerToken / 2)
  assert.notStrictEqual(after[0]?.text, before[0]?.text)
}

const inProcess = Tinker.layer().pipe(Layer.provide(TinkerServer.layerClient), Layer.provide(BigramEngine.layer()))

const onLoopback = Layer.unwrapEffect(
  Effect.map(
    HttpServer.HttpServer,
    ({ address }) => Tinker.layer({ baseUrl: address._tag === "TcpAddress" ? `http://127.0.0.1:${address.port}` : "" })
  )
).pipe(
  Layer.provide(TinkerNode.layer),
  Layer.provide(
    TinkerServer.layer().pipe(
      Layer.provide([BigramEngine.layer(), CheckpointStore.layerMemory]),
      Layer.provideMerge(NodeHttpServer.layerTest)
    )
  )
)

it.effect("trains in process", () =>
  Effect.map(program, assertLearned).pipe(
    Effect.provide([inProcess, bigram, byteTokenizer, recording(false).layer, KeyValueStore.layerMemory])
  ))

it.live("trains over loopback, the same program", () =>
  Effect.map(program, assertLearned).pipe(
    Effect.provide([onLoopback, bigram, byteTokenizer, recording(false).layer, KeyValueStore.layerMemory])
  ))

it.effect("writes into every checkpoint how conversations were rendered", () =>
  Effect.gen(function*() {
    yield* program
    const rest = yield* RestClient.RestClient
    const { checkpoints } = yield* rest.listUserCheckpoints({ limit: 10 })
    assert.isNotEmpty(checkpoints)
    for (const { userMetadata } of checkpoints) assert.deepStrictEqual(userMetadata, { renderer: "role" })
  }).pipe(Effect.provide([inProcess, bigram, byteTokenizer, recording(false).layer, KeyValueStore.layerMemory])))

/** The service client, whose training clients also write down the states of their passes. */
const observed = (states: Array<ApiFuture.State>) =>
  Layer.effect(
    ServiceClient.ServiceClient,
    Effect.map(ServiceClient.ServiceClient, (service) => ({
      ...service,
      createLoraTrainingClient: (options) =>
        Effect.map(service.createLoraTrainingClient(options), (training) => ({
          ...training,
          forwardBackward: (call) =>
            Effect.tap(training.forwardBackward(call), (future) =>
              Effect.forkDaemon(Stream.runForEach(future.states, (state) => Effect.sync(() => states.push(state)))))
        }))
    }))
  )

it.effect("on a virtual clock the session beats, a paused queue shows, and minutes pass at once", () =>
  Effect.gen(function*() {
    const faults = yield* Faults.Faults
    const states: Array<ApiFuture.State> = []
    const running = yield* Effect.fork(Effect.provide(program, observed(states)))
    yield* TestClock.adjust("20 seconds")
    yield* faults.pauseQueue({ state: "paused_capacity", reason: "no GPU is free" })
    yield* TestClock.adjust("2 minutes")
    assert.isTrue(states.some((state) => state._tag === "queued" && state.reason === "no GPU is free"))
    assert.strictEqual((yield* Fiber.poll(running))._tag, "None")
    yield* faults.resumeQueue()
    yield* TestClock.adjust("2 minutes")
    assertLearned(yield* Fiber.join(running))
    const beats = (yield* faults.requestCounts).get("session_heartbeat") ?? 0
    assert.isAtLeast(beats, 18)
  }).pipe(Effect.provide([
    Tinker.layer().pipe(
      Layer.provide(TinkerServer.layerClient),
      Layer.provide(BigramEngine.layer({ stepDuration: "1 second" })),
      Layer.provideMerge(Faults.layer)
    ),
    bigram,
    byteTokenizer,
    recording(false).layer,
    KeyValueStore.layerMemory
  ])))

it.effect("refuses other data under the same name, before a step", () => {
  const { layer, text } = recording(false)
  return Effect.gen(function*() {
    yield* program
    const steps = text().split("step ").length
    const error = yield* Effect.flip(
      FineTune.program({
        lessons: yield* lessons(30, { isReversed: true }),
        steps: 30,
        batchSize: 2,
        rank: 4,
        learningRate: 0.3
      })
    )
    assert.deepInclude(error, { _tag: "RunJournalError", reason: "DifferentRun" })
    assert.include(error.message, "other data")
    assert.strictEqual(text().split("step ").length, steps)
  }).pipe(Effect.provide([
    Tinker.layer().pipe(
      Layer.provide(TinkerServer.layerClientWithStore()),
      Layer.provide([BigramEngine.layer(), CheckpointStore.layerMemory])
    ),
    bigram,
    byteTokenizer,
    layer,
    KeyValueStore.layerMemory
  ]))
})

it.live("interrupted, it finishes what is under way and saves; run again it goes on to the same losses", () =>
  Effect.gen(function*() {
    const undisturbed = yield* Effect.provide(program, KeyValueStore.layerMemory)
    const { layer, text } = recording(false)
    const isUnderWay = yield* Deferred.make<void>()
    const isStopping = yield* Deferred.make<void>()
    const watched = Layer.effect(
      Display.Display,
      Effect.map(Display.Display, (display): Display.Service => ({
        ...display,
        note: (words) =>
          Effect.zipRight(
            display.note(words),
            Effect.when(Deferred.succeed(isStopping, undefined), () => words.startsWith("Stopping"))
          ),
        // The fifth step is shown, and not over, when the interruption comes.
        step: (step) =>
          Effect.zipRight(
            display.step(step),
            Effect.when(
              Effect.zipRight(Deferred.succeed(isUnderWay, undefined), Deferred.await(isStopping)),
              () => step.step === 4
            )
          )
      }))
    ).pipe(Layer.provide(layer))
    const journaled = Effect.provide(program, watched)
    const { first, second } = yield* Effect.gen(function*() {
      const running = yield* Effect.fork(journaled)
      yield* Deferred.await(isUnderWay)
      return { first: yield* Fiber.interrupt(running), second: yield* journaled }
    }).pipe(Effect.provide(KeyValueStore.layerMemory))
    assert.isTrue(Exit.isInterrupted(first))
    const position = Number(/Goes on behind step (\d+), from tinker:/.exec(text())?.[1])
    assert.isAtLeast(position, 5)
    assert.isBelow(position, 30)
    assert.lengthOf(text().match(/^step +\d+\/30/gm) ?? [], 30, "no step is done twice")
    assert.deepStrictEqual(
      second.steps.map((step) => step.nllPerToken),
      undisturbed.steps.map((step) => step.nllPerToken)
    )
    assert.deepStrictEqual(second.lossBefore, undisturbed.lossBefore)
    assert.deepStrictEqual(second.lossAfter, undisturbed.lossAfter)
  }).pipe(Effect.provide([
    Tinker.layer().pipe(
      Layer.provide(TinkerServer.layerClient),
      Layer.provide(BigramEngine.layer({ stepDuration: "1 millis" }))
    ),
    bigram,
    byteTokenizer,
    recording(false).layer
  ])))
