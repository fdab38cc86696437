/**
 * Tokens a second of a training step of the tiny shape: 4 layers, width 256, vocabulary 512, rank 16 on seven linear maps;
 * 4 sequences of 256 tokens. The graph alone, through the server in this process, over loopback HTTP, and PyTorch eager on
 * as many threads if `python3` (or the program named by PYTHON) has torch.
 *
 * Each round runs all of them one after another, and each row reports its best step and its best round's median step,
 * since other programs share the machine; shares are of medians. The longest pause is how long this process was ever too busy to answer, after the first step.
 */
import { LlamaEngine } from "@effect-tinker/llama"
import { TinkerNode } from "@effect-tinker/node"
import { CheckpointStore, TinkerServer } from "@effect-tinker/server"
import { HttpServer } from "@effect/platform"
import { NodeHttpServer } from "@effect/platform-node"
import { Effect, Layer } from "effect"
import { Datum, ServiceClient, Tinker } from "effect-tinker"
import { mkdtempSync, rmSync } from "node:fs"
import { createServer } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as PatientScheduler from "../packages/cli/src/PatientScheduler.js"
import { makeRandomLlama } from "../packages/llama/scripts/makeRandomLlama.js"
import * as EventLoop from "./eventLoop.js"
import { config, length, measureApart, measurePyTorch, rows, threads } from "./trainGraph.js"
import type { Printed } from "./trainGraph.js"

const rounds = 3
const steps = 12
const name = "tiny"

interface Row {
  readonly what: string
  /** In milliseconds. */
  readonly best: number
  readonly median: number
  readonly pause: number | undefined
}

const rowOf = (what: string, printed: Printed): Row => ({
  what,
  best: printed.bestStepMilliseconds,
  median: printed.medianStepMilliseconds,
  pause: undefined
})

const graphAlone = Effect.sync(() => rowOf("graph alone", measureApart(20, name)))

const pytorch = Effect.sync(() => {
  const printed = measurePyTorch(20, name)
  return printed && rowOf("PyTorch eager", printed)
})

const datum = (seed: number) => {
  const tokens = Int32Array.from({ length: length + 1 }, (_, i) => (i * 7919 + seed * 104729) % config.vocabularySize)
  return Datum.fromTokens(tokens, new Float32Array(length + 1).fill(1))
}

/** Times between results, the next step being submitted before the last is awaited, as training loops do. */
const throughClient = (what: string) =>
  Effect.gen(function*() {
    const service = yield* ServiceClient.ServiceClient
    const training = yield* service.createLoraTrainingClient({
      baseModel: name,
      rank: 16,
      trainUnembed: false,
      seed: 1
    })
    const data = Array.from({ length: rows }, (_, i) => datum(i))
    const submit = training.forwardBackward({ data, lossFn: "cross_entropy" })
    const pause = yield* EventLoop.watch
    const milliseconds: Array<number> = []
    let ahead = yield* submit
    let last = performance.now()
    for (let step = 0; step < steps + 2; step++) {
      const next = yield* submit
      yield* ahead.await
      const now = performance.now()
      if (step >= 2) milliseconds.push(now - last)
      last = now
      if (step === 0) yield* pause
      ahead = next
    }
    yield* ahead.await
    const longest = yield* pause
    milliseconds.sort((a, b) => a - b)
    const median = milliseconds[Math.floor(milliseconds.length / 2)]!
    return { what, best: milliseconds[0]!, median, pause: longest } satisfies Row
  }).pipe(Effect.scoped)

const engine = (folder: string) => LlamaEngine.layer(folder, { threads })

const inProcess = (folder: string) =>
  Tinker.layer().pipe(Layer.provide(TinkerServer.layerClient), Layer.provide(engine(folder)))

const onLoopback = (folder: string) =>
  Layer.unwrapEffect(
    Effect.map(HttpServer.HttpServer, ({ address }) =>
      Tinker.layer({ baseUrl: address._tag === "TcpAddress" ? `http://127.0.0.1:${address.port}` : "" }))
  ).pipe(
    Layer.provide(TinkerNode.layer),
    Layer.provide(
      TinkerServer.layer().pipe(
        Layer.provide([engine(folder), CheckpointStore.layerMemory]),
        Layer.provideMerge(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" }))
      )
    )
  )

const program = Effect.gen(function*() {
  const folder = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "bench-train-"))),
    (folder) => Effect.sync(() => rmSync(folder, { recursive: true }))
  )
  makeRandomLlama(folder, { config, name, vocabularySize: config.vocabularySize })
  const best = new Map<string, Row>()
  const tokensPerSecond = (milliseconds: number) => Math.round((1000 * rows * length) / milliseconds)
  for (let round = 0; round < rounds; round++) {
    const measured = [
      yield* graphAlone,
      yield* throughClient("server in process").pipe(Effect.provide(inProcess(folder))),
      yield* throughClient("loopback HTTP").pipe(Effect.provide(onLoopback(folder))),
      yield* pytorch
    ]
    for (const row of measured) {
      if (row === undefined) continue
      const before = best.get(row.what)
      console.log(`round ${round + 1}  ${row.what.padEnd(18)} ${tokensPerSecond(row.median)} tokens/s`)
      best.set(row.what, {
        what: row.what,
        best: Math.min(row.best, before?.best ?? Infinity),
        median: Math.min(row.median, before?.median ?? Infinity),
        pause: row.pause === undefined ? undefined : Math.max(row.pause, before?.pause ?? 0)
      })
    }
  }
  const graph = best.get("graph alone")!.median
  console.log(`\n${"tokens/s".padEnd(20)} best step   median step   of the graph   longest pause`)
  for (const { best: fastest, median, pause, what } of best.values()) {
    const columns = [
      [String(tokensPerSecond(fastest)), 9],
      [String(tokensPerSecond(median)), 11],
      [`${((100 * graph) / median).toFixed(0)} %`, 12],
      [pause === undefined ? "" : `${pause.toFixed(0)} ms`, 13]
    ] as const
    console.log(`${what.padEnd(20)} ${columns.map(([text, width]) => text.padStart(width)).join("   ")}`)
  }
  if (!best.has("PyTorch eager")) console.log("PyTorch: no torch found; name a Python that has it in PYTHON")
})

await Effect.runPromise(program.pipe(Effect.scoped, PatientScheduler.patiently))
