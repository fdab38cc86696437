/** What the calls of one training client share. */
import type { ModelId } from "@effect-tinker/protocol/Identifiers"
import type * as ModelsMessages from "@effect-tinker/protocol/ModelsMessages"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import * as ClientConfig from "../../ClientConfig.js"
import * as FuturesApi from "../../FuturesApi.js"
import * as HttpRuntime from "../../HttpRuntime.js"
import * as SessionManager from "../../SessionManager.js"
import * as TinkerConfig from "../../TinkerConfig.js"
import type * as TinkerMetrics from "../../TinkerMetrics.js"
import * as TrainingApi from "../../TrainingApi.js"
import * as WeightsApi from "../../WeightsApi.js"
import * as IgnoredOptions from "../call/ignoredOptions.js"
import { observers } from "../call/observers.js"
import { type Operations, operations } from "../call/operation.js"
import * as ThrottledWarning from "../call/throttledWarning.js"
import * as DispatchLimiter from "../dispatch/dispatchLimiter.js"
import type { Waiting } from "../futures/submitted.js"
import * as Passes from "./passes.js"
import * as RequestSequence from "./requestSequence.js"
import * as Resending from "./resending.js"
import * as TrainingWatch from "./trainingWatch.js"

export interface Options {
  readonly modelId: ModelId
  /** The session in which the model was made. */
  readonly session: SessionManager.Session
  readonly info: ModelsMessages.GetInfoResponse
  /** Number of the next request. Default 1. */
  readonly firstSeqId?: number | undefined
  /** What is known of the base model, for checks before anything is sent. */
  readonly vocabularySize?: number | undefined
  readonly maxContextLength?: number | undefined
}

export interface TrainedModel extends Operations, TrainingWatch.TrainingWatch {
  readonly modelId: ModelId
  readonly session: SessionManager.Session
  /** What is known of the base model, for checks before anything is sent. */
  readonly limits: Pick<Options, "vocabularySize" | "maxContextLength">
  readonly training: TrainingApi.Service
  readonly weights: WeightsApi.Service
  /** The order of the model's requests. */
  readonly sequence: RequestSequence.RequestSequence
  readonly passes: Passes.Passes
  /** How passes and steps are sent again. */
  readonly resending: Resending.Resending
  /** What results are waited for with, and where: in the scope of the client. */
  readonly waiting: Waiting
  readonly scope: Scope.Scope
  readonly metrics: TinkerMetrics.TinkerMetrics | undefined
  /** Tells, once, of options that this kind of server passes over. */
  readonly tellIgnored: IgnoredOptions.Tell
  /** Paths that the server has given, which pass every check. */
  readonly knownPaths: Set<string>
  /** Paths that earlier saves of this client have taken. */
  readonly takenPaths: Set<string>
  /** Whether a step would find a gradient, as far as this client has made one. */
  hasGradient: boolean
}

export type Requirements =
  | ClientConfig.ClientConfig
  | DispatchLimiter.DispatchLimiter
  | FuturesApi.FuturesApi
  | SessionManager.SessionManager
  | TinkerConfig.TinkerConfig
  | TrainingApi.TrainingApi
  | WeightsApi.WeightsApi

export const make = (options: Options): Effect.Effect<TrainedModel, never, Requirements | Scope.Scope> =>
  Effect.gen(function*() {
    const { modelId, session } = options
    const training = yield* TrainingApi.TrainingApi
    const limiter = yield* DispatchLimiter.DispatchLimiter
    const clientConfig = yield* ClientConfig.ClientConfig
    const { serverProfile } = yield* TinkerConfig.TinkerConfig
    const { knownPaths } = yield* SessionManager.SessionManager
    const scope = yield* Scope.Scope
    const watching = yield* observers
    const recognizesRepeats = () => serverProfile.recognizesRepeats && clientConfig.current().recognizesRepeatedRequests
    const resending = Resending.make(recognizesRepeats)
    const passes = Passes.make({
      modelId,
      training,
      limiter,
      settings: clientConfig.current,
      session,
      resending,
      zstd: yield* Effect.serviceOption(HttpRuntime.Zstd)
    })
    const waiting: Waiting = {
      futures: yield* FuturesApi.FuturesApi,
      observers: watching,
      responseBudget: limiter.responses,
      label: `model ${modelId}`,
      warn: ThrottledWarning.make(),
      warnOfQueue: ThrottledWarning.make(),
      progress: { at: -Infinity }
    }
    const ids = () => ({ sessionId: session.sessionId, modelId })
    return {
      ...yield* operations,
      ...TrainingWatch.make(watching, session, waiting.progress, ids),
      modelId,
      session,
      limits: options,
      training,
      weights: yield* WeightsApi.WeightsApi,
      sequence: RequestSequence.make({
        scope,
        fillers: passes.fillers,
        first: options.firstSeqId,
        // A server that does not know a number again does not go by numbers.
        keepsNumbers: recognizesRepeats
      }),
      passes,
      resending,
      waiting,
      scope,
      metrics: watching.metrics,
      tellIgnored: yield* IgnoredOptions.make,
      knownPaths,
      takenPaths: new Set(),
      hasGradient: false
    }
  })
