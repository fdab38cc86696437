import { assert, it } from "@effect/vitest"
import { ConfigProvider, DateTime, Duration, Effect, Fiber, Ref, Schedule, TestClock } from "effect"
import { RetryPolicy, ServiceClient, TinkerConfig, TinkerError } from "effect-tinker"
import * as PolicyRun from "../src/internal/transport/policyRun.js"
import { json, stub } from "./stub.js"

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

/** Retry-After, the policy, and when the second attempt comes, or that there is none. */
const waits: ReadonlyArray<readonly [Duration.DurationInput, RetryPolicy.Policy, number | undefined]> = [
  ["2 minutes", RetryPolicy.transient, 120],
  ["290 seconds", RetryPolicy.transient, 290],
  ["10 minutes", RetryPolicy.transient, undefined],
  ["1 hour", RetryPolicy.poll, 3600],
  ["61 minutes", RetryPolicy.poll, undefined],
  ["3 days", Schedule.recurs(3), undefined],
  ["20 minutes", Schedule.recurs(1), 1200],
  ["20 minutes", Schedule.intersect(Schedule.recurs(3), Schedule.upTo(Schedule.forever, "10 minutes")), undefined],
  ["1 second", Schedule.spaced("30 seconds"), 30]
]

for (const [asked, request, seconds] of waits) {
  const within = seconds === undefined ? "fails at once, beyond the end of the policy" : `is waited for ${seconds} s`
  it.effect(`Retry-After of ${String(asked)} ${within}`, () =>
    Effect.gen(function*() {
      const error = new TinkerError.ApiStatusError({
        ...status(429, Duration.decode(asked)),
        retryAt: DateTime.unsafeMake("2026-01-02T03:04:05Z")
      })
      const { attempts, request: attempt } = yield* failing(error)
      const fiber = yield* Effect.fork(RetryPolicy.withPolicies(Effect.flip(RetryPolicy.retry(attempt)), { request }))
      if (seconds === undefined) {
        const failed = yield* Fiber.join(fiber)
        assert.include(failed.message, "It asks not to be asked again before 2026-01-02T03:04:05")
        assert.strictEqual(yield* Ref.get(attempts), 1)
        return
      }
      yield* TestClock.adjust(Duration.seconds(seconds - 1))
      assert.strictEqual(yield* Ref.get(attempts), 1)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Ref.get(attempts), 2)
    }))
}

it.effect("the delays of the policies vary by a quarter, and are never longer than they say", () =>
  Effect.gen(function*() {
    const delays: Array<number> = []
    for (let run = 0; run < 200; run++) {
      const policy = PolicyRun.begin(RetryPolicy.sample)
      for (let i = 0; i < 8; i++) delays.push((yield* policy.next(status(503)))!)
    }
    const column = (i: number) => delays.filter((_, at) => at % 8 === i)
    for (const [i, seconds] of [0.5, 1, 2, 4, 8].entries()) {
      assert.isAtLeast(Math.min(...column(i)), seconds * 750)
      assert.isAtMost(Math.max(...column(i)), Math.min(10_000, seconds * 1250))
      assert.isBelow(Math.min(...column(i)), seconds * 780)
    }
    assert.isAtLeast(Math.min(...column(7)), 7500)
    assert.strictEqual(Math.max(...column(7)), 10_000)
  }))

it.effect("an answer that no service gives is sent past five times, and gives up a first contact within seconds", () =>
  Effect.gen(function*() {
    const page = new TinkerError.ApiStatusError({ ...status(404), isForeign: true })
    const { attempts, request } = yield* failing(page)
    const fiber = yield* Effect.fork(Effect.flip(RetryPolicy.retry(request)))
    yield* TestClock.adjust("1 minute")
    yield* Fiber.join(fiber)
    assert.strictEqual(yield* Ref.get(attempts), 6)
    yield* Ref.set(attempts, 0)
    const first = yield* Effect.fork(Effect.flip(RetryPolicy.retry(request, { policy: "firstContact" })))
    yield* TestClock.adjust("12 seconds")
    yield* Fiber.join(first)
    assert.isAtMost(yield* Ref.get(attempts), 5)
  }))

const limits: ReadonlyArray<readonly [string, TinkerConfig.Options, Readonly<Record<string, string>>, number]> = [
  ["the option maxRetries", { maxRetries: 2 }, {}, 3],
  ["the option maxRetries 0", { maxRetries: 0 }, {}, 1],
  ["TINKER_MAX_RETRIES", {}, { TINKER_MAX_RETRIES: "4" }, 5],
  ["the option before its variable", { maxRetries: 1 }, { TINKER_MAX_RETRIES: "4" }, 2],
  ["the Python client's number", { parity: "python" }, {}, 11],
  ["the Elixir client's number", {}, { TINKER_PARITY: "beam" }, 3],
  ["a number over that of another client", { parity: "beam" }, { TINKER_MAX_RETRIES: "1" }, 2]
]

for (const [what, options, variables, requests] of limits) {
  it.effect(`${what} makes ${requests} of a request that always fails`, () => {
    const { layer, to } = stub({ get_server_capabilities: () => json({ detail: "in trouble" }, 503) }, options)
    return Effect.gen(function*() {
      const { getServerCapabilities } = yield* ServiceClient.ServiceClient
      const fiber = yield* Effect.fork(Effect.flip(getServerCapabilities))
      yield* TestClock.adjust("10 minutes")
      yield* Fiber.join(fiber)
      assert.strictEqual(to("get_server_capabilities").length, requests)
    }).pipe(
      Effect.provide(layer),
      Effect.withConfigProvider(ConfigProvider.fromMap(new Map(Object.entries(variables))))
    )
  })
}

for (
  const [name, value] of [
    ["TINKER_TIMEOUT", "soon"],
    ["TINKER_TIMEOUT", "-1"],
    ["TINKER_MAX_RETRIES", "2.5"],
    ["TINKER_PARITY", "ruby"]
  ] as const
) {
  it.effect(`${name}=${value} is refused by name`, () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(TinkerConfig.make({}))
      assert.strictEqual(error.field, name)
      assert.include(error.message, value)
    }).pipe(Effect.withConfigProvider(ConfigProvider.fromMap(new Map([[name, value]])))))
}
