/**
 * One base model, its adapters and its samplers, in this process. Every call holds the thread until it is done, so a
 * program that must go on meanwhile uses {@link LlamaEngine}, which runs this in a child.
 *
 * Methods are those of the `Engine` contract, with promises: they reject with an `EngineError`. A signal ends the long ones
 * between two runs of the graph, and then they have changed nothing. Samples run beside everything else.
 */
import * as AdamW from "@effect-tinker/engine/AdamW"
import { EngineError } from "@effect-tinker/engine/Engine"
import type * as Engine from "@effect-tinker/engine/Engine"
import * as ModelState from "@effect-tinker/engine/ModelState"
import * as PromptScores from "@effect-tinker/engine/PromptScores"
import * as Sampler from "@effect-tinker/engine/Sampler"
import * as Either from "effect/Either"
import { rmSync, writeFileSync } from "node:fs"
import * as Decoder from "./Decoder.js"
import { isFiniteSum, nonFinite } from "./internal/finite.js"
import * as Lora from "./Lora.js"
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
  /** Default: as for activations. */
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
  const models = new Map<string, Model>()
  const samplers = new Map<string, Decoder.Sampler>()

  const model = (id: string): Model => {
    const found = models.get(id)
    if (found === undefined) throw unknown(`there is no model ${id}`)
    return found
  }
  const checkBase = (name: string): void => {
    if (name !== description.name) throw unknown(`there is no base model ${name}`)
  }
  const checkLora = (lora: Engine.LoraSpec): void => {
    if (!Number.isInteger(lora.rank) || lora.rank < 1 || lora.rank > maxRank) {
      throw invalid(`rank ${lora.rank} is not between 1 and ${maxRank}`)
    }
    if (!lora.trainAttn && !lora.trainMlp && !lora.trainUnembed) throw invalid("nothing would be trained")
  }
  const shapesOf = (lora: Engine.LoraSpec) => Lora.shapes(config, lora, lora.rank)

  /** Copies of a snapshot's tensors, which must be exactly those of the adapter. */
  const adopt = (
    lora: Engine.LoraSpec,
    tensors: ReadonlyMap<string, Engine.Tensor>,
    complete: boolean
  ): Map<string, Float32Array> => {
    const copies = new Map<string, Float32Array>()
    for (const [name, shape] of shapesOf(lora)) {
      const tensor = tensors.get(name)
      if (tensor === undefined && !complete) continue
      if (tensor === undefined || tensor.shape.join() !== shape.join()) {
        throw invalid(`the checkpoint has no tensor ${name} of shape [${shape}]`)
      }
      copies.set(name, tensor.data.slice())
    }
    return copies
  }
  /** Copies in their own order, in which their norm is summed. */
  const adoptGradient = (
    lora: Engine.LoraSpec,
    tensors: ReadonlyMap<string, Engine.Tensor>
  ): Map<string, Float32Array> => {
    const copies = adopt(lora, tensors, false)
    return new Map(
      Array.from(tensors.keys()).flatMap((name) => {
        const copy = copies.get(name)
        return copy === undefined ? [] : [[name, copy] as const]
      })
    )
  }
  const shaped = (lora: Engine.LoraSpec, arrays: ReadonlyMap<string, Float32Array>): Map<string, Engine.Tensor> => {
    const shapes = shapesOf(lora)
    return new Map(Array.from(arrays, ([name, data]) => [name, { shape: shapes.get(name)!, data }]))
  }
  const tensors = (lora: Engine.LoraSpec, arrays: ReadonlyMap<string, Float32Array>): Map<string, Engine.Tensor> =>
    shaped(lora, copyOf(arrays))

  return {
    createModel: async (modelId, { baseModel, lora }) => {
      checkBase(baseModel)
      checkLora(lora)
      models.set(modelId, {
        lora,
        adapter: Lora.initialize(config, lora),
        optimizer: AdamW.make(),
        gradient: undefined
      })
    },

    forwardBackward: async (modelId, { data, gradient, loss }, signal) => {
      const trained = model(modelId)
      data.forEach((datum, i) => checkDatum(datum, i, description))
      const { gradients, ...result } = await training.run({
        lora: trained.lora,
        adapter: trained.adapter,
        data,
        loss,
        gradient,
        signal
      })
      if (gradient) {
        const sums = trained.gradient ?? new Map<string, Float32Array>()
        // All before any is added to, so that a pass that fails has changed nothing.
        for (const [name, array] of gradients) {
          const sum = sums.get(name)
          if (sum !== undefined && !isFiniteSum(sum, array)) {
            throw nonFinite(`with this pass the sum of the gradients of ${name} is not finite`)
          }
        }
        for (const [name, array] of gradients) TrainingPass.accumulate(sums, name, array)
        trained.gradient = sums
      }
      return result
    },

    optimStep: async (modelId, params) => {
      const trained = model(modelId)
      if (trained.gradient === undefined || trained.gradient.size === 0) return { unclippedGradNorm: 0 }
      const step = AdamW.attempt(trained.adapter, trained.gradient, trained.optimizer, params)
      trained.gradient = undefined
      if (Either.isLeft(step)) throw nonFinite(step.left)
      const { parameters, state, unclippedGradNorm } = step.right
      trained.adapter = parameters
      trained.optimizer = state
      return { unclippedGradNorm }
    },

    snapshot: async (modelId) => {
      const { adapter, lora, optimizer } = model(modelId)
      return {
        baseModel: description.name,
        lora,
        step: optimizer.step,
        weights: tensors(lora, adapter),
        expAvg: tensors(lora, optimizer.expAvg),
        expAvgSq: tensors(lora, optimizer.expAvgSq)
      }
    },

    accumulated: async (modelId) => {
      const { gradient, lora } = model(modelId)
      return gradient && tensors(lora, gradient)
    },

    writeState: async (modelId, what, file) => {
      const { adapter, gradient, lora, optimizer } = model(modelId)
      const { expAvg, expAvgSq, step } = optimizer
      if (what === "gradient" && gradient === undefined) return { bytes: 0, step }
      const bytes = what === "gradient"
        ? ModelState.encodeGradient(shaped(lora, gradient!))
        : ModelState.encodeSnapshot({
          weights: shaped(lora, adapter),
          expAvg: shaped(lora, expAvg),
          expAvgSq: shaped(lora, expAvgSq)
        })
      try {
        writeFileSync(file, bytes)
      } catch (cause) {
        // Half of it would take the room that is needed to say so.
        rmSync(file, { force: true })
        // The description is for clients, who need not know where on this machine it was to be.
        const why = /^[A-Z0-9]+: [^,]+/.exec(cause instanceof Error ? cause.message : "")?.[0] ?? "the disk refused it"
        throw new EngineError({ reason: "Unavailable", description: `its state cannot be written (${why})`, cause })
      }
      return { bytes: bytes.byteLength, step }
    },

    restore: async (modelId, snapshot, { accumulated, optimizer }) => {
      checkBase(snapshot.baseModel)
      checkLora(snapshot.lora)
      const { lora } = snapshot
      models.set(modelId, {
        lora,
        adapter: adopt(lora, snapshot.weights, true),
        optimizer: optimizer
          ? {
            step: snapshot.step,
            expAvg: adopt(lora, snapshot.expAvg, false),
            expAvgSq: adopt(lora, snapshot.expAvgSq, false)
          }
          : AdamW.make(),
        gradient: accumulated && adoptGradient(lora, accumulated)
      })
    },

    unloadModel: async (modelId) => {
      models.delete(modelId)
    },

    createSampler: async (samplerId, { baseModel, snapshot }) => {
      checkBase(baseModel)
      if (snapshot !== undefined) {
        checkBase(snapshot.baseModel)
        checkLora(snapshot.lora)
      }
      samplers.get(samplerId)?.release()
      samplers.set(
        samplerId,
        decoder.sampler(snapshot && { ...snapshot.lora, weights: adopt(snapshot.lora, snapshot.weights, true) })
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

interface Model {
  readonly lora: Engine.LoraSpec
  adapter: Map<string, Float32Array>
  optimizer: AdamW.State
  /** Sum since the last step; absent when there was none. */
  gradient: Map<string, Float32Array> | undefined
}

const copyOf = (arrays: ReadonlyMap<string, Float32Array>): Map<string, Float32Array> =>
  new Map(Array.from(arrays, ([name, array]) => [name, array.slice()]))

const checkDatum = (
  datum: Engine.TrainingDatum,
  index: number,
  { config, maxContextLength }: ModelFolder.Description
): void => {
  const { length } = datum.tokens
  if (length === 0) throw invalid(`datum ${index} has no tokens`)
  if (length > maxContextLength) {
    throw invalid(`datum ${index} has ${length} tokens, and the context of the model is ${maxContextLength}`)
  }
  const perToken = datum.targetsPerToken ?? 1
  for (const name of ["targetTokens", "weights", "logprobs", "advantages"] as const) {
    const input = datum[name]
    if (input !== undefined && input.length !== length * perToken) {
      const wanted = perToken === 1 ? `${length} tokens` : `${length} tokens with ${perToken} targets each`
      throw invalid(`datum ${index}: ${name} has ${input.length} elements for ${wanted}`)
    }
  }
  checkTokens(datum.tokens, config.vocabularySize, `datum ${index}: tokens`)
  checkTokens(datum.targetTokens, config.vocabularySize, `datum ${index}: targetTokens`)
}

const checkRequest = (
  request: Engine.SampleRequest,
  { config, maxContextLength }: ModelFolder.Description
): void => {
  const { length } = request.prompt
  if (length === 0) throw invalid("the prompt is empty")
  if (length > maxContextLength || (length === maxContextLength && request.maxTokens > 0)) {
    throw invalid(`the prompt has ${length} tokens, and the context of the model is ${maxContextLength}`)
  }
  checkTokens(request.prompt, config.vocabularySize, "the prompt")
  const wrong = Sampler.firstInvalid(request) ?? PromptScores.firstInvalid(request, config.vocabularySize)
  if (wrong !== undefined) throw invalid(wrong)
}

const checkTokens = (tokens: Int32Array, vocabulary: number, what: string): void => {
  for (let t = 0; t < tokens.length; t++) {
    const token = tokens[t]!
    if (token < 0 || token >= vocabulary) throw invalid(`${what}: ${token} at ${t} is not among ${vocabulary} tokens`)
  }
}

const invalid = (description: string) => new EngineError({ reason: "InvalidRequest", description })

const unknown = (description: string) => new EngineError({ reason: "UnknownModel", description })
