import { BigramEngine } from "@effect-tinker/engine"
import { NodeServer } from "@effect-tinker/node"
import { HttpServer } from "@effect/platform"
import { assert, it } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import * as NodeHttp from "node:http"
import { CheckpointStore, type TinkerProtocol, TinkerServer } from "../src/index.js"
import * as Wire from "./wire.js"

/** The port of a server on this machine. */
const listening = (options: TinkerProtocol.Options) =>
  Effect.map(
    Layer.build(
      TinkerServer.layer({ metrics: true, archives: true, ...options }).pipe(
        Layer.provide(CheckpointStore.layerMemory),
        Layer.provide(BigramEngine.layer()),
        Layer.provideMerge(NodeServer.layer({ host: "127.0.0.1", port: 0 }))
      )
    ),
    (context) => {
      const { address } = Context.get(context, HttpServer.HttpServer)
      return address._tag === "TcpAddress" ? address.port : 0
    }
  )

interface Sent {
  readonly method?: string
  readonly path?: string
  readonly headers?: Record<string, string>
  readonly body?: string
}

interface Answered {
  readonly status: number
  readonly headers: NodeHttp.IncomingHttpHeaders
  readonly body: Record<string, unknown>
}

/** A request with exactly these headers, as a browser or a rebound name would send it. */
const send = (port: number, { body, headers, method, path = "healthz" }: Sent) =>
  Effect.async<Answered>((resume) => {
    const request = NodeHttp.request(
      {
        host: "127.0.0.1",
        port,
        method: method ?? (body === undefined ? "GET" : "POST"),
        path: path.startsWith("/") ? path : `/api/v1/${path}`,
        headers: { host: `127.0.0.1:${port}`, ...headers }
      },
      (response) => {
        let text = ""
        response.on("data", (chunk: Buffer) => {
          text += chunk.toString()
        })
        response.on("end", () => {
          const isJson = response.headers["content-type"] === "application/json"
          resume(Effect.succeed({
            status: response.statusCode ?? 0,
            headers: response.headers,
            body: isJson ? JSON.parse(text) as Record<string, unknown> : {}
          }))
        })
      }
    )
    request.end(body)
  })

const json = { "content-type": "application/json" }

const session = JSON.stringify({ tags: [], sdk_version: "0.38.0" })

it.scopedLive("a server without keys answers to names of its own machine alone, at every path", () =>
  Effect.gen(function*() {
    const port = yield* listening({})
    for (const path of ["healthz", "/metrics", "/openapi.json", "/files/a/b", "sessions", "elsewhere"]) {
      for (
        const host of [
          "evil.example",
          `evil.example:${port}`,
          "127.0.0.1.evil.example",
          "localhost.evil.example",
          "localhost..",
          "192.0.2.1"
        ]
      ) {
        const { body, status } = yield* send(port, { path, headers: { host } })
        assert.strictEqual(status, 403, `${path} by ${host}`)
        assert.include(String(body.detail), host)
      }
      for (
        const host of [
          "localhost",
          `localhost:${port}`,
          "127.0.0.1",
          "127.9.9.9:1",
          "[::1]",
          `[::1]:${port}`,
          "LOCALHOST",
          "localhost.",
          `LocalHost.:${port}`
        ]
      ) {
        const { body } = yield* send(port, { path, headers: { host } })
        assert.notInclude(String(body.detail), "without keys", `${path} by ${host}`)
      }
    }
  }))

it.scopedLive("a server without keys takes nothing from pages of others, also of another port or of none", () =>
  Effect.gen(function*() {
    const port = yield* listening({})
    const create = (origin: string) =>
      Effect.map(
        send(port, { path: "create_session", body: session, headers: { ...json, origin } }),
        ({ status }) => status
      )
    for (
      const origin of ["https://evil.example", "null", "http://localhost:1", `https://evil.example:${port}`, "file://"]
    ) {
      assert.strictEqual(yield* create(origin), 403, origin)
    }
    assert.strictEqual(yield* create(`http://127.0.0.1:${port}`), 200)
  }))

it.scopedLive("a server without keys takes what pages of its own address send, by whatever name it was called", () =>
  Effect.gen(function*() {
    const port = yield* listening({})
    const create = (host: string, origin: string) =>
      Effect.map(
        send(port, { path: "create_session", body: session, headers: { ...json, host, origin } }),
        ({ status }) => status
      )
    const own = [
      [`localhost:${port}`, `http://localhost:${port}`],
      [`LOCALHOST.:${port}`, `http://localhost:${port}`],
      [`localhost:${port}`, `http://localhost.:${port}`],
      [`localhost:${port}`, `http://127.0.0.1:${port}`],
      [`[::1]:${port}`, `http://[::1]:${port}`],
      ["localhost", "http://localhost:80"],
      ["localhost:443", "https://localhost"]
    ] as const
    for (const [host, origin] of own) assert.strictEqual(yield* create(host, origin), 200, `${origin} at ${host}`)
    const others = [
      [`localhost:${port}`, "http://localhost"],
      ["localhost", `http://localhost:${port}`],
      [`localhost:${port}`, `http://localhost:${port}.evil.example`],
      [`localhost:${port}`, `http://evil@localhost:${port}`],
      [`localhost:${port}`, "null"]
    ] as const
    for (const [host, origin] of others) assert.strictEqual(yield* create(host, origin), 403, `${origin} at ${host}`)
    const behind = yield* listening({ publicUrl: "https://tinker.example.org" })
    const { status } = yield* send(behind, { headers: { origin: "https://tinker.example.org" } })
    assert.strictEqual(status, 200)
  }))

it.scopedLive("a server without keys takes bodies that no page can send unasked, and says which", () =>
  Effect.gen(function*() {
    const port = yield* listening({})
    const create = (headers: Record<string, string>) =>
      Effect.map(send(port, { path: "create_session", body: session, headers }), ({ status }) => status)
    const simple = [
      "text/plain",
      "text/plain; application/json",
      "application/x-www-form-urlencoded",
      "multipart/form-data; boundary=application/json"
    ]
    for (const type of simple) assert.strictEqual(yield* create({ "content-type": type }), 415, type)
    assert.strictEqual(yield* create({}), 415)
    assert.strictEqual(yield* create({ "transfer-encoding": "chunked" }), 415)
    for (const type of ["application/json", "Application/JSON; charset=utf-8"]) {
      assert.strictEqual(yield* create({ "content-type": type }), 200, type)
    }
  }))

it.scopedLive("further names are allowed by an option, with their pages, or all of them", () =>
  Effect.gen(function*() {
    const named = yield* listening({ allowedHosts: ["tinker.example", "pages.example:8080"] })
    const create = (port: number, host: string, origin: string) =>
      Effect.map(
        send(port, { path: "create_session", body: session, headers: { ...json, host, origin } }),
        ({ status }) => status
      )
    assert.strictEqual(yield* create(named, "tinker.example:1", "https://tinker.example"), 200)
    assert.strictEqual(yield* create(named, "localhost", "http://pages.example:8080"), 200)
    assert.strictEqual(yield* create(named, "localhost", "http://pages.example"), 403)
    assert.strictEqual(yield* create(named, "other.example", "https://tinker.example"), 403)
    const any = yield* listening({ allowedHosts: ["*"] })
    assert.strictEqual(yield* create(any, "evil.example", "null"), 200)
  }))

it.scopedLive("a server with keys leaves all that to them", () =>
  Effect.gen(function*() {
    const port = yield* listening({ apiKeys: ["tml-right"] })
    const headers = { host: "tinker.example", origin: "https://else.example", "content-type": "text/plain" }
    const create = (key: Record<string, string>) =>
      Effect.map(
        send(port, { path: "create_session", body: session, headers: { ...headers, ...key } }),
        ({ status }) => status
      )
    assert.strictEqual(yield* create({ "x-api-key": "tml-right" }), 200)
    assert.strictEqual(yield* create({}), 401)
  }))

it.effect("a client of the same process may call the server what it likes", () =>
  Effect.gen(function*() {
    assert.strictEqual((yield* Wire.get("healthz", { host: "evil.example", origin: "null" })).status, 200)
    assert.strictEqual(
      (yield* Wire.postBytes("create_session", new TextEncoder().encode(session), "text/plain")).status,
      200
    )
  }).pipe(Effect.provide(Wire.server())))

/** Where a checkpoint can be had, as the server says. */
const address = (port: number, headers: Record<string, string>) =>
  Effect.gen(function*() {
    const post = (path: string, body: unknown) => send(port, { path, body: JSON.stringify(body), headers: json })
    const { session_id } = (yield* post("create_session", { tags: [], sdk_version: "0.38.0" })).body
    const { model_id } = (yield* post("create_model", {
      session_id,
      model_seq_id: 0,
      base_model: BigramEngine.defaultBaseModel,
      lora_config: { rank: 4 }
    })).body
    const saved = yield* post("save_weights_for_sampler", { model_id, seq_id: 1, path: "one" })
    yield* post("retrieve_future", { request_id: saved.body.request_id })
    const path = `training_runs/${String(model_id)}/checkpoints/sampler_weights/one/archive`
    const { headers: { location } } = yield* send(port, { path, headers })
    return new URL(String(location)).origin
  })

it.scopedLive("addresses in answers are the server's own or the configured one, whatever a request says", () =>
  Effect.gen(function*() {
    const lies = { host: "evil.example", "x-forwarded-proto": "https", "x-forwarded-host": "evil.example" }
    const open = yield* listening({ allowedHosts: ["*"] })
    assert.strictEqual(yield* address(open, lies), `http://127.0.0.1:${open}`)
    const configured = yield* listening({ allowedHosts: ["*"], publicUrl: "https://tinker.example/" })
    assert.strictEqual(yield* address(configured, lies), "https://tinker.example")
  }))
