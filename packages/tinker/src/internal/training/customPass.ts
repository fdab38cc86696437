/** The two passes of a loss that is computed here, as one call: later calls of the model run after the second. */
import { type Fields, fitting, optionsOf } from "@effect-tinker/protocol/Checks"
import type { Datum } from "@effect-tinker/protocol/Datum"
import type { ForwardBackwardOutput } from "@effect-tinker/protocol/ForwardBackwardOutput"
import * as InputShape from "@effect-tinker/protocol/InputShape"
import { failOnIssues, type TinkerError } from "@effect-tinker/protocol/TinkerError"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as CustomLoss from "../../CustomLoss.js"
import type { Service } from "../../TrainingClient.js"
import { count, type WatchedCall } from "../call/watchedCall.js"
import * as Pending from "../futures/pending.js"
import * as Retrieval from "../futures/retrieval.js"
import type { Submitted } from "../futures/submitted.js"
import { combineOutputs } from "./combineOutputs.js"
import * as LossPasses from "./customLoss.js"
import * as Pass from "./pass.js"
import type * as Passes from "./passes.js"
import type * as RequestSequence from "./requestSequence.js"
import type { TrainedModel } from "./trainedModel.js"
import * as TrainingWatch from "./trainingWatch.js"

const name = "TrainingClient.forwardBackwardCustom"

export const make = (model: TrainedModel): Service["forwardBackwardCustom"] =>
  model.checked(
    name,
    { options: optionsOf(fields) },
    <E, R>(call: Call<E, R>) =>
      model.watched(name, (watch) =>
        Effect.contextWithEffect((environment: Context.Context<R>) =>
          Effect.map(
            model.sequence.run<Prepared, Accepted<E>>({
              operation: name,
              prepare: prepare(model, call, watch),
              submit: (prepared, turn) => sendFirst<E>(model, call.data, prepared, turn, watch),
              afterwards: (accepted, prepared, turn) =>
                sendSecond(model, accepted, prepared, turn, watch, (output) =>
                  Effect.provide(lossOf(model, call, prepared.data, output, watch), environment)).pipe(
                    Effect.interruptible,
                    Effect.catchAllCause((cause) =>
                      accepted.pending.settleWith(Effect.failCause(cause))
                    )
                  ),
              unwanted: ({ pending }) =>
                pending.future.cancel
            }),
            ({ pending }) =>
              pending.future
          )
        ))
  )

interface Call<E, R> {
  readonly data: ReadonlyArray<Datum>
  readonly lossFn: CustomLoss.CustomLoss<E, R>
}

/** What the server is sent of the data, and when the call's turn came. */
interface Prepared {
  readonly data: ReadonlyArray<Datum>
  readonly started: number
}

/** The first pass under way. */
interface Accepted<E> {
  readonly chunks: ReadonlyArray<Passes.Pass>
  readonly submitted: ReadonlyArray<Submitted<ForwardBackwardOutput>>
  readonly pending: Pending.Pending<ForwardBackwardOutput, TinkerError | E>
}

const prepare = <E, R>(
  model: TrainedModel,
  call: Call<E, R>,
  watch: WatchedCall
): Effect.Effect<Prepared, TinkerError> => {
  // Each of the two passes reads all data.
  const reserved = watch.reserve(() => TrainingWatch.usageOf(call.data, Infinity))
  return Effect.gen(function*() {
    const sent = LossPasses.sentData(call.data)
    yield* Pass.check(model, name, { data: sent, lossFn: "cross_entropy" })
    const data = LossPasses.withWeights(sent)
    yield* reserved
    yield* reserved
    return { data, started: yield* model.inTurn(watch) }
  })
}

const sendFirst = <E>(
  { passes, settled }: TrainedModel,
  given: ReadonlyArray<Datum>,
  { data, started }: Prepared,
  turn: RequestSequence.Turn,
  watch: WatchedCall
): Effect.Effect<Accepted<E>, TinkerError> => {
  const chunks = passes.chunksOf({ data, lossFn: "cross_entropy" })
  return Effect.map(passes.send(name, chunks, true, turn, started, watch), (submitted) => {
    watch.annotate({ requestId: TrainingWatch.requestIdsOf(submitted) })
    const pending = Pending.make<ForwardBackwardOutput, TinkerError | E>(
      name,
      submitted.map(({ requestId }) => requestId),
      settled(name, watch, TrainingWatch.usageOf(given, 0))
    )
    return { chunks, submitted, pending }
  })
}

/** Waits for the first pass, computes the loss, and sends its gradient. */
const sendSecond = <E>(
  model: TrainedModel,
  { chunks, pending, submitted }: Accepted<E>,
  { data, started }: Prepared,
  turn: RequestSequence.Turn,
  watch: WatchedCall,
  computed: (output: ForwardBackwardOutput) => Effect.Effect<CustomLoss.Result, TinkerError | E>
): Effect.Effect<void> =>
  Effect.gen(function*() {
    const { passes, scope, waiting } = model
    const loss = yield* pending.part(
      Effect.flatMap(
        Retrieval.retrieveAll(waiting, submitted, pending.report),
        (outputs) => computed(combineOutputs(outputs))
      )
    )
    if (loss === undefined) return
    const weighted = LossPasses.backwardData(data, loss.gradients)
    // The boundaries of the first pass hold for the second, whatever the server wants by now.
    let start = 0
    const parts = chunks.map((chunk): Passes.Pass => ({
      ...chunk,
      data: weighted.slice(start, start += chunk.data.length)
    }))
    const second = yield* Effect.either(passes.send(name, parts, false, turn, started, watch))
    model.hasGradient ||= Either.isRight(second)
    yield* Pending.forkIn(
      scope,
      pending,
      Either.isLeft(second)
        ? Effect.fail(second.left)
        : Effect.map(Retrieval.retrieveAll(waiting, second.right, pending.report), (outputs) => {
          const output = combineOutputs(outputs)
          return { ...output, metrics: LossPasses.customLossMetrics(output.metrics, loss.metrics ?? {}, loss.loss) }
        })
    )
  })

const lossOf = <E, R>(
  { metrics }: TrainedModel,
  call: Call<E, R>,
  data: ReadonlyArray<Datum>,
  output: ForwardBackwardOutput,
  watch: WatchedCall
): Effect.Effect<CustomLoss.Result, TinkerError | E, R> =>
  Effect.gen(function*() {
    const used = TrainingWatch.usageOf(call.data, 0)
    count(metrics, used)
    watch.partUsed(used)
    watch.track.enter("loss")
    const logprobs = yield* LossPasses.logprobsOf(name, output, data)
    const result = yield* LossPasses.computeLoss(name, call, logprobs)
    yield* failOnIssues(name, CustomLoss.issues(result, logprobs))
    return result
  })

const fields: Fields = {
  data: InputShape.data,
  lossFn: fitting(
    (value) => typeof value === "function",
    "pass a function of log-probabilities and data; losses that have a name go to forwardBackward"
  )
}
