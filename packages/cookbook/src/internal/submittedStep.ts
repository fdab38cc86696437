/** A step of training: submitted, and finished when its results are there. */
import * as AdamParams from "@effect-tinker/protocol/AdamParams"
import * as ModelInput from "@effect-tinker/protocol/ModelInput"
import { failOnIssues } from "@effect-tinker/protocol/TinkerError"
import type * as ApiFuture from "effect-tinker/ApiFuture"
import type * as TrainingClient from "effect-tinker/TrainingClient"
import * as Effect from "effect/Effect"
import * as LearningRateSchedule from "../LearningRateSchedule.js"
import type { Batch, StepsOptions } from "../Supervised.js"
import * as Given from "./given.js"
import { meanNll } from "./meanNll.js"

export interface SubmittedStep {
  readonly batch: Batch
  readonly learningRate: number
  readonly gradients: ApiFuture.ApiFuture<Parameters<typeof meanNll>[1]>
  readonly update: ApiFuture.ApiFuture<{ readonly metrics?: Readonly<Record<string, number>> | undefined }>
  readonly saving: ApiFuture.ApiFuture<{ readonly path: string }> | undefined
}

/** Submits the requests of a batch in their order. `operation` names who does so in errors. */
export const submit = Effect.fnUntraced(function*(
  operation: string,
  training: TrainingClient.Service,
  batch: Batch,
  options: Pick<StepsOptions, "adamParams" | "checkpoint" | "schedule">
) {
  yield* failOnIssues(operation, batchCheck(batch, "batch"))
  const schedule = options.schedule ?? LearningRateSchedule.linear
  const params = options.adamParams ?? AdamParams.make()
  const factor = schedule(batch.step, batch.totalSteps)
  const { checkpoint } = options
  const isSaved = checkpoint !== undefined && isDue(checkpoint.every, batch)
  const name = isSaved ? (checkpoint.name ?? defaultName)(batch.step + 1) : undefined
  const when = ` at step ${batch.step} of ${batch.totalSteps}`
  yield* failOnIssues(operation, [
    ...Given.resultCheck(isFactor, "a finite number, 0 or more", when)(factor, "schedule"),
    ...isSaved ? Given.resultCheck(isName, "a text, and not an empty one", when)(name, "checkpoint.name") : []
  ])
  const learningRate = params.learningRate * factor
  const gradients = yield* training.forwardBackward({ data: batch.data, lossFn: "cross_entropy" })
  const update = yield* training.optimStep(AdamParams.make({ ...params, learningRate }))
  const saving = name === undefined
    ? undefined
    : yield* training.saveState({ name, userMetadata: checkpoint?.userMetadata })
  return { batch, learningRate, gradients, update, saving } satisfies SubmittedStep
})

/** Awaits what was submitted. */
export const finish = Effect.fnUntraced(function*({ batch, gradients, learningRate, saving, update }: SubmittedStep) {
  const output = yield* gradients.await
  const { metrics } = yield* update.await
  const checkpoint = saving === undefined ? undefined : (yield* saving.await).path
  let tokens = 0
  for (const datum of batch.data) tokens += ModelInput.textLength(datum.modelInput) ?? 0
  return {
    step: batch.step,
    totalSteps: batch.totalSteps,
    epoch: batch.epoch,
    learningRate,
    nllPerToken: meanNll(batch.data, output).nllPerToken,
    tokens,
    metrics: metrics ?? {},
    checkpoint
  }
})

/** After every `every` steps, and after the last. */
export const isDue = (every: number, { step, totalSteps }: Batch): boolean =>
  (step + 1) % every === 0 || step + 1 === totalSteps

/** The check of a batch that a program made itself; its data are looked at where they are sent. */
const batchCheck = Given.having(
  { data: Given.data, step: Given.place, totalSteps: Given.count, epoch: Given.place },
  "what Supervised.batches gives"
)

const isFactor = (value: unknown): boolean => typeof value === "number" && value >= 0 && value < Infinity

const isName = (value: unknown): boolean => typeof value === "string" && value !== ""

const defaultName = (steps: number): string => `step-${String(steps).padStart(6, "0")}`
