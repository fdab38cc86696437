/**
 * The floor under samples: the same two requests a sample without the SDK, by undici, by fetch and by Effect's client alone.
 * Arguments: address, way (`dispatch`, `request`, `platform` or `fetch`), in flight, samples of the warm-up, samples measured.
 */
import { HttpClient, HttpClientRequest } from "@effect/platform"
import { NodeHttpClient } from "@effect/platform-node"
import { Effect } from "effect"
import { Agent, type Dispatcher, Pool, request } from "undici"
import { meter } from "./meter.js"

const [baseUrl = "", way = "dispatch", inFlight = "64", warmUp = "2000", samples = "4000"] = process.argv.slice(2)

const headers = {
  accept: "application/json",
  "content-type": "application/json",
  "user-agent": "bench",
  "x-api-key": "tml-bench",
  "x-tinker-request-type": "Sample"
}
const tokens = Array.from({ length: 512 }, (_, i) => (i * 7919) % 32_000)
const question = (seq: number) =>
  JSON.stringify({
    num_samples: 1,
    prompt: { chunks: [{ type: "encoded_text", tokens }] },
    sampling_params: { max_tokens: 64, temperature: 1, top_p: 1, top_k: -1 },
    sampling_session_id: "session",
    seq_id: seq,
    prompt_logprobs: false,
    topk_prompt_logprobs: 0,
    topk_sample_logprobs: 0,
    type: "sample"
  })
const poll = (id: string) => JSON.stringify({ request_id: id, allow_metadata_only: true })
const requestId = (bytes: Uint8Array) =>
  (JSON.parse(Buffer.from(bytes).toString()) as { readonly request_id: string }).request_id

type Post = (path: string, body: string) => Promise<Uint8Array>

const byDispatch = (): Post => {
  const pool = new Pool(baseUrl, { headersTimeout: 0, bodyTimeout: 0 })
  return (path, body) =>
    new Promise((resolve, reject) => {
      const parts: Array<Buffer> = []
      const handler: Dispatcher.DispatchHandler = {
        onRequestStart: () => {},
        onResponseStart: () => {},
        onResponseData: (_, part) => {
          parts.push(part)
        },
        onResponseEnd: () => resolve(parts.length === 1 ? parts[0]! : Buffer.concat(parts)),
        onResponseError: (_, error) => reject(error)
      }
      pool.dispatch({ method: "POST", path, headers, body }, handler)
    })
}

const byRequest = (): Post => {
  const dispatcher = new Agent({ headersTimeout: 0, bodyTimeout: 0 })
  return async (path, body) => {
    const response = await request(baseUrl + path, { method: "POST", headers, body, dispatcher })
    return new Uint8Array(await response.body.arrayBuffer())
  }
}

const byFetch = (): Post => async (path, body) =>
  new Uint8Array(await (await fetch(baseUrl + path, { method: "POST", headers, body })).arrayBuffer())

const share = (run: () => Promise<void>) => async (total: number) => {
  let left = total
  const ask = async () => {
    while (left-- > 0) await run()
  }
  await Promise.all(Array.from({ length: Number(inFlight) }, ask))
}

const plainly = (post: Post) => {
  let seq = 0
  return share(async () => {
    const id = requestId(await post("/api/v1/asample", question(seq++)))
    await post("/api/v1/retrieve_future", poll(id))
  })
}

/** Effect's own client and fibers, and nothing of the SDK. */
const byPlatform = (total: number) =>
  Effect.gen(function*() {
    const client = yield* HttpClient.HttpClient
    let seq = 0
    let left = total
    const post = (path: string, body: string) =>
      HttpClientRequest.make("POST")(baseUrl + path, { headers }).pipe(
        HttpClientRequest.bodyText(body, "application/json"),
        client.execute,
        Effect.flatMap((response) => response.arrayBuffer),
        Effect.map((bytes) => new Uint8Array(bytes))
      )
    const sample = Effect.suspend(() => post("/api/v1/asample", question(seq++))).pipe(
      Effect.flatMap((bytes) => post("/api/v1/retrieve_future", poll(requestId(bytes))))
    )
    const ask = Effect.whileLoop({ while: () => left-- > 0, body: () => sample, step: () => {} })
    yield* Effect.all(Array.from({ length: Number(inFlight) }, () => ask), { concurrency: "unbounded", discard: true })
  }).pipe(Effect.provide(NodeHttpClient.layerUndici), Effect.runPromise)

const run = way === "dispatch"
  ? plainly(byDispatch())
  : way === "request"
  ? plainly(byRequest())
  : way === "fetch"
  ? plainly(byFetch())
  : byPlatform

await run(Number(warmUp))
const stop = meter()
await run(Number(samples))
console.log(JSON.stringify(stop(Number(samples))))
process.exit()
