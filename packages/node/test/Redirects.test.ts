import { FetchHttpClient, HttpClient, HttpClientRequest } from "@effect/platform"
import { assert, it } from "@effect/vitest"
import { Effect, Layer, Redacted } from "effect"
import { RequestExtras, TinkerHttpClient } from "effect-tinker"
import type { TinkerConfig } from "effect-tinker"
import type { IncomingMessage } from "node:http"
import { TinkerNode } from "../src/index.js"
import { serve, type Server, transport } from "./fixture.js"

const clients: Readonly<Record<string, Layer.Layer<HttpClient.HttpClient, unknown>>> = {
  fetch: FetchHttpClient.layer,
  undici: TinkerNode.layer
}

const secrets: TinkerConfig.Options = {
  apiKey: Redacted.make("tml-secret-key"),
  cloudflareAccess: { clientId: "secret-id", clientSecret: Redacted.make("secret-cloudflare") },
  headers: { "X-Corp-Auth": "secret-corp", "Proxy-Authorization": "secret-proxy", Cookie: "secret=1" }
}

const extras = RequestExtras.withExtras({
  headers: { Authorization: "secret-authorization", "X-Mine": "secret-mine", Range: "bytes=0-" }
})

const send = (method: TinkerHttpClient.Method, path = "/api/v1/thing") =>
  Effect.flatMap(TinkerHttpClient.TinkerHttpClient, (http) =>
    http.execute({
      operation: "thing",
      method,
      path,
      headers: { "x-tinker-weights-access-token": "secret-weights" },
      ...(method === "GET" ? {} : { body: TinkerHttpClient.jsonBody({ prompt: "secret-prompt" }) })
    }))

const redirecting = (status: number, to: () => string) =>
  serve((request, response) => {
    if (request.url === "/api/v1/thing") response.writeHead(status, { location: to() }).end()
    else response.end("{\"home\":true}")
  })

const away = serve((_, response) => response.end("{\"away\":true}"))

const heard = (server: Server) => server.requests.map(({ request }) => request)

/** What the transport itself says of a request, and what of it is no secret. */
const harmless = new Set([
  "accept",
  "accept-encoding",
  "accept-language",
  "connection",
  "host",
  "range",
  "sec-fetch-mode",
  "user-agent"
])

const assertHarmless = (request: IncomingMessage) => {
  assert.deepStrictEqual(Object.keys(request.headers).filter((name) => !harmless.has(name)), [])
  assert.notInclude(JSON.stringify(request.rawHeaders), "secret")
  assert.include(request.headers, { accept: "application/json", range: "bytes=0-" })
}

for (const [name, layer] of Object.entries(clients)) {
  for (const status of [301, 302, 303, 307, 308]) {
    it.scoped(`with ${name}, a ${status} to another origin is followed without any header that may be secret`, () =>
      Effect.gen(function*() {
        const other = yield* away
        const home = yield* redirecting(status, () => `${other.url}/there`)
        const answer = yield* send("GET").pipe(extras, Effect.provide(transport(home.url, secrets, layer)))
        assert.strictEqual(new TextDecoder().decode(answer.body), "{\"away\":true}")
        assert.lengthOf(heard(home), 1)
        assert.lengthOf(heard(other), 1)
        assertHarmless(heard(other)[0]!)
      }))

    it.scoped(`with ${name}, what a ${status} would send elsewhere with its body stays at home`, () =>
      Effect.gen(function*() {
        const other = yield* away
        const home = yield* redirecting(status, () => `${other.url}/there`)
        const answer = yield* send("POST").pipe(extras, Effect.provide(transport(home.url, secrets, layer)))
        if (status < 307) {
          assert.strictEqual(new TextDecoder().decode(answer.body), "{\"away\":true}")
          assertHarmless(heard(other)[0]!)
          assert.deepStrictEqual(other.requests.map(({ body, request }) => [request.method, body]), [["GET", ""]])
        } else {
          assert.strictEqual(answer.status, status)
          assert.lengthOf(heard(other), 0)
        }
      }))
  }

  it.scoped(`with ${name}, a redirect on the same origin keeps every header`, () =>
    Effect.gen(function*() {
      const home = yield* redirecting(307, () => "/elsewhere")
      yield* send("POST").pipe(extras, Effect.provide(transport(home.url, secrets, layer)))
      const [first, second] = heard(home)
      assert.strictEqual(second?.url, "/elsewhere")
      for (const [header, value] of Object.entries(first!.headers)) assert.strictEqual(second?.headers[header], value)
      assert.include(second?.headers, { "x-api-key": "tml-secret-key", "x-mine": "secret-mine" })
    }))

  it.scoped(`with ${name}, what stayed at home is not fetched by a redirect back`, () =>
    Effect.gen(function*() {
      const back: { url: string } = { url: "" }
      const other = yield* serve((_, response) => response.writeHead(302, { location: `${back.url}/home` }).end())
      const home = yield* redirecting(302, () => `${other.url}/there`)
      back.url = home.url
      const answer = yield* send("GET").pipe(extras, Effect.provide(transport(home.url, secrets, layer)))
      assert.strictEqual(new TextDecoder().decode(answer.body), "{\"home\":true}")
      assertHarmless(heard(home)[1]!)
    }))
}

it.scoped("headers that are set for fetch beside the client stay at home too", () =>
  Effect.gen(function*() {
    const other = yield* away
    const home = yield* redirecting(302, () => `${other.url}/there`)
    const layer = Layer.provide(
      FetchHttpClient.layer,
      Layer.succeed(FetchHttpClient.RequestInit, { headers: { "x-corp": "secret-init" } })
    )
    yield* send("GET").pipe(extras, Effect.provide(transport(home.url, secrets, layer)))
    assert.strictEqual(heard(home)[0]?.headers["x-corp"], "secret-init")
    assertHarmless(heard(other)[0]!)
  }))

it.scoped("a fetch that follows by itself is an error, not an answer", () =>
  Effect.gen(function*() {
    const other = yield* away
    const home = yield* redirecting(302, () => `${other.url}/there`)
    const stubborn: typeof fetch = (input, init) => fetch(input, { ...init, redirect: "follow" })
    const layer = Layer.provide(FetchHttpClient.layer, Layer.succeed(FetchHttpClient.Fetch, stubborn))
    const error = yield* Effect.flip(send("GET").pipe(Effect.provide(transport(home.url, secrets, layer))))
    assert.strictEqual((error as { readonly _tag: string })._tag, "ApiResponseValidationError")
    assert.include(String(error), "followed a redirect to another origin by itself")
    assert.notInclude(String(error), "secret")
    assert.lengthOf(heard(other), 1)
  }))

it.scoped("a client that follows by itself is an error, and one that rewrites addresses is none", () =>
  Effect.gen(function*() {
    const other = yield* away
    const home = yield* redirecting(302, () => `${other.url}/there`)
    const made = (change: (client: HttpClient.HttpClient) => HttpClient.HttpClient) =>
      Layer.effect(HttpClient.HttpClient, Effect.map(HttpClient.HttpClient, change)).pipe(
        Layer.provide(FetchHttpClient.layer)
      )
    const answer = (layer: Layer.Layer<HttpClient.HttpClient, unknown>) =>
      send("GET").pipe(Effect.provide(transport(home.url, secrets, layer)))
    const error = yield* Effect.flip(answer(made(HttpClient.followRedirects(3))))
    assert.include(String(error), "followed a redirect to another origin by itself")
    const gateway = HttpClient.mapRequest((request: HttpClientRequest.HttpClientRequest) =>
      HttpClientRequest.setUrl(request, request.url.replace(home.url, other.url))
    )
    assert.strictEqual(new TextDecoder().decode((yield* answer(made(gateway))).body), "{\"away\":true}")
  }))

it.scoped("a fetch that hides where a redirect leads, as in browsers, is an error that says so", () =>
  Effect.gen(function*() {
    const hiding: typeof fetch = (input, init) =>
      fetch(input, init).then((response) => response.status === 302 ? Response.error() : response)
    const home = yield* redirecting(302, () => "/there")
    const layer = Layer.provide(FetchHttpClient.layer, Layer.succeed(FetchHttpClient.Fetch, hiding))
    const error = yield* Effect.flip(send("GET").pipe(Effect.provide(transport(home.url, secrets, layer))))
    assert.strictEqual((error as { readonly _tag: string })._tag, "ApiResponseValidationError")
    assert.include(String(error), "this runtime does not tell where to")
    assert.lengthOf(heard(home), 1)
  }))

it.scoped("what is set for fetch beside the client stays in force, and its redirect setting does not", () =>
  Effect.gen(function*() {
    const home = yield* redirecting(302, () => "/there")
    const modes: Array<unknown> = []
    const watching: typeof fetch = (input, init) => {
      modes.push(init?.redirect, init?.cache)
      return fetch(input, init)
    }
    const layer = Layer.provide(FetchHttpClient.layer, [
      Layer.succeed(FetchHttpClient.Fetch, watching),
      Layer.succeed(FetchHttpClient.RequestInit, { redirect: "follow", cache: "no-store", headers: { "x-init": "1" } })
    ])
    yield* Effect.gen(function*() {
      yield* send("GET")
      // It holds for the requests of the SDK alone.
      assert.isFalse((yield* Effect.context<never>()).unsafeMap.has(FetchHttpClient.RequestInit.key))
    }).pipe(Effect.provide(transport(home.url, secrets, layer)))
    assert.deepStrictEqual(modes, ["manual", "no-store", "manual", "no-store"])
    assert.strictEqual(heard(home)[1]?.headers["x-init"], "1")
  }))
