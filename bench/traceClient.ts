/**
 * Runs of training steps, in turn with nobody watching and with every span kept in memory and metrics, and prints what a step of
 * each cost this process. One process, so that both find it equally warm.
 * Arguments: address, steps of a run, rounds.
 */
import { TinkerNode } from "@effect-tinker/node"
import { Effect, Layer, Option, Tracer } from "effect"
import { AdamParams, Datum, ServiceClient, Tinker, TinkerMetrics } from "effect-tinker"
import { meter } from "./meter.js"

const [baseUrl = "", steps = "200", rounds = "25"] = process.argv.slice(2)
const rows = 8
const length = 1024
const ahead = 2

const tokens = Int32Array.from({ length: length + 1 }, (_, i) => (i * 7919) % 32_000)
const weights = new Float32Array(length + 1).fill(1)
const adamParams = AdamParams.make({ learningRate: 1e-4 })

const none: ReadonlyMap<string, unknown> = new Map()

/** What an exporter would hold of a span until it sends it. */
class Kept implements Tracer.Span {
  readonly _tag = "Span"
  attributes: ReadonlyMap<string, unknown> = none
  readonly sampled = true
  readonly spanId: string
  readonly traceId: string
  status: Tracer.SpanStatus

  constructor(
    readonly name: string,
    readonly parent: Option.Option<Tracer.AnySpan>,
    readonly context: Tracer.Span["context"],
    readonly links: Array<Tracer.SpanLink>,
    startTime: bigint,
    readonly kind: Tracer.SpanKind,
    id: number
  ) {
    this.spanId = String(id)
    this.traceId = parent._tag === "Some" ? parent.value.traceId : this.spanId
    this.status = { _tag: "Started", startTime }
  }

  attribute(key: string, value: unknown): void {
    if (this.attributes === none) this.attributes = new Map([[key, value]])
    else (this.attributes as Map<string, unknown>).set(key, value)
  }

  event(): void {}

  addLinks(): void {}

  end(endTime: bigint, exit: Extract<Tracer.SpanStatus, { _tag: "Ended" }>["exit"]): void {
    this.status = { _tag: "Ended", startTime: this.status.startTime, endTime, exit }
  }
}

const spans: Array<Kept> = []
const tracer = Tracer.make({
  span: (name, parent, context, links, startTime, kind) => {
    const span = new Kept(name, parent, context, [...links], startTime, kind, spans.length + 1)
    spans.push(span)
    return span
  },
  context: (f) => f()
})

const training = Effect.flatMap(
  ServiceClient.ServiceClient,
  (service) => service.createLoraTrainingClient({ baseModel: "bench/model", rank: 16 })
)

/** What so many steps cost, each in milliseconds. */
const run = (total: number) =>
  Effect.gen(function*() {
    const model = yield* training
    const submit = Effect.gen(function*() {
      const data = Array.from({ length: rows }, () => Datum.fromTokens(tokens, weights))
      const pass = yield* model.forwardBackward({ data, lossFn: "cross_entropy" })
      const update = yield* model.optimStep(adamParams)
      return Effect.zipRight(pass.await, update.await)
    })
    const submitted: Array<Effect.Effect.Success<typeof submit>> = []
    const stop = meter()
    for (let step = 0; step < total; step++) {
      submitted.push(yield* submit)
      if (submitted.length > ahead) yield* submitted.shift()!
    }
    for (const result of submitted) yield* result
    return stop(total).cpu
  })

const client = Tinker.layer({ baseUrl }).pipe(Layer.provide(TinkerNode.layer))

/** Each run has a client of its own. */
const unwatched = (total: number) =>
  Effect.provide(run(total), Layer.fresh(Layer.provide(client, TinkerMetrics.layerOff)))
const watched = (total: number) =>
  Effect.suspend(() => {
    spans.length = 0
    return Effect.provide(run(total), Layer.fresh(client))
  }).pipe(Effect.provide(Layer.setTracer(tracer)))

const program = Effect.gen(function*() {
  const total = Number(steps)
  yield* unwatched(2 * total)
  yield* watched(2 * total)
  const off: Array<number> = []
  const on: Array<number> = []
  for (let round = 0; round < Number(rounds); round++) {
    // Each goes first as often as the other.
    if (round % 2 === 0) off.push(yield* unwatched(total))
    on.push(yield* watched(total))
    if (round % 2 === 1) off.push(yield* unwatched(total))
  }
  console.log(JSON.stringify({ off, on, spans: spans.length / total }))
})

await Effect.runPromise(program)
