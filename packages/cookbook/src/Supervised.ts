/**
 * Supervised fine-tuning: files become a `Stream` of batches, batches a `Stream` of training steps. Who runs the last
 * one decides what to do with each step: print it, stop early, evaluate.
 */
import * as Tokenizer from "@effect-tinker/tokenizer/Tokenizer"
import type * as FileSystem from "@effect/platform/FileSystem"
import * as AdamParams from "effect-tinker/AdamParams"
import type * as ApiFuture from "effect-tinker/ApiFuture"
import type { Datum } from "effect-tinker/Datum"
import * as ModelInput from "effect-tinker/ModelInput"
import type { TinkerError } from "effect-tinker/TinkerError"
import type * as TrainingClient from "effect-tinker/TrainingClient"
import * as Chunk from "effect/Chunk"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as ChatDataset from "./ChatDataset.js"
import { DatasetError } from "./DatasetError.js"
import { meanNll, type Nll } from "./internal/meanNll.js"
import { shuffled } from "./internal/shuffled.js"
import * as LearningRateSchedule from "./LearningRateSchedule.js"
import * as RoleRenderer from "./RoleRenderer.js"

/**
 * What one step trains on, and where it stands in the run.
 *
 * @since 0.1.0
 * @category models
 */
export interface Batch {
  readonly data: ReadonlyArray<Datum>
  /** From 0. */
  readonly step: number
  readonly totalSteps: number
  /** From 0. */
  readonly epoch: number
}

/** JSON has no NaN. */
const Real = Schema.transform(Schema.NullOr(Schema.Number), Schema.Number, {
  decode: (value) => value ?? NaN,
  encode: (value) => Number.isFinite(value) ? value : null
})

/**
 * A step that is done.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Step = Schema.Struct({
  /** From 0. */
  step: Schema.Int,
  totalSteps: Schema.Int,
  /** From 0. */
  epoch: Schema.Int,
  learningRate: Schema.Number,
  /**
   * Mean over the batch of the negative log-likelihood of a target token, in nats, before this step's update. Tokens
   * count by their weights; NaN when all weights are 0.
   */
  nllPerToken: Real,
  /** Tokens read. */
  tokens: Schema.Int,
  /** Tokens read by the second since the last step was done; 0 when no time passed. */
  tokensPerSecond: Schema.Number,
  /** Everything the optimizer step reported. */
  metrics: Schema.Record({ key: Schema.String, value: Real }),
  /** Where this step's weights and optimizer state were saved, if they were. */
  checkpoint: Schema.UndefinedOr(Schema.String)
})

/**
 * @since 0.1.0
 * @category models
 */
export type Step = typeof Step.Type

/**
 * Conversations as data of cross entropy, in order. The assistant's words count, as {@link RoleRenderer} writes them;
 * those of an example weigh 1 together.
 *
 * A conversation of more than `maxTokens` fails with `SequenceTooLong`; without it nothing is too long.
 *
 * @since 0.1.0
 * @category constructors
 */
export const dataFromChats = (
  chats: ReadonlyArray<ChatDataset.Chat>,
  options: { readonly maxTokens?: number | undefined } = {}
): Effect.Effect<ReadonlyArray<Datum>, DatasetError, Tokenizer.Tokenizer> =>
  Effect.gen(function*() {
    const renderer = yield* RoleRenderer.make
    const data: Array<Datum> = []
    for (const { file, line, messages } of chats) {
      const example = renderer.supervisedExample(messages)
      if (options.maxTokens !== undefined && example.tokens.length > options.maxTokens) {
        return yield* new DatasetError({
          reason: "SequenceTooLong",
          file,
          line,
          description:
            `takes ${example.tokens.length} tokens, and ${options.maxTokens} are allowed. Shorten or split it.`
        })
      }
      data.push(RoleRenderer.toDatum(example))
    }
    return data
  })

/**
 * How data become batches:
 *
 * - `batchSize`: data in a batch. More than there are make a batch of all
 * - `epochs`: how often each datum is seen, 1 by default
 * - `steps`: how many batches, instead of `epochs`; as many epochs are begun as it takes
 * - `seed`: decides the order within each epoch, 0 by default
 *
 * @since 0.1.0
 * @category models
 */
export interface BatchesOptions {
  readonly batchSize: number
  readonly epochs?: number | undefined
  readonly steps?: number | undefined
  readonly seed?: number | undefined
}

/**
 * Batches of the conversations in `file`, which is read and checked whole before the first.
 *
 * @since 0.1.0
 * @category constructors
 */
export const batchesFromFile = (
  file: string,
  options: BatchesOptions & { readonly maxTokens?: number | undefined }
): Stream.Stream<Batch, DatasetError, Tokenizer.Tokenizer | FileSystem.FileSystem> =>
  ChatDataset.read(file).pipe(
    Effect.flatMap((chats) => dataFromChats(chats, options)),
    Effect.map((data) => batches(data, options)),
    Stream.unwrap
  )

/**
 * Batches of `data`. Each epoch has an order of its own. Batches are full: what is left over at the end of an epoch has
 * its turn in another.
 *
 * @since 0.1.0
 * @category constructors
 */
export const batches = (data: ReadonlyArray<Datum>, options: BatchesOptions): Stream.Stream<Batch> => {
  const size = Math.max(1, Math.min(options.batchSize, data.length))
  const perEpoch = Math.floor(data.length / size)
  if (perEpoch === 0) return Stream.empty
  const totalSteps = options.steps ?? perEpoch * (options.epochs ?? 1)
  return Stream.iterate(0, (epoch) => epoch + 1).pipe(
    Stream.mapConcat((epoch) => {
      const order = shuffled(data, [options.seed ?? 0, epoch])
      return Array.from({ length: perEpoch }, (_, i): Batch => ({
        data: order.slice(i * size, (i + 1) * size),
        step: epoch * perEpoch + i,
        totalSteps,
        epoch
      }))
    }),
    Stream.take(totalSteps)
  )
}

/**
 * @since 0.1.0
 * @category models
 */
export interface StepsOptions {
  /** The optimizer's settings; its learning rate is the highest one. Default: those of `AdamParams`. */
  readonly adamParams?: AdamParams.AdamParams | undefined
  /** Default `LearningRateSchedule.linear`. */
  readonly schedule?: LearningRateSchedule.LearningRateSchedule | undefined
  /** Saves the state after every `every` steps, and after the last, under `name(steps)`, by default `step-000040`. */
  readonly checkpoint?:
    | { readonly every: number; readonly name?: ((steps: number) => string) | undefined }
    | undefined
}

/**
 * Trains on each batch in turn: gradients of the cross entropy, then one Adam step. The requests of a step are submitted
 * before the step ahead of it is awaited, so the server never waits for this program, and no more are under way than
 * those of two steps. A checkpoint is submitted right after the update it belongs to, so it never holds a later one.
 *
 * @since 0.1.0
 * @category combinators
 */
export const steps =
  (training: TrainingClient.Service, options: StepsOptions = {}) =>
  <E, R>(batches: Stream.Stream<Batch, E, R>): Stream.Stream<Step, E | TinkerError, R> =>
    Stream.unwrap(Effect.map(Clock.currentTimeMillis, (startedAt) =>
      batches.pipe(
        Stream.mapEffect((batch) => submit(training, batch, options)),
        Stream.map(Option.some),
        Stream.concat(Stream.succeed(Option.none<Submitted>())),
        // Pulling an element submits its step; only then is the one before awaited.
        Stream.mapAccumEffect(
          { ahead: Option.none<Submitted>(), doneAt: startedAt },
          ({ ahead, doneAt }, submitted) =>
            Option.match(ahead, {
              onNone: () => Effect.succeed([{ ahead: submitted, doneAt }, Option.none<Step>()] as const),
              onSome: Effect.fnUntraced(function*(ahead) {
                const finished = yield* finish(ahead)
                const now = yield* Clock.currentTimeMillis
                const tokensPerSecond = now > doneAt ? (1000 * finished.tokens) / (now - doneAt) : 0
                return [{ ahead: submitted, doneAt: now }, Option.some({ ...finished, tokensPerSecond })] as const
              })
            })
        ),
        Stream.filterMap((step) => step)
      )))

/**
 * Loss over `data` in nats a target token, without touching gradients: with a fresh model that of the base. The requests
 * of `batchSize` data each, 64 by default, are made one after another.
 *
 * @since 0.1.0
 * @category combinators
 */
export const evaluate = (
  training: TrainingClient.Service,
  data: ReadonlyArray<Datum>,
  options: { readonly batchSize?: number | undefined } = {}
): Effect.Effect<Nll, TinkerError> =>
  Stream.fromIterable(data).pipe(
    Stream.grouped(options.batchSize ?? 64),
    Stream.mapEffect((group) => {
      const data = Chunk.toReadonlyArray(group)
      return training.forward({ data, lossFn: "cross_entropy" }).pipe(
        Effect.flatMap((future) => future.await),
        Effect.map((output) => meanNll(data, output))
      )
    }),
    Stream.runFold({ nllPerToken: NaN, weight: 0 }, combine)
  )

const combine = (a: Nll, b: Nll): Nll => {
  if (a.weight === 0) return b
  if (b.weight === 0) return a
  const weight = a.weight + b.weight
  return { nllPerToken: (a.nllPerToken * a.weight + b.nllPerToken * b.weight) / weight, weight }
}

interface Submitted {
  readonly batch: Batch
  readonly learningRate: number
  readonly gradients: ApiFuture.ApiFuture<Parameters<typeof meanNll>[1]>
  readonly update: ApiFuture.ApiFuture<{ readonly metrics?: Readonly<Record<string, number>> | undefined }>
  readonly saving: ApiFuture.ApiFuture<{ readonly path: string }> | undefined
}

const submit = Effect.fnUntraced(function*(training: TrainingClient.Service, batch: Batch, options: StepsOptions) {
  const schedule = options.schedule ?? LearningRateSchedule.linear
  const params = options.adamParams ?? AdamParams.make()
  const learningRate = params.learningRate * schedule(batch.step, batch.totalSteps)
  const gradients = yield* training.forwardBackward({ data: batch.data, lossFn: "cross_entropy" })
  const update = yield* training.optimStep(AdamParams.make({ ...params, learningRate }))

  const done = batch.step + 1
  const isDue = options.checkpoint !== undefined
    && (done % options.checkpoint.every === 0 || done === batch.totalSteps)
  const name = options.checkpoint?.name ?? defaultName
  const saving = isDue ? yield* training.saveState({ name: name(done) }) : undefined
  return { batch, learningRate, gradients, update, saving } satisfies Submitted
})

const finish = Effect.fnUntraced(function*({ batch, gradients, learningRate, saving, update }: Submitted) {
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

const defaultName = (steps: number): string => `step-${String(steps).padStart(6, "0")}`
