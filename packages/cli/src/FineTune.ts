/**
 * The training program: asks a few questions, trains, and asks them again. It knows neither where the model runs nor
 * where its text goes; Layers say that. What it has done it writes down in the `KeyValueStore`, and goes on from there.
 */
import * as ExactAnswers from "@effect-tinker/cookbook/ExactAnswers"
import * as RoleRenderer from "@effect-tinker/cookbook/RoleRenderer"
import * as RunJournal from "@effect-tinker/cookbook/RunJournal"
import * as Supervised from "@effect-tinker/cookbook/Supervised"
import * as AdamParams from "@effect-tinker/protocol/AdamParams"
import type { TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as KeyValueStore from "@effect/platform/KeyValueStore"
import * as ApiFuture from "effect-tinker/ApiFuture"
import type * as SamplingClient from "effect-tinker/SamplingClient"
import * as ServiceClient from "effect-tinker/ServiceClient"
import type * as TrainingClient from "effect-tinker/TrainingClient"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as BaseModel from "./BaseModel.js"
import * as Display from "./Display.js"
import type { Lessons } from "./Lessons.js"
import * as Recovery from "./Recovery.js"
import * as Stopping from "./Stopping.js"

/** @since 0.1.0 @category models */
export interface Plan {
  readonly lessons: Lessons
  readonly steps: number
  readonly batchSize: number
  readonly rank: number
  readonly learningRate: number
  /** Default 50. */
  readonly checkpointEvery?: number | undefined
  /** Run when the store is known to have no checkpoint, before the model of the run is made. */
  readonly onBegin?: Effect.Effect<void> | undefined
}

/** Whoever asks the model later is to write as it was trained. */
const userMetadata = { [RoleRenderer.metadataKey]: RoleRenderer.name }

const ask = (sampling: SamplingClient.Service, { prompts }: Lessons) =>
  Effect.map(
    ExactAnswers.measure(sampling, prompts),
    ({ answers }) =>
      answers.map(({ chat, given }): Display.Answer => ({ question: chat.messages.at(-2)?.content ?? "", text: given }))
  )

const Loss = Schema.Struct({ nllPerToken: Schema.Number, weight: Schema.Number })

/**
 * Interrupted while it trains it finishes the steps under way, saves, and ends then. Run again with the same plan and store it goes on
 * behind the last checkpoint; another plan is a `RunJournalError` with the reason `DifferentRun`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const program = Effect.fnUntraced(function*({ lessons, ...plan }: Plan) {
  const service = yield* ServiceClient.ServiceClient
  const display = yield* Display.Display
  const { name: baseModel } = yield* BaseModel.BaseModel
  const outages = yield* Recovery.watch

  const create = Effect.zipRight(
    plan.onBegin ?? Effect.void,
    service.createLoraTrainingClient({ baseModel, rank: plan.rank, seed: 0 })
  )
  const journal = yield* RunJournal.open({
    name: "run",
    step: Supervised.Step,
    create,
    settings: {
      baseModel,
      data: lessons.name,
      conversations: lessons.trainLength,
      steps: plan.steps,
      batchSize: plan.batchSize,
      rank: plan.rank,
      learningRate: plan.learningRate
    },
    lease: "3 seconds"
  })
  const earlier = yield* journal.history
  const path = earlier.at(-1)?.checkpoint
  if (path !== undefined) {
    yield* display.keep({ path, steps: journal.position })
    yield* display.note(
      journal.position >= plan.steps
        ? `All ${plan.steps} steps were done before: ${path}\n`
        : `Goes on behind step ${journal.position}, from ${path}\n`
    )
  }

  yield* display.note("Asking the model before it is trained …")
  const before = yield* ask(yield* service.createSamplingClient({ baseModel }), lessons)
  yield* display.answers("Before training", before)

  const model = yield* Recovery.make(service, { training: journal.training, steps: journal.position, create })
  const evaluate = model.use((training) => Supervised.evaluate(training, lessons.heldOut))
  const lossBefore = yield* remembered(evaluate)
  const steps = yield* Stopping.finishing(
    outages.stopping,
    (stop) =>
      model.steps((training, from) =>
        lessons.batches.pipe(
          journal.remaining,
          Stream.filter(({ step }) => step >= from),
          Stream.haltWhenDeferred(stop),
          Supervised.steps(training, {
            adamParams: AdamParams.make({ learningRate: plan.learningRate }),
            checkpoint: { every: plan.checkpointEvery ?? 50, userMetadata }
          }),
          Stream.tap(display.step),
          saveLast(training, display)
        )
      ).pipe(
        journal.recorded,
        // Those after a checkpoint that was gone back to are done twice, to the same end.
        Stream.runFold(
          new Map<number, Supervised.Step>(earlier.map((step) => [step.step, step])),
          (steps, step) => steps.set(step.step, step)
        )
      )
  )
  const lossAfter = yield* evaluate

  const after = yield* ask(yield* model.use((training) => training.saveWeightsAndGetSamplingClient()), lessons)
  yield* display.answers("\nAfter training", after)
  return { before, after, lossBefore, lossAfter, steps: Array.from(steps.values()) }
}, Effect.scoped)

/** The base model is examined once, however often the run is gone on with. */
const remembered = <E, R>(evaluate: Effect.Effect<typeof Loss.Type, E, R>) =>
  Effect.gen(function*() {
    const store = (yield* KeyValueStore.KeyValueStore).forSchema(Loss)
    // What cannot be read is examined again.
    const known = yield* Effect.orElseSucceed(store.get("held-out"), () => Option.none())
    if (Option.isSome(known)) return known.value
    const loss = yield* evaluate
    if (Number.isFinite(loss.nllPerToken)) yield* Effect.ignoreLogged(store.set("held-out", loss))
    return loss
  })

/** The last step comes with a checkpoint, also when it is not the last of the plan. */
const saveLast =
  (training: TrainingClient.Service, display: Display.Service) =>
  <E, R>(steps: Stream.Stream<Supervised.Step, E, R>): Stream.Stream<Supervised.Step, E | TinkerError, R> =>
    steps.pipe(
      Stream.map(Option.some),
      Stream.concat(Stream.succeed(Option.none<Supervised.Step>())),
      Stream.mapAccumEffect(Option.none<Supervised.Step>(), (held, next) =>
        Effect.gen(function*() {
          if (Option.isSome(next) || Option.isNone(held) || held.value.checkpoint !== undefined) {
            return [next, held] as const
          }
          const steps = held.value.step + 1
          const name = `step-${String(steps).padStart(6, "0")}`
          const { path } = yield* ApiFuture.flatten(training.saveState({ name, overwrite: true, userMetadata }))
          yield* display.keep({ path, steps })
          return [next, Option.some({ ...held.value, checkpoint: path })] as const
        })),
      Stream.filterMap(identity)
    )
