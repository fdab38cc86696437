import { Faults } from "@effect-tinker/server"
import { assert, it } from "@effect/vitest"
import { Context, Data, Deferred, Effect, Exit, Fiber } from "effect"
import { ApiFuture, CustomLoss, Datum, ModelInput, ServiceClient, TensorData } from "effect-tinker"
import type { TinkerError } from "effect-tinker"
import { adam, datum } from "./fixture.js"
import type * as Observed from "./observed.js"
import { simulated } from "./simulated.js"

/** The same as cross entropy with these weights. */
const weighted = (logprobs: ReadonlyArray<Float32Array>, data: ReadonlyArray<Datum.Datum>): CustomLoss.Result => {
  let loss = 0
  const gradients = logprobs.map((row, i) => {
    const weights = data[i]!.lossFnInputs.weights!.data
    return row.map((logprob, t) => {
      loss -= Number(weights[t]) * logprob
      return -Number(weights[t])
    })
  })
  return { loss, gradients }
}

const zero = (logprobs: ReadonlyArray<Float32Array>): CustomLoss.Result => ({
  loss: 0,
  gradients: logprobs.map((row) => new Float32Array(row.length))
})

interface Pass {
  readonly data: ReadonlyArray<Datum.Datum>
  readonly forwardOnly: boolean
  readonly lossFn: string
  readonly seqId: number
}

const passesOf = (observed: Observed.Observed): ReadonlyArray<Pass> =>
  observed.requests.filter(({ path }) => path === "forward_backward").map(({ body }) => body as unknown as Pass)

it.effect("sends minus the gradient as weights of cross entropy, in the second of two passes, and the step follows", () =>
  simulated({}, (training, observed) =>
    Effect.gen(function*() {
      const lossFn: CustomLoss.CustomLoss = ([logprobs]) => {
        const gradient = new Float32Array(logprobs!.length)
        gradient[gradient.length - 1] = -1
        return { loss: -logprobs!.at(-1)!, gradients: [gradient] }
      }
      const future = yield* training.forwardBackwardCustom({ data: [datum("last")], lossFn })
      const update = yield* training.optimStep(adam)
      const output = yield* future.await
      yield* update.await
      const [first, second] = passesOf(observed)
      assert.deepStrictEqual([first?.forwardOnly, second?.forwardOnly], [true, false])
      assert.strictEqual(second?.lossFn, "cross_entropy")
      assert.deepStrictEqual(second?.data[0]?.lossFnInputs.weights?.data, Float32Array.of(0, 0, 1))
      assert.deepStrictEqual(second?.data[0]?.lossFnInputs.targetTokens, first?.data[0]?.lossFnInputs.targetTokens)
      assert.strictEqual(output.metrics["loss:sum"], -output.lossFnOutputs[0]!.logprobs!.data.at(-1)!)
      assert.deepStrictEqual(observed.executed.map(({ name }) => name), ["forward las", "backward las", "step 0.1"])
    })))

it.effect("trains as cross entropy does when it computes the same", () =>
  simulated({ server: { clientConfig: { fwdbwd_max_chunk_len: 2 } } }, (training) =>
    Effect.gen(function*() {
      const service = yield* ServiceClient.ServiceClient
      const other = yield* service.createLoraTrainingClient({ baseModel: "bigram", rank: 4 })
      const data = ["abab", "baba", "cabbage", "a cab", "bad"].map(datum)
      for (let step = 0; step < 10; step++) {
        const mine = yield* training.forwardBackwardCustom({ data, lossFn: weighted })
        yield* training.optimStep(adam)
        const theirs = yield* other.forwardBackward({ data, lossFn: "cross_entropy" })
        yield* other.optimStep(adam)
        const [a, b] = [yield* mine.await, yield* theirs.await]
        assert.closeTo(a.metrics["loss:sum"]!, b.metrics["loss:sum"]!, 1e-3)
        assert.deepStrictEqual(
          a.lossFnOutputs.map(({ logprobs }) => logprobs),
          b.lossFnOutputs.map(({ logprobs }) => logprobs)
        )
      }
    })))

it.effect("cuts both passes at the same places, however large what is sent back", () =>
  simulated(
    { server: { clientConfig: { fwdbwd_max_chunk_bytes_count: 150 } } },
    (training, observed) =>
      Effect.gen(function*() {
        const data = ["ab", "abcdefgh", "a", "abcd", "abcdefghijkl", "abc"].map((text) => datum(`${text}.`))
        const seen: Array<number> = []
        const future = yield* training.forwardBackwardCustom({
          data,
          lossFn: (logprobs, data) => {
            seen.push(...logprobs.map((row) => row.length))
            return weighted(logprobs, data)
          }
        })
        const output = yield* future.await
        assert.deepStrictEqual(seen, [2, 8, 1, 4, 12, 3])
        assert.deepStrictEqual(output.lossFnOutputs.map(({ logprobs }) => logprobs?.data.length), seen)
        const sizes = (forwardOnly: boolean) =>
          passesOf(observed).filter((pass) => pass.forwardOnly === forwardOnly).map((
            { data, seqId }
          ) => [seqId, data.length])
        assert.isAbove(sizes(true).length, 2)
        assert.deepStrictEqual(
          sizes(false),
          sizes(true).map(([seqId, length]) => [seqId! + sizes(true).length, length])
        )
      })
  ))

it.effect("keeps the places of the first pass when the server wants others by the time of the second", () =>
  simulated(
    { server: { dynamicConfig: { refresh_interval_sec: 10 } } },
    (training, observed) =>
      Effect.gen(function*() {
        const faults = yield* Faults.Faults
        const future = yield* training.forwardBackwardCustom({
          data: [datum("abc"), datum("abcd")],
          lossFn: (logprobs, data) =>
            Effect.gen(function*() {
              yield* faults.setDynamicConfig({ fwdbwd_max_chunk_len: 1 })
              yield* Effect.sleep("1 minute")
              return weighted(logprobs, data)
            })
        })
        yield* future.await
        assert.deepStrictEqual(passesOf(observed).map(({ data }) => data.length), [2, 2])
      })
  ))

it.effect("tells the server's loss as surrogate, lets the user's metrics go first, and calls the loss loss:sum", () =>
  simulated({}, (training) =>
    Effect.gen(function*() {
      const { metrics } = yield* ApiFuture.flatten(training.forwardBackwardCustom({
        data: [datum("abc")],
        lossFn: (logprobs) => ({
          loss: 7,
          gradients: logprobs.map((row) => new Float32Array(row.length).fill(-2)),
          metrics: { "mine:mean": 3, "loss:sum": 5 }
        })
      }))
      const [a, b] = yield* Effect.map(
        ApiFuture.flatten(training.forward({ data: [datum("abc")], lossFn: "cross_entropy" })),
        (output) => output.lossFnOutputs[0]!.logprobs!.data
      )
      assert.deepStrictEqual(metrics, {
        "surrogate_loss:sum": metrics["surrogate_loss:sum"]!,
        "mine:mean": 3,
        "loss:sum": 7
      })
      assert.closeTo(metrics["surrogate_loss:sum"]!, -2 * (Number(a) + Number(b)), 1e-4)
    })))

const withExtra = Datum.make({
  modelInput: ModelInput.fromTokens([1, 2]),
  lossFnInputs: { targetTokens: TensorData.int64([2, 3]), preference: TensorData.float32([0.5, 2]) }
})

it.effect("keeps other inputs for the loss, and sends weights of zero when there are none", () =>
  simulated({}, (training, observed) =>
    Effect.gen(function*() {
      let preference: unknown
      yield* ApiFuture.flatten(training.forwardBackwardCustom({
        data: [withExtra],
        lossFn: (logprobs, data) => {
          preference = data[0]?.lossFnInputs.preference?.data
          return zero(logprobs)
        }
      }))
      assert.deepStrictEqual(preference, Float32Array.of(0.5, 2))
      const [first, second] = passesOf(observed)
      assert.deepStrictEqual(Object.keys(first!.data[0]!.lossFnInputs).sort(), ["targetTokens", "weights"])
      assert.deepStrictEqual(Object.keys(second!.data[0]!.lossFnInputs).sort(), ["targetTokens", "weights"])
      assert.deepStrictEqual(first!.data[0]!.lossFnInputs.weights?.data, new Float32Array(2))
    })))

it.effect("names the datum without targets, and sends nothing", () =>
  simulated({}, (training, observed) =>
    Effect.gen(function*() {
      const without = Datum.make({ modelInput: ModelInput.fromTokens([1]), lossFnInputs: {} })
      const error = yield* Effect.flip(
        training.forwardBackwardCustom({ data: [withExtra, without], lossFn: zero })
      )
      assert.strictEqual(error._tag === "InvalidInputError" && error.field, "data[1].lossFnInputs.targetTokens")
      assert.strictEqual(passesOf(observed).length, 0)
    })))

class Preferences extends Context.Tag("test/Preferences")<Preferences, { readonly strength: number }>() {}
class Undecided extends Data.TaggedError("Undecided")<{ readonly strength: number }> {}

it.effect("may be an effect, with the caller's services and errors of its own", () =>
  simulated({}, (training) =>
    Effect.gen(function*() {
      const lossFn: CustomLoss.CustomLoss<Undecided, Preferences> = (logprobs, data) =>
        Effect.gen(function*() {
          const { strength } = yield* Preferences
          yield* Effect.sleep("1 second")
          return strength === 0
            ? yield* new Undecided({ strength })
            : { ...zero(logprobs), loss: strength }
        })
      const loss = (strength: number) =>
        training.forwardBackwardCustom({ data: [datum("abc")], lossFn }).pipe(
          Effect.provideService(Preferences, { strength }),
          ApiFuture.flatten
        )
      assert.strictEqual((yield* loss(3)).metrics["loss:sum"], 3)
      const error: TinkerError.TinkerError | Undecided = yield* Effect.flip(loss(0))
      assert.deepStrictEqual(error, new Undecided({ strength: 0 }))
    })))

const wrong: ReadonlyArray<readonly [string, CustomLoss.CustomLoss, string]> = [
  ["throws", () => {
    throw new RangeError("no such preference")
  }, "lossFn"],
  ["breaks", () => Effect.dieMessage("broken"), "lossFn"],
  ["gives a Promise, which may fail", (() => Promise.reject(new Error("nobody waits"))) as never, "lossFn"],
  ["gives too few gradients", () => ({ loss: 0, gradients: [] }), "gradients"],
  ["gives a gradient of another length", () => ({ loss: 0, gradients: [new Float32Array(1)] }), "gradients[0]"],
  ["gives a gradient that is no number", () => ({ loss: 0, gradients: [Float32Array.of(0, NaN)] }), "gradients[0]"],
  [
    "gives a loss that is no number",
    (logprobs, data) => ({ ...zero(logprobs), loss: NaN }),
    "loss"
  ]
]

for (const [how, lossFn, field] of wrong) {
  it.effect(`a loss that ${how} fails its call alone, leaves no gap, and a step made at once runs next`, () =>
    simulated({}, (training, observed) =>
      Effect.gen(function*() {
        const [future, update] = yield* Effect.all([
          training.forwardBackwardCustom({ data: [datum("abc")], lossFn }),
          training.optimStep(adam)
        ], { concurrency: "unbounded" })
        const error = yield* Effect.flip(future.await)
        assert.strictEqual(error._tag === "InvalidInputError" && error.field, field)
        yield* update.await
        assert.match(update.requestIds[0]!, /:2$/)
        assert.deepStrictEqual(observed.executed.map(({ name }) => name), ["forward ab", "step 0.1"])
      })))
}

it.effect("a step made at once runs after the second pass, however long the loss takes", () =>
  simulated({ engine: { stepDuration: "5 seconds" } }, (training, observed) =>
    Effect.gen(function*() {
      const slow: CustomLoss.CustomLoss = (logprobs, data) =>
        Effect.as(Effect.sleep("3 minutes"), weighted(logprobs, data))
      const [future, update, next] = yield* Effect.all([
        training.forwardBackwardCustom({ data: [datum("abc")], lossFn: slow }),
        training.optimStep(adam),
        training.forward({ data: [datum("next")], lossFn: "cross_entropy" })
      ], { concurrency: "unbounded" })
      yield* Effect.all([future.await, update.await, next.await])
      assert.deepStrictEqual(
        observed.executed.map(({ name }) => name),
        ["forward ab", "backward ab", "step 0.1", "forward nex"]
      )
      assert.deepStrictEqual(
        [...update.requestIds, ...next.requestIds].map((id) => id.split(":").at(-1)),
        ["3", "4"]
      )
    })))

const passes: ReadonlyArray<readonly [string, number, ReadonlyArray<string>]> = [
  ["first", 1, ["step 0.1"]],
  ["second", 2, ["forward ab", "step 0.1"]]
]

for (const [which, nth, executed] of passes) {
  it.effect(`a ${which} pass that fails on the server fails the call with that error, and the next call runs`, () =>
    simulated({}, (training, observed) =>
      Effect.gen(function*() {
        const faults = yield* Faults.Faults
        yield* faults.plan({ path: "forward_backward", fault: Faults.failFuture("no GPU"), nth })
        const [future, update] = yield* Effect.all([
          training.forwardBackwardCustom({ data: [datum("abc")], lossFn: weighted }),
          training.optimStep(adam)
        ], { concurrency: "unbounded" })
        const error = yield* Effect.flip(future.await)
        assert.strictEqual(error._tag === "RequestFailedError" && error.description, "no GPU")
        yield* update.await
        assert.deepStrictEqual(observed.executed.map(({ name }) => name), executed)
      })))

  it.effect(`a ${which} pass that the server refuses fails the call with that error, and the next call runs`, () =>
    simulated({}, (training, observed) =>
      Effect.gen(function*() {
        const faults = yield* Faults.Faults
        yield* faults.plan({ path: "forward_backward", fault: Faults.answer(403), nth })
        const [error, update] = yield* Effect.all([
          Effect.flip(ApiFuture.flatten(training.forwardBackwardCustom({ data: [datum("abc")], lossFn: weighted }))),
          training.optimStep(adam)
        ], { concurrency: "unbounded" })
        assert.strictEqual(error._tag === "ApiStatusError" && error.reason, "PermissionDenied")
        yield* update.await
        assert.deepStrictEqual(observed.executed.map(({ name }) => name), executed)
      })))
}

for (const when of ["the first pass", "the loss"] as const) {
  it.effect(`cancelling during ${when} interrupts whoever waits, sends no second pass, and lets the next call run`, () =>
    simulated({ engine: { stepDuration: "10 seconds" } }, (training, observed) =>
      Effect.gen(function*() {
        const interrupted = yield* Deferred.make<void>()
        const future = yield* training.forwardBackwardCustom({
          data: [datum("abc")],
          lossFn: () => Effect.onInterrupt(Effect.never, () => Deferred.succeed(interrupted, undefined))
        })
        const waiting = yield* Effect.fork(future.await)
        yield* Effect.sleep(when === "the loss" ? "1 minute" : "1 second")
        yield* future.cancel
        assert.isTrue(Exit.isInterrupted(yield* Fiber.await(waiting)))
        assert.strictEqual(yield* Deferred.isDone(interrupted), when === "the loss")
        yield* ApiFuture.flatten(training.optimStep(adam))
        assert.deepStrictEqual(observed.executed.map(({ name }) => name), ["forward ab", "step 0.1"])
      })))
}
