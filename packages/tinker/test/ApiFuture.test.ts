import { Dialect, Faults } from "@effect-tinker/server"
import { assert, it } from "@effect/vitest"
import { Chunk, Effect, Either, Fiber, Layer, Logger, Schedule, Stream } from "effect"
import { ApiFuture, Identifiers, RetryPolicy, ServiceClient, TrainingApi, WaitingPolicy } from "effect-tinker"
import type { TinkerError, TrainingClient } from "effect-tinker"
import { adam, client, datum, reinforcement, transport } from "./fixture.js"
import type * as Observed from "./observed.js"
import { simulated } from "./simulated.js"

const forward = (training: TrainingClient.Service, text = "abc") =>
  training.forward({ data: [datum(text)], lossFn: "cross_entropy" })

const polls = (observed: Observed.Observed) => observed.requests.filter(({ path }) => path === "retrieve_future")

/** Times between the polls of the last request, in seconds. */
const gaps = (observed: Observed.Observed): ReadonlyArray<number> => {
  const all = polls(observed)
  const last = all.filter(({ body }) => body.request_id === all.at(-1)?.body.request_id)
  return last.slice(1).map(({ at }, i) => (at - last[i]!.at) / 1000)
}

const isWithin = (gap: number | undefined, seconds: number) =>
  assert.isTrue(gap !== undefined && gap >= 0.75 * seconds && gap <= 1.25 * seconds + 0.1, `${gap} s, not ${seconds} s`)

const tryAgain = Faults.answer(200, { body: { type: "try_again", queue_state: "active" } })

it.effect("asks for a result without being awaited, at first for as much as its size, for 45 seconds", () =>
  simulated({}, (training, observed) =>
    Effect.gen(function*() {
      yield* forward(training)
      yield* Effect.sleep("1 second")
      const poll = polls(observed).at(-1)
      assert.strictEqual(poll?.body.allow_metadata_only, true)
      assert.strictEqual(poll?.headers["x-stainless-read-timeout"], "45")
    })))

it.effect("tells with each question which it is and what for, and with the first how long the submission took", () =>
  simulated({}, (training, observed) =>
    Effect.gen(function*() {
      const faults = yield* Faults.Faults
      yield* faults.plan({ path: "forward_backward", fault: Faults.delayAnswer("3 seconds") })
      yield* faults.plan({ path: "retrieve_future", fault: tryAgain, times: 2 })
      yield* (yield* forward(training)).await
      const headers = polls(observed).slice(-3).map(({ headers }) => [
        headers["x-tinker-request-iteration"],
        headers["x-tinker-request-type"],
        headers["x-tinker-create-promise-roundtrip-time"]
      ])
      assert.deepStrictEqual(headers, [["0", "Forward", "3"], ["1", "Forward", undefined], ["2", "Forward", undefined]])
    })))

it.effect("shows what the server says of the queue, and does not ask as fast as it answers", () =>
  simulated({}, (training, observed) =>
    Effect.gen(function*() {
      const faults = yield* Faults.Faults
      const said = (queue_state: string) =>
        Faults.answer(200, { body: { type: "try_again", queue_state, queue_state_reason: "why" } })
      yield* faults.plan({ path: "retrieve_future", fault: said("paused_rate_limit") })
      yield* faults.plan({ path: "retrieve_future", fault: said("active"), nth: 2 })
      const future = yield* forward(training)
      const states = Chunk.toReadonlyArray(yield* Stream.runCollect(future.states))
      assert.deepStrictEqual(
        states.map((state) => [state._tag, "reason" in state ? state.reason : undefined]),
        [["submitted", undefined], ["queued", "why"], ["running", "why"], ["done", undefined]]
      )
      assert.deepStrictEqual(gaps(observed), [0.1, 0.1])
    })))

it.effect("takes 408 for not yet, reads the queue from it, and asks again without backing off", () =>
  simulated({}, (training, observed) =>
    Effect.gen(function*() {
      const faults = yield* Faults.Faults
      const body = { queue_state: "paused_capacity", queue_state_reason: "full" }
      yield* faults.plan({ path: "retrieve_future", fault: Faults.answer(408, { body }), times: 5 })
      const future = yield* forward(training)
      const states = Chunk.toReadonlyArray(yield* Stream.runCollect(future.states))
      assert.deepStrictEqual(states.map(({ _tag }) => _tag), ["submitted", "queued", "done"])
      assert.deepStrictEqual(gaps(observed), [0.1, 0.1, 0.1, 0.1, 0.1])
    })))

it.effect("backs off from a server in trouble, to half a minute, not before it asks to, and until a deadline", () =>
  simulated({}, (training, observed) =>
    Effect.gen(function*() {
      const faults = yield* Faults.Faults
      yield* faults.plan({ path: "retrieve_future", fault: Faults.answer(503), times: 7 })
      yield* faults.plan({
        path: "retrieve_future",
        fault: Faults.answer(503, { headers: { "retry-after": "50" } }),
        nth: 8
      })
      yield* faults.plan({ path: "retrieve_future", fault: Faults.answer(503), nth: 9, times: 100 })
      const error = yield* forward(training).pipe(
        ApiFuture.flatten,
        WaitingPolicy.withWaitingPolicy(WaitingPolicy.failAfter("10 minutes")),
        Effect.flip
      )
      assert.strictEqual(error._tag === "ApiTimeoutError" && error.reason, "waiting")
      assert.include(error.message, "503")
      const found = gaps(observed)
      for (const [i, seconds] of [1, 2, 4, 8, 16, 30, 30].entries()) isWithin(found[i], seconds)
      assert.strictEqual(Math.round(found[7]!), 50)
      isWithin(found[8], 30)
    })))

it.effect("waits as long as 429 asks, and longer each time", () =>
  simulated({}, (training, observed) =>
    Effect.gen(function*() {
      const faults = yield* Faults.Faults
      const limited = Faults.answer(429, { headers: { "retry-after": "7" } })
      yield* faults.plan({ path: "retrieve_future", fault: limited })
      yield* faults.plan({ path: "retrieve_future", fault: Faults.answer(429), nth: 2 })
      yield* (yield* forward(training)).await
      const [first, second] = gaps(observed)
      assert.isTrue(first! >= 7 && first! < 8)
      isWithin(second, 2)
    })))

it.effect("begins anew to back off after an answer", () =>
  simulated({}, (training, observed) =>
    Effect.gen(function*() {
      const faults = yield* Faults.Faults
      for (const nth of [1, 2, 4]) yield* faults.plan({ path: "retrieve_future", fault: Faults.drop, nth })
      yield* faults.plan({ path: "retrieve_future", fault: tryAgain, nth: 3 })
      yield* (yield* forward(training)).await
      const [first, second, , third] = gaps(observed)
      isWithin(first, 1)
      isWithin(second, 2)
      isWithin(third, 1)
    })))

const page = "<html><body>nginx</body></html>"
const oddAnswers: ReadonlyArray<readonly [string, Faults.Fault]> = [
  ...[200, 204, 304, 400, 401, 403, 404, 409, 410, 422].map((status) =>
    [`a page with status ${status}`, Faults.answer(status, { body: page, contentType: "text/html" })] as const
  ),
  ["nothing with status 200", Faults.answer(200, { body: "" })],
  ["nothing with status 404", Faults.answer(404, { body: "" })],
  ["a list", Faults.answer(200, { body: [] })],
  ["JSON of a gateway", Faults.answer(404, { body: { message: "no Route matched with those values" } })],
  ["half of the result", Faults.truncate()],
  ["three bytes of the result", Faults.truncate(3)]
]

for (const dialect of [undefined, Dialect.withoutProtobuf()]) {
  for (const [name, fault] of oddAnswers) {
    it.effect(`${name} is no answer to a question for a result${dialect ? " in JSON" : ""}, which is asked again`, () =>
      simulated({ server: { dialect } }, (training, observed) =>
        Effect.gen(function*() {
          const { plan } = yield* Faults.Faults
          yield* plan({ path: "retrieve_future", fault, times: 3 })
          assert.strictEqual((yield* (yield* forward(training)).await).lossFnOutputs.length, 1)
          const [first, second, third] = gaps(observed)
          for (const [gap, seconds] of [[first, 1], [second, 2], [third, 4]] as const) isWithin(gap, seconds)
        })))
  }
}

it.effect("a page that stays is asked past ten times, one that the service explains not once", () =>
  simulated({}, (training, observed) =>
    Effect.gen(function*() {
      const faults = yield* Faults.Faults
      const before = polls(observed).length
      yield* faults.plan({
        path: "retrieve_future",
        fault: Faults.answer(404, { body: page, contentType: "text/html" }),
        times: 11
      })
      const error = yield* Effect.flip(ApiFuture.flatten(forward(training)))
      assert.strictEqual(error._tag === "ApiStatusError" && error.reason, "NotFound")
      assert.include(error.message, "something before the server answered 404")
      assert.strictEqual(polls(observed).length - before, 11)

      yield* faults.plan({ path: "retrieve_future", fault: Faults.answer(400, { body: { error: "no such thing" } }) })
      const explained = yield* Effect.flip(ApiFuture.flatten(forward(training)))
      assert.include(explained.message, "no such thing")
      assert.strictEqual(polls(observed).length - before, 12)
    })))

it.effect("waits for credit, in public, with a warning a minute, and fails when the time for it is over", () => {
  const warnings: Array<unknown> = []
  const log = Logger.make(({ message }) => {
    warnings.push(message)
  })
  return simulated({ client: { billingPause: "5 minutes" } }, (training, observed) =>
    Effect.gen(function*() {
      const faults = yield* Faults.Faults
      yield* faults.plan({ path: "retrieve_future", fault: Faults.answer(402), times: 1000 })
      const future = yield* forward(training)
      const listening = yield* Effect.fork(Stream.runCollect(future.states))
      const error = yield* Effect.flip(future.await)
      assert.strictEqual(error._tag === "ApiStatusError" && error.reason, "Billing")
      const states = Chunk.toReadonlyArray(yield* Fiber.join(listening))
      assert.deepStrictEqual(states.map(({ _tag }) => _tag), ["submitted", "paused", "failed"])
      assert.isTrue(gaps(observed).every((gap) => gap === 5))
      assert.strictEqual(warnings.length, 5)
    })).pipe(Effect.provide(Logger.replace(Logger.defaultLogger, log)))
})

const announced = (size: unknown) =>
  Faults.answer(200, { body: { status: "complete_metadata", response_payload_size: size } })

it.effect("reserves the bytes of an announced result until it is read: none, some, or all that there are", () =>
  simulated(
    { server: { clientConfig: { inflight_response_bytes_semaphore_size: 100 } } },
    (training, observed) =>
      Effect.gen(function*() {
        const faults = yield* Faults.Faults
        const sizes: ReadonlyArray<readonly [unknown, number]> = [[null, 0], [40, 40], [1e9, 100]]
        for (const [size, reserved] of sizes) {
          yield* faults.plan({ path: "retrieve_future", fault: announced(size) })
          yield* faults.plan({ path: "retrieve_future", fault: Faults.delayAnswer("10 seconds"), nth: 2 })
          const future = yield* forward(training)
          yield* Effect.sleep("5 seconds")
          assert.strictEqual(observed.limiter?.responses.taken(), reserved)
          yield* future.await
          assert.strictEqual(observed.limiter?.responses.taken(), 0)
          assert.deepStrictEqual(polls(observed).slice(-2).map(({ body }) => body.allow_metadata_only), [true, false])
        }
      })
  ))

it.effect("gives reserved bytes back when the result fails, and when nobody waits for it any more", () =>
  simulated({}, (training, observed) =>
    Effect.gen(function*() {
      const faults = yield* Faults.Faults
      yield* faults.plan({ path: "retrieve_future", fault: announced(40), times: 2 })
      const error = yield* Effect.flip(ApiFuture.flatten(forward(training)))
      assert.strictEqual(error._tag, "ApiResponseValidationError")
      assert.strictEqual(observed.limiter?.responses.taken(), 0)

      yield* faults.plan({ path: "retrieve_future", fault: announced(40) })
      yield* faults.plan({ path: "retrieve_future", fault: Faults.delayAnswer("10 seconds"), nth: 2 })
      const future = yield* forward(training)
      yield* Effect.sleep("1 second")
      assert.strictEqual(observed.limiter?.responses.taken(), 40)
      yield* future.cancel
      assert.strictEqual(observed.limiter?.responses.taken(), 0)
    })))

it.effect("the states of a future that is cancelled end with that, for whoever listens before or after", () =>
  simulated({}, (training) =>
    Effect.gen(function*() {
      const faults = yield* Faults.Faults
      yield* faults.plan({ path: "retrieve_future", fault: Faults.delayAnswer("10 seconds") })
      const future = yield* forward(training)
      const states = yield* Effect.fork(Stream.runCollect(future.states))
      yield* Effect.sleep("1 second")
      yield* future.cancel
      assert.deepStrictEqual(Chunk.toReadonlyArray(yield* Fiber.join(states)).map(({ _tag }) => _tag), [
        "submitted",
        "cancelled"
      ])
      assert.deepStrictEqual(Chunk.toReadonlyArray(yield* Stream.runCollect(future.states)), [{ _tag: "cancelled" }])
    })))

it.effect("asks by the policy of a region of code", () =>
  simulated({}, (training, observed) =>
    Effect.gen(function*() {
      const faults = yield* Faults.Faults
      yield* faults.plan({ path: "retrieve_future", fault: Faults.answer(503), times: 4 })
      const poll = Schedule.exponential("100 millis").pipe(Schedule.union(Schedule.spaced("400 millis")))
      yield* RetryPolicy.withPolicies(ApiFuture.flatten(forward(training)), { poll })
      assert.deepStrictEqual(gaps(observed), [0.1, 0.2, 0.4, 0.4])
    })))

it.effect("awaits many, each with its result or its failure in its place", () =>
  simulated({}, (training) =>
    Effect.gen(function*() {
      const faults = yield* Faults.Faults
      yield* faults.plan({ path: "forward_backward", fault: Faults.failFuture("the second failed"), nth: 2 })
      const futures = yield* Effect.forEach(["ab", "abc", "abcd"], (text) => forward(training, text))
      const ends = yield* ApiFuture.awaitAll(futures)
      assert.deepStrictEqual(
        ends.map(Either.match({
          onLeft: (error: TinkerError.TinkerError) => error._tag,
          onRight: (output) => output.lossFnOutputs[0]!.logprobs!.data.length
        })),
        [1, "RequestFailedError", 3]
      )
    })))

it.effect("the endpoint alone gives the id of the request, and does not ask for its result", () => {
  let requests = 0
  const layer = TrainingApi.layer.pipe(Layer.provide(transport(() =>
    Effect.sync(() => {
      requests += 1
      return Response.json({ request_id: "r", model_id: "m" })
    })
  )))
  return Effect.gen(function*() {
    const api = yield* TrainingApi.TrainingApi
    const { requestId } = yield* api.optimStep({
      adamParams: adam,
      modelId: Identifiers.ModelId.make("m"),
      seqId: 1,
      type: "optim_step"
    })
    assert.strictEqual(requestId, "r")
    assert.strictEqual(requests, 1)
  }).pipe(Effect.provide(layer))
})

it.effect("sends the same request under the same key at every attempt", () =>
  simulated({}, (training, observed) =>
    Effect.gen(function*() {
      const faults = yield* Faults.Faults
      yield* faults.plan({ path: "forward_backward", fault: Faults.drop, times: 2 })
      yield* forward(training)
      const sent = observed.requests.filter(({ path }) => path === "forward_backward")
      assert.strictEqual(sent.length, 3)
      for (const attempt of sent) {
        assert.deepStrictEqual(attempt.body, sent[0]?.body)
        assert.strictEqual(attempt.headers["x-idempotency-key"], sent[0]?.headers["x-idempotency-key"])
      }
      assert.deepStrictEqual(sent.map(({ headers }) => headers["x-stainless-retry-count"]), ["0", "1", "2"])
    })))

it.effect("a pass without gradients goes the way of one with them, and another only where protobuf is refused", () =>
  Effect.gen(function*() {
    const pathsOf = (protobuf: boolean) =>
      simulated(
        { server: protobuf ? {} : { dialect: Dialect.withoutProtobuf() } },
        (training, observed) =>
          Effect.gen(function*() {
            yield* ApiFuture.flatten(forward(training))
            yield* ApiFuture.flatten(forward(training))
            return observed.requests.map(({ path, status }) => `${path} ${status}`).filter((path) =>
              path.startsWith("forward")
            )
          })
      )
    assert.deepStrictEqual(yield* pathsOf(true), ["forward_backward 200", "forward_backward 200"])
    assert.deepStrictEqual(yield* pathsOf(false), ["forward_backward 415", "forward 200", "forward 200"])
  }))

it.effect("a loss that the server does not have fails as the user's fault, in the server's words", () =>
  simulated({}, (training) =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(ApiFuture.flatten(
        training.forward({ data: [reinforcement(Float32Array.of(-1, -1, -1))], lossFn: "stable_reinforce" })
      ))
      assert.strictEqual(error._tag === "RequestFailedError" && error.category, "user")
      assert.include(error.message, "stable_reinforce")
    })))

it.effect("samples from a checkpoint in the session of the model", () =>
  Effect.gen(function*() {
    const faults = yield* Faults.Faults
    const service = yield* ServiceClient.ServiceClient
    const training = yield* service.createLoraTrainingClient({ baseModel: "bigram", rank: 4 })
    const { path } = yield* ApiFuture.flatten(training.saveWeightsForSampler({ name: "s" }))
    const sampling = yield* training.createSamplingClient(path)
    assert.strictEqual(sampling.samplingSessionId.split(":")[0], training.modelId.split(":")[0])
    assert.strictEqual((yield* faults.requestCounts).get("create_session"), 1)
  }).pipe(Effect.provide(client())))
