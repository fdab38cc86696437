import { assert, it } from "@effect/vitest"
import { ConfigProvider, Duration, Effect, Fiber, Layer, Option, Redacted, TestClock } from "effect"
import { Credentials, ServiceClient, TinkerConfig, TinkerError } from "effect-tinker"
import { json, stub } from "./stub.js"

const anywhere = { baseUrl: "https://example.com" }

/** A token that the server would have signed, alive from second 0 of the virtual clock until `exp`. */
const jwt = (exp: number) => {
  const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url")
  return `${encode({ alg: "none" })}.${encode({ iat: 0, exp })}.x`
}

const own = Effect.flatMap(Credentials.Credentials, ({ own }) => Effect.map(own, Option.map(Redacted.value)))

const running = (run: (command: string) => Effect.Effect<string, TinkerError.InvalidInputError>) =>
  Layer.succeed(Credentials.CredentialCommand, { run: (command) => Effect.map(run(command), Redacted.make) })

const storing = (key: string) =>
  Layer.succeed(Credentials.StoredCredentials, { defaultKey: Effect.succeedSome(Redacted.make(key)) })

const credentials = (options: TinkerConfig.Options, ...others: ReadonlyArray<Layer.Layer<never>>) =>
  Credentials.layer.pipe(Layer.provide([TinkerConfig.layer(options), ...others]))

const environment = (variables: Readonly<Record<string, string>>) =>
  Layer.setConfigProvider(ConfigProvider.fromMap(new Map(Object.entries(variables))))

for (const key of ["tml-key", jwt(1000)]) {
  it.effect(`takes a credential that begins with ${key.slice(0, 3)}`, () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* own, Option.some(key))
    }).pipe(Effect.provide(credentials({ apiKey: Redacted.make(key) }))))
}

const refused: ReadonlyArray<readonly [string, string, RegExp]> = [
  ["of another service", "sk-other", /tml-/],
  ["that is a token past its life", jwt(-10), /expired at 1969-12-31T23:59:50/],
  ["with a line break, which no header can carry", "tml-a\ntml-b", /line break/]
]
for (const [which, key, what] of refused) {
  it.effect(`a key ${which} fails the Layer, unrepeated`, () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Layer.build(credentials({ apiKey: Redacted.make(key) })))
      assert.strictEqual(error._tag, "InvalidInputError")
      assert.match(error.message, what)
      assert.notInclude(error.message, key)
    }).pipe(Effect.scoped))
}

it.effect("a token given as a key is refused, without a request, once its life is over", () =>
  Effect.gen(function*() {
    assert.isTrue(Option.isSome(yield* own))
    yield* TestClock.adjust("1000 seconds")
    assert.include((yield* Effect.flip(own)).message, "expired")
  }).pipe(Effect.provide(credentials({ apiKey: Redacted.make(jwt(1000)) }))))

const sources: ReadonlyArray<readonly [string, Readonly<Record<string, string>>, string | undefined]> = [
  ["the variable of the key before the command and the stored key", {
    TINKER_API_KEY: "tml-variable",
    TINKER_CREDENTIAL_CMD: "print"
  }, "tml-variable"],
  ["the command before the stored key", { TINKER_CREDENTIAL_CMD: "print" }, "tml-command"],
  ["the stored key when there is nothing else", {}, "tml-stored"],
  ["an empty variable as none", { TINKER_API_KEY: "", TINKER_CREDENTIAL_CMD: " " }, "tml-stored"]
]
for (const [what, variables, expected] of sources) {
  it.effect(`takes ${what}`, () =>
    Effect.gen(function*() {
      assert.strictEqual(Option.getOrUndefined(yield* own), expected)
    }).pipe(
      Effect.provide(Credentials.layer.pipe(
        Layer.provide([TinkerConfig.layerFromEnv, running(() => Effect.succeed("tml-command")), storing("tml-stored")]),
        Layer.provide(environment(variables))
      ))
    ))
}

it.effect("takes the option before variable, command and stored key", () =>
  Effect.gen(function*() {
    assert.deepStrictEqual(yield* own, Option.some("tml-option"))
  }).pipe(Effect.provide(
    credentials(
      { apiKey: Redacted.make("tml-option"), credentialCommand: "print" },
      running(() => Effect.succeed("tml-command")),
      storing("tml-stored"),
      environment({ TINKER_API_KEY: "tml-variable" })
    )
  )))

/** A command that counts its runs. */
const counting = (output: (run: number) => Effect.Effect<string, TinkerError.InvalidInputError>) => {
  let runs = 0
  return { runs: () => runs, layer: running(() => Effect.suspend(() => output(++runs))) }
}

it.effect("runs the command once for a hundred requests, and again after a minute", () => {
  const command = counting((run) => Effect.delay(Effect.succeed(`tml-${run}`), "1 second"))
  return Effect.gen(function*() {
    const all = yield* Effect.fork(Effect.all(Array.from({ length: 100 }, () => own), { concurrency: "unbounded" }))
    yield* TestClock.adjust("1 second")
    assert.deepStrictEqual(new Set((yield* Fiber.join(all)).map(Option.getOrNull)), new Set(["tml-1"]))
    yield* TestClock.adjust("59 seconds")
    assert.deepStrictEqual(yield* own, Option.some("tml-1"))
    const later = yield* Effect.fork(Effect.delay(own, "1 second"))
    yield* TestClock.adjust("2 seconds")
    assert.deepStrictEqual(yield* Fiber.join(later), Option.some("tml-2"))
    assert.strictEqual(command.runs(), 2)
  }).pipe(Effect.provide(credentials({ ...anywhere, credentialCommand: "print" }, command.layer)))
})

it.effect("runs the command again when the token that it printed is over", () => {
  const command = counting((run) => Effect.succeed(jwt(run * 20)))
  return Effect.gen(function*() {
    assert.deepStrictEqual(yield* own, Option.some(jwt(20)))
    yield* TestClock.adjust("19 seconds")
    assert.deepStrictEqual(yield* own, Option.some(jwt(20)))
    yield* TestClock.adjust("1 second")
    assert.deepStrictEqual(yield* own, Option.some(jwt(40)))
  }).pipe(Effect.provide(credentials({ ...anywhere, credentialCommand: "print" }, command.layer)))
})

it.effect("refuses an expired token of the command, and runs it again at the next request", () => {
  const command = counting((run) => Effect.succeed(run === 1 ? jwt(-1) : "tml-new"))
  return Effect.gen(function*() {
    const error = yield* Effect.flip(own)
    assert.strictEqual(error.field, "credentialCommand")
    assert.deepStrictEqual(yield* own, Option.some("tml-new"))
  }).pipe(Effect.provide(credentials({ ...anywhere, credentialCommand: "print" }, command.layer)))
})

it.effect("runs the command again for the request after one that the server refused", () => {
  const command = counting((run) => Effect.succeed(`tml-${run}`))
  const { layer, to } = stub({
    get_server_capabilities: ({ headers }) =>
      headers["x-api-key"] === "tml-1" ? json({ detail: "a wrong key" }, 401) : json({ supported_models: [] })
  }, { ...anywhere, credentialCommand: "print" })
  return Effect.gen(function*() {
    const { getServerCapabilities } = yield* ServiceClient.ServiceClient
    yield* Effect.flip(getServerCapabilities)
    yield* getServerCapabilities
    assert.deepStrictEqual(to("get_server_capabilities").map(({ headers }) => headers["x-api-key"]), ["tml-1", "tml-2"])
    assert.strictEqual(command.runs(), 2)
  }).pipe(Effect.provide(Layer.provide(layer, command.layer)))
})

it.effect("runs the command again after its output was refused in exchange for a token", () => {
  const command = counting((run) => Effect.succeed(`tml-${run}`))
  const { layer } = stub({
    "client/config": () => json({ pjwt_auth_enabled: true }),
    "auth/token": ({ headers }) =>
      headers["x-api-key"] === "tml-1" ? json({ detail: "a wrong key" }, 401) : json({ jwt: "eyJ.e30.x" }),
    get_server_capabilities: () => json({ supported_models: [] })
  }, { ...anywhere, credentialCommand: "print" })
  return Effect.gen(function*() {
    const { getServerCapabilities } = yield* ServiceClient.ServiceClient
    yield* Effect.flip(getServerCapabilities)
    yield* getServerCapabilities
    assert.strictEqual(command.runs(), 2)
  }).pipe(Effect.provide(Layer.provide(layer, command.layer)))
})

it.effect("whoever is interrupted while the command runs takes nobody else along", () => {
  const command = counting(() => Effect.delay(Effect.succeed("tml-key"), "10 seconds"))
  return Effect.gen(function*() {
    const first = yield* Effect.fork(own)
    yield* Effect.yieldNow()
    const second = yield* Effect.fork(own)
    yield* TestClock.adjust("5 seconds")
    yield* Fiber.interrupt(first)
    yield* TestClock.adjust("5 seconds")
    assert.deepStrictEqual(yield* Fiber.join(second), Option.some("tml-key"))
    assert.strictEqual(command.runs(), 1)
  }).pipe(Effect.provide(credentials({ ...anywhere, credentialCommand: "print" }, command.layer)))
})

it.effect("says that a command cannot be run where nothing can run it", () =>
  Effect.gen(function*() {
    const error = yield* Effect.flip(own)
    assert.include(error.message, "TinkerNode.layer")
  }).pipe(Effect.provide(credentials({ ...anywhere, credentialCommand: "print" }))))

it.effect("needs no credential for a server on this machine", () =>
  Effect.gen(function*() {
    assert.deepStrictEqual(yield* own, Option.none())
  }).pipe(Effect.provide(credentials({ baseUrl: "http://127.0.0.1:8000" }))))

it.effect("knows whether there is a credential, without a request and without running the command", () =>
  Effect.gen(function*() {
    let runs = 0
    const has = (options: TinkerConfig.Options) => {
      const { layer, seen } = stub({}, options)
      return Effect.flatMap(ServiceClient.ServiceClient, (service) => service.hasCredentials).pipe(
        Effect.provide(Layer.provide(layer, running(() => Effect.sync(() => String(runs++))))),
        Effect.tap(() => Effect.sync(() => assert.strictEqual(seen.length, 0)))
      )
    }
    assert.isTrue(yield* has({ apiKey: Redacted.make("tml-key") }))
    assert.isTrue(yield* has({ credentialCommand: "print" }))
    assert.isFalse(yield* has({}))
    assert.strictEqual(runs, 0)
  }))

for (const [status, reason] of [[401, "Authentication"], [402, "Billing"], [403, "PermissionDenied"]] as const) {
  it.effect(`the check of access asks once and fails at once with ${reason} on ${status}`, () => {
    const { layer, to } = stub({ get_server_capabilities: () => json({ detail: "not you" }, status) })
    return Effect.gen(function*() {
      const service = yield* ServiceClient.ServiceClient
      const error = yield* Effect.flip(service.checkAccess)
      assert.strictEqual(error._tag === "ApiStatusError" && error.reason, reason)
      assert.include(error.message, "not you")
      assert.strictEqual(to("get_server_capabilities").length, 1)
    }).pipe(Effect.provide(layer))
  })
}

it.effect("the check of access does not repeat its question to a server in trouble", () => {
  const { layer, to } = stub({ get_server_capabilities: () => json({}, 503) })
  return Effect.gen(function*() {
    const service = yield* ServiceClient.ServiceClient
    const fiber = yield* Effect.fork(Effect.flip(service.checkAccess))
    yield* TestClock.adjust(Duration.minutes(10))
    assert.strictEqual((yield* Fiber.join(fiber))._tag, "ApiStatusError")
    assert.strictEqual(to("get_server_capabilities").length, 1)
  }).pipe(Effect.provide(layer))
})
