/**
 * The training program: asks a few questions, trains, and asks them again. It knows neither where the model runs nor
 * where its text goes; Layers say that.
 */
import * as ExactAnswers from "@effect-tinker/cookbook/ExactAnswers"
import * as Supervised from "@effect-tinker/cookbook/Supervised"
import * as AdamParams from "effect-tinker/AdamParams"
import type * as SamplingClient from "effect-tinker/SamplingClient"
import * as ServiceClient from "effect-tinker/ServiceClient"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as BaseModel from "./BaseModel.js"
import * as Display from "./Display.js"
import type { Lessons } from "./Lessons.js"
import * as Recovery from "./Recovery.js"

/** @since 0.1.0 @category models */
export interface Plan {
  readonly lessons: Lessons
  readonly steps: number
  readonly batchSize: number
  readonly rank: number
  readonly learningRate: number
  /** Default 50. */
  readonly checkpointEvery?: number | undefined
}

const ask = (sampling: SamplingClient.Service, { prompts }: Lessons) =>
  Effect.map(
    ExactAnswers.measure(sampling, prompts),
    ({ answers }) =>
      answers.map(({ chat, given }): Display.Answer => ({ question: chat.messages.at(-2)?.content ?? "", text: given }))
  )

/** @since 0.1.0 @category constructors */
export const program = Effect.fnUntraced(function*({ lessons, ...plan }: Plan) {
  const service = yield* ServiceClient.ServiceClient
  const display = yield* Display.Display
  const { name: baseModel } = yield* BaseModel.BaseModel

  const before = yield* ask(yield* service.createSamplingClient({ baseModel }), lessons)
  yield* display.answers("Before training", before)

  const model = yield* Recovery.make(
    service,
    service.createLoraTrainingClient({ baseModel, rank: plan.rank, seed: 0 })
  )
  const evaluate = model.use((training) => Supervised.evaluate(training, lessons.heldOut))
  const lossBefore = yield* evaluate
  const steps = yield* model.steps((training, from) =>
    Supervised.batches(lessons.train, plan).pipe(
      Stream.filter(({ step }) => step >= from),
      Supervised.steps(training, {
        adamParams: AdamParams.make({ learningRate: plan.learningRate }),
        checkpoint: { every: plan.checkpointEvery ?? 50 }
      }),
      Stream.tap(display.step)
    )
  ).pipe(
    // Those after a checkpoint that was gone back to are done twice, to the same end.
    Stream.runFold(new Map<number, Supervised.Step>(), (steps, step) => steps.set(step.step, step))
  )
  const lossAfter = yield* evaluate

  const after = yield* ask(yield* model.use((training) => training.saveWeightsAndGetSamplingClient()), lessons)
  yield* display.answers("\nAfter training", after)
  return { before, after, lossBefore, lossAfter, steps: Array.from(steps.values()) }
}, Effect.scoped)
