/**
 * The model that a command asks: a base model or a checkpoint, at a service or on this machine.
 */
import * as ShippedModel from "@effect-tinker/llama/ShippedModel"
import { type TinkerError } from "@effect-tinker/protocol/TinkerError"
import type { TinkerPath } from "@effect-tinker/protocol/TinkerPath"
import * as Tokenizer from "@effect-tinker/tokenizer/Tokenizer"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as RestClient from "effect-tinker/RestClient"
import type * as SamplingClient from "effect-tinker/SamplingClient"
import * as ServiceClient from "effect-tinker/ServiceClient"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as BaseModel from "./BaseModel.js"
import * as CheckpointPath from "./CheckpointPath.js"
import * as Connection from "./Connection.js"
import * as Failure from "./Failure.js"
import type { GlobalOptions } from "./GlobalOptions.js"
import * as Local from "./Local.js"
import * as Output from "./Output.js"
import * as Remote from "./Remote.js"
import { UsageError } from "./UsageError.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface SampledModel {
  /** It says to people which model it is, and where. */
  readonly description: string
  readonly baseModel: string
  /** None for a base model. */
  readonly checkpoint: string | undefined
  readonly sampling: SamplingClient.Service
  readonly tokenizer: Tokenizer.Service
  /** The most tokens that prompt and answer may have together, where that is known. */
  readonly maxContextLength: number | undefined
  /** The name of the renderer that it was trained with, where something says so. */
  readonly renderer: Effect.Effect<string | undefined, TinkerError, GlobalOptions>
}

/**
 * What commands are given of the model that is to be asked.
 *
 * - `asked`: the name of a base model, or a checkpoint's path
 * - `local`: a folder on this machine: of a model, or of a run of `tinker train`
 * - `model`: the folder of the base model of such a run
 * - `tokenizer`: the folder of a tokenizer
 *
 * @since 0.1.0
 * @category models
 */
export interface Asked {
  readonly asked: Option.Option<string>
  readonly local: Option.Option<string>
  readonly model: Option.Option<string>
  readonly tokenizer: Option.Option<string>
}

/**
 * Makes the model ready, until the scope is closed. Without a word on which, it is the first of the service whose address is set, or else
 * the one that ships, on this machine. A checkpoint of `sampler_weights` is sampled as it is; one of `weights` is loaded into a new model,
 * which is gone afterwards; those of `external_weights` cannot be sampled. `UsageError` for what cannot be, before anything is sent.
 *
 * @since 0.1.0
 * @category constructors
 */
export const open = ({ asked, local, model, tokenizer }: Asked) =>
  Effect.gen(function*() {
    const path = Option.isSome(asked) && isPath(asked.value) ? yield* CheckpointPath.parse(asked.value) : undefined
    if (path?.checkpointType === "external") {
      return yield* new UsageError({
        description:
          `${Option.getOrThrow(asked)} holds files for other programs, and cannot be sampled. Checkpoints of `
          + "weights and of sampler_weights can."
      })
    }
    if (Option.isSome(model) && Option.isNone(local)) {
      return yield* new UsageError({
        description: "--model is the base model of a run on this machine: name the run's folder with --local."
      })
    }
    const settings = yield* Connection.settings
    const isHere = Option.isSome(local) || (Option.isNone(asked) && !settings.has("TINKER_BASE_URL"))
    if (!isHere) return yield* atService(asked, path, Option.getOrUndefined(tokenizer))
    if (Option.isSome(tokenizer)) {
      return yield* new UsageError({
        description:
          "--tokenizer is for a model of a service: name it, as Qwen/Qwen3-8B. A folder has a tokenizer of its own."
      })
    }
    if (Option.isSome(asked) && path === undefined) {
      return yield* new UsageError({
        description: `${asked.value} is a model of a service, and --local a folder on this machine. Give one of them.`
      })
    }
    return yield* here(
      Option.getOrElse(local, () => ShippedModel.folder),
      model,
      Option.zipWith(
        asked,
        Option.fromNullable(path),
        (text, path) => ({ text, path })
      )
    )
  })

/**
 * Whether a text is meant as a checkpoint's path, and not as a model's name, which has a slash too.
 *
 * @since 0.1.0
 * @category guards
 */
export const isPath = (text: string): boolean => /^tinker:|\/((sampler_|external_)?weights)\//.test(text)

/** The model of a folder, or what was trained of it last. */
const here = (
  folder: string,
  model: Option.Option<string>,
  asked: Option.Option<{ readonly text: string; readonly path: TinkerPath }>
) =>
  Effect.gen(function*() {
    const files = yield* FileSystem.FileSystem
    const output = yield* Output.Output
    const checkpoints = (yield* Path.Path).join(folder, "checkpoints")
    const isRun = yield* files.exists(checkpoints)
    if (!isRun && (Option.isSome(model) || Option.isSome(asked))) {
      return yield* new UsageError({
        description:
          `${folder} is not the folder of a run: it has no checkpoints. Name what tinker train was given with --out.`
      })
    }
    const modelFolder = isRun ? Option.getOrElse(model, () => ShippedModel.folder) : folder
    yield* output.progress(`Loading ${modelFolder} …`)
    const context = yield* Layer.build(Layer.merge(
      Local.layerModel(modelFolder),
      Local.layer({ modelFolder, checkpointFolder: isRun ? checkpoints : undefined })
    ))
    const base = Context.get(context, BaseModel.BaseModel)
    const path = isRun
      ? Option.isSome(asked) ? asked.value.text : yield* Effect.provide(newest(folder), context)
      : undefined
    const sampled = yield* Effect.provide(sampling(base.name, path), context)
    yield* output.progress("")
    return {
      ...sampled,
      description: path === undefined ? base.description : `${path}, of ${base.name}, on this machine`,
      baseModel: base.name,
      checkpoint: path,
      tokenizer: Context.get(context, Tokenizer.Tokenizer),
      maxContextLength: base.maxContextLength
    } satisfies SampledModel
  })

const newest = (folder: string) =>
  Effect.gen(function*() {
    const rest = yield* RestClient.RestClient
    const found = yield* rest.userCheckpoints().pipe(
      Stream.filter(({ checkpointType }) => checkpointType === "training"),
      Stream.runHead
    )
    return Option.isSome(found)
      ? found.value.tinkerPath
      : yield* Failure.notFound(`there is no checkpoint in ${folder} yet.`)
  })

const atService = (
  asked: Option.Option<string>,
  parsed: TinkerPath | undefined,
  tokenizerFolder: string | undefined
) =>
  Effect.gen(function*() {
    const output = yield* Output.Output
    const context = yield* Layer.build(Connection.layer)
    return yield* Effect.gen(function*() {
      const path = parsed === undefined ? undefined : Option.getOrThrow(asked)
      const model = yield* baseOf(path, asked)
      const tokenizer = yield* Connection.withSettings(Remote.tokenizerOf(model, tokenizerFolder))
      yield* output.progress("The service is loading the model …")
      const sampled = yield* sampling(model.name, path)
      yield* output.progress("")
      return {
        ...sampled,
        description: `${path === undefined ? model.name : `${path}, of ${model.name}`}, at the service`,
        baseModel: model.name,
        checkpoint: path,
        tokenizer,
        maxContextLength: model.maxContextLength
      } satisfies SampledModel
    }).pipe(Effect.provide(context))
  })

/**
 * What the service tells of a base model that was asked for, of that of a checkpoint, or else of the first that can be sampled.
 *
 * @since 0.1.0
 * @category utils
 */
export const baseOf = (path: string | undefined, asked: Option.Option<string>) =>
  Effect.gen(function*() {
    const rest = yield* RestClient.RestClient
    const { supportedModels } = yield* Connection.brief(rest.getServerCapabilities)
    const able = supportedModels.filter(({ modelName, sampleable }) => modelName !== undefined && sampleable !== false)
    const name = path === undefined
      ? Option.getOrElse(asked, () => able[0]?.modelName)
      : (yield* Connection.brief(rest.getWeightsInfo(path))).baseModel
    const model = able.find(({ modelName }) => modelName === name)
    // A checkpoint may be of a model that is not listed any more.
    if (name === undefined || (model === undefined && path === undefined)) {
      return yield* new UsageError({
        description: name === undefined
          ? "the service has no model that can be sampled."
          : `the service cannot sample ${name}. It can sample: ${
            able.map(({ modelName }) => modelName).join(", ") || "none"
          }.`
      })
    }
    return {
      name,
      maxContextLength: model?.maxContextLength,
      vocabularySize: model?.vocabularySize
    } satisfies Remote.Model
  })

/** What samples from a base model or a checkpoint of it. */
const sampling = (baseModel: string, path: string | undefined) =>
  Effect.gen(function*() {
    const service = yield* ServiceClient.ServiceClient
    const rest = yield* RestClient.RestClient
    const sampling = yield* Connection.impatient(
      path === undefined
        ? service.createSamplingClient({ baseModel })
        : path.includes("/sampler_weights/")
        ? service.createSamplingClient({ modelPath: path, baseModel })
        : Effect.flatMap(
          service.createTrainingClientFromState(path),
          (training) => training.saveWeightsAndGetSamplingClient()
        )
    )
    return { sampling, renderer: path === undefined ? Effect.succeed(undefined) : rendererOf(rest, path) }
  })

/** Our own training names it with each checkpoint, and others with the whole run. */
const rendererOf = (rest: RestClient.Service, path: string) =>
  Effect.gen(function*() {
    const metadata = yield* metadataOf(rest, path)
    const own = metadata["renderer"] ?? metadata["renderer_name"]
    if (own !== undefined) return own
    const run = yield* unlessHidden(rest.getTrainingRun(path))
    return run?.userMetadata?.["renderer_name"]
  })

/**
 * What is kept with a checkpoint; nothing where it is not one's own.
 *
 * @since 0.1.0
 * @category utils
 */
export const metadataOf = (
  rest: RestClient.Service,
  path: string
): Effect.Effect<Readonly<Record<string, string>>, TinkerError, GlobalOptions> =>
  Effect.gen(function*() {
    const { trainingRunId } = yield* Effect.orDie(CheckpointPath.parse(path))
    const listed = yield* unlessHidden(rest.listCheckpoints(trainingRunId))
    return listed?.checkpoints.find(({ tinkerPath }) => tinkerPath === path)?.userMetadata ?? {}
  })

/** Only the owner sees a run and its checkpoints, and not every server lists them. */
const unlessHidden = <A>(request: Effect.Effect<A, TinkerError>) =>
  Connection.brief(request).pipe(
    Effect.catchIf(
      (error) =>
        error._tag === "ApiStatusError"
        && (error.reason === "NotFound" || error.reason === "PermissionDenied" || error.reason === "Unsupported"),
      () => Effect.succeed(undefined)
    )
  )
