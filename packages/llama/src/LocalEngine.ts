/**
 * One base model, its adapters and its samplers, in this process. Every call holds the thread until it is done, so a
 * program that must go on meanwhile uses {@link LlamaEngine}, which runs this in a child.
 *
 * Methods are those of the `Engine` contract, with promises: they reject with an `EngineError`. A signal ends the long ones
 * between two runs of the graph, and then they have changed nothing. Samples run beside everything else.
 */
import type * as Engine from "@effect-tinker/engine/Engine"
import * as Decoder from "./Decoder.js"
import { checkDatum, checkLora, checkRequest, invalid, unknown } from "./internal/requestChecks.js"
import { adopt } from "./internal/training/adapterTensors.js"
import * as LoraModel from "./internal/training/loraModel.js"
import type * as ModelFolder from "./ModelFolder.js"
import type * as OnnxRuntime from "./OnnxRuntime.js"
import * as Scheduler from "./Scheduler.js"
import * as TrainingPass from "./TrainingPass.js"

/**
 * The `Engine` contract with promises instead of effects.
 *
 * @since 0.1.0
 * @category models
 */
export interface LocalEngine {
  readonly createModel: (
    modelId: string,
    options: { readonly baseModel: string; readonly lora: Engine.LoraSpec }
  ) => Promise<void>
  readonly forwardBackward: (
    modelId: string,
    options: {
      readonly data: ReadonlyArray<Engine.TrainingDatum>
      readonly loss: Engine.Loss
      readonly gradient: boolean
    },
    signal?: AbortSignal
  ) => Promise<Engine.LossResult>
  readonly optimStep: (modelId: string, params: Engine.AdamWParams) => Promise<Engine.OptimStepResult>
  readonly snapshot: (modelId: string) => Promise<Engine.Snapshot>
  readonly accumulated: (modelId: string) => Promise<ReadonlyMap<string, Engine.Tensor> | undefined>
  readonly writeState: (
    modelId: string,
    what: "weights" | "gradient",
    file: string
  ) => Promise<{ readonly bytes: number; readonly step: number }>
  readonly restore: (
    modelId: string,
    snapshot: Engine.Snapshot,
    options: {
      readonly optimizer: boolean
      readonly accumulated?: ReadonlyMap<string, Engine.Tensor> | undefined
    }
  ) => Promise<void>
  readonly unloadModel: (modelId: string) => Promise<void>
  readonly createSampler: (
    samplerId: string,
    options: { readonly baseModel: string; readonly snapshot?: Engine.Snapshot | undefined }
  ) => Promise<void>
  readonly sample: (
    samplerId: string,
    request: Engine.SampleRequest,
    signal?: AbortSignal
  ) => Promise<Engine.SampleResult>
  readonly unloadSampler: (samplerId: string) => Promise<void>
}

/**
 * Highest rank of an adapter: what the hosted service accepts of dense models.
 *
 * @since 0.1.0
 * @category config
 */
export const maxRank = 128

/**
 * Makes the engine of one base model, without models and samplers yet.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: {
  readonly runtime: OnnxRuntime.OnnxRuntime
  readonly description: ModelFolder.Description
  readonly weights: ReadonlyMap<string, Float32Array>
  /** The text of tokens; undefined where the folder has no tokenizer, which rules out stop strings. */
  readonly decode: ((tokens: ReadonlyArray<number>) => string) | undefined
  readonly maxActivationBytes: number
  /** Decides between training and sampling. Default: one of its own. */
  readonly scheduler?: Scheduler.Scheduler | undefined
  /** What the caches of samples that grow together may take, in bytes. Default: as much as activations may. */
  readonly maxCacheBytes?: number | undefined
  /** What weights may take once more, laid out for sampling. Default: `DecodingPass.maxConstantBytes`. */
  readonly maxConstantBytes?: number | undefined
}): LocalEngine => {
  const { description, runtime, weights } = options
  const { config, maxContextLength } = description
  const scheduler = options.scheduler ?? Scheduler.make()
  const training = TrainingPass.make({
    runtime: Scheduler.scheduled(runtime, scheduler, "training"),
    config,
    weights,
    maxActivationBytes: options.maxActivationBytes
  })
  const decoder = Decoder.make({
    runtime: Scheduler.scheduled(runtime, scheduler, "sampling"),
    config,
    weights,
    maxContextLength,
    maxCacheBytes: options.maxCacheBytes ?? options.maxActivationBytes,
    maxConstantBytes: options.maxConstantBytes
  })
  const models = new Map<string, LoraModel.LoraModel>()
  const samplers = new Map<string, Decoder.Sampler>()

  const model = (id: string): LoraModel.LoraModel => {
    const found = models.get(id)
    if (found === undefined) throw unknown(`there is no model ${id}`)
    return found
  }
  const checkBase = (name: string): void => {
    if (name !== description.name) throw unknown(`there is no base model ${name}`)
  }

  return {
    createModel: async (modelId, { baseModel, lora }) => {
      checkBase(baseModel)
      checkLora(lora, maxRank)
      models.set(modelId, LoraModel.create(config, lora))
    },

    forwardBackward: async (modelId, { data, gradient, loss }, signal) => {
      const trained = model(modelId)
      data.forEach((datum, i) => checkDatum(datum, i, description))
      const { adapter, lora } = trained
      const { gradients, ...result } = await training.run({ lora, adapter, data, loss, gradient, signal })
      if (gradient) LoraModel.accumulate(trained, gradients)
      return result
    },

    optimStep: async (modelId, params) => LoraModel.optimStep(model(modelId), params),

    snapshot: async (modelId) => LoraModel.snapshot(config, description.name, model(modelId)),

    accumulated: async (modelId) => LoraModel.accumulated(config, model(modelId)),

    writeState: async (modelId, what, file) => LoraModel.write(config, model(modelId), what, file),

    restore: async (modelId, snapshot, options) => {
      checkBase(snapshot.baseModel)
      checkLora(snapshot.lora, maxRank)
      models.set(modelId, LoraModel.restore(config, snapshot, options))
    },

    unloadModel: async (modelId) => {
      models.delete(modelId)
    },

    createSampler: async (samplerId, { baseModel, snapshot }) => {
      checkBase(baseModel)
      if (snapshot !== undefined) {
        checkBase(snapshot.baseModel)
        checkLora(snapshot.lora, maxRank)
      }
      samplers.get(samplerId)?.release()
      samplers.set(
        samplerId,
        decoder.sampler(
          snapshot &&
            { ...snapshot.lora, weights: adopt(config, snapshot.lora, snapshot.weights, { complete: true }) }
        )
      )
    },

    sample: async (samplerId, request, signal) => {
      const sampler = samplers.get(samplerId)
      if (sampler === undefined) throw unknown(`there is no sampler ${samplerId}`)
      checkRequest(request, description)
      const { decode } = options
      if (request.stopStrings.length > 0 && decode === undefined) {
        throw invalid(`${description.name} has no tokenizer.json, so stops must be tokens, not texts`)
      }
      return sampler.sample({ request, decode: decode ?? (() => ""), signal })
    },

    unloadSampler: async (samplerId) => {
      samplers.get(samplerId)?.release()
      samplers.delete(samplerId)
    }
  }
}
