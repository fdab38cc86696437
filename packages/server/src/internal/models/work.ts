/** What a request has an engine do, and what comes of it. */
import type * as Engine from "@effect-tinker/engine/Engine"
import * as Endpoints from "@effect-tinker/protocol/Endpoints"
import type { RequestId } from "@effect-tinker/protocol/Identifiers"
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import type * as Futures from "../../Futures.js"
import type { ServerError } from "../../ServerError.js"
import * as Failures from "../http/failures.js"
import * as Http from "../http/http.js"
import type * as Usage from "../resources/usage.js"
import type * as State from "./serverState.js"

/** A request that was accepted turns out to be one that cannot be done. */
export class UserError extends Data.TaggedError("UserError")<{ readonly detail: string }> {}

export type WorkError = UserError | Engine.EngineError | ServerError

export type Work = Effect.Effect<Outcome, WorkError>

interface Changing {
  /** What is not any more as it was. */
  readonly changed?: "weights" | "gradient" | undefined
}

/** A result, and what else came of the request. */
export interface Finished extends Futures.Completed, Changing {
  readonly usage?: ReadonlyArray<Usage.Used> | undefined
  /** A sampler whose weights have no path. */
  readonly sampler?: { readonly id: string; readonly snapshot: Engine.Snapshot } | undefined
}

export type Outcome = Finished | Futures.Failed & Changing

/** The work itself, or the failure that a test has planned instead. */
export const planned = (request: Http.Received, work: Work): Effect.Effect<Outcome, WorkError> =>
  request.fault?._tag === "FailFuture" ? Effect.succeed(request.fault.outcome) : work

/** What comes of the work; it may also be that it fails or breaks. */
export const outcomeOf = (
  requestId: string,
  work: Effect.Effect<Outcome, WorkError>
): Effect.Effect<Outcome> =>
  work.pipe(
    Effect.catchAll((error) => Effect.succeed(Failures.of(error))),
    Effect.catchAllDefect((defect) =>
      Effect.as(
        Effect.logError(`request ${requestId} broke`, Cause.die(defect)),
        { _tag: "Failed", error: "an error of the server itself; see its log", category: "server" } as const
      )
    )
  )

/** Counts what a request has used, and gives the counts as they are now. */
export const countUsage = (
  state: State.ServerState,
  { baseModel, session }: Pick<State.Model, "baseModel" | "session">,
  outcome: Outcome,
  now: number
): ReadonlyArray<Usage.Count> =>
  "usage" in outcome && outcome.usage !== undefined
    ? state.usage.add(outcome.usage, { at: now, sessionId: session.id, baseModel: baseModel.name })
    : []

/** The answer of every endpoint whose result is asked for later. */
export const accepted = (requestId: string, modelId?: string, sampleSequenceIds?: ReadonlyArray<string>) =>
  Http.answer(Endpoints.asample, { requestId: requestId as RequestId, modelId, sampleSequenceIds })

/** A whole number made one that leaves room for as many again among those that a number can hold. */
export const seedFrom = (seed: number): number => ((seed % maxSeed) + maxSeed) % maxSeed

const maxSeed = 2 ** 52

/** A seed for a request that has none. */
export const randomSeed: Effect.Effect<number> = Random.nextIntBetween(0, 2 ** 31)
