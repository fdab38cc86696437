/** Handlers of models and their training. */
import type { LossResult, TrainingDatum } from "@effect-tinker/engine/Engine"
import * as AdamParams from "@effect-tinker/protocol/AdamParams"
import type { Answer } from "@effect-tinker/protocol/Endpoint"
import * as Endpoints from "@effect-tinker/protocol/Endpoints"
import type { ModelId } from "@effect-tinker/protocol/Identifiers"
import * as ModelsMessages from "@effect-tinker/protocol/ModelsMessages"
import * as TensorData from "@effect-tinker/protocol/TensorData"
import * as TrainingMessages from "@effect-tinker/protocol/TrainingMessages"
import * as Effect from "effect/Effect"
import type { Completed } from "../../Futures.js"
import * as Eithers from "../effect/eithers.js"
import * as Failures from "../http/failures.js"
import * as Http from "../http/http.js"
import * as ProtobufParts from "../http/protobufParts.js"
import { wireName } from "../http/wording.js"
import * as Zstd from "../http/zstd.js"
import * as ModelQueue from "../models/modelQueue.js"
import * as Models from "../models/models.js"
import type * as State from "../models/serverState.js"
import * as Work from "../models/work.js"
import * as JsonNumbers from "./jsonNumbers.js"
import * as Lookups from "./lookups.js"
import * as Results from "./results.js"
import * as TrainingData from "./trainingData.js"
import * as TrainingJson from "./trainingJson.js"

export const make = (state: State.ServerState, maxBodyBytes: number) => ({
  createModel: createModel(state),
  getInfo: getInfo(state),
  unloadModel: unloadModel(state),
  forwardBackward: forwardBackward(state, maxBodyBytes),
  forward: forward(state),
  optimStep: optimStep(state),
  createCustomLoss
})

const createModel = (state: State.ServerState): Http.Handler<Answer<typeof Endpoints.createModel>> => (request) =>
  Effect.gen(function*() {
    const wanted = yield* Http.decodeBody(ModelsMessages.CreateModelRequest, request)
    const session = yield* Lookups.requireSession(state, wanted.sessionId)
    const baseModel = yield* Lookups.requireBaseModel(state, wanted.baseModel)
    yield* ModelQueue.requireAdamW(wanted.optimizerConfig)
    const { rank, seed, trainAttn, trainMlp, trainUnembed } = wanted.loraConfig
    if (!Number.isInteger(rank) || rank < 1 || rank > baseModel.maxRank) {
      return yield* Http.refuse(
        400,
        `lora_config.rank is ${rank}; it must be a whole number from 1 to ${baseModel.maxRank} for ${baseModel.name}`
      )
    }
    if (!trainAttn && !trainMlp && !trainUnembed) {
      return yield* Http.refuse(
        400,
        "lora_config trains nothing: train_attn, train_mlp and train_unembed are all false"
      )
    }
    if (seed !== undefined && !Number.isInteger(seed)) {
      return yield* Http.refuse(400, `lora_config.seed is ${seed}; it must be a whole number`)
    }
    const given = seed === undefined ? undefined : Work.seedFrom(seed)
    const chosen = given ?? request.replayed?.seed ?? (yield* Work.randomSeed)
    const lora = { rank, seed: chosen, trainAttn, trainMlp, trainUnembed }
    return yield* Models.create(state, {
      session,
      modelSeqId: wanted.modelSeqId,
      baseModel,
      lora,
      userMetadata: wanted.userMetadata,
      request,
      work: (modelId) =>
        Effect.as(state.engine.createModel(modelId, { baseModel: baseModel.name, lora }), {
          ...ModelQueue.completed(Endpoints.createModel, { modelId: modelId as ModelId }),
          changed: "weights" as const
        })
    })
  })

const getInfo = (state: State.ServerState): Http.Handler<Answer<typeof Endpoints.getInfo>> => (request) =>
  Effect.gen(function*() {
    const { modelId } = yield* Http.decodeBody(ModelsMessages.GetInfoRequest, request)
    const { baseModel, lora } = yield* Lookups.requireModel(state, modelId)
    return Http.answer(Endpoints.getInfo, {
      modelId,
      modelData: {
        arch: baseModel.architecture,
        modelName: baseModel.name,
        tokenizerId: baseModel.tokenizerId
      },
      isLora: true,
      loraRank: lora.rank,
      modelName: baseModel.name,
      optimizerConfig: ModelsMessages.adamw
    })
  })

const unloadModel = (state: State.ServerState): Http.Handler<Answer<typeof Endpoints.unloadModel>> => (request) =>
  Effect.gen(function*() {
    const { modelId } = yield* Http.decodeBody(ModelsMessages.UnloadModelRequest, request)
    const model = yield* Lookups.requireModel(state, modelId)
    const requestId = `${modelId}:unload`
    const unloaded = ModelQueue.completed(Endpoints.unloadModel, { modelId })
    yield* Models.unload(state, model, unloaded)
    yield* state.futures.submit(requestId, model.queue.state)
    yield* state.futures.complete(requestId, unloaded)
    return Work.accepted(requestId, modelId)
  })

const forwardBackward =
  (state: State.ServerState, maxBodyBytes: number): Http.Handler<Answer<typeof Endpoints.forwardBackward>> =>
  (request) =>
    Effect.gen(function*() {
      const body = yield* plainBody(request, maxBodyBytes)
      const contentType = request.headers["content-type"] ?? ""
      if (contentType.includes(Http.protobufType)) {
        const parts = ProtobufParts.count(body, JsonNumbers.trainingParts + body.length)
        const excess = Http.tooManyParts(parts, body.length, JsonNumbers.trainingParts)
        if (excess !== undefined) return yield* Http.refuse(422, excess)
        const wanted = yield* Effect.try({
          try: () => TrainingMessages.decodeForwardBackwardRequest(body),
          catch: (error) =>
            Http.refuse(
              422,
              `the body is no forward_backward request: ${error instanceof Error ? error.message : String(error)}`
            )
        })
        return yield* pass(state, wanted, { ...request, body })
      }
      if (contentType.includes("application/json")) {
        return yield* passInJson(state, TrainingJson.decodeForwardBackward, { ...request, body })
      }
      return yield* Http.refuse(415, `forward_backward takes ${Http.protobufType} or application/json`)
    })

const forward = (state: State.ServerState): Http.Handler<Answer<typeof Endpoints.forward>> => (request) =>
  passInJson(state, TrainingJson.decodeForward, request)

const passInJson = (
  state: State.ServerState,
  decode: (value: unknown) => Effect.Effect<TrainingMessages.ForwardBackwardRequest, Http.Refusal>,
  request: Http.Received
) =>
  Effect.gen(function*() {
    const value = yield* Eithers.toEffect(Http.parseJson(request.body, JsonNumbers.trainingBounds))
    return yield* pass(state, yield* ModelQueue.releaseNumberOnRefusal(state, value, decode(value)), request)
  })

const pass = (
  state: State.ServerState,
  wanted: TrainingMessages.ForwardBackwardRequest,
  request: Http.Received
) =>
  Effect.gen(function*() {
    const model = yield* Lookups.requireModel(state, wanted.modelId)
    yield* ModelQueue.requireSeqId(wanted.seqId)
    return yield* Models.submit(state, model, {
      seqId: wanted.seqId,
      request,
      work: Effect.gen(function*() {
        const pass = yield* ModelQueue.orUserError(TrainingData.make(wanted, model.baseModel))
        const result = yield* state.engine.forwardBackward(model.id, { ...pass, gradient: !wanted.forwardOnly })
        const tokens = pass.data.reduce((sum, datum) => sum + datum.tokens.length, 0)
        const usage = [["training", tokens]] as const
        return {
          ...passResult(result, pass.data),
          usage,
          changed: wanted.forwardOnly ? undefined : "gradient" as const
        }
      })
    })
  })

const optimStep = (state: State.ServerState): Http.Handler<Answer<typeof Endpoints.optimStep>> =>
  ModelQueue.handler(state, TrainingMessages.OptimStepRequest, {
    work: ({ adamParams, optimizerParams }, model) =>
      Effect.gen(function*() {
        if (adamParams === undefined) {
          return yield* ModelQueue.userError(
            `this model has the optimizer adamw: adam_params are needed, not those of ${
              optimizerParams?.type ?? "none"
            }`
          )
        }
        const invalid = AdamParams.firstInvalid(adamParams)
        if (invalid !== undefined) {
          return yield* ModelQueue.userError(`adam_params: ${wireName(invalid.field)} ${invalid.description}`)
        }
        return yield* Effect.match(state.engine.optimStep(model.id, adamParams), {
          onSuccess: ({ unclippedGradNorm }): Work.Outcome => ({
            ...ModelQueue.completed(Endpoints.optimStep, { metrics: { "unclipped_grad_l2:mean": unclippedGradNorm } }),
            changed: "weights"
          }),
          onFailure: (error): Work.Outcome => ({
            ...Failures.of(error),
            changed: error.reason === "NonFinite" ? "gradient" : undefined
          })
        })
      })
  })

/** The settings for clients do not offer it. */
const createCustomLoss: Http.Handler = () =>
  Http.refuse(400, "this server computes no losses of others: they are computed by the client, from a forward pass")

/** The body as it was before the client compressed it. */
const plainBody = ({ body, headers }: Http.Received, maxBytes: number): Effect.Effect<Uint8Array, Http.Refusal> => {
  const encoding = headers["content-encoding"] ?? "identity"
  if (encoding === "identity") return Effect.succeed(body)
  if (encoding !== "zstd") return Http.refuse(415, `bodies may be compressed with zstd, not with ${encoding}`)
  return Effect.try({
    try: () => Zstd.inflate(body, Math.min(maxBytes, Math.max(leastInflated, mostInflated * body.length))),
    catch: (error) =>
      error instanceof Zstd.TooLarge
        ? Http.refuse(413, `the body is too large: ${error.message}`)
        : Http.refuse(422, `the body is no zstd: ${error instanceof Error ? error.message : String(error)}`)
  })
}

/** Tokens and weights become a third to a hundredth; what grows beyond that was made to. */
const mostInflated = 100

/** More than clients put into one request. */
const leastInflated = 2 ** 23

const passResult = (result: LossResult, data: ReadonlyArray<TrainingDatum>): Completed => {
  const output = {
    lossFnOutputType: "ArrayRecord",
    lossFnOutputs: result.outputs.map(({ elementwiseLoss, logprobs }, i) => {
      const { targetsPerToken, tokens } = data[i]!
      const shape = targetsPerToken === undefined ? [tokens.length] : [tokens.length, targetsPerToken]
      return {
        logprobs: TensorData.float32(logprobs, shape),
        elementwiseLoss: TensorData.float32(elementwiseLoss, shape)
      }
    }),
    metrics: { "loss:sum": result.loss }
  }
  return Results.ofBytes("pass", TrainingMessages.encodeForwardBackwardOutput(output))
}
