/**
 * The same program against a service: `TINKER_API_KEY` and `TINKER_BASE_URL` say which.
 */
import * as ShippedModel from "@effect-tinker/llama/ShippedModel"
import * as TinkerNode from "@effect-tinker/node/TinkerNode"
import * as UndiciHttpClient from "@effect-tinker/node/UndiciHttpClient"
import { type ApiStatusError, isTinkerError, type TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as Tokenizer from "@effect-tinker/tokenizer/Tokenizer"
import type { TokenizerError } from "@effect-tinker/tokenizer/TokenizerError"
import type * as FileSystem from "@effect/platform/FileSystem"
import type * as Path from "@effect/platform/Path"
import type * as CheckpointDownload from "effect-tinker/CheckpointDownload"
import * as Credentials from "effect-tinker/Credentials"
import * as RestClient from "effect-tinker/RestClient"
import * as RetryPolicy from "effect-tinker/RetryPolicy"
import * as ServiceClient from "effect-tinker/ServiceClient"
import * as Tinker from "effect-tinker/Tinker"
import * as TinkerConfig from "effect-tinker/TinkerConfig"
import * as Config from "effect/Config"
import type { ConfigError } from "effect/ConfigError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as BaseModel from "./BaseModel.js"
import { ProgramNames } from "./ProgramNames.js"
import { UsageError } from "./UsageError.js"

/**
 * Trains `baseModel`, by default the first that the service can train. Its tokenizer is the one in `tokenizerFolder`, or else the
 * model's own, as `Tokenizer.forModel` finds it. One whose vocabulary is not the model's, where the server tells that, is a
 * `UsageError`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: {
  readonly baseModel: string | undefined
  readonly tokenizerFolder: string | undefined
}): Layer.Layer<
  | ServiceClient.ServiceClient
  | RestClient.RestClient
  | CheckpointDownload.CheckpointDownload
  | Tokenizer.Tokenizer
  | BaseModel.BaseModel,
  TinkerError | ConfigError | TokenizerError | UsageError,
  FileSystem.FileSystem | Path.Path
> =>
  Layer.effectContext(Effect.gen(function*() {
    const model = yield* Effect.catchIf(choose(options.baseModel), isTinkerError, explainKey)
    const tokenizer = yield* tokenizerOf(model, options.tokenizerFolder)
    return Context.make(Tokenizer.Tokenizer, tokenizer).pipe(Context.add(BaseModel.BaseModel, describe(model)))
  })).pipe(
    Layer.provideMerge(Layer.merge(Tinker.layerFromEnv, Tinker.layerDownloadFromEnv)),
    Layer.provide(TinkerNode.layer)
  )

/** Who trains at a service from the command line has set variables, and no options. */
const explainKey = (error: TinkerError): Effect.Effect<never, TinkerError | UsageError> =>
  Credentials.isMissingKey(error)
    ? Effect.flatMap(Effect.all([address, ProgramNames]), ([url, { serve, train }]) =>
      new UsageError({
        description:
          `the service at ${url ?? TinkerConfig.hosted} wants an API key, and there is none. Set the variable `
          + `TINKER_API_KEY, as in TINKER_API_KEY=tml-… ${train} --remote. TINKER_BASE_URL is the address of another service; `
          + `one on this machine, as ${serve.replace(/ --$/, "")} starts it, wants no key.`,
        cause: error
      }))
    : Effect.fail(error)

/**
 * The address of the service, as it was given and without a user in it; none where it is the hosted one.
 *
 * @since 0.1.0
 * @category config
 */
export const address: Effect.Effect<string | undefined> = Effect.map(
  Effect.orElseSucceed(Config.string("TINKER_BASE_URL"), () => ""),
  (given) => {
    const url = given.trim().replace(/\/+$/, "").replace(/^([a-z]+:\/\/)[^/?#]*@/i, "$1…@")
    return url === "" || url === TinkerConfig.hosted ? undefined : url
  }
)

/**
 * Why a service refused or failed, for who has set variables and no options.
 *
 * @since 0.1.0
 * @category errors
 */
export const explain = (cause: { readonly message: string }): Effect.Effect<string> =>
  Effect.map(address, (url) => {
    if (!isTinkerError(cause)) return cause.message
    if (isKeyRefused(cause)) return cause.message.replace(/option apiKey, or (?=TINKER_API_KEY)/, "")
    const ends = url !== undefined && cause._tag === "ApiStatusError" && cause.status === 404
      ? /\/api(\/v\d+)?$/.exec(url)?.[0]
      : undefined
    return ends === undefined
      ? cause.message
      : `${cause.operation}: the server answered 404. Leave off ${ends} at the end of TINKER_BASE_URL, which the client adds by itself: `
        + `TINKER_BASE_URL=${url!.slice(0, -ends.length)}`
  })

const isKeyRefused = (error: TinkerError): boolean =>
  error._tag === "ApiStatusError" && error.reason === "Authentication"

/**
 * Whether the server does not know what it had, as after a start anew of one that keeps all in memory.
 *
 * @since 0.1.0
 * @category guards
 */
export const isForgotten = (cause: unknown): boolean =>
  isTinkerError(cause) && isNotFound(cause)
  && (cause.requestId !== undefined ||
    /\bno (model|request|session|sampler)\b|\b(model|future|session|sampler) not found\b/i.test(cause.detail))

const isNotFound = (error: TinkerError): error is ApiStatusError =>
  error._tag === "ApiStatusError" && error.reason === "NotFound" && error.isForeign !== true

/**
 * Whether a service says that there is no such checkpoint. False where none is asked, or it says nothing of it.
 *
 * @since 0.1.0
 * @category utils
 */
export const isCheckpointGone = (path: string): Effect.Effect<boolean> =>
  Effect.flatMap(
    Effect.serviceOption(RestClient.RestClient),
    Option.match({
      onNone: () => Effect.succeed(false),
      onSome: (rest) =>
        rest.getWeightsInfo(path).pipe(
          RetryPolicy.withPolicies({ request: RetryPolicy.none, firstContact: RetryPolicy.none }),
          Effect.match({ onFailure: isNotFound, onSuccess: () => false }),
          Effect.timeoutTo({ duration: "5 seconds", onSuccess: (isGone) => isGone, onTimeout: () => false })
        )
    })
  )

/**
 * What a service tells of a model.
 *
 * @since 0.1.0
 * @category models
 */
export interface Model {
  readonly name: string
  readonly maxContextLength?: number | undefined
  readonly vocabularySize?: number | undefined
}

/**
 * The tokenizer of a model: the one in `folder`, or else the model's own, as `Tokenizer.forModel` finds it. One whose vocabulary is not the
 * model's, where that is known, is a `UsageError`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const tokenizerOf = (
  model: Model,
  folder: string | undefined
): Effect.Effect<Tokenizer.Service, TokenizerError | UsageError, FileSystem.FileSystem | Path.Path> =>
  Effect.tap(findTokenizer(model.name, folder), (tokenizer) => checkVocabulary(model, tokenizer, folder))

/** The tokenizer of the model that ships is known by the model's name alone; others are found as Python finds them. */
const findTokenizer = (
  modelName: string,
  folder: string | undefined
): Effect.Effect<Tokenizer.Service, TokenizerError | UsageError, FileSystem.FileSystem | Path.Path> => {
  const from = folder ?? (modelName === ShippedModel.name ? ShippedModel.folder : undefined)
  if (from !== undefined) {
    return Effect.provide(Tokenizer.Tokenizer, Tokenizer.layerFolder(from))
  }
  return Tokenizer.forModel({ modelName }).pipe(
    Effect.provide(UndiciHttpClient.layer),
    Effect.mapError((cause) =>
      new UsageError({
        description: `${cause.message} Or pass --tokenizer with the folder of the tokenizer.json of ${modelName}.`,
        cause
      })
    )
  )
}

/** Tables of models are padded by a few tokens that no text has; a tokenizer that leaves more of them unused is another model's. */
const leastUsed = 0.9

const checkVocabulary = (
  { name, vocabularySize }: Model,
  tokenizer: Tokenizer.Service,
  folder: string | undefined
): Effect.Effect<void, UsageError> => {
  if (vocabularySize === undefined) return Effect.void
  const own = tokenizer.vocabularySize
  if (own <= vocabularySize && own >= leastUsed * vocabularySize) return Effect.void
  return new UsageError({
    description: `the tokenizer ${folder === undefined ? "found for" : `in ${folder} is not that of`} ${name}`
      + `${folder === undefined ? " is not its own" : ""}: it has ${own} tokens, and the model ${vocabularySize}. `
      + "Pass --tokenizer with the folder of the model's tokenizer.json."
  })
}

const describe = ({ maxContextLength, name }: Model): BaseModel.Service => ({
  name,
  maxContextLength,
  description: `${name}${maxContextLength === undefined ? "" : ` (context ${maxContextLength})`}, at the service`
})

/**
 * The model of this name, or else the first, that the service can train. `UsageError` where there is none.
 *
 * @since 0.1.0
 * @category utils
 */
export const choose = (wanted: string | undefined) =>
  Effect.gen(function*() {
    const service = yield* ServiceClient.ServiceClient
    const { supportedModels } = yield* service.getServerCapabilities
    const trainable = supportedModels.filter((model) => model.trainable !== false && model.modelName !== undefined)
    const model = wanted === undefined ? trainable[0] : trainable.find((model) => model.modelName === wanted)
    if (model?.modelName === undefined) {
      const names = trainable.map((model) => model.modelName).join(", ")
      return yield* new UsageError({
        description: wanted === undefined
          ? "the server has no model that can be trained"
          : `the server cannot train ${wanted}. It can train: ${names || "none"}`
      })
    }
    const { maxContextLength, modelName: name, vocabularySize } = model
    return { name, maxContextLength, vocabularySize } satisfies Model
  })
