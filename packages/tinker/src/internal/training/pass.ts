/** A pass over data with a loss that the server computes. */
import { type Check, type Fields, none, optionsOf } from "@effect-tinker/protocol/Checks"
import type { ForwardBackwardOutput } from "@effect-tinker/protocol/ForwardBackwardOutput"
import * as LossFn from "@effect-tinker/protocol/LossFn"
import { failOnIssues, type TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as Effect from "effect/Effect"
import * as ApiFuture from "../../ApiFuture.js"
import type { PassOptions, Service } from "../../TrainingClient.js"
import * as Retrieval from "../futures/retrieval.js"
import { combineOutputs } from "./combineOutputs.js"
import { withLossSum } from "./lossSum.js"
import type { TrainedModel } from "./trainedModel.js"
import * as TrainingWatch from "./trainingWatch.js"

export const make = (model: TrainedModel, name: string, forwardOnly: boolean): Service["forward"] =>
  model.checked(
    name,
    { options: optionsOf(fields) },
    (call: PassOptions) =>
      model.watched(name, (watch) =>
        model.sequence.run<number, ApiFuture.ApiFuture<ForwardBackwardOutput>>({
          operation: name,
          prepare: check(model, name, call).pipe(
            Effect.zipRight(watch.reserve(() => TrainingWatch.usageOf(call.data, Infinity))),
            Effect.zipRight(model.inTurn(watch))
          ),
          submit: (started, turn) =>
            Effect.flatMap(
              model.passes.send(name, model.passes.chunksOf(call), forwardOnly, turn, started, watch),
              (submitted) => {
                watch.annotate({ requestId: TrainingWatch.requestIdsOf(submitted) })
                model.hasGradient ||= !forwardOnly
                return Retrieval.inScope(
                  model.waiting,
                  model.scope,
                  submitted,
                  (outputs) => withLossSum(call, combineOutputs(outputs)),
                  model.settled(name, watch, TrainingWatch.usageOf(call.data, 0))
                )
              }
            ),
          unwanted: ({ cancel }) => cancel
        }))
  )

/** Fails with everything that keeps the data from being sent. */
export const check = (
  { limits: { maxContextLength, vocabularySize }, session }: TrainedModel,
  name: string,
  call: PassOptions
): Effect.Effect<void, TinkerError> =>
  Effect.zipRight(
    session.check(name),
    Effect.suspend(() => failOnIssues(name, LossFn.issues({ ...call, vocabularySize, maxContextLength })))
  )

/** What is in them is looked at with the loss, once. */
const anything: Check = () => none

const fields: Fields = { data: anything, lossFn: anything, lossFnConfig: anything } satisfies Record<
  keyof PassOptions,
  Check
>
