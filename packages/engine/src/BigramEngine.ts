/**
 * The smallest real engine: the next token depends on the last one alone, through a table of logits. It trains with the
 * same losses and the same optimizer as any other, exactly and at once, so that a training program can be tested in
 * milliseconds and on a virtual clock.
 *
 * A base model is a table `[vocabulary, vocabulary] float32` made from a seed, row by previous token. A model being
 * trained adds a table of its own, which begins at zero; rank and parts of a LoRA setting are remembered and change
 * nothing. Tokens below 256 are bytes, by which stop strings are found.
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Engine from "./Engine.js"
import { type Base, failure, initialTable } from "./internal/bigram/logitTable.js"
import * as sampling from "./internal/bigram/sampling.js"
import * as training from "./internal/bigram/training.js"

/**
 * The base models of the engine, and how long its work takes.
 *
 * @since 0.1.0
 * @category config
 */
export interface Options {
  /** Names of the base models, each with a table of its own. Default: `bigram` alone. */
  readonly baseModels?: ReadonlyArray<string> | undefined
  /** The number of tokens there are. Default 256: tokens are bytes. */
  readonly vocabularySize?: number | undefined
  /** The most tokens that prompt and answer may have together. Default 1024. */
  readonly maxContextLength?: number | undefined
  /** The highest LoRA rank that a model may have. Default 64. */
  readonly maxRank?: number | undefined
  /** Tokens that end an answer when a request says nothing about stops. Default: none. */
  readonly eosTokens?: ReadonlyArray<number> | undefined
  /** The seed that decides the tables of the base models. Default 0. */
  readonly seed?: number | undefined
  /** How long each training step and each sample takes, on the clock of the fiber that runs it. Default: no time. */
  readonly stepDuration?: Duration.DurationInput | undefined
}

/**
 * The name of the base model when the options name none.
 *
 * @since 0.1.0
 * @category config
 */
export const defaultBaseModel = "bigram"

/**
 * Makes the engine with its base models. Its methods fail as the `Engine` contract says.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options = {}): Engine.Service => {
  const vocabulary = options.vocabularySize ?? 256
  const baseModels = (options.baseModels ?? [defaultBaseModel]).map((name): Engine.BaseModel => ({
    name,
    maxContextLength: options.maxContextLength ?? 1024,
    vocabularySize: vocabulary,
    maxRank: options.maxRank ?? 64,
    eosTokens: options.eosTokens ?? [],
    architecture: "BigramForCausalLM",
    tokenizerId: name
  }))
  const bases = new Map(
    baseModels.map((model, i): [string, Base] => [
      model.name,
      { model, table: initialTable(vocabulary, (options.seed ?? 0) + i) }
    ])
  )
  const models = new Map<string, training.Model>()
  const samplers = new Map<string, Base>()
  const continuations = sampling.makeContinuations(vocabulary, 8)

  const takingTime = <A>(body: () => A): Effect.Effect<A, Engine.EngineError> =>
    options.stepDuration === undefined
      ? instantly(body)
      : Effect.zipRight(Effect.sleep(options.stepDuration), instantly(body))
  const base = (name: string): Base => {
    const found = bases.get(name)
    if (found === undefined) throw failure("UnknownModel", `there is no base model ${name}`)
    return found
  }
  const model = (id: string): training.Model => {
    const found = models.get(id)
    if (found === undefined) throw failure("UnknownModel", `there is no model ${id}`)
    return found
  }
  const sampler = (id: string): Base => {
    const found = samplers.get(id)
    if (found === undefined) throw failure("UnknownModel", `there is no sampler ${id}`)
    return found
  }

  return {
    baseModels,
    createModel: (modelId, { baseModel, lora }) =>
      instantly(() => void models.set(modelId, training.create(base(baseModel), lora))),
    forwardBackward: (modelId, options) => takingTime(() => training.forwardBackward(model(modelId), options)),
    optimStep: (modelId, params) => takingTime(() => training.optimStep(model(modelId), params)),
    snapshot: (modelId) => instantly(() => training.snapshot(model(modelId))),
    accumulated: (modelId) => instantly(() => training.accumulated(model(modelId))),
    restore: (modelId, snapshot, options) =>
      instantly(() => void models.set(modelId, training.restore(base(snapshot.baseModel), snapshot, options))),
    unloadModel: (modelId) => Effect.sync(() => void models.delete(modelId)),
    createSampler: (samplerId, { baseModel, snapshot }) =>
      instantly(() => void samplers.set(samplerId, sampling.create(base(baseModel), snapshot))),
    sample: (samplerId, request) => takingTime(() => sampling.sample(sampler(samplerId), continuations, request)),
    unloadSampler: (samplerId) => Effect.sync(() => void samplers.delete(samplerId))
  }
}

/**
 * Provides the engine to a program or a server.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options?: Options): Layer.Layer<Engine.Engine> => Layer.sync(Engine.Engine, () => make(options))

/** Runs code that fails by throwing an `EngineError`; anything else that it throws is a defect. */
const instantly = <A>(body: () => A): Effect.Effect<A, Engine.EngineError> =>
  Effect.try({
    try: body,
    catch: (error) => {
      if (error instanceof Engine.EngineError) return error
      throw error
    }
  })
