import { Faults } from "@effect-tinker/server"
import type { HttpClientRequest } from "@effect/platform"
import { assert, it } from "@effect/vitest"
import {
  Cause,
  type Clock,
  Context,
  DateTime,
  Effect,
  Exit,
  Fiber,
  FiberId,
  Layer,
  Logger,
  Redacted,
  Scope,
  Stream,
  TestClock
} from "effect"
import { ApiFuture, ModelInput, SamplingParams, ServiceClient } from "effect-tinker"
import type { SessionManager, TinkerError } from "effect-tinker"
import { adam, client } from "./fixture.js"

const count = (path: string) =>
  Effect.flatMap(Faults.Faults, (faults) => Effect.map(faults.requestCounts, (counts) => counts.get(path) ?? 0))

const createSampling = Effect.flatMap(
  ServiceClient.ServiceClient,
  (service) => service.createSamplingClient({ baseModel: "bigram" })
)

it.effect("makes no session until something is trained or sampled, and then one", () =>
  Effect.gen(function*() {
    const service = yield* ServiceClient.ServiceClient
    const { supportedModels } = yield* service.getServerCapabilities
    assert.strictEqual(supportedModels[0]?.modelName, "bigram")
    assert.strictEqual(yield* count("create_session"), 0)
    yield* Effect.all([createSampling, createSampling, createSampling], { concurrency: "unbounded" })
    assert.strictEqual(yield* count("create_session"), 1)
    assert.strictEqual(yield* count("client/config"), 1)
  }).pipe(Effect.provide(client())))

it.effect("gives up at once when it is interrupted while the server is in trouble, and tries again later", () =>
  Effect.gen(function*() {
    const faults = yield* Faults.Faults
    yield* faults.plan({ path: "create_session", fault: Faults.answer(503), times: 3 })
    const impatient = yield* Effect.fork(createSampling)
    yield* TestClock.adjust("100 millis")
    yield* Fiber.interrupt(impatient)
    const patient = yield* Effect.fork(createSampling)
    yield* TestClock.adjust("1 minute")
    assert.strictEqual((yield* Fiber.join(patient)).baseModel, "bigram")
  }).pipe(Effect.provide(client())))

it.effect("beats every ten seconds, through failures of single beats", () =>
  Effect.gen(function*() {
    const faults = yield* Faults.Faults
    yield* createSampling
    yield* faults.plan({ path: "session_heartbeat", fault: Faults.answer(503), nth: 2 })
    yield* TestClock.adjust("50 seconds")
    assert.strictEqual(yield* count("session_heartbeat"), 5)
  }).pipe(Effect.provide(client())))

it.effect("beats as often as it is told to", () =>
  Effect.gen(function*() {
    yield* createSampling
    yield* TestClock.adjust("10 seconds")
    assert.strictEqual(yield* count("session_heartbeat"), 5)
  }).pipe(Effect.provide(client({ client: { heartbeatInterval: "2 seconds" } }))))

/** What a session's client says of it while `plan` goes on, oldest first. */
const statesDuring = <E>(plan: Effect.Effect<unknown, E, Faults.Faults | ServiceClient.ServiceClient>) =>
  Effect.gen(function*() {
    const service = yield* ServiceClient.ServiceClient
    const states: Array<SessionManager.State> = []
    yield* Effect.fork(Stream.runForEach(service.session.states, (state) => Effect.sync(() => states.push(state))))
    yield* Effect.yieldNow()
    yield* plan
    yield* TestClock.adjust("1 second")
    return states
  })

const beats = (fault: Faults.Fault, times: number, nth = 1) =>
  Effect.flatMap(Faults.Faults, (faults) => faults.plan({ path: "session_heartbeat", fault, times, nth }))

const denials: ReadonlyArray<readonly [string, Faults.Fault, TinkerError.SessionClosedError["reason"], boolean]> = [
  [
    "410 for a finished session",
    Faults.answer(410, { body: { detail: "the session is finished" } }),
    "finished",
    false
  ],
  ["410 for one not heard of", Faults.answer(410, { body: { detail: "the session has ended" } }), "expired", false],
  ["410 without a reason", Faults.answer(410), "expired", false],
  ["404 after a beat that it took", Faults.answer(404, { body: { detail: "Session not found" } }), "lost", true]
]

for (const [answered, denial, reason, isAfterOne] of denials) {
  it.effect(`two beats answered ${answered} end the session as ${reason}, and what is under way with it`, () =>
    Effect.gen(function*() {
      const service = yield* ServiceClient.ServiceClient
      const states = yield* statesDuring(Effect.gen(function*() {
        const training = yield* service.createLoraTrainingClient({ baseModel: "bigram" })
        const faults = yield* Faults.Faults
        yield* faults.pauseQueue({ state: "paused_capacity", reason: "full" })
        const pending = yield* training.optimStep(adam)
        const waiting = yield* Effect.fork(Effect.flip(pending.await))
        if (isAfterOne) yield* TestClock.adjust("10 seconds")
        yield* beats(denial, 2)
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual((yield* Fiber.poll(waiting))._tag, "None")
        yield* TestClock.adjust("10 seconds")
        const error = yield* Fiber.join(waiting)
        assert.strictEqual(error._tag === "SessionClosedError" && error.reason, reason)
        const later = yield* Effect.flip(training.optimStep(adam))
        assert.strictEqual(later._tag === "SessionClosedError" && later.reason, reason)
        const before = yield* count("session_heartbeat")
        yield* TestClock.adjust("1 minute")
        assert.strictEqual(yield* count("session_heartbeat"), before)
      }))
      assert.deepStrictEqual(states.at(-1), { _tag: "over", reason })
    }).pipe(Effect.provide(client())))
}

const unknownSession = Faults.answer(404, { body: { detail: "there is no session x" } })

const pages: ReadonlyArray<readonly [string, Faults.Fault]> = [
  ...[200, 401, 403, 404, 410, 502].map((status) =>
    [
      `pages with status ${status}`,
      Faults.answer(status, { body: "<html>nginx</html>", contentType: "text/html" })
    ] as const
  ),
  ["empty answers with status 404", Faults.answer(404, { body: "" })],
  ["empty answers with status 410", Faults.answer(410, { body: "" })],
  ["the JSON of a gateway", Faults.answer(404, { body: { error: { code: 404, message: "no such route" } } })],
  ["the JSON of a server without heartbeats", Faults.answer(404, { body: { detail: "Not Found" } })]
]

for (const [name, fault] of pages) {
  it.effect(`heartbeats answered by ${name} for minutes end no session`, () =>
    Effect.gen(function*() {
      const service = yield* ServiceClient.ServiceClient
      const training = yield* service.createLoraTrainingClient({ baseModel: "bigram" })
      yield* TestClock.adjust("15 seconds")
      yield* beats(fault, 9)
      yield* TestClock.adjust("95 seconds")
      yield* ApiFuture.flatten(training.optimStep(adam))
    }).pipe(Effect.provide(client())))
}

it.effect("one denial between beats that are taken ends nothing", () =>
  Effect.gen(function*() {
    const service = yield* ServiceClient.ServiceClient
    const training = yield* service.createLoraTrainingClient({ baseModel: "bigram" })
    for (const nth of [2, 4, 6]) yield* beats(unknownSession, 1, nth)
    yield* TestClock.adjust("2 minutes")
    yield* ApiFuture.flatten(training.optimStep(adam))
  }).pipe(Effect.provide(client())))

it.effect("after a lost session the next call that creates makes another, and samplers go on, but training clients do not", () =>
  Effect.gen(function*() {
    const service = yield* ServiceClient.ServiceClient
    const states = yield* statesDuring(Effect.gen(function*() {
      const training = yield* service.createLoraTrainingClient({ baseModel: "bigram" })
      const sampling = yield* service.createSamplingClient({ baseModel: "bigram" })
      const first = sampling.samplingSessionId
      yield* beats(Faults.answer(410), 2)
      yield* TestClock.adjust("25 seconds")
      const question = { prompt: ModelInput.fromTokens([97]), samplingParams: SamplingParams.make({ maxTokens: 2 }) }
      yield* Effect.all([sampling.sample(question), sampling.sample(question)], { concurrency: 2 })
      assert.notStrictEqual(sampling.samplingSessionId, first)
      assert.strictEqual(yield* count("create_session"), 2)
      const next = yield* service.createLoraTrainingClient({ baseModel: "bigram" })
      yield* ApiFuture.flatten(next.optimStep(adam))
      assert.strictEqual(yield* count("create_session"), 2)
      const old = yield* Effect.flip(training.optimStep(adam))
      assert.strictEqual(old._tag === "SessionClosedError" && old.reason, "expired")
    }))
    assert.deepStrictEqual(states.map(({ _tag }) => _tag), ["none", "active", "unreachable", "over", "active"])
  }).pipe(Effect.provide(client())))

const missing: ReadonlyArray<readonly [path: string, status: number, detail: string]> = [
  ["create_model", 404, "Session not found"],
  ["load_weights", 404, "there is no session abc"],
  ["create_sampling_session", 410, "the session abc has ended"],
  ["load_weights", 410, "the session abc is finished (success)"]
]

for (const [path, status, detail] of missing) {
  it.effect(`${path} that is refused with ${status} "${detail}" is made in a new session`, () =>
    Effect.gen(function*() {
      const service = yield* ServiceClient.ServiceClient
      const training = yield* service.createLoraTrainingClient({ baseModel: "bigram" })
      const { path: checkpoint } = yield* ApiFuture.flatten(training.saveState({ name: "kept" }))
      const faults = yield* Faults.Faults
      yield* faults.plan({ path, fault: Faults.answer(status, { body: { detail } }) })
      if (path === "create_model") yield* service.createLoraTrainingClient({ baseModel: "bigram" })
      else if (path === "load_weights") yield* service.createTrainingClientFromStateWithOptimizer(checkpoint)
      else yield* service.createSamplingClient({ baseModel: "bigram" })
      assert.strictEqual(yield* count("create_session"), 2)
      assert.lengthOf(yield* faults.unused, 0)
    }).pipe(Effect.provide(client())))
}

it.effect("a session that is refused anew and anew is an error of the session, not of the checkpoint", () =>
  Effect.gen(function*() {
    const service = yield* ServiceClient.ServiceClient
    const faults = yield* Faults.Faults
    const fault = Faults.answer(404, { body: { detail: "there is no session abc" } })
    yield* faults.plan({ path: "load_weights", fault, times: 9 })
    const error = yield* Effect.flip(service.createTrainingClientFromStateWithOptimizer("tinker://a/weights/b"))
    assert.strictEqual(error._tag === "SessionClosedError" && error.reason, "lost")
    assert.strictEqual(yield* count("create_session"), 2)
  }).pipe(Effect.provide(client())))

it.effect("samples under way when the session is lost are answered in the next, and training that was under way says so", () =>
  Effect.gen(function*() {
    const service = yield* ServiceClient.ServiceClient
    const faults = yield* Faults.Faults
    const training = yield* service.createLoraTrainingClient({ baseModel: "bigram" })
    const sampling = yield* service.createSamplingClient({ baseModel: "bigram" })
    yield* faults.plan({
      path: "retrieve_future",
      fault: Faults.answer(200, { body: { type: "try_again" } }),
      times: 2000
    })
    const question = { prompt: ModelInput.fromTokens([97]), samplingParams: SamplingParams.make({ maxTokens: 2 }) }
    const samples = yield* Effect.fork(
      Effect.forEach(Array.from({ length: 16 }), () => sampling.sample(question), { concurrency: "unbounded" })
    )
    yield* TestClock.adjust("5 seconds")
    yield* beats(Faults.answer(410), 2)
    yield* TestClock.adjust("5 minutes")
    assert.lengthOf(yield* Fiber.join(samples), 16)
    const old = yield* Effect.flip(training.optimStep(adam))
    assert.strictEqual(old._tag, "SessionClosedError")
  }).pipe(Effect.provide(client())))

for (const status of [404, 410]) {
  it.effect(`a sampler that the server answers ${status} for is made again for the very call that heard of it`, () =>
    Effect.gen(function*() {
      const service = yield* ServiceClient.ServiceClient
      const faults = yield* Faults.Faults
      const sampling = yield* service.createSamplingClient({ baseModel: "bigram" })
      const question = { prompt: ModelInput.fromTokens([97]), samplingParams: SamplingParams.make({ maxTokens: 2 }) }
      yield* faults.plan({ path: "asample", fault: Faults.answer(status, { body: { detail: "there is no sampler" } }) })
      const first = yield* Effect.fork(sampling.sample(question))
      yield* TestClock.adjust("5 seconds")
      yield* Fiber.join(first)
      yield* faults.plan({
        path: "retrieve_future",
        fault: Faults.answer(status, { body: { detail: "there is no request" } })
      })
      const second = yield* Effect.fork(sampling.sample(question))
      yield* TestClock.adjust("5 seconds")
      yield* Fiber.join(second)
    }).pipe(Effect.provide(client())))
}

it.effect("a model that is gone with its session is the end of the session, told at once", () =>
  Effect.gen(function*() {
    const service = yield* ServiceClient.ServiceClient
    const faults = yield* Faults.Faults
    const training = yield* service.createLoraTrainingClient({ baseModel: "bigram" })
    yield* TestClock.adjust("11 seconds")
    const gone = Faults.answer(404, { body: { detail: "there is no model S:train:0" } })
    yield* faults.plan({ path: "optim_step", fault: gone, times: 2 })
    const kept = yield* Effect.flip(training.optimStep(adam))
    assert.strictEqual(kept._tag === "ApiStatusError" && kept.reason, "NotFound")
    yield* beats(unknownSession, 1)
    const lost = yield* Effect.flip(training.optimStep(adam))
    assert.strictEqual(lost._tag === "SessionClosedError" && lost.reason, "lost")
  }).pipe(Effect.provide(client())))

it.effect("a session that the server names as unknown from the first beat on is lost", () =>
  Effect.gen(function*() {
    const service = yield* ServiceClient.ServiceClient
    const states = yield* statesDuring(Effect.gen(function*() {
      yield* service.createSamplingClient({ baseModel: "bigram" })
      yield* beats(Faults.answer(404, { body: { detail: "there is no session x" } }), 2)
      yield* TestClock.adjust("25 seconds")
    }))
    assert.deepStrictEqual(states.at(-1), { _tag: "over", reason: "lost" })
  }).pipe(Effect.provide(client())))

it.effect("what waits when the client is closed ends as closed, whatever the server makes of it", () =>
  Effect.gen(function*() {
    const service = yield* ServiceClient.ServiceClient
    const faults = yield* Faults.Faults
    const sampling = yield* service.createSamplingClient({ baseModel: "bigram" })
    yield* faults.plan({ path: "retrieve_future", fault: Faults.delay("1 hour"), times: 9 })
    const question = { prompt: ModelInput.fromTokens([97]), samplingParams: SamplingParams.make({ maxTokens: 2 }) }
    const waiting = yield* Effect.fork(Effect.flip(sampling.sample(question)))
    yield* TestClock.adjust("1 second")
    yield* service.close("success")
    const error = yield* Fiber.join(waiting)
    assert.strictEqual(error._tag === "SessionClosedError" && error.reason, "closed")
  }).pipe(Effect.provide(client())))

it.effect("a sampler of a model's weights that the session took along fails as its session has ended", () =>
  Effect.gen(function*() {
    const service = yield* ServiceClient.ServiceClient
    const training = yield* service.createLoraTrainingClient({ baseModel: "bigram" })
    const sampling = yield* training.saveWeightsAndGetSamplingClient()
    yield* beats(Faults.answer(410), 2)
    yield* TestClock.adjust("25 seconds")
    const question = { prompt: ModelInput.fromTokens([97]), samplingParams: SamplingParams.make({ maxTokens: 2 }) }
    const error = yield* Effect.flip(sampling.sample(question))
    assert.strictEqual(error._tag === "SessionClosedError" && error.reason, "expired")
    assert.include(error.message, "starts a new session")
  }).pipe(Effect.provide(client())))

it.effect("a server that knows no heartbeats has not lost the session", () =>
  Effect.gen(function*() {
    yield* beats(Faults.answer(404), 5)
    yield* createSampling
    yield* TestClock.adjust("50 seconds")
    assert.strictEqual(yield* count("session_heartbeat"), 5)
    yield* createSampling
  }).pipe(Effect.provide(client())))

it.effect("warns when no beat was accepted for two minutes, not before, and anew after one that was", () =>
  Effect.gen(function*() {
    const warnings: Array<string> = []
    const logger = Logger.make(({ logLevel, message }) => {
      if (logLevel._tag === "Warning") warnings.push(String(message))
    })
    yield* Effect.provide(createSampling, Logger.replace(Logger.defaultLogger, logger))
    yield* beats(Faults.answer(503), 13)
    yield* beats(Faults.answer(503), 12, 15)
    yield* TestClock.adjust("120 seconds")
    assert.strictEqual(warnings.length, 0)
    yield* TestClock.adjust("10 seconds")
    assert.strictEqual(warnings.length, 1)
    assert.include(warnings[0], "2 minutes 10 s")
    yield* TestClock.adjust("130 seconds")
    assert.strictEqual(yield* count("session_heartbeat"), 26)
    assert.strictEqual(warnings.length, 1)
  }).pipe(Effect.provide(client())))

it.effect("tells whether the server is reached, since when not, and again", () =>
  Effect.gen(function*() {
    const states = yield* statesDuring(Effect.gen(function*() {
      yield* createSampling
      yield* beats(Faults.answer(503), 2, 2)
      yield* TestClock.adjust("40 seconds")
    }))
    assert.deepStrictEqual(states.map(({ _tag }) => _tag), ["none", "active", "unreachable", "active"])
    const unreachable = states[2]
    assert.strictEqual(unreachable?._tag === "unreachable" && DateTime.toEpochMillis(unreachable.since), 20_000)
  }).pipe(Effect.provide(client())))

it.effect("with a limit of three, the fourth failure in a row ends the beats and the session, with a word of it", () =>
  Effect.gen(function*() {
    const warnings: Array<string> = []
    const logger = Logger.make(({ logLevel, message }) => {
      if (logLevel._tag === "Warning") warnings.push(String(message))
    })
    yield* beats(Faults.answer(503), 3)
    yield* beats(Faults.answer(503), 10, 5)
    yield* Effect.provide(createSampling, Logger.replace(Logger.defaultLogger, logger))
    yield* TestClock.adjust("70 seconds")
    assert.strictEqual(warnings.length, 0)
    yield* TestClock.adjust("1 minute")
    assert.strictEqual(yield* count("session_heartbeat"), 8)
    assert.include(warnings[0], "4 heartbeats in a row failed")
    yield* createSampling
    assert.strictEqual(yield* count("create_session"), 2)
  }).pipe(Effect.provide(client({ client: { heartbeatFailureLimit: 3 } }))))

it.effect("a server that stays away is warned of once a minute, from the third on", () =>
  Effect.gen(function*() {
    const warnings: Array<string> = []
    const logger = Logger.make(({ logLevel, message }) => {
      if (logLevel._tag === "Warning") warnings.push(String(message))
    })
    yield* beats(Faults.answer(503), 100, 2)
    yield* Effect.provide(createSampling, Logger.replace(Logger.defaultLogger, logger))
    yield* TestClock.adjust("5 minutes")
    assert.lengthOf(warnings, 3)
    for (const warning of warnings) assert.match(warning, /^no heartbeat was accepted for .*503/)
  }).pipe(Effect.provide(client())))

it.effect("a heartbeat is held for ten seconds at most, and not sent again before the next is due", () =>
  Effect.gen(function*() {
    yield* beats(Faults.delay("1 hour"), 1)
    yield* createSampling
    yield* TestClock.adjust("29 seconds")
    assert.strictEqual(yield* count("session_heartbeat"), 1)
    yield* TestClock.adjust("1 second")
    assert.strictEqual(yield* count("session_heartbeat"), 2)
  }).pipe(Effect.provide(client())))

for (const [held, warned] of [[20, true], [3, false]] as const) {
  it.effect(`code that keeps the thread for ${held} seconds ${warned ? "is" : "is not"} worth a warning`, () =>
    Effect.gen(function*() {
      const warnings: Array<string> = []
      const logger = Logger.make(({ logLevel, message }) => {
        if (logLevel._tag === "Warning") warnings.push(String(message))
      })
      const clock = yield* Effect.clock
      let skipped = 0
      const late: Clock.Clock = Object.assign(Object.create(clock), {
        currentTimeMillis: Effect.map(clock.currentTimeMillis, (now) => now + skipped)
      })
      yield* createSampling.pipe(
        Effect.provide(Logger.replace(Logger.defaultLogger, logger)),
        Effect.withClock(late)
      )
      yield* TestClock.adjust("9 seconds")
      skipped = held * 1000
      yield* TestClock.adjust("21 seconds")
      assert.strictEqual(warnings.length, warned ? 1 : 0)
      if (warned) assert.include(warnings[0], `${held} s late`)
    }).pipe(Effect.provide(client())))
}

it.effect("two clients have a session each, and the end of one is not that of the other", () =>
  Effect.gen(function*() {
    const seen: Array<readonly [string | undefined, string]> = []
    const onRequest = ({ headers, url }: HttpClientRequest.HttpClientRequest) => {
      seen.push([headers["x-api-key"], url.slice(url.indexOf("/v1/") + 4)])
    }
    const scope = yield* Scope.make()
    const make = (key: string) => client({ onRequest, client: { apiKey: Redacted.make(key) } })
    const one = yield* Layer.buildWithScope(make("tml-one"), scope)
    const other = yield* Layer.build(make("tml-other"))
    yield* Effect.provide(createSampling, one)
    yield* Effect.provide(createSampling, other)
    yield* Scope.close(scope, Exit.void)
    seen.length = 0
    yield* TestClock.adjust("10 seconds")
    assert.deepStrictEqual(seen, [["tml-other", "session_heartbeat"]])
    yield* Effect.provide(createSampling, other)
  }).pipe(Effect.scoped))

it.effect("a defect behind the scenes reaches whoever waits, and stops neither this session nor another", () =>
  Effect.gen(function*() {
    let broken = false
    const onRequest = ({ url }: HttpClientRequest.HttpClientRequest) => {
      if (broken && url.endsWith("/retrieve_future")) throw new Error("a broken transformation")
    }
    const one = yield* Layer.build(client({ onRequest }))
    const other = yield* Layer.build(client())
    const train = Effect.gen(function*() {
      const service = yield* ServiceClient.ServiceClient
      const training = yield* service.createLoraTrainingClient({ baseModel: "bigram" })
      broken = true
      return yield* ApiFuture.flatten(training.optimStep(adam))
    })
    const waiting = yield* Effect.fork(Effect.provide(train, one))
    yield* TestClock.adjust("1 minute")
    const exit = yield* Effect.exit(Fiber.join(waiting))
    assert.isTrue(Exit.isFailure(exit) && Cause.pretty(exit.cause).includes("a broken transformation"))
    const beats = yield* Effect.provide(count("session_heartbeat"), one)
    yield* TestClock.adjust("10 seconds")
    assert.strictEqual(yield* Effect.provide(count("session_heartbeat"), one), beats + 1)
    yield* Effect.provide(train, other)
  }).pipe(Effect.scoped))

it.effect("closing the scope ends heartbeats and refreshes, and every wait and later call at once", () =>
  Effect.gen(function*() {
    const paths: Array<string> = []
    const scope = yield* Scope.make()
    const context = yield* Layer.buildWithScope(client({ onRequest: ({ url }) => paths.push(url) }), scope)
    yield* Effect.gen(function*() {
      const service = yield* ServiceClient.ServiceClient
      const faults = yield* Faults.Faults
      const training = yield* service.createLoraTrainingClient({ baseModel: "bigram" })
      yield* faults.pauseQueue({ state: "paused_capacity", reason: "full" })
      const pending = yield* training.optimStep(adam)
      const waiting = yield* Effect.fork(Effect.exit(pending.await))
      yield* Effect.yieldNow()
      yield* Scope.close(scope, Exit.void)
      assert.isTrue(Exit.isFailure(yield* Fiber.join(waiting)))
      const later = yield* Effect.flip(service.createSamplingClient({ baseModel: "bigram" }))
      assert.strictEqual(later._tag === "SessionClosedError" && later.reason, "closed")
      const step = yield* Effect.flip(training.optimStep(adam))
      assert.strictEqual(step._tag, "SessionClosedError")
      paths.length = 0
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(paths, [])
    }).pipe(Effect.provide(context))
  }))

it.effect("a server that does not answer holds up the end for two seconds at most", () =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    const context = yield* Layer.buildWithScope(client(), scope)
    yield* Effect.provide(createSampling, context)
    const faults = Context.get(context, Faults.Faults)
    yield* faults.plan({ path: "sessions/:id/finish", fault: Faults.delay("1 hour") })
    const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
    yield* TestClock.adjust("1 second")
    assert.strictEqual((yield* Fiber.poll(closing))._tag, "None")
    yield* TestClock.adjust("1 second")
    yield* Fiber.join(closing)
  }))

it.effect("a reason given by the user goes before that of the scope, with its detail, and counts once", () =>
  Effect.gen(function*() {
    const bodies: Array<string> = []
    const onRequest = ({ body, url }: HttpClientRequest.HttpClientRequest) => {
      if (url.endsWith("/finish") && body._tag === "Uint8Array") bodies.push(new TextDecoder().decode(body.body))
    }
    const context = yield* Layer.build(client({ onRequest }))
    const { close } = Context.get(context, ServiceClient.ServiceClient)
    yield* Effect.provide(createSampling, context)
    yield* close("errored", "out of data")
    yield* close("success")
    const error = yield* Effect.flip(Effect.provide(createSampling, context))
    assert.strictEqual(error._tag, "SessionClosedError")
    return bodies
  }).pipe(
    Effect.scoped,
    Effect.tap((bodies) =>
      Effect.sync(() =>
        assert.deepStrictEqual(bodies, ["{\"reason\":{\"type\":\"errored\"},\"detail\":\"out of data\"}"])
      )
    )
  ))

it.effect("a client that has no session says no goodbye, and one whose server knows none does not fail for it", () =>
  Effect.gen(function*() {
    const paths: Array<string> = []
    const onRequest = ({ url }: HttpClientRequest.HttpClientRequest) => paths.push(url)
    yield* Effect.scoped(Layer.build(client({ onRequest })))
    assert.deepStrictEqual(paths, [])
    yield* Effect.gen(function*() {
      const service = yield* ServiceClient.ServiceClient
      const faults = yield* Faults.Faults
      yield* createSampling
      yield* faults.plan({ path: "sessions/:id/finish", fault: Faults.answer(404) })
      yield* service.close("success")
    }).pipe(Effect.provide(client()))
  }))

for (
  const [how, exit] of [["success", Exit.void], ["errored", Exit.fail("no")], [
    "interrupted",
    Exit.interrupt(FiberId.none)
  ]] as const
) {
  it.effect(`finishes the session as ${how} when the scope closes so`, () =>
    Effect.gen(function*() {
      const bodies: Array<string> = []
      const scope = yield* Scope.make()
      const onRequest = (request: HttpClientRequest.HttpClientRequest) => {
        if (!request.url.endsWith("/finish")) return
        bodies.push(request.body._tag === "Uint8Array" ? new TextDecoder().decode(request.body.body) : "")
      }
      const context = yield* Layer.buildWithScope(client({ onRequest }), scope)
      yield* Effect.provide(createSampling, context)
      yield* Scope.close(scope, exit)
      assert.deepStrictEqual(bodies, [`{"reason":{"type":"${how}"},"detail":null}`])
    }))
}

it.effect("a server that wants a key gets it, and refuses a wrong one", () =>
  Effect.gen(function*() {
    const withKey = (key: string) =>
      createSampling.pipe(Effect.provide(client({
        server: { apiKeys: ["tml-right"] },
        client: { apiKey: Redacted.make(key) }
      })))
    assert.strictEqual((yield* withKey("tml-right")).baseModel, "bigram")
    const error = yield* Effect.flip(withKey("tml-wrong"))
    assert.strictEqual(error._tag === "ApiStatusError" && error.reason, "Authentication")
    assert.include(error.message, "TINKER_API_KEY")
    assert.notInclude(error.message, "tml-wrong")
  }))
