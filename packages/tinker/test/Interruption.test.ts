import { assert, it } from "@effect/vitest"
import { Cause, Deferred, Effect, Exit, FiberId, Layer, Option, Scope } from "effect"
import type { Fiber } from "effect"
import { AdamParams, ApiFuture, ModelInput, SamplingParams, ServiceClient, TinkerError } from "effect-tinker"
import type { SamplingClient, TrainingClient } from "effect-tinker"
import { datum } from "./fixture.js"
import * as Observed from "./observed.js"
import * as Simulation from "./simulation.js"

const long = process.env.TINKER_TEST_LONG === "1"

interface Clients {
  readonly training: TrainingClient.Service
  readonly sampling: SamplingClient.Service
}

/** Clients in a scope of their own, whose programs run in the simulation. */
const open = (simulation: Simulation.Simulation, observed: Observed.Observed) =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    const layer = Observed.client(observed, {
      engine: { stepDuration: "1 second" },
      server: { clientConfig: { fwdbwd_max_chunk_len: 1 } }
    })
    const clients = yield* simulation.run(
      Effect.gen(function*() {
        const service = yield* ServiceClient.ServiceClient
        return {
          training: yield* service.createLoraTrainingClient({ baseModel: "bigram", rank: 4 }),
          sampling: yield* service.createSamplingClient({ baseModel: "bigram" })
        }
      }).pipe(Effect.provide(yield* simulation.run(Layer.buildWithScope(layer, scope)).pipe(Effect.flatten)))
    )
    return { scope, clients: yield* clients }
  })

const chunks = (step: number) => [1, 2, 3].map((chunk) => datum(`step ${step} chunk ${chunk}.`))

/** What the engine does in a step. */
const trace = (step: number) => [
  ...[1, 2, 3].map((chunk) => `backward step ${step} chunk ${chunk}`),
  `step ${step / 10_000}`
]

const sample = (sampling: SamplingClient.Service) =>
  sampling.sample({ prompt: ModelInput.fromTokens([1]), samplingParams: SamplingParams.make({ maxTokens: 2 }) })

const oneStep = ({ sampling, training }: Clients, step: number) =>
  Effect.gen(function*() {
    const gradients = yield* training.forwardBackward({ data: chunks(step), lossFn: "cross_entropy" })
    const update = yield* training.optimStep(AdamParams.make({ learningRate: step / 10_000 }))
    yield* gradients.await
    yield* update.await
    yield* sample(sampling)
  })

/** What could be left behind. */
const left = (simulation: Simulation.Simulation, observed: Observed.Observed) =>
  Effect.sync(() => ({
    fibers: simulation.fibers(),
    timers: simulation.timers(),
    requests: observed.open,
    trainingBytes: observed.limiter?.training.taken(),
    trainingWaiting: observed.limiter?.training.waiting(),
    responseBytes: observed.limiter?.responses.taken()
  }))

/** Calls back at each operation of a program, or at each slice of work of any fiber while it runs. */
const at = (simulation: Simulation.Simulation, kind: "operation" | "slice", point: number, act: () => void) => {
  let count = 0
  let main: unknown
  const next = () => {
    count += 1
    if (count === point) act()
  }
  simulation.onOperation = kind === "operation" ? (fiber) => fiber === main ? next() : undefined : undefined
  simulation.onTask = kind === "slice" ? () => main === undefined ? undefined : next() : undefined
  return {
    started: (fiber: Fiber.RuntimeFiber<unknown, unknown>) => {
      main = fiber
    },
    reached: () => count >= point,
    stop: () => {
      simulation.onOperation = undefined
      simulation.onTask = undefined
    }
  }
}

const interruptedAt = (kind: "operation" | "slice", stride: number) =>
  Effect.gen(function*() {
    const simulation = yield* Simulation.make()
    const observed = Observed.make()
    const { clients, scope } = yield* open(simulation, observed)
    const rest = Effect.zipRight(
      simulation.run(Effect.sleep("2 minutes")),
      left(simulation, observed)
    )
    yield* simulation.run(oneStep(clients, 1))
    const before = yield* rest

    let step = 1
    let happened = 0
    for (let point = 1;; point += stride) {
      step += 1
      const told = `interrupted at ${kind} ${point}`
      let main: Fiber.RuntimeFiber<unknown, unknown> | undefined
      const hook = at(simulation, kind, point, () => main?.unsafeInterruptAsFork(FiberId.none))
      const done = observed.executed.length
      const exit = yield* simulation.run(
        Effect.withFiberRuntime<void, TinkerError.TinkerError>((fiber) => {
          main = fiber
          hook.started(fiber)
          return oneStep(clients, step)
        })
      )
      hook.stop()
      const next = yield* simulation.run(
        ApiFuture.flatten(clients.training.forward({ data: [datum("next text")], lossFn: "cross_entropy" }))
      )
      assert.isTrue(Exit.isSuccess(next), told)
      const executed = observed.executed.slice(done).map(({ name }) => name)
      assert.strictEqual(executed.pop(), "forward next tex", told)
      const whole = trace(step)
      assert.include([0, 3, 4], executed.length, told)
      assert.deepStrictEqual(executed, whole.slice(0, executed.length), told)
      if (executed.length > 0) happened += 1
      if (!hook.reached()) {
        assert.isTrue(Exit.isSuccess(exit), told)
        assert.strictEqual(executed.length, 4)
        break
      }
      if (step % 10 === 0) assert.deepStrictEqual(yield* rest, before, told)
    }
    assert.isAbove(happened, 1)
    assert.deepStrictEqual(yield* rest, before)
    yield* simulation.run(Scope.close(scope, Exit.void))
    assert.deepStrictEqual(yield* left(simulation, observed), nothing)
    return step
  })

const nothing = { fibers: 0, timers: 0, requests: [], trainingBytes: 0, trainingWaiting: 0, responseBytes: 0 }

/** All points in a long run; otherwise some, of which a mistake spares few. */
const strides = long ? { operation: 1, slice: 1, closing: 1 } : { operation: 7, slice: 2, closing: 13 }

for (const kind of ["operation", "slice"] as const) {
  it.effect(
    `a step interrupted at any ${kind} happened or did not, leaves nothing behind, and the next call works`,
    () => interruptedAt(kind, strides[kind]),
    600_000
  )
}

/** Calls of every way to end: in chunks, in one request, in two passes. */
const everything = ({ sampling, training }: Clients) =>
  Effect.gen(function*() {
    const futures = yield* Effect.all([
      training.forwardBackward({ data: chunks(1), lossFn: "cross_entropy" }),
      training.forwardBackwardCustom({
        data: chunks(2),
        lossFn: (logprobs) => Effect.as(Effect.sleep("1 second"), { loss: 0, gradients: logprobs })
      }),
      training.optimStep(AdamParams.make({ learningRate: 0.1 }))
    ], { concurrency: "unbounded" })
    const ends = yield* Effect.all([
      ...futures.map((future) => Effect.exit(future.await)),
      Effect.exit(sample(sampling))
    ], {
      concurrency: "unbounded"
    })
    return ends
  })

const closedAt = (point: number) =>
  Effect.gen(function*() {
    const simulation = yield* Simulation.make()
    const observed = Observed.make()
    const { clients, scope } = yield* open(simulation, observed)
    const told = `closed at slice ${point}`
    const close = yield* Deferred.make<void>()
    const hook = at(simulation, "slice", point, () => Deferred.unsafeDone(close, Effect.void))
    const closing = yield* simulation.fork(Effect.zipRight(Deferred.await(close), Scope.close(scope, Exit.void)))
    const exit = yield* simulation.run(
      Effect.withFiberRuntime<ReadonlyArray<Exit.Exit<unknown, unknown>>, TinkerError.TinkerError>((fiber) => {
        hook.started(fiber)
        return everything(clients)
      })
    )
    hook.stop()
    Deferred.unsafeDone(close, Effect.void)
    yield* simulation.join(closing)
    yield* simulation.settle
    for (const end of Exit.isSuccess(exit) ? exit.value : [exit]) {
      if (Exit.isSuccess(end)) continue
      const error = Cause.failureOption(end.cause)
      assert.isTrue(Option.isSome(error) && TinkerError.isTinkerError(error.value), `${told}: ${end.cause.toString()}`)
    }
    assert.deepStrictEqual(yield* left(simulation, observed), nothing, told)
    return hook.reached()
  })

it.effect(
  "closing the client at any moment ends every call and every wait, and leaves nothing behind",
  () =>
    Effect.gen(function*() {
      let point = 1
      while (yield* closedAt(point)) point += strides.closing
    }),
  600_000
)
