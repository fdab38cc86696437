/** A call of a model that is one request, under the next number of the model, and whose result is JSON. */
import type { RequestType } from "@effect-tinker/protocol/FuturesMessages"
import type { UntypedFuture } from "@effect-tinker/protocol/ModelsMessages"
import { isDefinitelyRefused, isNameTaken, type TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as TinkerPath from "@effect-tinker/protocol/TinkerPath"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as ApiFuture from "../../ApiFuture.js"
import type * as TinkerHttpClient from "../../TinkerHttpClient.js"
import * as UsageMeter from "../../UsageMeter.js"
import type { WatchedCall } from "../call/watchedCall.js"
import * as Pending from "../futures/pending.js"
import * as Retrieval from "../futures/retrieval.js"
import * as Monotonic from "../monotonic.js"
import type { Attempts } from "../transport/attempts.js"
import { decodeValue } from "../transport/decodeJson.js"
import type * as RequestSequence from "./requestSequence.js"
import * as Resending from "./resending.js"
import * as SavedCheckpoint from "./savedCheckpoint.js"
import type { TrainedModel } from "./trainedModel.js"

export interface NumberedCall<A, I> {
  readonly operation: string
  readonly requestType: RequestType
  readonly submit: (
    seqId: number,
    options: TinkerHttpClient.CallOptions
  ) => Effect.Effect<UntypedFuture, TinkerError>
  readonly result: Schema.Schema<A, I>
  /** The checkpoint that it makes: a save whose answer was lost finds its own name taken when it is sent again. */
  readonly saves?: Pick<TinkerPath.TinkerPath, "checkpointType" | "name"> | undefined
  /** Runs when its turn has come. */
  readonly begins?: Effect.Effect<void> | undefined
  /** How it is sent again. Default: as often as the policy wants. */
  readonly resent?: Resending.Resending | undefined
}

export const run = <A, I>(
  model: TrainedModel,
  call: NumberedCall<A, I>
): Effect.Effect<ApiFuture.ApiFuture<A>, TinkerError> =>
  model.watched(call.operation, (watch) =>
    model.sequence.run<number, ApiFuture.ApiFuture<A>>({
      operation: call.operation,
      prepare: Effect.zipRight(model.session.check(call.operation), model.inTurn(watch)),
      submit: (started, turn) =>
        Effect.zipRight(call.begins ?? Effect.void, turn.send(submission(model, call, started, watch))),
      unwanted: ({ cancel }) => cancel
    }))

const submission = <A, I>(
  model: TrainedModel,
  call: NumberedCall<A, I>,
  started: number,
  watch: WatchedCall
): RequestSequence.Numbered<ApiFuture.ApiFuture<A>> =>
(seqId, note) => {
  const { operation, requestType, resent = Resending.always, result } = call
  const { knownPaths, modelId, scope, session, takenPaths, waiting } = model
  const { track } = watch
  const path = call.saves && { trainingRunId: modelId, ...call.saves }
  const wasTaken = path !== undefined && takenPaths.has(TinkerPath.format(path))
  const onSettled = model.settled(operation, watch, UsageMeter.none)
  let unknown = false
  track.enter("submit", { seqId })
  watch.sent()

  const rememberPath = (value: unknown): Effect.Effect<void> =>
    Effect.sync(() => {
      if (Predicate.hasProperty(value, "path") && typeof value.path === "string") knownPaths.add(value.path)
    })

  /** What was saved, where the name is taken by an attempt whose answer was lost. */
  const foundAgain = (error: TinkerError): Effect.Effect<A, TinkerError> =>
    path === undefined || wasTaken || !unknown || !(isConflict(error) || isNameTaken(error))
      ? Effect.fail(error)
      : SavedCheckpoint.find(model.weights.checkpoints(modelId), path, error).pipe(
        // What else a save tells, such as its size, was in the answer that was lost.
        Effect.flatMap((found) => Effect.orDie(Schema.decodeUnknown(result)(found))),
        Effect.tap(rememberPath)
      )

  const attempt = (attempts: Attempts) =>
    Effect.suspend(() => {
      track.attribute("attempt", attempts.retryCount + 1)
      return Effect.tapError(call.submit(seqId, { attempts, call: operation, session }), (error) =>
        Effect.sync(() => {
          unknown ||= mayBeTaken(error)
          note(error)
        }))
    })

  return resent({ seqId, call: operation }, attempt).pipe(
    Effect.zip(Monotonic.now),
    Effect.flatMap(([{ requestId }, now]) => {
      watch.annotate({ requestId })
      const pending = Pending.make<A, never>(operation, [requestId], onSettled)
      const retrieved = Retrieval.retrieve(waiting, {
        requestId,
        track,
        requestType,
        operation,
        roundTrip: (now - started) / 1000,
        began: started,
        session,
        decode: { json: (value, origin) => Effect.tap(decodeValue(origin, value, result), rememberPath) }
      }, pending.report)
      return Effect.as(
        Pending.forkIn(scope, pending, Effect.catchAll(retrieved, foundAgain)),
        pending.future
      )
    }),
    Effect.catchAll((error) =>
      Effect.flatMap(foundAgain(error), (value) => Pending.succeed(operation, value, onSettled))
    ),
    Effect.map((future) => {
      if (path !== undefined) takenPaths.add(TinkerPath.format(path))
      return future
    })
  )
}

export const isConflict = (error: TinkerError): boolean =>
  error._tag === "ApiStatusError" && error.reason === "Conflict"

/** Whether the server may have done what was asked although the client was told of a failure. */
const mayBeTaken = (error: TinkerError): boolean =>
  !isDefinitelyRefused(error) && !(error._tag === "ApiStatusError" && error.reason === "RateLimit")
