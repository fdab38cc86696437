import { assert, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Ref, TestClock } from "effect"
import { RetryPolicy, TinkerError } from "effect-tinker"

const status = (status: number, retryAfter?: Duration.Duration) =>
  new TinkerError.ApiStatusError({
    operation: "optim_step",
    status,
    reason: TinkerError.reasonOfStatus(status),
    detail: "",
    retryAfter
  })

const unreachable = new TinkerError.ApiConnectionError({
  operation: "client/config",
  url: "http://localhost",
  description: "connect ECONNREFUSED"
})

/** Fails with `error` for ever, counting the attempts. */
const failing = (error: TinkerError.TinkerError) =>
  Effect.map(Ref.make(0), (attempts) => ({
    attempts,
    request: Effect.zipRight(Ref.update(attempts, (n) => n + 1), Effect.fail(error))
  }))

it.effect("waits for retry-after before the second attempt", () =>
  Effect.gen(function*() {
    const { attempts, request } = yield* failing(status(429, Duration.seconds(30)))
    yield* Effect.fork(RetryPolicy.retry(request))
    yield* TestClock.adjust("29 seconds")
    assert.strictEqual(yield* Ref.get(attempts), 1)
    yield* TestClock.adjust("1 second")
    assert.strictEqual(yield* Ref.get(attempts), 2)
  }))

it.effect("does not repeat what cannot succeed", () =>
  Effect.gen(function*() {
    const { attempts, request } = yield* failing(status(422))
    yield* Effect.flip(RetryPolicy.retry(request))
    assert.strictEqual(yield* Ref.get(attempts), 1)
  }))

it.effect("gives up a server in trouble after five minutes", () =>
  Effect.gen(function*() {
    const { attempts, request } = yield* failing(status(503))
    const fiber = yield* Effect.fork(Effect.flip(RetryPolicy.retry(request)))
    yield* TestClock.adjust("4 minutes")
    const soFar = yield* Ref.get(attempts)
    assert.isAbove(soFar, 20)
    assert.strictEqual(yield* Fiber.poll(fiber).pipe(Effect.map((exit) => exit._tag)), "None")
    yield* TestClock.adjust("2 minutes")
    assert.strictEqual((yield* Fiber.join(fiber))._tag, "ApiStatusError")
  }))

it.effect("gives up an address where nothing answers within seconds at the first contact", () =>
  Effect.gen(function*() {
    const { attempts, request } = yield* failing(unreachable)
    const fiber = yield* Effect.fork(Effect.flip(RetryPolicy.retry(request, { policy: "firstContact" })))
    yield* TestClock.adjust("12 seconds")
    assert.strictEqual((yield* Fiber.join(fiber))._tag, "ApiConnectionError")
    assert.isAbove(yield* Ref.get(attempts), 2)
  }))
