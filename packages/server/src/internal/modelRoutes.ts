/** Handlers of models, training and checkpoints. */
import * as AdamParams from "effect-tinker/AdamParams"
import type { ModelId } from "effect-tinker/Identifiers"
import * as ModelsApi from "effect-tinker/ModelsApi"
import * as TensorData from "effect-tinker/TensorData"
import * as TinkerPath from "effect-tinker/TinkerPath"
import * as TrainingApi from "effect-tinker/TrainingApi"
import * as WeightsApi from "effect-tinker/WeightsApi"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import type * as CheckpointStore from "../CheckpointStore.js"
import type { LossResult } from "../Engine.js"
import type { Completed } from "../Futures.js"
import * as Http from "./http.js"
import * as State from "./serverState.js"
import * as TrainingData from "./trainingData.js"

export const make = (state: State.ServerState) => {
  const { engine, store } = state

  const createModel: Http.Handler = (request) =>
    Effect.gen(function*() {
      const wanted = yield* Http.decodeBody(ModelsApi.CreateModelRequest, request)
      const session = yield* State.requireSession(state, wanted.sessionId)
      const baseModel = yield* State.requireBaseModel(state, wanted.baseModel)
      yield* requireAdamW(wanted.optimizerConfig)
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
      const lora = { rank, seed: seed ?? (yield* State.randomSeed), trainAttn, trainMlp, trainUnembed }
      return yield* State.createModel(state, {
        session,
        modelSeqId: wanted.modelSeqId,
        baseModel,
        lora,
        request,
        work: (modelId) =>
          Effect.as(
            engine.createModel(modelId, { baseModel: baseModel.name, lora }),
            completed({ model_id: modelId, type: "create_model" })
          )
      })
    })

  const getInfo: Http.Handler = (request) =>
    Effect.gen(function*() {
      const { modelId } = yield* Http.decodeBody(ModelsApi.GetInfoRequest, request)
      const { baseModel, lora } = yield* State.requireModel(state, modelId)
      return getInfoResponse({
        modelId,
        modelData: {
          arch: baseModel.architecture,
          modelName: baseModel.name,
          tokenizerId: baseModel.tokenizerId
        },
        isLora: true,
        loraRank: lora.rank,
        modelName: baseModel.name,
        optimizerConfig: { type: "adamw" }
      })
    })

  const unloadModel: Http.Handler = (request) =>
    Effect.gen(function*() {
      const { modelId } = yield* Http.decodeBody(UnloadModelRequest, request)
      const model = yield* State.requireModel(state, modelId)
      const requestId = `${modelId}:unload`
      yield* State.unloadModel(model)
      yield* state.futures.submit(requestId, model.queue.state)
      yield* state.futures.complete(requestId, completed({ model_id: modelId, type: "unload_model" }))
      return State.accepted(requestId, modelId)
    })

  /** Puts a request into the queue of the model that it names; one that cannot be read frees its number. */
  const submit = <A extends { readonly modelId: ModelId; readonly seqId: number }, I>(
    schema: Schema.Schema<A, I>,
    work: (request: A, model: State.Model) => State.Work
  ): Http.Handler =>
  (request) =>
    Effect.gen(function*() {
      const value = yield* Http.parseJson(request.body)
      const wanted = yield* Effect.tapError(Http.decode(schema, value), () => reject(value))
      const model = yield* State.requireModel(state, wanted.modelId)
      yield* requireSeqId(wanted.seqId)
      return yield* State.submit(state, model, { seqId: wanted.seqId, request, work: work(wanted, model) })
    })

  const reject = (value: unknown) =>
    Effect.suspend(() => {
      const modelId = Predicate.hasProperty(value, "model_id") ? value.model_id : undefined
      const seqId = Predicate.hasProperty(value, "seq_id") ? value.seq_id : undefined
      const model = typeof modelId === "string" ? state.models.get(modelId) : undefined
      return model !== undefined && typeof seqId === "number" ? model.queue.reject(seqId) : Effect.void
    })

  const forwardBackward: Http.Handler = (request) =>
    Effect.gen(function*() {
      if (request.headers["content-type"]?.includes(Http.protobufType) !== true) {
        return yield* Http.refuse(415, `forward_backward takes ${Http.protobufType}`)
      }
      if (request.headers["content-encoding"] !== undefined) {
        return yield* Http.refuse(415, "forward_backward takes bodies that are not compressed")
      }
      const wanted = yield* Effect.try({
        try: () => TrainingApi.decodeForwardBackwardRequest(request.body),
        catch: (error) =>
          Http.refuse(
            422,
            `the body is no forward_backward request: ${error instanceof Error ? error.message : String(error)}`
          )
      })
      const model = yield* State.requireModel(state, wanted.modelId)
      yield* requireSeqId(wanted.seqId)
      return yield* State.submit(state, model, {
        seqId: wanted.seqId,
        request,
        work: Effect.gen(function*() {
          const pass = yield* orUserError(TrainingData.make(wanted, model.baseModel))
          return passResult(
            yield* engine.forwardBackward(model.id, { ...pass, gradient: !wanted.forwardOnly })
          )
        })
      })
    })

  const optimStep = submit(TrainingApi.OptimStepRequest, ({ adamParams }, model) =>
    Effect.gen(function*() {
      const invalid = AdamParams.firstInvalid(adamParams)
      if (invalid !== undefined) return yield* userError(`adam_params: ${invalid.field} ${invalid.description}`)
      const { unclippedGradNorm } = yield* engine.optimStep(model.id, adamParams)
      return completed({ metrics: { "unclipped_grad_l2:mean": unclippedGradNorm } })
    }))

  const save = (
    model: State.Model,
    checkpointType: TinkerPath.CheckpointType,
    name: string,
    options: CheckpointStore.SaveOptions
  ) =>
    Effect.gen(function*() {
      const path: TinkerPath.TinkerPath = { trainingRunId: model.id as ModelId, checkpointType, name }
      yield* store.save(path, yield* engine.snapshot(model.id), options)
      return TinkerPath.format(path)
    })

  const saveWeights = submit(WeightsApi.SaveWeightsRequest, (wanted, model) =>
    Effect.gen(function*() {
      yield* checkTtl(wanted.ttlSeconds)
      const path = yield* save(model, "training", wanted.path ?? nameOf(wanted.seqId), wanted)
      return completed({ path, type: "save_weights" })
    }))

  const saveWeightsForSampler = submit(
    WeightsApi.SaveWeightsForSamplerRequest,
    (wanted, model) =>
      Effect.gen(function*() {
        yield* checkTtl(wanted.ttlSeconds)
        if (wanted.samplingSessionSeqId === undefined) {
          const path = yield* save(model, "sampler", wanted.path ?? nameOf(wanted.seqId), wanted)
          return completed({ path, type: "save_weights_for_sampler" })
        }
        if (wanted.path !== undefined) return yield* userError("either path or sampling_session_seq_id, not both")
        const id = State.samplerId(model.session, wanted.samplingSessionSeqId)
        yield* State.createSampler(state, {
          id,
          session: model.session,
          baseModel: model.baseModel,
          modelPath: undefined,
          snapshot: yield* engine.snapshot(model.id)
        })
        return completed({ path: null, sampling_session_id: id, type: "save_weights_for_sampler" })
      })
  )

  const checkpointAt = (path: string) =>
    Effect.gen(function*() {
      const parsed = TinkerPath.parse(path)
      if (Either.isLeft(parsed)) return yield* Http.refuse(400, parsed.left.description)
      return yield* Effect.catchTag(store.info(parsed.right), "ServerError", (error) =>
        Http.refuse(error.reason === "NotFound" ? 404 : 500, error.description))
    })

  /** Into a model that has done nothing yet. */
  const loadIntoModel = submit(LoadIntoModelRequest, (wanted, model) =>
    Effect.gen(function*() {
      if (wanted.seqId !== 1) {
        return yield* userError(
          `weights can be loaded by the first request of a model alone, and this is number ${wanted.seqId}`
        )
      }
      const path = yield* orUserError(Either.mapLeft(TinkerPath.parse(wanted.path), (error) => error.description))
      if (path.checkpointType !== "training") {
        return yield* userError(
          `${wanted.path} is a ${path.checkpointType} checkpoint; training goes on from weights alone`
        )
      }
      const snapshot = yield* store.load(path)
      if (snapshot.baseModel !== model.baseModel.name) {
        return yield* userError(`the checkpoint is of ${snapshot.baseModel}, the model of ${model.baseModel.name}`)
      }
      if (snapshot.lora.rank !== model.lora.rank) {
        return yield* userError(`the checkpoint has rank ${snapshot.lora.rank}, the model rank ${model.lora.rank}`)
      }
      yield* engine.restore(model.id, snapshot, { optimizer: wanted.optimizer })
      return completed({ path: wanted.path, model_id: model.id, type: "load_weights" })
    }))

  /** Makes the model by the same request. */
  const createByLoading = (wanted: typeof CreateByLoadingRequest.Type, request: Http.Received) =>
    Effect.gen(function*() {
      const session = yield* State.requireSession(state, wanted.sessionId)
      const { baseModel: name, lora, path } = yield* checkpointAt(wanted.path)
      if (path.checkpointType !== "training") {
        return yield* Http.refuse(
          400,
          `${wanted.path} is a ${path.checkpointType} checkpoint; training goes on from weights alone`
        )
      }
      const baseModel = yield* State.requireBaseModel(state, name)
      if (wanted.baseModel !== undefined && wanted.baseModel !== name) {
        return yield* Http.refuse(400, `the checkpoint is of ${name}, not of ${wanted.baseModel}`)
      }
      yield* requireAdamW(wanted.optimizerConfig)
      return yield* State.createModel(state, {
        session,
        modelSeqId: wanted.modelSeqId,
        baseModel,
        lora,
        request,
        work: (modelId) =>
          Effect.gen(function*() {
            yield* engine.restore(modelId, yield* store.load(path), { optimizer: wanted.optimizer })
            return completed({ path: wanted.path, model_id: modelId, type: "load_weights" })
          })
      })
    })

  const loadWeights: Http.Handler = (request) =>
    Effect.gen(function*() {
      const value = yield* Http.parseJson(request.body)
      return Predicate.hasProperty(value, "session_id")
        ? yield* createByLoading(yield* Http.decode(CreateByLoadingRequest, value), request)
        : yield* loadIntoModel(request)
    })

  const weightsInfo: Http.Handler = (request) =>
    Effect.gen(function*() {
      const { tinker_path } = yield* Http.decodeBody(WeightsInfoRequest, request)
      const { baseModel, lora } = yield* checkpointAt(tinker_path)
      return Http.json({
        base_model: baseModel,
        optimizer_config: { type: "adamw" },
        is_lora: true,
        lora_rank: lora.rank,
        train_unembed: lora.trainUnembed,
        train_mlp: lora.trainMlp,
        train_attn: lora.trainAttn
      })
    })

  return {
    createModel,
    getInfo,
    unloadModel,
    forwardBackward,
    optimStep,
    saveWeights,
    saveWeightsForSampler,
    loadWeights,
    weightsInfo
  }
}

const getInfoResponse = Http.encode(ModelsApi.GetInfoResponse)

const UnloadModelRequest = Schema.Struct({
  modelId: Schema.propertySignature(Schema.String).pipe(Schema.fromKey("model_id"))
})

const WeightsInfoRequest = Schema.Struct({ tinker_path: Schema.String })

const LoadIntoModelRequest = Schema.Struct({
  ...WeightsApi.LoadWeightsRequest.fields,
  modelId: WeightsApi.SaveWeightsRequest.fields.modelId,
  seqId: WeightsApi.SaveWeightsRequest.fields.seqId
})

const CreateByLoadingRequest = Schema.Struct({
  ...WeightsApi.LoadWeightsRequest.fields,
  sessionId: ModelsApi.CreateModelRequest.fields.sessionId,
  modelSeqId: ModelsApi.CreateModelRequest.fields.modelSeqId
})

const completed = (value: unknown): Completed => ({ _tag: "Completed", json: () => value })

const userError = (detail: string) => new State.UserError({ detail })

const orUserError = <A>(either: Either.Either<A, string>): Effect.Effect<A, State.UserError> =>
  Effect.mapError(either, userError)

/** 0 is what a protobuf message without the field says. */
const requireSeqId = (seqId: number): Effect.Effect<void, Http.Refusal> =>
  seqId >= 1 ? Effect.void : Http.refuse(422, `seq_id is ${seqId}; requests of a model are numbered from 1`)

const requireAdamW = (config: { readonly type: string } | undefined): Effect.Effect<void, Http.Refusal> =>
  config === undefined || config.type === "adamw"
    ? Effect.void
    : Http.refuse(400, `this server has the optimizer adamw alone, not ${config.type}`)

const checkTtl = (ttlSeconds: number | undefined): Effect.Effect<void, State.UserError> =>
  ttlSeconds === undefined || ttlSeconds > 0
    ? Effect.void
    : userError(`ttl_seconds is ${ttlSeconds}; it must be more than 0`)

/** The name of a checkpoint that was given none. */
const nameOf = (seqId: number): string => String(seqId).padStart(6, "0")

const passResult = (result: LossResult): Completed => {
  const output = {
    lossFnOutputType: "ArrayRecord",
    lossFnOutputs: result.outputs.map(({ elementwiseLoss, logprobs }) => ({
      logprobs: TensorData.float32(logprobs),
      elementwiseLoss: TensorData.float32(elementwiseLoss)
    })),
    metrics: { "loss:sum": result.loss }
  }
  return {
    _tag: "Completed",
    bytes: TrainingApi.encodeForwardBackwardOutput(output),
    json: () => ({
      loss_fn_output_type: output.lossFnOutputType,
      loss_fn_outputs: output.lossFnOutputs.map(({ elementwiseLoss, logprobs }) => ({
        logprobs: tensorJson(logprobs),
        elementwise_loss: tensorJson(elementwiseLoss)
      })),
      metrics: output.metrics
    })
  }
}

const tensorJson = (tensor: TensorData.Float32Tensor) => ({
  data: Array.from(tensor.data),
  dtype: tensor.dtype,
  shape: tensor.shape
})
