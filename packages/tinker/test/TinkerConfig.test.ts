import { HttpClient } from "@effect/platform"
import { assert, it } from "@effect/vitest"
import { ConfigProvider, Context, Duration, Effect, Inspectable, Layer, Logger, Option, Redacted } from "effect"
import { Tinker, TinkerConfig } from "effect-tinker"

const environment = (variables: Readonly<Record<string, string>>) =>
  Effect.withConfigProvider(ConfigProvider.fromMap(new Map(Object.entries(variables))))

const read = <E>(layer: Layer.Layer<TinkerConfig.TinkerConfig, E>) =>
  Effect.map(Layer.build(layer), (context) => Context.get(context, TinkerConfig.TinkerConfig))

/** Of an option, of its variable, and without both; and how a setting is compared. */
interface Setting {
  readonly of: (config: TinkerConfig.Service) => unknown
  readonly option: readonly [options: TinkerConfig.Options, value: unknown]
  readonly variable?: readonly [name: string, text: string, value: unknown]
  readonly otherwise: unknown
}

const shown = (value: Option.Option<Redacted.Redacted>) => Option.getOrUndefined(Option.map(value, Redacted.value))

const settings: Readonly<Record<keyof TinkerConfig.Options, Setting>> = {
  apiKey: {
    of: ({ apiKey }) => shown(apiKey),
    option: [{ apiKey: Redacted.make("tml-option") }, "tml-option"],
    variable: ["TINKER_API_KEY", "tml-variable", "tml-variable"],
    otherwise: undefined
  },
  credentialCommand: {
    of: ({ credentialCommand }) => Option.getOrUndefined(credentialCommand),
    option: [{ credentialCommand: "option" }, "option"],
    variable: ["TINKER_CREDENTIAL_CMD", "variable", "variable"],
    otherwise: undefined
  },
  baseUrl: {
    of: ({ baseUrl }) => baseUrl,
    option: [{ baseUrl: "http://option/" }, "http://option"],
    variable: ["TINKER_BASE_URL", "http://variable/base//", "http://variable/base"],
    otherwise: TinkerConfig.hosted
  },
  headers: {
    of: ({ headers }) => headers,
    option: [{ headers: { a: "option" } }, { a: "option" }],
    variable: ["TINKER_HEADERS", "{\"a\":\"variable\"}", { a: "variable" }],
    otherwise: {}
  },
  query: {
    of: ({ query }) => query,
    option: [{ query: { a: ["option"] } }, { a: ["option"] }],
    variable: ["TINKER_QUERY", "{\"a\":\"variable\"}", { a: "variable" }],
    otherwise: {}
  },
  cloudflareAccess: {
    of: ({ cloudflareAccess: { clientId, clientSecret } }) => [clientId, clientSecret && Redacted.value(clientSecret)],
    option: [{ cloudflareAccess: { clientId: "o", clientSecret: Redacted.make("os") } }, ["o", "os"]],
    variable: ["CLOUDFLARE_ACCESS_CLIENT_SECRET", "vs", [undefined, "vs"]],
    otherwise: [undefined, undefined]
  },
  requestTimeout: {
    of: ({ requestTimeout }) => Duration.toSeconds(requestTimeout),
    option: [{ requestTimeout: "5 seconds" }, 5],
    variable: ["TINKER_TIMEOUT", "7.5", 7.5],
    otherwise: 60
  },
  maxRetries: {
    of: ({ maxRetries }) => Option.getOrUndefined(maxRetries),
    option: [{ maxRetries: 0 }, 0],
    variable: ["TINKER_MAX_RETRIES", "4", 4],
    otherwise: undefined
  },
  parity: {
    of: ({ maxRetries, requestTimeout }) => [Option.getOrUndefined(maxRetries), Duration.toSeconds(requestTimeout)],
    option: [{ parity: "beam" }, [2, 120]],
    variable: ["TINKER_PARITY", "python", [10, 60]],
    otherwise: [undefined, 60]
  },
  serverProfile: {
    of: ({ serverProfile }) => serverProfile.recognizesRepeats,
    option: [{ serverProfile: "open-rl" }, false],
    variable: ["TINKER_SERVER_PROFILE", "open-rl", false],
    otherwise: true
  },
  maxResponseBytes: {
    of: ({ maxResponseBytes }) => maxResponseBytes,
    option: [{ maxResponseBytes: { results: 5 } }, { results: 5, others: 64 * 1024 ** 2 }],
    otherwise: { results: 1024 ** 3, others: 64 * 1024 ** 2 }
  },
  billingPause: {
    of: ({ billingPause }) => Option.getOrUndefined(Option.map(billingPause, Duration.toSeconds)),
    option: [{ billingPause: 0 }, 0],
    otherwise: undefined
  },
  heartbeatInterval: {
    of: ({ heartbeatInterval }) => Duration.toSeconds(heartbeatInterval),
    option: [{ heartbeatInterval: "3 seconds" }, 3],
    otherwise: 10
  },
  heartbeatFailureLimit: {
    of: ({ heartbeatFailureLimit }) => heartbeatFailureLimit,
    option: [{ heartbeatFailureLimit: 2 }, 2],
    otherwise: Infinity
  },
  tags: {
    of: ({ tags }) => tags,
    option: [{ tags: [" b", "a", "b", ""] }, ["b", "a"]],
    variable: ["TINKER_TAGS", "d, c,,d", ["d", "c"]],
    otherwise: []
  },
  userMetadata: {
    of: ({ userMetadata }) => userMetadata,
    option: [{ userMetadata: { a: "b" } }, { a: "b" }],
    otherwise: {}
  },
  projectId: {
    of: ({ projectId }) => Option.getOrUndefined(projectId),
    option: [{ projectId: "option" }, "option"],
    variable: ["TINKER_PROJECT_ID", "variable", "variable"],
    otherwise: undefined
  },
  displayName: {
    of: ({ displayName }) => Option.getOrUndefined(displayName),
    option: [{ displayName: "option" }, "option"],
    otherwise: undefined
  },
  telemetry: {
    of: ({ telemetry }) => telemetry,
    option: [{ telemetry: true }, true],
    variable: ["TINKER_TELEMETRY", "0", false],
    otherwise: true
  },
  propagateTrace: {
    of: ({ propagateTrace }) => propagateTrace,
    option: [{ propagateTrace: true }, true],
    otherwise: false
  }
}

for (const [name, { of, option: [options, value], otherwise, variable }] of Object.entries(settings)) {
  const sources = variable === undefined
    ? "the option, then a default"
    : `the option, then ${variable[0]}, then a default`
  it.scoped(`${name} comes from ${sources}`, () =>
    Effect.gen(function*() {
      const [key, text, fromVariable] = variable ?? ["UNUSED", "", otherwise]
      const given = environment({ [key]: text })
      assert.deepStrictEqual(of(yield* given(read(TinkerConfig.layer(options)))), value)
      assert.deepStrictEqual(of(yield* given(read(TinkerConfig.layerFromEnv))), fromVariable)
      for (const blank of ["", "  "]) {
        assert.deepStrictEqual(of(yield* environment({ [key]: blank })(read(TinkerConfig.layerFromEnv))), otherwise)
      }
      assert.deepStrictEqual(of(yield* environment({})(read(TinkerConfig.layerFromEnv))), otherwise)
      assert.deepStrictEqual(of(yield* environment({})(read(TinkerConfig.layer()))), otherwise)
    }))
}

it.scoped("a program gives settings by other variables of its own", () =>
  Effect.gen(function*() {
    const layer = Layer.build(TinkerConfig.layerFromEnv)
    const { cloudflareAccess } = Context.get(
      yield* environment({ CLOUDFLARE_ACCESS_CLIENT_ID: "id" })(layer),
      TinkerConfig.TinkerConfig
    )
    assert.strictEqual(cloudflareAccess.clientId, "id")
    assert.isUndefined(cloudflareAccess.clientSecret)
  }))

const secret = "tml-secret"

/** Building the whole client fails with this, and nothing is sent. */
const refusal = <E>(
  layer: Layer.Layer<Tinker.Clients, E, HttpClient.HttpClient>,
  variables: Readonly<Record<string, string>> = {}
) =>
  Effect.gen(function*() {
    let requests = 0
    const http = Layer.succeed(HttpClient.HttpClient, HttpClient.make(() => Effect.die(requests++)))
    const error = yield* Layer.build(Layer.provide(layer, http)).pipe(
      Effect.flip,
      Effect.scoped,
      environment(variables)
    )
    assert.strictEqual(requests, 0)
    assert.notInclude(String(error), secret)
    assert.notInclude(JSON.stringify(error), secret)
    return String(error)
  })

const wrong = <A>(value: unknown) => value as A

for (
  const [name, options] of [
    ["apiKey", { apiKey: Redacted.make(`${secret} with a space`), baseUrl: "http://localhost" }],
    ["baseUrl", { baseUrl: `ftp://me:${secret}@host` }],
    ["baseUrl", { baseUrl: `http://me:${secret}@` }],
    ["headers.x-a", { headers: { "x-a": `${secret}\n` } }],
    ["headers.x a", { headers: { "x a": secret } }],
    ["headers.X-API-Key", { headers: { "X-API-Key": secret } }],
    ["cloudflareAccess.clientId", { cloudflareAccess: { clientId: `${secret}\n` } }],
    ["cloudflareAccess.clientSecret", { cloudflareAccess: { clientSecret: Redacted.make(`${secret}\n`) } }],
    ["requestTimeout", { requestTimeout: 0 }],
    ["requestTimeout", { requestTimeout: wrong("soon") }],
    ["maxResponseBytes", { maxResponseBytes: wrong(5) }],
    ["maxResponseBytes.others", { maxResponseBytes: { others: 0 } }],
    ["maxResponseBytes.other", { maxResponseBytes: wrong({ other: 5 }) }],
    ["billingPause", { billingPause: wrong("soon") }],
    ["heartbeatInterval", { heartbeatInterval: 0 }],
    ["heartbeatFailureLimit", { heartbeatFailureLimit: 0 }],
    ["heartbeatFailureLimit", { heartbeatFailureLimit: NaN }],
    ["telemetry", { telemetry: wrong("yes") }],
    ["propagateTrace", { propagateTrace: wrong(1) }],
    ["tags", { tags: wrong("a,b") }],
    ["tags", { tags: wrong([1]) }],
    ["query", { query: wrong("a=b") }],
    ["headers", { headers: wrong(["a"]) }],
    ["headers.x-a", { headers: wrong({ "x-a": 1 }) }],
    ["userMetadata.a", { userMetadata: wrong({ a: 1 }) }],
    ["projectId", { projectId: wrong(1) }],
    ["displayName", { displayName: wrong({}) }],
    ["credentialCommand", { credentialCommand: wrong(["a"]) }],
    ["timeout", wrong({ timeout: 5 })]
  ] as ReadonlyArray<readonly [string, TinkerConfig.Options]>
) {
  it.effect(`${name} = ${Inspectable.toStringUnknown(Object.values(options)[0], 0)} is refused by its name`, () =>
    Effect.gen(function*() {
      assert.include(yield* refusal(Tinker.layer(options)), `${name}:`)
    }))
}

for (
  const [name, text] of [
    ["TINKER_HEADERS", `{"a":"${secret}`],
    ["TINKER_HEADERS", `["${secret}"]`],
    ["TINKER_HEADERS", "{\"a\":1}"],
    ["TINKER_HEADERS", `"${secret}"`],
    ["TINKER_QUERY", `a=${secret}`],
    ["TINKER_QUERY", "{\"a\":null}"],
    ["TINKER_QUERY", "{\"a\":[\"b\"]}"],
    ["TINKER_LOG", "loud"],
    ["TINKER_BASE_URL", `me:${secret}@host`]
  ] as const
) {
  it.effect(`${name}=${text} is refused by its name`, () =>
    Effect.gen(function*() {
      assert.include(yield* refusal(Tinker.layerFromEnv, { [name]: text }), name)
    }))
}

it.scoped("printed, serialised and logged it tells nothing secret", () =>
  Effect.gen(function*() {
    const config = yield* read(TinkerConfig.layer({
      apiKey: Redacted.make(`${secret}-1`),
      credentialCommand: `print ${secret}-2`,
      baseUrl: `http://me:pass@${secret}-3@host/base`,
      headers: { "x-team": `${secret}-4` },
      query: { code: `${secret}-5` },
      cloudflareAccess: { clientId: "id", clientSecret: Redacted.make(`${secret}-6`) },
      displayName: "shown"
    }))
    const lines: Array<string> = []
    for (const logger of [Logger.stringLogger, Logger.jsonLogger, Logger.logfmtLogger]) {
      const layer = Logger.replace(Logger.defaultLogger, Logger.map(logger, (line) => void lines.push(line)))
      yield* Effect.log("with", config).pipe(Effect.provide(layer))
    }
    const { inspect } = yield* Effect.promise(() => import("node:util"))
    const texts = [
      ...lines,
      JSON.stringify(config),
      inspect(config, { depth: 9 }),
      Inspectable.toStringUnknown(config),
      `${config}`
    ]
    assert.lengthOf(texts, 7)
    for (const text of texts) {
      assert.include(text, "shown")
      assert.include(text, "x-team")
      assert.notInclude(text, secret)
      assert.notInclude(text, "pass")
    }
    assert.strictEqual(config.headers["x-team"], `${secret}-4`)
  }))

it.effect("refuses options that only a prototype or a symbol has, and headers likewise, instead of passing over them", () =>
  Effect.gen(function*() {
    const refused = (options: object) =>
      Effect.map(Effect.flip(TinkerConfig.make(options)), (error) => `${error.field}: ${error.description}`)
    assert.match(yield* refused(Object.create({ projectId: "p" }) as object), /^projectId: is inherited/)
    assert.match(yield* refused({ headers: Object.create({ "x-a": "b" }) as object }), /^headers\.x-a: is inherited/)
    assert.match(yield* refused({ [Symbol("s")]: 1 }), /^Symbol\(s\): is a symbol/)
  }))
