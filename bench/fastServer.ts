/**
 * A server that speaks the protocol and computes nothing, so that a benchmark measures its client. Every sample is the same
 * 64 tokens with log-probabilities; a training pass answers with as many log-probabilities as it was given tokens.
 *
 * - `--port`: 0, any free one, unless given; the address is the first line that is printed
 * - `--delay`: how long, in milliseconds, a result is held back, to keep requests in flight
 * - `--checkpoints`: how many checkpoints the user has, 100,000 unless given
 * - `--pyqwest`: `true` or `false`, the HTTP client that the Python SDK is told to use
 *
 * `GET /stats` says how many requests are open, how many came to each path, and when the last heartbeats came.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { parseArgs } from "node:util"
import { bytesField, doubleField, numberField, rawBytes, readFields } from "./protobufParts.js"

const options = parseArgs({
  options: {
    port: { type: "string", default: "0" },
    delay: { type: "string", default: "0" },
    checkpoints: { type: "string", default: "100000" },
    pyqwest: { type: "string", default: "true" }
  }
}).values
const delay = Number(options.delay)
const checkpoints = Number(options.checkpoints)

export interface Stats {
  readonly open: number
  readonly mostOpen: number
  readonly connections: number
  /** When the last open request ended, in milliseconds of the clock on the wall; `null` while there are any. */
  readonly idleSince: number | null
  readonly requests: Readonly<Record<string, number>>
  /** When the last session was created, and when heartbeats came, in milliseconds of the same clock. */
  readonly sessionSince: number | null
  readonly heartbeats: ReadonlyArray<number>
}

const answerLength = 64

const sampleResult = bytesField(
  1,
  Buffer.concat([
    numberField(1, 1),
    bytesField(2, rawBytes(Int32Array.from({ length: answerLength }, (_, i) => (i * 7919) % 32_000))),
    bytesField(3, rawBytes(new Float32Array(answerLength).fill(-0.5)))
  ])
)

/** One record with all log-probabilities end to end. */
const trainingResult = (lengths: ReadonlyArray<number>): Buffer => {
  const offsets = new BigInt64Array(lengths.length + 1)
  lengths.forEach((length, i) => (offsets[i + 1] = offsets[i]! + BigInt(4 * length)))
  const logprobs = new Float32Array(Number(offsets[lengths.length]) / 4).fill(-0.5)
  const tensor = [bytesField(1, rawBytes(logprobs)), bytesField(2, rawBytes(offsets)), numberField(3, 1)]
  const field = [bytesField(1, "logprobs"), bytesField(2, Buffer.concat(tensor))]
  const record = [
    bytesField(1, "ArrayRecord"),
    bytesField(2, Buffer.concat(field)),
    numberField(3, lengths.length)
  ]
  const loss = [bytesField(1, "loss:sum"), doubleField(2, 1)]
  return Buffer.concat([
    bytesField(1, "ArrayRecord"),
    bytesField(2, Buffer.concat(record)),
    bytesField(3, Buffer.concat(loss))
  ])
}

/** The number of tokens of each datum of a training request. */
const tokenCounts = (request: Buffer): ReadonlyArray<number> => {
  const counts: Array<number> = []
  readFields(request, (field, datum) => {
    if (field !== 3) return
    let tokens = 0
    readFields(datum, (field, chunk) => {
      if (field !== 1) return
      readFields(chunk, (field, text) => {
        if (field === 1) readFields(text, (_, ids) => (tokens += ids.length / 4))
      })
    })
    counts.push(tokens)
  })
  return counts
}

const json = (value: unknown) => Buffer.from(JSON.stringify(value))
const nothing = json({})
const optimStepResult = json({ metrics: { "unclipped_grad_l2:mean": 1 } })

const clientConfig = json({ use_pyqwest_transport: options.pyqwest === "true" })
const dynamicConfig = json({ refresh_interval_sec: 300 })
const capabilities = json({ supported_models: [{ model_name: "bench/model", max_context_length: 131_072 }] })

const results = new Map<string, Buffer>()
const requests: Record<string, number> = {}
const heartbeats: Array<number> = []
let open = 0
let mostOpen = 0
let idleSince: number | null = null
let sessionSince: number | null = null
let connections = 0
let count = 0

const send = (response: ServerResponse, body: Buffer, type = "application/json") => {
  response.writeHead(200, ["content-type", type, "content-length", String(body.length)])
  response.end(body)
}

const readBody = (request: IncomingMessage, f: (body: Buffer) => void) => {
  const parts: Array<Buffer> = []
  request.on("data", (part: Buffer) => parts.push(part))
  request.on("end", () => f(parts.length === 1 ? parts[0]! : Buffer.concat(parts)))
}

const drain = (request: IncomingMessage, f: () => void) => {
  request.resume()
  request.on("end", f)
}

const requestIdOf = (body: Buffer): string =>
  (JSON.parse(body.toString()) as { readonly request_id: string }).request_id

const retrieve = (request: IncomingMessage, response: ServerResponse) => {
  switch (request.headers["x-tinker-request-type"]) {
    case "Sample":
      return drain(request, () => send(response, sampleResult, "application/x-protobuf"))
    case "OptimStep":
      return drain(request, () => send(response, optimStepResult))
    case "Forward":
    case "ForwardBackward":
      return readBody(request, (body) => {
        const id = requestIdOf(body)
        const result = results.get(id.slice(0, id.lastIndexOf(":")))!
        send(response, result, "application/x-protobuf")
      })
    default:
      return drain(request, () => send(response, json({ model_id: "model", type: "create_model" })))
  }
}

const forwardBackward = (request: IncomingMessage, response: ServerResponse) =>
  readBody(request, (body) => {
    const lengths = tokenCounts(body)
    const shape = `pass:${lengths.length}:${lengths.reduce((sum, one) => sum + one, 0)}`
    if (!results.has(shape)) results.set(shape, trainingResult(lengths))
    send(response, json({ request_id: `${shape}:${count++}`, model_id: "model" }))
  })

const asample = (request: IncomingMessage, response: ServerResponse) =>
  drain(request, () => {
    const id = `sample:${count++}`
    send(response, Buffer.from(`{"request_id":"${id}","sample_sequence_ids":["${id}:0"]}`))
  })

/** One page of the user's checkpoints. */
const listCheckpoints = (query: URLSearchParams): Buffer => {
  const limit = Number(query.get("limit"))
  const offset = Number(query.get("offset"))
  const page = Array.from({ length: Math.max(0, Math.min(limit, checkpoints - offset)) }, (_, i) => {
    const name = String(offset + i).padStart(6, "0")
    return {
      checkpoint_id: `weights/${name}`,
      checkpoint_type: "training",
      time: "2025-06-01T12:00:00.123456+00:00",
      tinker_path: `tinker://0b7b3a52-6d4c-4d1e-9c1f-2f6f0f4b7a11:train:0/weights/${name}`,
      size_bytes: 1_000_000 + i,
      public: false,
      user_metadata: { step: name },
      expires_at: null
    }
  })
  return json({ checkpoints: page, cursor: { offset, limit, total_count: checkpoints } })
}

const answer = (request: IncomingMessage, response: ServerResponse, path: string, query: string): unknown => {
  const say = (body: Buffer) => drain(request, () => send(response, body))
  switch (path) {
    case "asample":
      return asample(request, response)
    case "retrieve_future":
      return delay === 0 ? retrieve(request, response) : setTimeout(() => retrieve(request, response), delay)
    case "forward_backward":
      return forwardBackward(request, response)
    case "optim_step":
    case "create_model":
      return say(json({ request_id: `${path}:${count++}`, model_id: "model" }))
    case "session_heartbeat":
      heartbeats.push(Date.now())
      return say(json({ type: "session_heartbeat" }))
    case "client/config":
      return say(clientConfig)
    case "client/dynamic_config":
      return say(dynamicConfig)
    case "create_session":
      sessionSince = Date.now()
      return say(json({ session_id: "session", type: "create_session" }))
    case "create_sampling_session":
      return say(json({ sampling_session_id: `session:sample:${count++}`, type: "create_sampling_session" }))
    case "get_info":
      return say(json({ model_id: "model", model_data: { model_name: "bench/model" }, type: "get_info" }))
    case "get_server_capabilities":
      return say(capabilities)
    case "checkpoints":
      return say(listCheckpoints(new URLSearchParams(query)))
    case "telemetry":
      return say(json({ status: "accepted" }))
    default:
      return path.startsWith("samplers/")
        ? say(json({ sampler_id: path.slice(9), base_model: "bench/model" }))
        : say(nothing)
  }
}

/** A request that is cut makes two errors here; their stack traces would cost more than what the client does. */
Error.stackTraceLimit = 0

const server = createServer({ keepAliveTimeout: 600_000 }, (request, response) => {
  if (request.url === "/stats") {
    const stats: Stats = { open, mostOpen, connections, idleSince, requests, sessionSince, heartbeats }
    return send(response, json(stats))
  }
  const [path = "", query = ""] = request.url!.slice("/api/v1/".length).split("?")
  requests[path] = (requests[path] ?? 0) + 1
  open++
  idleSince = null
  if (open > mostOpen) mostOpen = open
  response.on("close", () => {
    open--
    if (open === 0) idleSince = Date.now()
  })
  answer(request, response, path, query)
})
server.requestTimeout = 0
server.on("connection", (socket) => {
  connections++
  socket.setNoDelay(true)
  socket.on("close", () => connections--)
})
server.listen(Number(options.port), "127.0.0.1", 16_384, () => {
  console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
})
process.on("disconnect", () => process.exit())
