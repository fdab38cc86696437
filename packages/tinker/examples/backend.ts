/**
 * A backend that samples and trains: `POST /completions` answers from a model, `POST /runs` begins to train one, and
 * `GET /runs/:id` tells how far it is. Spans and logs go to an OpenTelemetry collector, `OTEL_EXPORTER_OTLP_ENDPOINT`.
 *
 * A SIGTERM ends it in order: no request is taken any more, those under way are answered, every run saves its state, the
 * session is finished, and the last spans are sent.
 */
import { TinkerNode } from "@effect-tinker/node"
import * as Otlp from "@effect/opentelemetry/Otlp"
import {
  HttpApi,
  HttpApiBuilder,
  HttpApiEndpoint,
  HttpApiGroup,
  HttpApiSchema,
  HttpMiddleware,
  HttpServerResponse
} from "@effect/platform"
import { NodeHttpClient, NodeHttpServer, NodeRuntime } from "@effect/platform-node"
import { Config, Effect, FiberMap, Layer, Option, Ref, Schema } from "effect"
import {
  AdamParams,
  ApiFuture,
  Datum,
  ModelInput,
  SamplingParams,
  ServiceClient,
  Tinker,
  TinkerError
} from "effect-tinker"
import type { TrainingClient } from "effect-tinker"
import { createServer } from "node:http"
import { isMain } from "./isMain.js"

class Refused extends Schema.TaggedError<Refused>()(
  "Refused",
  { message: Schema.String },
  HttpApiSchema.annotations({
    status: 400
  })
) {}
class Unavailable extends Schema.TaggedError<Unavailable>()(
  "Unavailable",
  { message: Schema.String },
  HttpApiSchema.annotations({ status: 503 })
) {}
class UnknownRun
  extends Schema.TaggedError<UnknownRun>()("UnknownRun", {}, HttpApiSchema.annotations({ status: 404 }))
{}

const Tokens = Schema.Array(Schema.Int)
const Run = Schema.Struct({ id: Schema.String, steps: Schema.Int, loss: Schema.NullOr(Schema.Number) })

export const Api = HttpApi.make("backend").add(
  HttpApiGroup.make("models")
    .add(
      HttpApiEndpoint.post("complete", "/completions")
        .setPayload(Schema.Struct({ prompt: Tokens, maxTokens: Schema.Int }))
        .addSuccess(Schema.Struct({ tokens: Tokens }))
    )
    .add(
      HttpApiEndpoint.post("train", "/runs")
        .setPayload(Schema.Struct({ tokens: Tokens, steps: Schema.Int }))
        .addSuccess(Run, { status: 202 })
    )
    .add(HttpApiEndpoint.get("run", "/runs/:id").setPath(Schema.Struct({ id: Schema.String })).addSuccess(Run))
    .addError(Refused)
    .addError(Unavailable)
    .addError(UnknownRun)
)

/** What a caller of this backend can mend is theirs, all else is ours; the message holds no key and no text. */
const forCallers = <A, R>(effect: Effect.Effect<A, TinkerError.TinkerError, R>) =>
  Effect.mapError(effect, (error) =>
    TinkerError.isInputError(error)
      ? new Refused({ message: error.message })
      : new Unavailable({ message: error.message }))

const train = (
  training: TrainingClient.Service,
  tokens: ReadonlyArray<number>,
  steps: number,
  state: Ref.Ref<typeof Run.Type>
) =>
  Effect.gen(function*() {
    const data = [Datum.fromTokens(Int32Array.from(tokens), new Float32Array(tokens.length).fill(1))]
    for (let step = 0; step < steps; step++) {
      const gradients = yield* training.forwardBackward({ data, lossFn: "cross_entropy" })
      const update = yield* training.optimStep(AdamParams.make({ learningRate: 1e-3 }))
      const loss = (yield* gradients.await).metrics["loss:sum"] ?? null
      yield* update.await
      yield* Ref.update(state, (run) => ({ ...run, steps: step + 1, loss }))
    }
  }).pipe(
    Effect.onInterrupt(() => Effect.ignoreLogged(ApiFuture.flatten(training.saveState({ name: "interrupted" })))),
    Effect.catchAll((error) => Effect.logError(error.message)),
    Effect.withSpan("run")
  )

const models = (baseModel: string) =>
  HttpApiBuilder.group(Api, "models", (handlers) =>
    Effect.gen(function*() {
      const service = yield* ServiceClient.ServiceClient
      const sampling = yield* service.createSamplingClient({ baseModel })
      const states = new Map<string, Ref.Ref<typeof Run.Type>>()
      const running = yield* FiberMap.make<string>()
      return handlers
        .handle("complete", ({ payload }) =>
          Effect.gen(function*() {
            const { sequences } = yield* sampling.sample({
              prompt: ModelInput.fromTokens(payload.prompt),
              samplingParams: SamplingParams.make({ maxTokens: payload.maxTokens })
            })
            return { tokens: Array.from(sequences[0]!.tokens) }
          }).pipe(forCallers))
        .handle("train", ({ payload }) =>
          Effect.gen(function*() {
            const training = yield* service.createLoraTrainingClient({ baseModel })
            const run = { id: training.modelId, steps: 0, loss: null }
            const state = yield* Ref.make<typeof Run.Type>(run)
            states.set(run.id, state)
            yield* FiberMap.run(running, run.id, train(training, payload.tokens, payload.steps, state))
            return run
          }).pipe(forCallers))
        .handle("run", ({ path }) => {
          const state = states.get(path.id)
          return state === undefined ? new UnknownRun() : Ref.get(state)
        })
    }))

/** Before the server ends it answers what is under way, for ten seconds at most, and refuses what comes. */
const makeDrain = Effect.sync(() => {
  const most = 1000
  const places = Effect.unsafeMakeSemaphore(most)
  let isClosing = false
  const close = Effect.suspend(() => {
    isClosing = true
    return Effect.interruptible(places.take(most)).pipe(Effect.timeout("10 seconds"), Effect.ignore)
  })
  const refusal = HttpServerResponse.text("busy, or shutting down", { status: 503 })
  const middleware = HttpMiddleware.make((app) =>
    Effect.suspend(() =>
      isClosing ? refusal : Effect.flatMap(places.withPermitsIfAvailable(1)(app), Option.getOrElse(() => refusal))
    )
  )
  return { close, middleware }
})

/** The backend on any HTTP server, with any client of Tinker. */
export const layer = (options: { readonly baseModel: string }) =>
  Layer.unwrapEffect(
    Effect.map(makeDrain, ({ close, middleware }) =>
      Layer.scopedDiscard(Effect.addFinalizer(() => close)).pipe(
        Layer.provide(HttpApiBuilder.serve(middleware)),
        Layer.provide(HttpApiBuilder.api(Api)),
        Layer.provide(models(options.baseModel))
      ))
  )

/** Spans and logs as OTLP over HTTP. */
export const layerTracing = (collector: string) =>
  Otlp.layerJson({ baseUrl: collector, resource: { serviceName: "backend" } })

if (isMain(import.meta.url)) {
  const collector = Config.string("OTEL_EXPORTER_OTLP_ENDPOINT").pipe(Config.withDefault("http://localhost:4318"))
  layer({ baseModel: "Qwen/Qwen3-8B" }).pipe(
    Layer.provide(NodeHttpServer.layer(createServer, { port: 3000 })),
    Layer.provide(Tinker.layerFromEnv.pipe(Layer.provide(TinkerNode.layer))),
    Layer.provide(Layer.unwrapEffect(Effect.map(collector, layerTracing)).pipe(Layer.provide(NodeHttpClient.layer))),
    Layer.launch,
    NodeRuntime.runMain
  )
}
