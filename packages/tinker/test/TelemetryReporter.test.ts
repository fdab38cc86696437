import { Faults } from "@effect-tinker/server"
import { assert, it } from "@effect/vitest"
import { Cause, ConfigProvider, Effect, Exit, Fiber, Layer, Logger, Option, Random, Schema, TestClock } from "effect"
import {
  ApiFuture,
  ModelInput,
  RestClient,
  RetryPolicy,
  SamplingParams,
  ServiceClient,
  TelemetryMessages,
  TelemetryReporter
} from "effect-tinker"
import type { TinkerConfig } from "effect-tinker"
import { adam, datum } from "./fixture.js"
import * as Observed from "./observed.js"
import * as Simulation from "./simulation.js"
import { drop, json, stub } from "./stub.js"

const accepted = json({ status: "accepted" })

/** A server that takes events, or does with them what the test says. */
const reporting = (
  handlers: Parameters<typeof stub>[0] = {},
  options: TinkerConfig.Options = {}
) => {
  const server = stub({ telemetry: () => accepted, ...handlers }, { telemetry: true, ...options })
  const decode = Schema.decodeUnknownSync(TelemetryMessages.TelemetrySendRequest)
  const batches = () => server.to("telemetry").map(({ body }) => decode(body))
  return { ...server, batches, events: () => batches().flatMap(({ events }) => events) }
}

const reporter = Effect.flatMap(ServiceClient.ServiceClient, ({ telemetry }) => Effect.fromNullable(telemetry)).pipe(
  Effect.orDie
)

const logMany = (telemetry: TelemetryReporter.Service, count: number) =>
  Effect.forEach(Array.from({ length: count }, (_, i) => i), (i) => telemetry.log("tick", { data: { i } }), {
    discard: true
  })

/** Nothing but what is asked for by the test is sent. */
const unrepeated = RetryPolicy.withPolicies({
  firstContact: RetryPolicy.none,
  request: RetryPolicy.none,
  poll: RetryPolicy.none,
  sample: RetryPolicy.none
})

const sampler = Effect.flatMap(
  ServiceClient.ServiceClient,
  (service) => service.createSamplingClient({ baseModel: "m" })
)

const question = { prompt: ModelInput.fromTokens([1, 2]), samplingParams: SamplingParams.make({ maxTokens: 2 }) }

const now = Effect.clockWith((clock) => clock.currentTimeMillis)

it.effect("250 events go out as 100, 100 and 50, numbered on", () =>
  Effect.gen(function*() {
    const { batches, layer } = reporting()
    yield* Effect.gen(function*() {
      yield* logMany(yield* reporter, 250)
      yield* TestClock.adjust("1 milli")
      const indices = batches().map(({ events }) => events.map((event) => event.eventSessionIndex))
      assert.deepStrictEqual(indices.map((batch) => batch.length), [100, 100, 50])
      assert.deepStrictEqual(indices.flat(), Array.from({ length: 250 }, (_, i) => i))
    }).pipe(Effect.provide(layer))
    assert.strictEqual(new Set(batches().flatMap(({ events }) => events.map(({ eventId }) => eventId))).size, 250)
  }))

it.effect("few events wait for ten seconds for others, unless they are to be sent at once", () =>
  Effect.gen(function*() {
    const { batches, layer } = reporting()
    yield* Effect.gen(function*() {
      const telemetry = yield* reporter
      yield* logMany(telemetry, 3)
      yield* TestClock.adjust("9 seconds")
      yield* logMany(telemetry, 2)
      assert.lengthOf(batches(), 0)
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(batches().map(({ events }) => events.length), [5])
      yield* logMany(telemetry, 1)
      yield* telemetry.flush
      assert.deepStrictEqual(batches().map(({ events }) => events.length), [5, 1])
    }).pipe(Effect.provide(layer))
  }))

it.effect("flushing succeeds when all that was there is sent, and waits for nothing later", () =>
  Effect.gen(function*() {
    let open = false
    const { events, layer } = reporting({
      telemetry: () => open ? accepted : Effect.as(Effect.sleep("1 second"), accepted)
    })
    yield* Effect.gen(function*() {
      const telemetry = yield* reporter
      yield* telemetry.flush
      yield* logMany(telemetry, 150)
      const flushing = yield* Effect.fork(telemetry.flush)
      yield* TestClock.adjust("1500 millis")
      assert.isTrue(Option.isNone(yield* Fiber.poll(flushing)))
      open = true
      yield* logMany(telemetry, 150)
      yield* TestClock.adjust("500 millis")
      assert.isTrue(Option.isSome(yield* Fiber.poll(flushing)))
      assert.lengthOf(events(), 300)
      yield* telemetry.flush
      assert.lengthOf(events(), 300)
    }).pipe(Effect.provide(layer))
  }))

it.effect("flushing succeeds when what was there is given up: refused, not accepted too often, or at the end", () =>
  Effect.gen(function*() {
    for (const [telemetry, seconds] of [[json({ detail: "no" }, 403), 0], [json({ detail: "no" }, 503), 12]] as const) {
      const { layer } = reporting({ telemetry: () => telemetry })
      yield* Effect.gen(function*() {
        const telemetry = yield* reporter
        yield* logMany(telemetry, 3)
        const flushing = yield* Effect.fork(telemetry.flush)
        yield* TestClock.adjust(`${seconds} seconds`)
        assert.isTrue(Option.isSome(yield* Fiber.poll(flushing)), String(seconds))
      }).pipe(Effect.provide(layer))
    }
    const { layer } = reporting({ telemetry: () => Effect.never })
    const { flushing, telemetry } = yield* Effect.gen(function*() {
      const telemetry = yield* reporter
      yield* logMany(telemetry, 3)
      return { telemetry, flushing: yield* Effect.forkDaemon(telemetry.flush) }
    }).pipe(
      Effect.provide(layer),
      Effect.fork,
      Effect.tap(() => TestClock.adjust("2 seconds")),
      Effect.flatMap(Fiber.join)
    )
    yield* Fiber.join(flushing)
    yield* telemetry.flush
  }))

it.effect("a fatal error is reported before its program sees it, unless that takes more than two seconds", () =>
  Effect.gen(function*() {
    for (const [telemetry, waits] of [[accepted, 0], [Effect.never, 2000]] as const) {
      const { events, layer } = reporting({ telemetry: () => telemetry })
      const run = yield* Effect.fork(
        Effect.gen(function*() {
          const reported = yield* reporter
          const began = yield* now
          const error = yield* Effect.flip(
            reported.capture(Effect.fail(new RangeError("too far")), { fatal: true, severity: "CRITICAL" })
          )
          assert.instanceOf(error, RangeError)
          assert.strictEqual((yield* now) - began, waits)
          assert.deepInclude(events()[0], { severity: "CRITICAL", errorType: "RangeError" })
        }).pipe(Effect.provide(layer))
      )
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(run)
    }
  }))

it.effect("events carry what regions of code put on them, under their own data", () =>
  Effect.gen(function*() {
    const { events, layer } = reporting({ asample: () => json({ detail: "no" }, 422) })
    yield* Effect.gen(function*() {
      const telemetry = yield* reporter
      const sampling = yield* sampler
      yield* Effect.zipRight(
        Effect.flip(sampling.sample(question)),
        telemetry.log("mine", { data: { run: 2 } })
      ).pipe(
        TelemetryReporter.withMetadata({ run: 1, phase: "b" }),
        TelemetryReporter.withMetadata({ phase: "a", x: 0 })
      )
      yield* telemetry.log("other")
    }).pipe(Effect.provide(layer))
    const data = events().flatMap((event) => event.event === "GENERIC_EVENT" ? [event.eventData] : [])
    assert.deepInclude(data[0], { error_type: "ApiStatusError", run: 1, phase: "b", x: 0 })
    assert.deepStrictEqual(data.slice(1), [{ run: 2, phase: "b", x: 0 }, {}])
  }))

it.effect("what is sent is what the service takes, and nobody's call", () =>
  Effect.gen(function*() {
    const { batches, layer, to } = reporting()
    yield* Effect.gen(function*() {
      yield* (yield* reporter).log("mine", { severity: "CRITICAL", data: { a: 1 } })
      yield* TestClock.adjust("10 seconds")
    }).pipe(Effect.provide(layer))
    const [batch] = batches()
    const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/
    assert.include(["Linux", "Darwin", "Windows"], batch?.platform)
    assert.strictEqual(batch?.sdkVersion, "0.38.0")
    assert.match(batch?.processUuid ?? "", uuid)
    assert.match(batch?.sessionId ?? "", /^sessionless-/)
    const [event] = batch?.events ?? []
    assert.match(event?.eventId ?? "", uuid)
    assert.deepInclude(to("telemetry")[0]?.body["events"], {
      event: "GENERIC_EVENT",
      event_id: event?.eventId,
      event_session_index: 0,
      severity: "CRITICAL",
      timestamp: "1970-01-01T00:00:00.000Z",
      event_name: "mine",
      event_data: { a: 1 }
    })
    const { headers } = to("telemetry")[0]!
    assert.strictEqual(headers["x-stainless-read-timeout"], "5")
    assert.isUndefined(headers["x-sdk-method"])
  }))

it.effect("of 10,001 events that wait the oldest is dropped, with one warning", () =>
  Effect.gen(function*() {
    const warnings: Array<unknown> = []
    const logger = Logger.replace(
      Logger.defaultLogger,
      Logger.make(({ logLevel, message }) => {
        if (logLevel.label === "WARN") warnings.push(message)
      })
    )
    let open = false
    const { events, layer } = reporting({ telemetry: () => open ? accepted : Effect.never })
    yield* Effect.gen(function*() {
      const telemetry = yield* reporter
      // The first is on its way, and the server does not answer.
      yield* logMany(telemetry, 1)
      yield* Effect.fork(telemetry.flush)
      yield* TestClock.adjust(1)
      yield* logMany(telemetry, 10_002)
      open = true
      yield* TestClock.adjust("1 minute")
      const numbers = events().map((event) => event.event === "GENERIC_EVENT" ? Number(event.eventData["i"]) : -1)
      // It was sent twice in vain before.
      assert.deepStrictEqual(numbers.slice(numbers.length - 10_000)[0], 2)
      assert.strictEqual(numbers.at(-1), 10_001)
    }).pipe(Effect.provide(layer), Effect.provide(logger))
    assert.lengthOf(warnings, 1)
  }))

it.effect("a session begins with event 0 and ends once, when the scope closes, whatever failed in it", () =>
  Effect.gen(function*() {
    const { batches, events, layer } = reporting({ asample: () => json({ detail: "no" }, 400) })
    yield* Effect.gen(function*() {
      const sampling = yield* sampler
      yield* Effect.flip(sampling.sample(question))
      yield* TestClock.adjust("62 seconds")
      assert.deepStrictEqual(events().map(({ event }) => event), ["SESSION_START", "GENERIC_EVENT"])
      assert.deepStrictEqual(events().map(({ eventSessionIndex }) => eventSessionIndex), [0, 1])
    }).pipe(Effect.provide(layer))
    assert.deepStrictEqual(events().map(({ event }) => event), ["SESSION_START", "GENERIC_EVENT", "SESSION_END"])
    assert.deepInclude(events()[2], { duration: "0:01:02", eventSessionIndex: 2 })
    assert.deepStrictEqual(batches().map(({ sessionId }) => sessionId), ["S", "S"])
  }))

it.effect("a call that is the caller's mistake is a warning, with the status and without the server's words", () =>
  Effect.gen(function*() {
    const { events, layer, to } = reporting({ asample: () => json({ detail: "zebra is bad" }, 422) })
    yield* Effect.gen(function*() {
      const sampling = yield* sampler
      yield* Effect.flip(sampling.sample(question))
      yield* Effect.flip(sampling.sample({ ...question, samplingParams: SamplingParams.make({ temperature: -1 }) }))
    }).pipe(Effect.provide(layer))
    const [, refused, invalid] = events()
    assert.deepInclude(refused, { event: "GENERIC_EVENT", severity: "WARNING", eventName: "user_error" })
    assert.deepInclude(refused?.event === "GENERIC_EVENT" && refused.eventData, {
      error_type: "ApiStatusError",
      operation: "SamplingClient.sample",
      status_code: 422
    })
    assert.deepInclude(invalid?.event === "GENERIC_EVENT" && invalid.eventData, { error_type: "InvalidInputError" })
    assert.notInclude(to("telemetry").map(({ text }) => text).join(), "zebra")
  }))

it.effect("the caller's mistake is found anywhere in the chain of causes; 408 and what has no cause are none", () =>
  Effect.gen(function*() {
    const { events, layer } = reporting()
    yield* Effect.gen(function*() {
      const telemetry = yield* reporter
      const circle: { cause?: unknown } = new Error("round")
      circle.cause = circle
      for (
        const error of [
          new Error("outer", { cause: new Error("inner", { cause: { status: 400 } }) }),
          new Error("busy", { cause: { status: 429 } }),
          { status: 408 },
          new TypeError("undefined is no function"),
          circle
        ]
      ) yield* telemetry.logException(error)
    }).pipe(Effect.provide(layer))
    assert.deepStrictEqual(
      events().map((event) => event.event === "GENERIC_EVENT" ? event.eventName : event.event),
      ["user_error", "user_error", "UNHANDLED_EXCEPTION", "UNHANDLED_EXCEPTION", "UNHANDLED_EXCEPTION"]
    )
    assert.deepInclude(events()[0], { severity: "WARNING" })
    const defect = events()[3]
    assert.deepInclude(defect, {
      severity: "ERROR",
      errorType: "TypeError",
      errorMessage: "undefined is no function"
    })
    assert.include(defect?.event === "UNHANDLED_EXCEPTION" ? defect.traceback : "", "TelemetryReporter.test")
  }))

it.effect("a defect inside a call is reported by its type and place, without its message", () =>
  Effect.gen(function*() {
    const { events, layer, to } = reporting()
    yield* Effect.gen(function*() {
      const sampling = yield* sampler
      let reads = 0
      const broken = {
        ...question,
        /** What can be read when the options are looked at, and not afterwards. */
        get numSamples(): number {
          if (reads++ === 0) return 1
          throw new TypeError("properties of null")
        }
      }
      const exit = yield* Effect.exit(sampling.sample(broken))
      assert.isTrue(Exit.isFailure(exit) && Cause.isDie(exit.cause))
    }).pipe(Effect.provide(layer))
    const defect = events()[1]
    assert.deepInclude(defect, { errorType: "TypeError", errorMessage: "in SamplingClient.sample" })
    assert.match(defect?.event === "UNHANDLED_EXCEPTION" ? defect.traceback ?? "" : "", /^\s+at /)
    assert.notInclude(to("telemetry").map(({ text }) => text).join(), "properties of null")
  }))

it.effect("a hundred questions for a result that are answered 408 are one event, which counts them", () =>
  Effect.gen(function*() {
    let asked = 0
    const { events, layer } = reporting({
      optim_step: () => json({ request_id: "r-1" }),
      create_model: () => json({ request_id: "m-1" }),
      get_info: () => json({ detail: "no" }, 404),
      retrieve_future: ({ body }) =>
        body["request_id"] === "m-1"
          ? json({ model_id: "M" })
          : asked++ < 100
          ? json({ queue_state: "active" }, 408)
          : json({ metrics: {} })
    })
    yield* Effect.gen(function*() {
      const service = yield* ServiceClient.ServiceClient
      const training = yield* service.createLoraTrainingClient({ baseModel: "m" })
      const stepping = yield* Effect.fork(ApiFuture.flatten(training.optimStep(adam)))
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(stepping)
    }).pipe(Effect.provide(layer))
    assert.strictEqual(asked, 101)
    const generic = events().flatMap((event) => event.event === "GENERIC_EVENT" ? [event] : [])
    assert.lengthOf(generic, 1)
    assert.deepInclude(generic[0], { eventName: "APIFuture.result_async.api_status_error", severity: "WARNING" })
    assert.deepInclude(generic[0]?.eventData, {
      count: 100,
      status_code: 408,
      request_id: "r-1",
      request_type: "OptimStep",
      iteration: 99
    })
  }))

it.effect("a failing call fails at once while no event can be delivered, and closing waits for two seconds", () =>
  Effect.gen(function*() {
    for (const telemetry of [json({}, 503), Effect.never, drop]) {
      const { layer } = reporting({ telemetry: () => telemetry, asample: () => json({ detail: "no" }, 400) })
      const began = yield* now
      let failed = -1
      const run = yield* Effect.fork(
        Effect.gen(function*() {
          const sampling = yield* sampler
          yield* Effect.flip(sampling.sample(question))
          failed = yield* now
        }).pipe(Effect.provide(layer), Effect.zipRight(now))
      )
      yield* TestClock.adjust("30 seconds")
      assert.strictEqual(failed, began)
      assert.isAtMost((yield* Fiber.join(run)) - began, 2000)
    }
  }))

it.effect("a batch that is refused costs one request, one that is not accepted four, and the next one goes out", () =>
  Effect.gen(function*() {
    for (const [status, times] of [[403, 1], [503, 4]] as const) {
      let hasRefused = 0
      const { events, layer, to } = reporting({
        telemetry: ({ text }) => {
          if (!text.includes("\"i\":0")) return accepted
          hasRefused += 1
          return json({ detail: "no" }, status)
        }
      })
      yield* Effect.gen(function*() {
        const telemetry = yield* reporter
        yield* logMany(telemetry, 150)
        yield* TestClock.adjust("1 minute")
        assert.strictEqual(hasRefused, times)
        assert.lengthOf(to("telemetry"), times + 1)
        assert.lengthOf(events(), times * 100 + 50)
      }).pipe(Effect.provide(layer))
      assert.lengthOf(to("telemetry"), times + 1)
    }
  }))

it.effect("closing ends the attempts", () =>
  Effect.gen(function*() {
    const { layer, to } = reporting({ telemetry: () => json({}, 503) })
    yield* Effect.gen(function*() {
      yield* logMany(yield* reporter, 120)
      yield* TestClock.adjust("100 millis")
      assert.lengthOf(to("telemetry"), 1)
    }).pipe(Effect.provide(layer))
    // The first batch waited for its next attempt, which it does not get; the second has its first.
    assert.lengthOf(to("telemetry"), 2)
    yield* TestClock.adjust("1 minute")
    assert.lengthOf(to("telemetry"), 2)
  }))

for (
  const [word, isOn] of [
    ["0", false],
    ["no", false],
    ["off", false],
    ["perhaps", false],
    ["1", true],
    ["TRUE", true],
    ["yes", true],
    ["on", true]
  ] as const
) {
  it.effect(`with TINKER_TELEMETRY=${word} ${isOn ? "events are" : "nothing is"} sent, whoever made the settings`, () =>
    Effect.gen(function*() {
      const environment = ConfigProvider.fromMap(new Map([["TINKER_TELEMETRY", word]]))
      for (const options of [undefined, { telemetry: !isOn }]) {
        const server = stub({ telemetry: () => accepted }, options)
        yield* Effect.gen(function*() {
          const service = yield* ServiceClient.ServiceClient
          const wanted = options?.telemetry ?? isOn
          assert.strictEqual(service.telemetry !== undefined, wanted)
          assert.strictEqual((yield* sampler).telemetry !== undefined, wanted)
        }).pipe(Effect.provide(server.layer), Effect.withConfigProvider(environment))
        assert.strictEqual(server.to("telemetry").length > 0, options?.telemetry ?? isOn)
      }
    }))
}

it.effect("without TINKER_TELEMETRY events are sent", () =>
  Effect.gen(function*() {
    const server = stub({ telemetry: () => accepted })
    yield* sampler.pipe(
      Effect.provide(server.layer),
      Effect.withConfigProvider(ConfigProvider.fromMap(new Map<string, string>()))
    )
    assert.lengthOf(server.to("telemetry"), 1)
  }))

it.effect("all sessions of a process name the same process, which a fixed seed does not make that of another", () =>
  Effect.gen(function*() {
    const servers = [reporting(), reporting()]
    for (const { layer } of servers) yield* sampler.pipe(Effect.provide(layer), Effect.withRandom(Random.make("seed")))
    const [first, second] = servers.map(({ batches }) => batches()[0])
    assert.strictEqual(first?.processUuid, second?.processUuid)
    // Ids of events are drawn as the program says.
    assert.strictEqual(first?.events[0]?.eventId, second?.events[0]?.eventId)
    const drawn = new Set<string>()
    for (const { layer, batches } of [reporting(), reporting()]) {
      yield* sampler.pipe(Effect.provide(layer))
      drawn.add(batches()[0]!.events[0]!.eventId)
    }
    assert.strictEqual(drawn.size, 2)
  }))

it.effect("a client that makes no session reports its failures without one, and neither start nor end", () =>
  Effect.gen(function*() {
    const { batches, layer } = reporting({ "training_runs/gone": () => json({ detail: "no" }, 404) })
    yield* Effect.gen(function*() {
      const rest = yield* RestClient.RestClient
      yield* Effect.flip(rest.getTrainingRun("gone"))
    }).pipe(Effect.provide(layer))
    assert.lengthOf(batches(), 1)
    assert.match(batches()[0]?.sessionId ?? "", /^sessionless-[0-9a-f-]{36}$/)
    assert.deepStrictEqual(batches()[0]?.events.map(({ event }) => event), ["GENERIC_EVENT"])
  }))

it.effect("what cannot be reported is left out with a warning, fails nothing, and takes nothing else with it", () =>
  Effect.gen(function*() {
    const warnings: Array<string> = []
    const logger = Logger.make<unknown, void>(({ logLevel, message }) => {
      if (logLevel.label === "WARN") warnings.push(String(message))
    })
    const server = reporting()
    yield* Effect.gen(function*() {
      const telemetry = yield* reporter
      yield* telemetry.log("before")
      yield* telemetry.log("large", { data: { a: { b: 10n } } })
      yield* TelemetryReporter.withMetadata(telemetry.log("far"), { n: Infinity })
      yield* telemetry.log(7 as never)
      yield* telemetry.log("loud", { severity: "LOUD" as never })
      yield* telemetry.logException(new Error("e"), { fatel: true } as never)
      yield* telemetry.log("behind")
      yield* telemetry.flush
      const error = yield* Effect.flip(telemetry.capture(7 as never) as Effect.Effect<never, unknown>)
      assert.include(String(error), "TelemetryReporter.capture: effect: is 7; pass an Effect.")
    }).pipe(Effect.scoped, Effect.provide(Layer.merge(server.layer, Logger.replace(Logger.defaultLogger, logger))))
    assert.deepStrictEqual(
      server.events().flatMap((event) => event.event === "GENERIC_EVENT" ? [event.eventName] : []),
      ["before", "behind"]
    )
    assert.lengthOf(warnings, 5)
    assert.match(
      warnings[0]!,
      /^this is not reported: TelemetryReporter\.log: data\.a\.b: is a bigint, which JSON cannot hold/
    )
    assert.include(warnings[4], "fatel: is no option; was fatal meant?")
  }))

it.effect("what was captured fails with the same error, which is reported once", () =>
  Effect.gen(function*() {
    const { events, layer } = reporting()
    yield* Effect.gen(function*() {
      const telemetry = yield* reporter
      const error = new RangeError("too far")
      const found = yield* Effect.flip(telemetry.capture(telemetry.capture(Effect.fail(error))))
      assert.strictEqual(found, error)
      yield* telemetry.logException(error)
      assert.strictEqual(yield* telemetry.capture(Effect.succeed(1)), 1)
      assert.isTrue(Exit.isInterrupted(yield* Effect.exit(telemetry.capture(Effect.interrupt))))
    }).pipe(Effect.provide(layer))
    assert.lengthOf(events(), 1)
    assert.deepInclude(events()[0], { errorType: "RangeError", errorMessage: "too far" })
  }))

it.effect("an endpoint that does not answer, or is not there, leaves no fiber and no timer behind", () =>
  Effect.gen(function*() {
    for (const telemetry of [Effect.never, drop, json({}, 503)]) {
      const simulation = yield* Simulation.make()
      const { layer } = reporting({ telemetry: () => telemetry, asample: () => json({ detail: "no" }, 400) })
      const exit = yield* simulation.run(
        Effect.gen(function*() {
          const sampling = yield* sampler
          yield* Effect.flip(sampling.sample(question))
          yield* Effect.sleep("15 seconds")
        }).pipe(Effect.provide(layer))
      )
      assert.isTrue(Exit.isSuccess(exit))
      yield* simulation.settle
      assert.strictEqual(simulation.fibers(), 0)
      assert.strictEqual(simulation.timers(), 0)
    }
  }))

it.effect("the in-process server takes a whole run's events, faults and all, and nothing is left of it", () =>
  Effect.gen(function*() {
    const simulation = yield* Simulation.make()
    const observed = Observed.make()
    const exit = yield* simulation.run(
      Effect.gen(function*() {
        const faults = yield* Faults.Faults
        for (const [nth, fault] of [[4, Faults.answer(503)], [9, Faults.drop], [12, Faults.loseAnswer]] as const) {
          yield* faults.plan({ path: Faults.anyPath, nth, fault })
        }
        const service = yield* ServiceClient.ServiceClient
        const training = yield* service.createLoraTrainingClient({ baseModel: "bigram" })
        for (let i = 0; i < 5; i++) {
          yield* ApiFuture.flatten(training.forwardBackward({ data: [datum("the lamps")], lossFn: "cross_entropy" }))
          yield* ApiFuture.flatten(training.optimStep(adam))
        }
        yield* Effect.flip(Effect.scoped(unrepeated(service.createLoraTrainingClient({ baseModel: "unknown" }))))
      }).pipe(Effect.provide(Observed.client(observed, { client: { telemetry: true } })))
    )
    yield* exit
    yield* simulation.settle
    const sent = observed.requests.filter(({ path }) => path === "telemetry")
    assert.isAbove(sent.length, 0)
    for (const { status } of sent.slice(1)) assert.strictEqual(status, 200)
    const names = sent.flatMap(({ body }) => body["events"] as ReadonlyArray<{ readonly event: string }>)
    assert.strictEqual(names.filter(({ event }) => event === "SESSION_END").length, 1)
    assert.deepStrictEqual(observed.open, [])
    assert.strictEqual(simulation.fibers(), 0)
    assert.strictEqual(simulation.timers(), 0)
  }))

it.effect("a client that does nothing has nothing to report", () =>
  Effect.gen(function*() {
    const { layer, seen } = reporting()
    yield* Effect.scoped(Layer.build(layer))
    assert.lengthOf(seen, 0)
  }))
