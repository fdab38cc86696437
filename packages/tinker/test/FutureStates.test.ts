import { assert, it } from "@effect/vitest"
import { Chunk, Effect, Fiber, Logger, Stream, TestClock } from "effect"
import { AdamParams, ServiceClient } from "effect-tinker"
import type { ApiFuture } from "effect-tinker"
import { type Answer, json, stub } from "./stub.js"

const queued = (queueState: string, reason?: string) =>
  json({ type: "try_again", queue_state: queueState, queue_state_reason: reason })

/** A model of a server that answers each question for a step with the next of these, each after a second. */
const server = (answers: ReadonlyArray<Answer>) => {
  let asked = 0
  return stub({
    create_model: () => json({ request_id: "new" }),
    get_info: () => json({ model_id: "S:train:0", model_data: { model_name: "b" } }),
    optim_step: () => json({ request_id: "step" }),
    retrieve_future: ({ body }) =>
      body.request_id === "new"
        ? json({ model_id: "S:train:0" })
        : Effect.as(Effect.sleep("1 second"), answers[Math.min(asked++, answers.length - 1)]!)
  }, { heartbeatInterval: "1 day" })
}

const step = Effect.flatMap(
  ServiceClient.ServiceClient,
  (service) =>
    Effect.flatMap(
      service.createLoraTrainingClient({ baseModel: "b" }),
      (training) => training.optimStep(AdamParams.make({ learningRate: 0.1 }))
    )
)

const done = json({ metrics: {}, type: "optim_step" })

const faulty = [
  queued("paused_capacity", "no GPU is free"),
  queued("paused_capacity", "no GPU is free"),
  queued("paused_capacity", "two before you"),
  queued("active"),
  queued("active"),
  json({ detail: "no credit" }, 402),
  json({ detail: "in trouble" }, 503),
  done
]

/** What tells one state from the next, without the times. */
const told = (state: ApiFuture.State) => {
  switch (state._tag) {
    case "queued":
      return `queued: ${state.queueState}, ${state.reason ?? "no reason"}`
    case "paused":
      return `paused: ${state.reason}`
    case "retrying":
      return `retrying: ${state.attempt}, ${state.error._tag}`
    default:
      return state._tag
  }
}

const expected = [
  "submitted",
  "queued: paused_capacity, no GPU is free",
  "queued: paused_capacity, two before you",
  "running",
  "paused: billing",
  "retrying: 2, ApiStatusError",
  "done"
]

const listen = (future: ApiFuture.ApiFuture<unknown>) =>
  Effect.fork(Effect.map(Stream.runCollect(future.states), (states) => Chunk.toReadonlyArray(states).map(told)))

it.effect("tells each listener all that happens to a request, in order and once, and one who comes late the present first", () => {
  const { layer } = server(faulty)
  return Effect.gen(function*() {
    const future = yield* step
    const [one, two] = yield* Effect.all([listen(future), listen(future)])
    yield* TestClock.adjust("3500 millis")
    const late = yield* listen(future)
    yield* TestClock.adjust("2 minutes")
    assert.deepStrictEqual(yield* Fiber.join(one), expected)
    assert.deepStrictEqual(yield* Fiber.join(two), expected)
    assert.deepStrictEqual(yield* Fiber.join(late), expected.slice(2))
    assert.deepStrictEqual(yield* Effect.flatMap(listen(future), Fiber.join), ["done"])
  }).pipe(Effect.provide(layer))
})

it.effect("says since when a queue stands still and the account has no credit", () => {
  const { layer } = server(faulty)
  return Effect.gen(function*() {
    const future = yield* step
    const listening = yield* Effect.fork(Stream.runCollect(future.states))
    yield* TestClock.adjust("2 minutes")
    const since = Chunk.toReadonlyArray(yield* Fiber.join(listening)).flatMap((state) =>
      "since" in state ? [state.since.epochMillis] : []
    )
    assert.deepStrictEqual(since, [1000, 3000, 6000])
  }).pipe(Effect.provide(layer))
})

it.effect("a request that nobody watches ends in the same way", () => {
  const { layer } = server(faulty)
  return Effect.gen(function*() {
    const future = yield* step
    yield* TestClock.adjust("2 minutes")
    yield* future.await
  }).pipe(Effect.provide(layer))
})

it.effect("a listener who leaves disturbs neither the request nor the others", () => {
  const { layer } = server(faulty)
  return Effect.gen(function*() {
    const future = yield* step
    const first = yield* Effect.fork(Stream.runCollect(Stream.take(future.states, 2)))
    const all = yield* listen(future)
    yield* TestClock.adjust("2 minutes")
    assert.strictEqual(Chunk.size(yield* Fiber.join(first)), 2)
    assert.deepStrictEqual(yield* Fiber.join(all), expected)
  }).pipe(Effect.provide(layer))
})

it.effect("the states of a request that fails end with its error", () => {
  const { layer } = server([queued("active"), json({ error: "out of memory", category: "server" })])
  return Effect.gen(function*() {
    const future = yield* step
    const listening = yield* Effect.fork(Stream.runCollect(future.states))
    yield* TestClock.adjust("10 seconds")
    const error = yield* Effect.flip(future.await)
    const states = Chunk.toReadonlyArray(yield* Fiber.join(listening))
    assert.deepStrictEqual(states.map(({ _tag }) => _tag), ["submitted", "running", "failed"])
    const last = states.at(-1)!
    assert.strictEqual(last._tag === "failed" && last.error, error)
  }).pipe(Effect.provide(layer))
})

it.effect("a training queue that stands still is shown as a state, and told of in words once a minute", () => {
  const lines: Array<unknown> = []
  const logger = Logger.make(({ message }) => {
    if (!String(message).includes("without a gradient")) lines.push(message)
  })
  const { layer } = server([queued("paused_capacity", "no GPU is free")])
  return Effect.gen(function*() {
    const future = yield* step
    const first = yield* Effect.fork(Stream.runCollect(Stream.take(future.states, 2)))
    yield* TestClock.adjust("1 minute")
    assert.deepStrictEqual(Chunk.toReadonlyArray(yield* Fiber.join(first)).map(told), expected.slice(0, 2))
    assert.deepStrictEqual(lines.map(String), ["model S:train:0 stands still: no GPU is free"])
    yield* TestClock.adjust("3 minutes")
    assert.isAtLeast(lines.length, 3)
    assert.isAtMost(lines.length, 4)
    yield* future.cancel
  }).pipe(Effect.provide(layer), Effect.provide(Logger.replace(Logger.defaultLogger, logger)))
})

const trouble = json({ detail: "in trouble" }, 503)

it.effect("the state after a server is back is not that of the attempts that failed", () => {
  const { layer } = server([trouble, trouble, json({ type: "try_again" })])
  return Effect.gen(function*() {
    const future = yield* step
    const seen: Array<string> = []
    yield* Effect.fork(Stream.runForEach(future.states, ({ _tag }) => Effect.sync(() => seen.push(_tag))))
    yield* TestClock.adjust("1 minute")
    assert.deepStrictEqual(seen, ["submitted", "retrying", "retrying", "submitted"])
    yield* future.cancel
  }).pipe(Effect.provide(layer))
})
