/**
 * Load on a server: so many connections, each asking for one sample after another and fetching its result, over plain
 * sockets, as a client that costs more than the server would measure itself. It never sleeps: to wake it, which on another
 * machine would be that one's work, would count as the server's. Prints the seconds that it took, how long samples took,
 * and what came back.
 *
 * Arguments: address, connections, samples, tokens of the prompt, tokens of the answer, and which part of the samples is left
 * with its first question for the result unanswered, and asked for again on a new connection (0 for none, 3 for a third).
 */
import { createConnection, type Socket } from "node:net"

const [baseUrl = "", ...numbers] = process.argv.slice(2)
const [connections = 64, samples = 10_000, promptLength = 512, answerLength = 64, abandonEvery = 0] = numbers.map(
  Number
)
const { hostname, port } = new URL(baseUrl)

interface Answer {
  readonly type: string
  readonly body: Buffer
}

/** A connection that carries one request after another. */
class Line {
  private readonly socket: Socket
  private received = Buffer.alloc(0)
  private settle: { readonly resolve: (answer: Answer) => void; readonly reject: (error: Error) => void } | undefined

  constructor() {
    this.socket = createConnection({ host: hostname, port: Number(port), noDelay: true })
    this.socket.on("data", (part) => {
      this.received = this.received.length === 0 ? part : Buffer.concat([this.received, part])
      this.read()
    })
    this.socket.on("error", (error) => this.settle?.reject(error))
    this.socket.on("close", () => this.settle?.reject(new Error("the server closed the connection")))
  }

  post(path: string, body: string): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.settle = { resolve, reject }
      this.write(path, body)
    })
  }

  /** Sends a request and hangs up. */
  abandon(path: string, body: string): void {
    this.settle = undefined
    this.write(path, body)
    this.socket.destroySoon()
  }

  close(): void {
    this.settle = undefined
    this.socket.destroy()
  }

  private write(path: string, body: string): void {
    this.socket.write(
      `POST ${path} HTTP/1.1\r\nhost: ${hostname}\r\ncontent-type: application/json\r\naccept: application/x-protobuf\r\n`
        + `x-api-key: tml-bench\r\nx-tinker-request-type: Sample\r\ncontent-length: ${
          Buffer.byteLength(body)
        }\r\n\r\n${body}`
    )
  }

  private read(): void {
    const end = this.received.indexOf("\r\n\r\n")
    if (end < 0) return
    const head = this.received.toString("latin1", 0, end).toLowerCase()
    const length = Number(/content-length: (\d+)/.exec(head)?.[1])
    if (Number.isNaN(length)) throw new Error(`an answer without a length: ${head}`)
    if (this.received.length < end + 4 + length) return
    const body = this.received.subarray(end + 4, end + 4 + length)
    this.received = this.received.subarray(end + 4 + length)
    const { reject, resolve } = this.settle!
    this.settle = undefined
    if (!head.startsWith("http/1.1 200")) reject(new Error(`${head.split("\r\n")[0]}: ${body.toString()}`))
    else resolve({ type: /content-type: ([^\r]+)/.exec(head)?.[1] ?? "", body })
  }
}

const json = (answer: Answer) => JSON.parse(answer.body.toString()) as Record<string, string>

const first = new Line()
const session = json(
  await first.post("/api/v1/create_session", `{"tags":[],"sdk_version":"0.38.0","type":"create_session"}`)
)
const sampler = json(
  await first.post(
    "/api/v1/create_sampling_session",
    JSON.stringify({
      session_id: session["session_id"],
      sampling_session_seq_id: 0,
      base_model: "bigram",
      type: "create_sampling_session"
    })
  )
)["sampling_session_id"]

const tokens = Array.from({ length: promptLength }, (_, i) => (i * 7919) % 256).join(",")
const question = (seq: number) =>
  `{"sampling_session_id":"${sampler}","seq_id":${seq},"num_samples":1,"type":"sample","prompt":{"chunks":[{"type":"encoded_text",`
  + `"tokens":[${tokens}]}]},"sampling_params":{"max_tokens":${answerLength},"temperature":1,"top_p":1,"top_k":-1,"seed":${seq}}}`

let next = 0
let done = 0
const waited = new Float64Array(samples)

/** An answer holds the tokens and the log-probabilities, four bytes each, and little more. */
const isWhole = (answer: Answer) =>
  answer.type.startsWith("application/x-protobuf") && answer.body.length >= 8 * answerLength
  && answer.body.length <= 8 * answerLength + 200

const work = async (line: Line): Promise<void> => {
  let current = line
  while (next < samples) {
    const seq = next++
    const start = performance.now()
    const requestId = json(await current.post("/api/v1/asample", question(seq)))["request_id"]!
    const poll = `{"request_id":"${requestId}","allow_metadata_only":true}`
    if (abandonEvery > 0 && seq % abandonEvery === 0) {
      current.abandon("/api/v1/retrieve_future", poll)
      current = new Line()
    }
    let answer = await current.post("/api/v1/retrieve_future", poll)
    while (answer.type.startsWith("application/json") && json(answer)["type"] === "try_again") {
      answer = await current.post("/api/v1/retrieve_future", poll)
    }
    if (!isWhole(answer)) throw new Error(`sample ${seq} came back as ${answer.body.length} bytes of ${answer.type}`)
    waited[seq] = performance.now() - start
    done += 1
  }
  current.close()
}

const spin = () => void setImmediate(spin)
spin()
process.on("message", () => process.send!({ done }))
const start = performance.now()
await Promise.all(Array.from({ length: connections }, () => work(new Line())))
const seconds = (performance.now() - start) / 1000
waited.sort()
console.log(JSON.stringify({ seconds, done, median: waited[samples >> 1], slowest: waited[samples - 1] }))
process.exit()
