/** What the samples of one client share. */
import type { SamplingSessionId } from "@effect-tinker/protocol/Identifiers"
import type { TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as ClientConfig from "../../ClientConfig.js"
import * as FuturesApi from "../../FuturesApi.js"
import * as SamplingApi from "../../SamplingApi.js"
import type { RetryConfig } from "../../SamplingClient.js"
import * as SessionManager from "../../SessionManager.js"
import type * as TinkerConfig from "../../TinkerConfig.js"
import type { SessionLife } from "../../TinkerHttpClient.js"
import * as IgnoredOptions from "../call/ignoredOptions.js"
import { type Observers, observers } from "../call/observers.js"
import * as ThrottledWarning from "../call/throttledWarning.js"
import * as Budget from "../dispatch/budget.js"
import * as DispatchLimiter from "../dispatch/dispatchLimiter.js"
import type { Waiting } from "../futures/submitted.js"
import * as Places from "./places.js"
import * as SampleCancellation from "./sampleCancellation.js"
import * as SampleProgress from "./sampleProgress.js"
import type * as SamplerHandle from "./samplerHandle.js"

export type Requirements =
  | SamplingApi.SamplingApi
  | FuturesApi.FuturesApi
  | ClientConfig.ClientConfig
  | DispatchLimiter.DispatchLimiter
  | SampleCancellation.SampleCancellation
  | SessionManager.SessionManager
  | TinkerConfig.TinkerConfig

/** Where a client samples: a sampling session, and the session that it belongs to. */
export interface Place {
  readonly samplingSessionId: SamplingSessionId
  readonly session: SessionLife
}

export interface Options {
  readonly place: Place
  /** Makes the same again elsewhere, when the server has lost the place. */
  readonly renew?: Effect.Effect<Place, TinkerError> | undefined
  readonly baseModel: string
  readonly retryConfig?: RetryConfig | undefined
  /** Let the server record what some losses need to be stable. Default false. */
  readonly recordStabilityInfo?: boolean | undefined
  /** Longest prompt and answer together, in tokens, if it is known: prompts beyond it are refused before they are sent. */
  readonly maxContextLength?: number | undefined
  /** What a client made of a handle is made of: the session that it was made in, and what tells its requests from others'. */
  readonly restored?: {
    readonly handle: SamplerHandle.SamplerHandle
    readonly clone: Effect.Effect<bigint, TinkerError>
  }
}

export interface Sampler {
  readonly api: SamplingApi.Service
  readonly futures: FuturesApi.Service
  readonly clientConfig: ClientConfig.Service
  readonly limiter: DispatchLimiter.Service
  readonly cancellation: SampleCancellation.Service
  readonly sessions: SessionManager.Service
  readonly places: Places.Places
  readonly observers: Observers
  readonly progress: SampleProgress.SampleProgress
  /** What results are waited for with. */
  readonly waiting: Waiting
  readonly label: string
  readonly warn: (message: string) => Effect.Effect<void>
  /** Tells, once, of options that this kind of server passes over. */
  readonly tellIgnored: IgnoredOptions.Tell
  readonly retryConfig: RetryConfig
  /** Most samples at once, if the user has said. */
  readonly ownLimit: Budget.Budget | undefined
  readonly recordStabilityInfo: boolean
  readonly maxContextLength: number | undefined
}

export const make = (options: Options): Effect.Effect<Sampler, never, Requirements | Scope.Scope> =>
  Effect.gen(function*() {
    const { baseModel, maxContextLength, place, recordStabilityInfo = false, retryConfig = {} } = options
    const futures = yield* FuturesApi.FuturesApi
    const limiter = yield* DispatchLimiter.DispatchLimiter
    const watching = yield* observers
    const label = `sampler ${place.samplingSessionId}${baseModel === "" ? "" : ` of ${baseModel}`}`
    const warn = ThrottledWarning.make()
    const { maxConnections } = retryConfig
    return {
      api: yield* SamplingApi.SamplingApi,
      futures,
      clientConfig: yield* ClientConfig.ClientConfig,
      limiter,
      cancellation: yield* SampleCancellation.SampleCancellation,
      sessions: yield* SessionManager.SessionManager,
      places: yield* Places.make(options),
      observers: watching,
      progress: SampleProgress.make(label),
      waiting: {
        futures,
        responseBudget: limiter.responses,
        label,
        // Of its own: that a queue stands still is told every minute, which would leave no room for it.
        warn: ThrottledWarning.make(),
        warnOfQueue: warn,
        progress: { at: -Infinity },
        observers: watching
      },
      label,
      warn,
      tellIgnored: yield* IgnoredOptions.make,
      retryConfig,
      ownLimit: maxConnections === undefined || maxConnections === null
        ? undefined
        : Budget.make(() => maxConnections),
      recordStabilityInfo,
      maxContextLength
    }
  })
