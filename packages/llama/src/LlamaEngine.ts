/**
 * An `Engine` that trains LoRA adapters of Llama-style models and samples from them, on this machine's processor: one
 * child process for each base model. When that ends, another is started, which has nothing of what the first had.
 */
import * as Engine from "@effect-tinker/engine/Engine"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { readFile } from "node:fs/promises"
import { availableParallelism, totalmem } from "node:os"
import { join } from "node:path"
import * as DecodingPass from "./DecodingPass.js"
import * as EngineProcess from "./EngineProcess.js"
import * as LocalEngine from "./LocalEngine.js"
import * as ModelFolder from "./ModelFolder.js"
import * as SupervisedProcess from "./SupervisedProcess.js"

/**
 * What the process of each base model may take of the machine.
 *
 * @since 0.1.0
 * @category config
 */
export interface Options {
  /** Threads of one computation. Default: as many as the machine runs at once, at most 8. */
  readonly threads?: number | undefined
  /**
   * What the process of one model may take, in bytes, beside the adapters: that of a model that is trained takes four times
   * its size, with moments and gradient, and that of a sampler once. Where the weights leave less than the next setting's
   * default, batches are smaller, and the backward pass computes layers again instead of keeping what was in them; a
   * sequence that does not fit even so is computed all the same. Default: half of the machine's memory.
   */
  readonly maxMemoryBytes?: number | undefined
  /**
   * What the activations of one batch, or the caches of samples that grow together, may take, in bytes. Sequences beyond
   * it wait for the next batch; one sequence is never divided. Default: four times the weights for a batch, once for
   * caches, at least 256 MiB each, as far as `maxMemoryBytes` allows.
   */
  readonly maxActivationBytes?: number | undefined
  /**
   * How far the process stands back for others that want the same cores: from 0, not at all, to 19. Default 15, so that heartbeats and
   * polls go first; beside other work that keeps every core busy, a smaller number gives it a larger share.
   */
  readonly niceness?: number | undefined
}

/** The niceness lies between "below normal" (10) and "low" (19): the rest of a busy machine leaves it something. */
const defaultNiceness = 15

/**
 * How the memory of one process is divided, in bytes.
 *
 * @since 0.1.0
 * @category models
 */
export interface Budgets {
  readonly maxActivationBytes: number
  readonly maxCacheBytes: number
  /** Weights up to this size are laid out a second time, for sampling. */
  readonly maxConstantBytes: number
}

/**
 * A folder whose model is called otherwise than the folder says.
 *
 * @since 0.1.0
 * @category models
 */
export interface NamedFolder {
  /** The name by which clients ask for the model, e.g. `Qwen/Qwen3-8B`. */
  readonly name: string
  readonly folder: string
}

/**
 * The engine of the models in these folders, each in its own process. Fails with `UnsupportedModel` when a folder holds
 * no model that can be computed, and with `Unavailable` when there is no ONNX Runtime for this machine.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  folder: string | ReadonlyArray<string | NamedFolder>,
  options: Options = {}
): Layer.Layer<Engine.Engine, Engine.EngineError> =>
  Layer.scoped(Engine.Engine, make(typeof folder === "string" ? [folder] : folder, options))

/**
 * Makes the engine that {@link layer} provides; its processes end with the scope. Fails as the layer does.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make: (
  folders: ReadonlyArray<string | NamedFolder>,
  options?: Options
) => Effect.Effect<Engine.Service, Engine.EngineError, Scope.Scope> = Effect.fn("LlamaEngine.make")(
  function*(folders, options = {}) {
    const { niceness = defaultNiceness } = options
    if (!Number.isInteger(niceness) || niceness < 0 || niceness > 19) {
      return yield* new Engine.EngineError({
        reason: "Unavailable",
        description: `niceness is ${niceness}; it must be a whole number from 0 to 19`
      })
    }
    const descriptions = yield* Effect.forEach(
      folders,
      (one) => typeof one === "string" ? ModelFolder.describe(one) : ModelFolder.describe(one.folder, one.name)
    )
    const twice = descriptions.find(({ name }, i) => descriptions.findIndex((other) => other.name === name) < i)
    if (twice !== undefined) {
      return yield* new Engine.EngineError({
        reason: "UnsupportedModel",
        description: `two folders hold a model named ${twice.name}: give one of them another name`
      })
    }
    const start = Effect.fnUntraced(function*(description: ModelFolder.Description) {
      const { folder, name, proposedSampling } = description
      if (Object.keys(proposedSampling).length > 0) {
        yield* Effect.logDebug(`generation_config.json of ${name} proposes, and nothing applies:`, proposedSampling)
      }
      const divided = yield* budgets(description, options)
      const supervised = yield* SupervisedProcess.make(
        name,
        Effect.tap(EngineProcess.make(), (child) =>
          child.call("start", {
            folder,
            name,
            threads: options.threads ?? Math.min(8, availableParallelism()),
            niceness,
            ...divided
          }))
      )
      return [name, supervised] as const
    })
    const processes = new Map(yield* Effect.forEach(descriptions, start, { concurrency: "unbounded" }))

    const models = new Map<string, EngineProcess.EngineProcess>()
    const samplers = new Map<string, EngineProcess.EngineProcess>()
    const find = <A>(where: ReadonlyMap<string, A>, what: string, id: string): Effect.Effect<A, Engine.EngineError> => {
      const found = where.get(id)
      return found === undefined
        ? new Engine.EngineError({ reason: "UnknownModel", description: `there is no ${what} ${id}` })
        : Effect.succeed(found)
    }
    const baseModel = (name: string) => Effect.flatMap(find(processes, "base model", name), ({ current }) => current)
    const model = (id: string) => find(models, "model", id)

    return {
      baseModels: descriptions.map(baseModelOf),
      createModel: Effect.fn("LlamaEngine.createModel")(function*(modelId, options) {
        const child = yield* baseModel(options.baseModel)
        yield* child.call("createModel", modelId, options)
        models.set(modelId, child)
      }),
      forwardBackward: (modelId, options) =>
        model(modelId).pipe(
          Effect.flatMap((child) => child.call("forwardBackward", modelId, options)),
          Effect.withSpan("LlamaEngine.forwardBackward", { attributes: { modelId, data: options.data.length } })
        ),
      optimStep: (modelId, params) =>
        model(modelId).pipe(
          Effect.flatMap((child) => child.call("optimStep", modelId, params)),
          Effect.withSpan("LlamaEngine.optimStep", { attributes: { modelId } })
        ),
      snapshot: (modelId) => Effect.flatMap(model(modelId), (child) => child.call("snapshot", modelId)),
      accumulated: (modelId) => Effect.flatMap(model(modelId), (child) => child.call("accumulated", modelId)),
      writeState: (modelId, what, file) =>
        Effect.flatMap(model(modelId), (child) => child.call("writeState", modelId, what, file)),
      restore: Effect.fn("LlamaEngine.restore")(function*(modelId, snapshot, options) {
        const child = yield* baseModel(snapshot.baseModel)
        yield* child.call("restore", modelId, snapshot, options)
        models.set(modelId, child)
      }),
      unloadModel: (modelId) =>
        Effect.suspend(() => {
          const child = models.get(modelId)
          models.delete(modelId)
          return child === undefined || child.hasEnded() ? Effect.void : child.call("unloadModel", modelId)
        }),
      createSampler: Effect.fn("LlamaEngine.createSampler")(function*(samplerId, options) {
        const child = yield* baseModel(options.baseModel)
        yield* child.call("createSampler", samplerId, options)
        samplers.set(samplerId, child)
      }),
      sample: (samplerId, request) =>
        find(samplers, "sampler", samplerId).pipe(
          Effect.flatMap((child) => child.call("sample", samplerId, request)),
          Effect.withSpan("LlamaEngine.sample", { attributes: { samplerId, numSamples: request.numSamples } })
        ),
      unloadSampler: (samplerId) =>
        Effect.suspend(() => {
          const child = samplers.get(samplerId)
          samplers.delete(samplerId)
          return child === undefined || child.hasEnded() ? Effect.void : child.call("unloadSampler", samplerId)
        }),
      hasLost: (what, id) => (what === "model" ? models : samplers).get(id)?.hasEnded() === true,
      losses: Stream.mergeAll(Array.from(processes.values(), ({ ends }) => ends), { concurrency: "unbounded" })
    }
  }
)

/**
 * What the process of one model may take for what, as far as `maxMemoryBytes` allows. Fails with `UnsupportedModel` when that
 * does not hold the weights.
 *
 * @since 0.1.0
 * @category utils
 */
export const budgets = (
  { name, parameterCount }: Pick<ModelFolder.Description, "name" | "parameterCount">,
  { maxActivationBytes, maxMemoryBytes = totalmem() / 2 }: Options
): Effect.Effect<Budgets, Engine.EngineError> => {
  const weightBytes = 4 * parameterCount
  const room = maxMemoryBytes - weightBytes - runtimeBytes
  if (room <= 0) {
    const needed = Math.ceil((weightBytes + runtimeBytes) / 2 ** 20)
    return new Engine.EngineError({
      reason: "UnsupportedModel",
      description: `${name} needs ${needed} MiB and more, and maxMemoryBytes is ${
        Math.floor(maxMemoryBytes / 2 ** 20)
      } MiB`
    })
  }
  // Laying the weights out takes more than the result for a moment.
  const maxConstantBytes = Math.min(DecodingPass.maxConstantBytes, room / 4)
  const left = weightBytes <= maxConstantBytes ? room - weightBytes : room
  const within = (times: number) => Math.min(left, maxActivationBytes ?? Math.max(256 * 2 ** 20, times * weightBytes))
  return Effect.succeed({ maxActivationBytes: within(4), maxCacheBytes: within(1), maxConstantBytes })
}

/** What the process itself takes, with the compiled graphs and one part of the vocabulary's logits. */
const runtimeBytes = 384 * 2 ** 20

const baseModelOf = (description: ModelFolder.Description): Engine.BaseModel => ({
  name: description.name,
  maxContextLength: description.maxContextLength,
  vocabularySize: description.config.vocabularySize,
  maxRank: LocalEngine.maxRank,
  eosTokens: description.eosTokens,
  architecture: description.architecture,
  tokenizerId: description.name,
  files: new Map(
    description.clientFiles.map((name) => [
      name,
      Effect.tryPromise({
        try: () => readFile(join(description.folder, name)),
        catch: (cause) =>
          new Engine.EngineError({
            reason: "UnsupportedModel",
            description: `${name} of ${description.name} cannot be read any more`,
            cause
          })
      })
    ])
  )
})
