/**
 * What bodies cost our server that are made to cost much and are still taken: how long its event loop is busy a MiB, and how far its
 * memory grows, in sizes of the body. A body of less than a MiB counts as one. Linux only, on a machine that does nothing else.
 *
 * `npm run bench:bodies -- --mib 1,16`
 */
import { TrainingMessages } from "effect-tinker"
import { spawn } from "node:child_process"
import { readFileSync, writeFileSync } from "node:fs"
import { parseArgs } from "node:util"
import { firstLine } from "./rounds.js"
import type { Used } from "./used.js"

const { mib } = parseArgs({ options: { mib: { type: "string", default: "1,16,64" } } }).values

const child = spawn(process.execPath, ["--max-semi-space-size=2", "--import", "tsx", "bench/bigramServer.ts"], {
  stdio: ["ignore", "pipe", "inherit", "ipc"]
})
const url = await firstLine(child, "the server")

const used = () =>
  new Promise<Used>((resolve) => {
    child.once("message", (message) => resolve(message as Used))
    child.send("used")
  })

const megabytes = (field: "VmHWM" | "VmRSS"): number =>
  Number(new RegExp(`^${field}:\\s+(\\d+)`, "m").exec(readFileSync(`/proc/${child.pid}/status`, "utf8"))![1]) / 1024

const post = async (path: string, body: string | Uint8Array) => {
  const type = typeof body === "string" ? "application/json" : "application/x-protobuf"
  const answer = await fetch(`${url}/api/v1/${path}`, {
    method: "POST",
    body: Buffer.from(body as string),
    headers: { "content-type": type }
  })
  return { status: answer.status, text: await answer.text() }
}

const created = JSON.parse((await post("create_session", "{\"tags\":[],\"sdk_version\":\"0.38.0\"}")).text)
const session = String(created.session_id)
await post(
  "create_model",
  JSON.stringify({ session_id: session, model_seq_id: 0, base_model: "bigram", lora_config: { rank: 4 } })
)
await post(
  "create_sampling_session",
  JSON.stringify({ session_id: session, sampling_session_seq_id: 0, base_model: "bigram" })
)

/** The bounds of the server: parts of any body, and of one of training; and one more for so many bytes. */
const [anyParts, trainingParts, bytesOfPart] = [2 ** 14, 2 ** 16, 256]
const [anyNumbers, bytesOfNumber] = [2 ** 18, 6]

/** As many items as a body of this size may have, each of so many parts, and as long as it takes to fill it. */
const items = (bytes: number, parts: number, base: number, item: (i: number, filling: string) => string): string => {
  const count = Math.floor(0.9 * (base + bytes / bytesOfPart) / parts)
  const filling = "x".repeat(Math.max(0, Math.floor(bytes / count) - item(count, "").length - 1))
  return Array.from({ length: count }, (_, i) => item(i, filling)).join(",")
}

/** Objects of as many keys as one may have. */
const objects = (bytes: number, base: number): string =>
  items(bytes, 2 * 1000, base, (i, filling) => {
    const each = filling.slice(0, Math.floor(filling.length / 1000))
    return `{${Array.from({ length: 990 }, (_, j) => `"${i}-${j}-${each}":1`).join(",")}}`
  })

const numbers = (bytes: number, number: string, share = 1): string => {
  const most = share * anyNumbers + Math.floor(bytes / bytesOfNumber)
  const count = Math.floor(Math.min(bytes / (number.length + 1), 0.99 * most))
  return `${`[${Array(count).fill(number).join(",")}`.padEnd(bytes - 1)}]`
}

const metadata = (value: string) => `{"tags":[],"sdk_version":"0.38.0","user_metadata":{"a":[${value}]}}`

const tags = (value: string) => `{"tags":[${value}],"sdk_version":"0.38.0"}`

let seqId = 0

const sample = (prompt: string) =>
  `{"sampling_session_id":"${session}:sample:0","seq_id":${++seqId},"prompt":{"chunks":${prompt}},`
  + `"sampling_params":{"max_tokens":1}}`

/** One that lacks what its loss needs: it is read, and not computed. */
const pass = (data: string) =>
  `{"model_id":"${session}:train:0","seq_id":${++seqId},"forward_backward_input":{"data":[${data}],`
  + `"loss_fn":"ppo"}}`

const protobuf = (data: ReadonlyArray<number>, bytes: number) => {
  const head = TrainingMessages.encodeForwardBackwardRequest({
    modelId: `${session}:train:0`,
    seqId: ++seqId,
    data: [],
    lossFn: "ppo",
    lossFnConfig: {},
    forwardOnly: false
  })
  const count = Math.min(Math.floor(bytes / data.length), Math.floor(0.9 * trainingParts / 16))
  const body = new Uint8Array(head.length + count * data.length)
  for (let i = 0; i < count; i++) body.set(data, i * data.length)
  body.set(head, count * data.length)
  return body
}

const shapes: Readonly<Record<string, readonly [string, (bytes: number) => string | Uint8Array]>> = {
  "objects of many keys": ["create_session", (bytes) => metadata(objects(bytes, anyParts))],
  "objects of one key each": [
    "create_session",
    (bytes) => metadata(items(bytes, 3, anyParts, (i, filling) => `{"${i}${filling}":1}`))
  ],
  "empty lists": ["create_session", (bytes) => metadata(items(bytes, 2, anyParts, () => "[]")).padEnd(bytes)],
  "texts": ["create_session", (bytes) => tags(items(bytes, 1, anyParts, (_, filling) => `"${filling}"`))],
  "texts, and one that is none": [
    "create_session",
    (bytes) => tags(`${items(bytes, 1, anyParts, (_, filling) => `"${filling}"`)},1`)
  ],
  "one text": ["create_session", (bytes) => tags(`"${"x".repeat(bytes)}"`)],
  "one text of other letters": ["create_session", (bytes) => tags(`"€${"x".repeat(bytes)}"`)],
  "digits of one number": ["create_session", (bytes) => metadata("1".repeat(bytes))],
  "tokens of one digit": ["asample", (bytes) => sample(`[{"tokens":${numbers(bytes, "1")}}]`)],
  "tokens in two lists": [
    "asample",
    (bytes) => sample(`[{"tokens":${numbers(bytes / 2, "12345")}},{"tokens":${numbers(bytes / 2, "12345")}}]`)
  ],
  "chunks": ["asample", (bytes) => sample(`[${Array(4096).fill("{\"tokens\":[1]}").join(",")}]`).padEnd(bytes)],
  "a pass of whole numbers": [
    "forward_backward",
    (bytes) =>
      pass(
        `{"model_input":{"chunks":[{"tokens":${numbers(bytes / 2, "1", 0.5)}}]},"loss_fn_inputs":{"target_tokens":`
          + `{"data":${numbers(bytes / 2, "1", 0.5)},"dtype":"int64"}}}`
      )
  ],
  "a pass of fractions": [
    "forward_backward",
    (bytes) =>
      pass(
        `{"model_input":{"chunks":[]},"loss_fn_inputs":{"weights":{"data":${numbers(bytes, "0.1")},`
          + `"dtype":"float32"}}}`
      )
  ],
  "a pass of many data": [
    "forward_backward",
    (bytes) =>
      pass(
        items(bytes, 26, trainingParts, () =>
          "{\"model_input\":{\"chunks\":[{\"tokens\":[1]}]},\"loss_fn_inputs\":{\"target_tokens\":{\"data\":[1],"
          + "\"dtype\":\"int64\"},\"weights\":{\"data\":[1],\"dtype\":\"float32\"}}}")
      ).padEnd(bytes)
  ],
  "a pass of empty data": ["forward_backward", (bytes) => protobuf([0x1a, 0], bytes)],
  "a pass of empty inputs": ["forward_backward", (bytes) => protobuf([0x1a, 4, 0x12, 2, 0x12, 0], bytes)]
}

// What comes first is compiled meanwhile.
for (let i = 0; i < 4; i++) for (const [path, make] of Object.values(shapes)) await post(path, make(2 ** 18))

for (const size of mib.split(",").map(Number)) {
  for (const [name, [path, make]] of Object.entries(shapes)) {
    const body = make(size * 2 ** 20)
    // What is there of the last one is not this one's.
    await new Promise((resolve) => setTimeout(resolve, 200))
    const length = Math.max(1, Buffer.byteLength(body) / 2 ** 20)
    const before = await used()
    writeFileSync(`/proc/${child.pid}/clear_refs`, "5")
    const rss = megabytes("VmRSS")
    const { status } = await post(path, body)
    const { busy } = await used()
    const ms = (busy - before.busy) / length
    const times = (megabytes("VmHWM") - rss) / length
    process.stdout.write(
      `${`${name}, ${size} MiB (${status})`.padEnd(48)}${ms.toFixed(1).padStart(7)} ms a MiB${
        times.toFixed(1).padStart(7)
      } times its size\n`
    )
  }
}

child.disconnect()
