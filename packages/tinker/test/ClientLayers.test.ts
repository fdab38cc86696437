import { BigramEngine } from "@effect-tinker/engine"
import { TinkerServer } from "@effect-tinker/server"
import { assert, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import {
  AdamParams,
  ApiFuture,
  Datum,
  ModelInput,
  SamplingClient,
  SamplingParams,
  Tinker,
  TrainingClient
} from "effect-tinker"

const Local = Tinker.layer().pipe(
  Layer.provide(TinkerServer.layerClient),
  Layer.provide(BigramEngine.layer())
)

const prompt = ModelInput.fromTokens([3, 1])

const pass = {
  data: [Datum.fromTokens(Int32Array.of(3, 1, 4), Float32Array.of(1, 1, 1))],
  lossFn: "cross_entropy"
} as const

const lossNow = Effect.gen(function*() {
  const training = yield* TrainingClient.TrainingClient
  return (yield* ApiFuture.flatten(training.forward(pass))).metrics["loss:sum"]
})

const trainOnce = Effect.gen(function*() {
  const training = yield* TrainingClient.TrainingClient
  yield* training.forwardBackward(pass)
  yield* ApiFuture.flatten(training.optimStep(AdamParams.make({ learningRate: 0.1 })))
  const { path } = yield* ApiFuture.flatten(training.saveState({ name: "kept" }))
  return { path, loss: yield* lossNow }
})

const answer = Effect.gen(function*() {
  const sampling = yield* SamplingClient.SamplingClient
  const { sequences } = yield* sampling.sample({
    prompt,
    samplingParams: SamplingParams.make({ maxTokens: 3, temperature: 0 })
  })
  return Array.from(sequences[0]!.tokens)
})

it.effect("a program that asks for a TrainingClient or a SamplingClient has it from its layer", () =>
  Effect.gen(function*() {
    yield* Effect.provide(trainOnce, TrainingClient.layer({ baseModel: "bigram", rank: 4 }))
    const tokens = yield* Effect.provide(answer, SamplingClient.layer({ baseModel: "bigram" }))
    assert.lengthOf(tokens, 3)
  }).pipe(Effect.provide(Local)))

it.effect("a model is made once for all that its layer is provided to, and no two layers share one", () =>
  Effect.gen(function*() {
    const id = Effect.map(TrainingClient.TrainingClient, ({ modelId }) => modelId)
    const layer = TrainingClient.layer({ baseModel: "bigram", rank: 4 })
    const [first, second] = yield* Effect.provide(Effect.all([id, id]), layer)
    assert.strictEqual(first, second)
    assert.notStrictEqual(yield* Effect.provide(id, Layer.fresh(layer)), first)
  }).pipe(Effect.provide(Local)))

it.effect("a model goes on from where a state was saved", () =>
  Effect.gen(function*() {
    const fresh = TrainingClient.layer({ baseModel: "bigram", rank: 4 })
    const { loss, path } = yield* Effect.provide(trainOnce, fresh)
    assert.notStrictEqual(yield* Effect.provide(lossNow, Layer.fresh(fresh)), loss)
    assert.strictEqual(yield* Effect.provide(lossNow, TrainingClient.layerFromState(path)), loss)
  }).pipe(Effect.provide(Local)))

it.effect("options that cannot be right fail as they do at the ServiceClient, when the layer is built", () =>
  Effect.gen(function*() {
    const errors = [
      yield* Effect.flip(Effect.provide(Effect.void, SamplingClient.layer({ baseModel: "" }))),
      yield* Effect.flip(Effect.provide(Effect.void, TrainingClient.layer({ baseModel: "bigram", rank: -1 }))),
      yield* Effect.flip(Effect.provide(Effect.void, TrainingClient.layerFromState("nowhere")))
    ]
    for (const error of errors) assert.strictEqual(error._tag, "InvalidInputError")
    assert.match(errors[1]!.message, /ServiceClient\.createLoraTrainingClient.*rank/)
  }).pipe(Effect.provide(Local)))

it.effect("a test puts a client of its own in their place", () =>
  Effect.gen(function*() {
    const scripted = {
      sequences: [{
        tokens: Int32Array.of(7),
        logprobs: Float32Array.of(0),
        stopReason: "length",
        sequenceId: "s0",
        topkLogprobs: undefined
      }],
      promptLogprobs: undefined,
      topkPromptLogprobs: undefined,
      promptCacheHitTokens: 0
    } as const
    const Scripted = Layer.effect(
      SamplingClient.SamplingClient,
      Effect.map(SamplingClient.SamplingClient, (sampling) => ({
        ...sampling,
        sample: () => Effect.succeed(scripted)
      }))
    ).pipe(Layer.provide(SamplingClient.layer({ baseModel: "bigram" })))
    assert.deepStrictEqual(yield* Effect.provide(answer, Scripted), [7])
  }).pipe(Effect.provide(Local)))
