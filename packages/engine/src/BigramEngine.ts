/**
 * The smallest real engine: the next token depends on the last one alone, through a table of logits. It trains with the
 * same losses and the same optimizer as any other, exactly and at once, so that a training program can be tested in
 * milliseconds and on a virtual clock.
 *
 * A base model is a table `[vocabulary, vocabulary] float32` made from a seed, row by previous token. A model being
 * trained adds a table of its own, which begins at zero; rank and parts of a LoRA setting are remembered and change
 * nothing. Tokens below 256 are bytes, by which stop strings are found.
 */
import { TokenLoss } from "@effect-tinker/losses"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as AdamW from "./AdamW.js"
import * as Engine from "./Engine.js"
import { Transitions } from "./internal/bigram/transitions.js"
import * as PromptScores from "./PromptScores.js"
import * as Sampler from "./Sampler.js"

/**
 * @since 0.1.0
 * @category config
 */
export interface Options {
  /** Names of the base models, each with a table of its own. Default: `bigram` alone. */
  readonly baseModels?: ReadonlyArray<string> | undefined
  /** Default 256: tokens are bytes. */
  readonly vocabularySize?: number | undefined
  /** Prompt and answer together, in tokens. Default 1024. */
  readonly maxContextLength?: number | undefined
  /** Default 64. */
  readonly maxRank?: number | undefined
  /** Tokens that end an answer when a request says nothing about stops. Default: none. */
  readonly eosTokens?: ReadonlyArray<number> | undefined
  /** Decides the tables of the base models. Default 0. */
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
  const tables = new Map(
    baseModels.map((model, i) => [model.name, baseTable(vocabulary, (options.seed ?? 0) + i)] as const)
  )
  const models = new Map<string, Model>()
  const samplers = new Map<string, { readonly baseModel: Engine.BaseModel; readonly table: Float32Array }>()

  const continuations = makeContinuations(vocabulary, 8)

  const takingTime = <A>(body: () => A): Effect.Effect<A, Engine.EngineError> =>
    options.stepDuration === undefined
      ? instantly(body)
      : Effect.zipRight(Effect.sleep(options.stepDuration), instantly(body))
  const baseModel = (name: string): Engine.BaseModel => {
    const found = baseModels.find((model) => model.name === name)
    if (found === undefined) throw failure("UnknownModel", `there is no base model ${name}`)
    return found
  }
  const model = (id: string): Model => {
    const found = models.get(id)
    if (found === undefined) throw failure("UnknownModel", `there is no model ${id}`)
    return found
  }
  const sum = (name: string, adapter: Float32Array): Float32Array => {
    const base = tables.get(name)!
    const table = new Float32Array(base.length)
    for (let i = 0; i < table.length; i++) table[i] = base[i]! + adapter[i]!
    return table
  }

  return {
    baseModels,
    createModel: (modelId, { baseModel: name, lora }) =>
      instantly(() => {
        const { maxRank } = baseModel(name)
        if (!Number.isInteger(lora.rank) || lora.rank < 1 || lora.rank > maxRank) {
          throw failure("InvalidRequest", `rank ${lora.rank} is not between 1 and ${maxRank}`)
        }
        models.set(modelId, {
          baseModel: name,
          lora,
          adapter: new Float32Array(vocabulary * vocabulary),
          optimizer: AdamW.make(),
          gradient: undefined
        })
      }),
    forwardBackward: (modelId, { data, gradient, loss }) =>
      takingTime(() => {
        const trained = model(modelId)
        data.forEach((datum, i) => checkDatum(datum, i, vocabulary))
        const table = sum(trained.baseModel, trained.adapter)
        const added = gradient ? new Float64Array(table.length) : undefined
        const outputs = data.map((datum) => forwardBackward(table, vocabulary, datum, loss, added))
        const total = outputs.reduce((sum, output) => sum + output.elementwiseLoss.reduce((a, b) => a + b, 0), 0)
        if (!Number.isFinite(total)) throw failure("NonFinite", `the loss is ${total}`)
        if (added !== undefined) {
          const sum = trained.gradient?.slice() ?? new Float32Array(table.length)
          for (let i = 0; i < added.length; i++) sum[i] = sum[i]! + added[i]!
          if (!sum.every(Number.isFinite)) throw failure("NonFinite", "the sum of the gradients is not finite")
          trained.gradient = sum
        }
        return { outputs, loss: total }
      }),
    optimStep: (modelId, params) =>
      takingTime(() => {
        const trained = model(modelId)
        if (trained.gradient === undefined) return { unclippedGradNorm: 0 }
        const step = AdamW.attempt(
          new Map([[tensorName, trained.adapter]]),
          new Map([[tensorName, trained.gradient]]),
          trained.optimizer,
          params
        )
        trained.gradient = undefined
        if (Either.isLeft(step)) throw failure("NonFinite", step.left)
        const { parameters, state, unclippedGradNorm } = step.right
        trained.adapter = parameters.get(tensorName)!
        trained.optimizer = state
        return { unclippedGradNorm }
      }),
    snapshot: (modelId) =>
      instantly(() => {
        const { adapter, baseModel, lora, optimizer } = model(modelId)
        const tensors = (arrays: ReadonlyMap<string, Float32Array>): ReadonlyMap<string, Engine.Tensor> =>
          new Map(Array.from(arrays, ([name, data]) => [name, { shape: [vocabulary, vocabulary], data: data.slice() }]))
        return {
          baseModel,
          lora,
          step: optimizer.step,
          weights: tensors(new Map([[tensorName, adapter]])),
          expAvg: tensors(optimizer.expAvg),
          expAvgSq: tensors(optimizer.expAvgSq)
        }
      }),
    accumulated: (modelId) =>
      instantly(() => {
        const { gradient } = model(modelId)
        return gradient && new Map([[tensorName, { shape: [vocabulary, vocabulary], data: gradient.slice() }]])
      }),
    restore: (modelId, snapshot, { accumulated, optimizer }) =>
      instantly(() => {
        baseModel(snapshot.baseModel)
        const moments = (tensors: ReadonlyMap<string, Engine.Tensor>) =>
          new Map(Array.from(tensors, ([name]) => [name, tensor(tensors, name, vocabulary).slice()]))
        models.set(modelId, {
          baseModel: snapshot.baseModel,
          lora: snapshot.lora,
          adapter: tensor(snapshot.weights, tensorName, vocabulary).slice(),
          optimizer: optimizer
            ? { step: snapshot.step, expAvg: moments(snapshot.expAvg), expAvgSq: moments(snapshot.expAvgSq) }
            : AdamW.make(),
          gradient: accumulated && tensor(accumulated, tensorName, vocabulary).slice()
        })
      }),
    unloadModel: (modelId) => Effect.sync(() => void models.delete(modelId)),
    createSampler: (samplerId, { baseModel: name, snapshot }) =>
      instantly(() => {
        const found = baseModel(name)
        const table = snapshot === undefined
          ? tables.get(name)!
          : sum(name, tensor(snapshot.weights, tensorName, vocabulary))
        samplers.set(samplerId, { baseModel: found, table })
      }),
    sample: (samplerId, request) =>
      takingTime(() => {
        const sampler = samplers.get(samplerId)
        if (sampler === undefined) throw failure("UnknownModel", `there is no sampler ${samplerId}`)
        checkPrompt(request, sampler.baseModel)
        return sample(sampler.table, continuations(sampler.table, request), vocabulary, request)
      }),
    unloadSampler: (samplerId) => Effect.sync(() => void samplers.delete(samplerId))
  }
}

/**
 * @since 0.1.0
 * @category layers
 */
export const layer = (options?: Options): Layer.Layer<Engine.Engine> => Layer.sync(Engine.Engine, () => make(options))

interface Model {
  readonly baseModel: string
  readonly lora: Engine.LoraSpec
  adapter: Float32Array
  optimizer: AdamW.State
  gradient: Float32Array | undefined
}

/** The one tensor of a model's snapshot. */
const tensorName = "base_model.model.bigram.delta.weight"

/** Runs code that fails by throwing an `EngineError`; anything else that it throws is a defect. */
const instantly = <A>(body: () => A): Effect.Effect<A, Engine.EngineError> =>
  Effect.try({
    try: body,
    catch: (error) => {
      if (error instanceof Engine.EngineError) return error
      throw error
    }
  })

const failure = (reason: Engine.EngineError["reason"], description: string) =>
  new Engine.EngineError({ reason, description })

/** Logits uniform in [-2, 2): some continuations are likelier than others, none is excluded. */
const baseTable = (vocabulary: number, seed: number): Float32Array => {
  const random = Sampler.makeRandom(seed)
  const table = new Float32Array(vocabulary * vocabulary)
  for (let i = 0; i < table.length; i++) table[i] = 4 * random() - 2
  return table
}

const tensor = (tensors: ReadonlyMap<string, Engine.Tensor>, name: string, vocabulary: number): Float32Array => {
  const found = tensors.get(name)
  if (found === undefined || found.data.length !== vocabulary * vocabulary) {
    throw failure("InvalidRequest", `the checkpoint has no tensor ${name} of shape [${vocabulary}, ${vocabulary}]`)
  }
  return found.data
}

const checkDatum = (datum: Engine.TrainingDatum, index: number, vocabulary: number): void => {
  const { length } = datum.tokens
  const perToken = datum.targetsPerToken ?? 1
  for (const name of ["targetTokens", "weights", "logprobs", "advantages"] as const) {
    const input = datum[name]
    if (input !== undefined && input.length !== length * perToken) {
      const wanted = perToken === 1 ? `${length} tokens` : `${length} tokens with ${perToken} targets each`
      throw failure("InvalidRequest", `datum ${index}: ${name} has ${input.length} elements for ${wanted}`)
    }
  }
  for (const name of ["tokens", "targetTokens"] as const) {
    const outside = Engine.firstOutside(datum[name], vocabulary)
    if (outside !== undefined) {
      throw failure("InvalidRequest", `datum ${index}: ${name} has ${outside}, and the vocabulary ${vocabulary} tokens`)
    }
  }
}

const checkPrompt = (request: Engine.SampleRequest, baseModel: Engine.BaseModel): void => {
  const { maxContextLength, vocabularySize } = baseModel
  if (request.prompt.length === 0) throw failure("InvalidRequest", "the prompt is empty")
  if (request.prompt.length + request.maxTokens > maxContextLength) {
    throw failure(
      "InvalidRequest",
      `a prompt of ${request.prompt.length} and an answer of ${request.maxTokens} tokens exceed ${maxContextLength}`
    )
  }
  const outside = Engine.firstOutside(request.prompt, vocabularySize)
  if (outside !== undefined) {
    throw failure("InvalidRequest", `the prompt has token ${outside}, and the vocabulary ${vocabularySize}`)
  }
  const wrong = Sampler.firstInvalid(request) ?? PromptScores.firstInvalid(request, vocabularySize)
  if (wrong !== undefined) throw failure("InvalidRequest", wrong)
}

/** One datum's loss; its gradient by the table is added to `added`. */
const forwardBackward = (
  table: Float32Array,
  vocabulary: number,
  datum: Engine.TrainingDatum,
  loss: Engine.Loss,
  added: Float64Array | undefined
): Engine.LossOutput => {
  const { targetTokens, tokens } = datum
  const perToken = datum.targetsPerToken ?? 1
  const logprobs = new Float32Array(targetTokens.length)
  for (let i = 0; i < logprobs.length; i++) {
    const previous = tokens[Math.floor(i / perToken)]!
    logprobs[i] = Sampler.logprobAt(row(table, vocabulary, previous), targetTokens[i]!)
  }
  const { elementwiseLoss, gradient } = TokenLoss.compute(loss, {
    logprobs,
    weights: datum.weights,
    samplingLogprobs: datum.logprobs,
    advantages: datum.advantages,
    sequenceRatioMask: datum.sequenceRatioMask
  })
  if (added !== undefined) {
    for (let t = 0; t < tokens.length; t++) {
      const offset = tokens[t]! * vocabulary
      let total = 0
      for (let i = t * perToken; i < (t + 1) * perToken; i++) {
        const e = gradient[i]!
        total += e
        added[offset + targetTokens[i]!] = added[offset + targetTokens[i]!]! + e
      }
      if (total === 0) continue
      const logits = row(table, vocabulary, tokens[t]!)
      const normalizer = Sampler.logSumExp(logits)
      for (let j = 0; j < vocabulary; j++) {
        added[offset + j] = added[offset + j]! - total * Math.exp(logits[j]! - normalizer)
      }
    }
  }
  return { logprobs, elementwiseLoss }
}

/** What may follow each token: with one setting of one table always the same. */
interface Continuations {
  readonly transitions: Transitions
  /** Of the kind whose log-probabilities were asked for. */
  readonly logits: (token: number) => Float32Array
}

/** Keeps those of the settings that were asked for last, as samples with the same one come by the hundreds. */
const makeContinuations = (vocabulary: number, settingsKept: number) => {
  const kept: Array<{ readonly key: string; readonly table: Float32Array; readonly continuations: Continuations }> = []
  return (table: Float32Array, request: Engine.SampleRequest): Continuations => {
    const { logprobs: kind, temperature, topK, topP } = request
    const options = { temperature, topK, topP }
    const key = [kind, temperature, topK, topP].join()
    for (const one of kept) if (one.table === table && one.key === key) return one.continuations
    const distribution = (token: number) => Sampler.distribution(row(table, vocabulary, token), options)
    const logits = (token: number) => {
      const raw = row(table, vocabulary, token)
      return kind === "processed" ? Sampler.processed(raw, distribution(token), options) : raw
    }
    const transitions = new Transitions(vocabulary, (token) => ({
      distribution: distribution(token),
      logits: logits(token)
    }))
    const continuations = { transitions, logits }
    kept.push({ key, table, continuations })
    if (kept.length > settingsKept) kept.shift()
    return continuations
  }
}

const sample = (
  table: Float32Array,
  { logits, transitions }: Continuations,
  vocabulary: number,
  request: Engine.SampleRequest
): Engine.SampleResult => {
  const { prompt } = request
  const sequences: Array<Engine.SampledSequence> = []
  const stopBytes = request.stopStrings.map((stop) => new TextEncoder().encode(stop))
  const mayStop = request.stopTokens.length + stopBytes.length > 0
  const k = request.topkSampleLogprobs ?? 0
  for (let i = 0; i < request.numSamples; i++) {
    const random = Sampler.makeRandom(request.seed + i)
    const tokens = new Int32Array(request.maxTokens)
    const logprobs = new Float32Array(request.maxTokens)
    const best: Array<ReturnType<typeof Sampler.topk>> = []
    let last = prompt[prompt.length - 1]!
    let length = 0
    let stopped = false
    while (!stopped && length < request.maxTokens) {
      if (k > 0) best.push(Sampler.topk(logits(last), k))
      const place = transitions.draw(last, random())
      last = transitions.tokenAt(place)
      tokens[length] = last
      logprobs[length] = transitions.logprobAt(place)
      length += 1
      stopped = mayStop &&
        (request.stopTokens.includes(last) || stopBytes.some((stop) => endsWith(tokens, length, stop)))
    }
    sequences.push({
      tokens: stopped ? tokens.slice(0, length) : tokens,
      logprobs: stopped ? logprobs.slice(0, length) : logprobs,
      topkLogprobs: k > 0 ? Sampler.joinTopk(k, best) : undefined,
      stopReason: stopped ? "stop" : "length"
    })
  }
  const scores = PromptScores.make(request)
  if (scores.isWanted) {
    for (let t = 1; t < prompt.length; t++) scores.add(t, row(table, vocabulary, prompt[t - 1]!))
  }
  const { promptAltTokens, promptLogprobs, targetPromptLogprobs, topkPromptLogprobs } = scores.result
  return { sequences, promptLogprobs, topkPromptLogprobs, targetPromptLogprobs, promptAltTokens }
}

const row = (table: Float32Array, vocabulary: number, token: number): Float32Array =>
  table.subarray(token * vocabulary, (token + 1) * vocabulary)

const endsWith = (tokens: Int32Array, length: number, bytes: Uint8Array): boolean =>
  bytes.length > 0 && bytes.length <= length && bytes.every((byte, i) => tokens[length - bytes.length + i] === byte)
