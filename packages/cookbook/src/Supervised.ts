/**
 * Supervised fine-tuning: files become a `Stream` of batches, batches a `Stream` of training steps. Who runs the last
 * one decides what to do with each step: print it, stop early, evaluate.
 */
import * as AdamParams from "@effect-tinker/protocol/AdamParams"
import type { Datum } from "@effect-tinker/protocol/Datum"
import { failOnIssues, type InvalidInputError, type Issue, type TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as Tokenizer from "@effect-tinker/tokenizer/Tokenizer"
import type * as FileSystem from "@effect/platform/FileSystem"
import type * as TrainingClient from "effect-tinker/TrainingClient"
import * as Chunk from "effect/Chunk"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as ChatDataset from "./ChatDataset.js"
import { type ChatFile, chatFile } from "./ChatFile.js"
import type { DatasetError } from "./DatasetError.js"
import { chatLessons, fingerprintOfChats } from "./internal/chatLessons.js"
import { countCharacters } from "./internal/countCharacters.js"
import { drawn } from "./internal/draws.js"
import { datumOf } from "./internal/example.js"
import { fingerprint as fingerprintOf } from "./internal/fingerprint.js"
import { gatherAll } from "./internal/gather.js"
import * as Given from "./internal/given.js"
import { isForTests, type MarkedIssue, markIssue } from "./internal/marks.js"
import { combine, meanNll, type Nll } from "./internal/meanNll.js"
import { messagesIssue } from "./internal/messagesIssue.js"
import { openChatFile } from "./internal/openChatFile.js"
import { finish, isDue, submit, type SubmittedStep } from "./internal/submittedStep.js"
import type * as LearningRateSchedule from "./LearningRateSchedule.js"
import * as RoleRenderer from "./RoleRenderer.js"

/**
 * What one step trains on, and where it stands in the run.
 *
 * @since 0.1.0
 * @category models
 */
export interface Batch {
  readonly data: ReadonlyArray<Datum>
  /** The mark of all that the run learns from, in its order. `RunJournal` compares it. That of a file is another than that of its data. */
  readonly fingerprint?: string | undefined
  /** What decides which data each batch of the run has, and how many there are: `batchSize`, `seed`, `steps`. For `RunJournal`. */
  readonly batching?: Readonly<Record<string, number>> | undefined
  /** The number of the step, from 0. */
  readonly step: number
  readonly totalSteps: number
  /** The number of the epoch, from 0. */
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
  /** The number of the step, from 0. */
  step: Schema.Int,
  totalSteps: Schema.Int,
  /** The number of the epoch, from 0. */
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
 * The conversations of `file`, to train on, without a tokenizer: every line that cannot be learned, whatever the tokenizer, is told
 * of at once, in one `DatasetError`. Beside what `ChatDataset.read` refuses these are lines that a renderer of plain text refuses, that
 * ask for what is not honoured (tools, a weight of their own), and that say they are for tests (`"split": "test"`) or to be left out.
 * What is held is where each conversation stands in the file, about 24 bytes.
 *
 * @since 0.1.0
 * @category constructors
 */
export const chatsFromFile = (
  file: string,
  options: ChatDataset.Options = {}
): Effect.Effect<ChatFile, DatasetError | InvalidInputError, FileSystem.FileSystem> =>
  openChatFile("Supervised.chatsFromFile", file, options, trainingIssue)

/** What keeps any tokenizer from learning a line as it stands. */
const trainingIssue = ({ messages, metadata }: Pick<ChatDataset.Chat, "messages" | "metadata">) =>
  markIssue(metadata, { isTest: false }) ?? messagesIssue(messages)

/**
 * How many characters are turned into tokens.
 *
 * @since 0.1.0
 * @category models
 */
export interface DataProgress {
  readonly characters: number
  readonly totalCharacters: number
}

/**
 * Conversations as data of cross entropy, in order. What is learned are the assistant's words, as {@link RoleRenderer} writes
 * them; those of an example weigh 1 together.
 *
 * A conversation of more than `maxTokens` fails with `SequenceTooLong`; without it nothing is too long. One that the
 * renderer refuses, or whose line asks for what is not honoured (tools, a weight of its own), fails with the reason, and so
 * does one that says it is for tests (`"split": "test"`) among others that do not. Up to a hundred such are told of at once.
 *
 * `onProgress` is told before about every quarter of a million characters.
 *
 * @since 0.1.0
 * @category constructors
 */
export const dataFromChats = (
  chats: ReadonlyArray<ChatDataset.Chat>,
  options: {
    readonly maxTokens?: number | undefined
    readonly onProgress?: ((progress: DataProgress) => Effect.Effect<void>) | undefined
  } = {}
): Effect.Effect<ReadonlyArray<Datum>, DatasetError | InvalidInputError, Tokenizer.Tokenizer> =>
  Effect.gen(function*() {
    yield* failOnIssues("Supervised.dataFromChats", [
      ...Given.chats(chats, "chats"),
      ...Given.options({ maxTokens: Given.optional(Given.count), onProgress: Given.optional(Given.func) })(
        options,
        "options"
      )
    ])
    const makeDatum = datumOf(yield* RoleRenderer.make, options.maxTokens)
    // Where all of them are, they are no training data.
    const isTest = chats.every(({ metadata }) => isForTests(metadata))
    return yield* gatherAll(
      Stream.map(countCharacters("Supervised.dataFromChats", chats, options.onProgress), (chat) => {
        const issue = markIssue(chat.metadata, { isTest })
        return inPlace(chat, issue === undefined ? makeDatum(chat.messages) : Either.left(issue))
      })
    )
  })

/** Names the place of the conversation that something is wrong with. */
const inPlace = <A>(
  { file, line }: ChatDataset.Chat,
  made: Either.Either<A, MarkedIssue>
): Either.Either<A, MarkedIssue> => Either.mapLeft(made, (issue) => ({ ...issue, file, line }))

/**
 * How data become batches:
 *
 * - `batchSize`: data in a batch. The last batch of an epoch has those that are left, which may be fewer
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
 * Batches of the conversations in `file`, which may be of any size: it is checked whole by {@link chatsFromFile}, then what the
 * steps need by {@link batchesFromChatFile}, and held is what these hold. `onProgress` is told of both, one after the other.
 *
 * @since 0.1.0
 * @category constructors
 */
export const batchesFromFile = (
  file: string,
  options: BatchesOptions & ChatDataset.Options & { readonly maxTokens?: number | undefined }
): Stream.Stream<Batch, DatasetError | InvalidInputError, Tokenizer.Tokenizer | FileSystem.FileSystem> =>
  Stream.unwrap(Effect.gen(function*() {
    const operation = "Supervised.batchesFromFile"
    yield* failOnIssues(operation, [
      ...Given.path(file, "file"),
      ...batchesIssues(options, { maxTokens: Given.optional(Given.count), ...ChatDataset.optionFields })
    ])
    const { ignoredKeys, ...batching } = options
    const { onProgress } = options
    const chats = yield* openChatFile(operation, file, { ignoredKeys, onProgress }, trainingIssue)
    return yield* batchesFromChatFile(chats, batching)
  }))

/**
 * Batches of conversations that stay in their file. All that the steps need, and no more, are turned into tokens before this
 * succeeds, so what the tokenizer cannot give back, or takes more than `maxTokens`, is told of at once. Some 60 MB of data are held;
 * what is more is read again when its batch comes, and that fails with `Unreadable` where it was changed meanwhile.
 *
 * Each epoch has every conversation once, in the same order as {@link batches} of all their data. Their fingerprint is of what the
 * conversations say, and of the tokens of a few.
 *
 * @since 0.1.0
 * @category constructors
 */
export const batchesFromChatFile = (
  chats: ChatFile,
  options: BatchesOptions & {
    readonly maxTokens?: number | undefined
    readonly onProgress?: ((progress: ChatDataset.Progress) => Effect.Effect<void>) | undefined
  }
): Effect.Effect<
  Stream.Stream<Batch, DatasetError | InvalidInputError>,
  DatasetError | InvalidInputError,
  Tokenizer.Tokenizer
> =>
  Effect.gen(function*() {
    yield* failOnIssues("Supervised.batchesFromChatFile", [
      ...chatFile(chats, "chats"),
      ...batchesIssues(options, { maxTokens: Given.optional(Given.count), onProgress: Given.optional(Given.func) })
    ])
    const { batchSize, epochs, maxTokens, onProgress, seed, steps } = options
    const renderer = yield* RoleRenderer.make
    const lessons = chatLessons(chats, datumOf(renderer, maxTokens))
    const { draws, needed } = drawn(chats.length, { batchSize, epochs, steps, seed })
    yield* lessons.check(needed(), onProgress)
    const fingerprint = yield* fingerprintOfChats(chats, renderer)
    return Stream.mapEffect(draws, ({ places, ...draw }) =>
      Effect.map(lessons.read(places), (data): Batch => ({ data, fingerprint, ...draw })))
  })

/**
 * Batches of `data`: each epoch has every datum once, in an order of its own. An epoch takes `data.length / batchSize` steps,
 * rounded up. Options that make no sense, no data, and a datum whose weights are all 0, which has nothing to learn, are an
 * `InvalidInputError`.
 *
 * Each datum counts the same in the gradient, which is a sum over the batch, so that of a smaller last batch is smaller. The
 * loss that a step reports is a mean.
 *
 * @since 0.1.0
 * @category constructors
 */
export const batches = (
  data: ReadonlyArray<Datum>,
  options: BatchesOptions
): Stream.Stream<Batch, InvalidInputError> =>
  Stream.unwrap(Effect.gen(function*() {
    yield* failOnIssues("Supervised.batches", [...Given.data(data, "data"), ...batchesIssues(options)])
    yield* failOnIssues("Supervised.batches", Given.list(Given.learnsSomething, "data")(data, "data"))
    const fingerprint = fingerprintOf(data)
    return Stream.map(drawn(data.length, options).draws, ({ places, ...draw }): Batch => ({
      data: Array.from(places, (place) => data[place]!),
      fingerprint,
      ...draw
    }))
  }))

const batchesFields: Given.Fields = {
  batchSize: Given.count,
  epochs: Given.optional(Given.count),
  steps: Given.optional(Given.count),
  seed: Given.optional(Given.integer)
} satisfies Record<keyof BatchesOptions, Given.Check>

const batchesIssues = (options: BatchesOptions, others: Given.Fields = {}): ReadonlyArray<Issue> => {
  const issues = Given.options({ ...batchesFields, ...others })(options, "options")
  return Given.isObject(options) && options["steps"] !== undefined && options["epochs"] !== undefined
    ? [...issues, { field: "steps", description: "is given with epochs; give one of them." }]
    : issues
}

/**
 * @since 0.1.0
 * @category models
 */
export interface StepsOptions<A = never, E = never, R = never> {
  /** The optimizer's settings; its learning rate is the highest one. Default: those of `AdamParams`. */
  readonly adamParams?: AdamParams.AdamParams | undefined
  /** Default `LearningRateSchedule.linear`. */
  readonly schedule?: LearningRateSchedule.LearningRateSchedule | undefined
  /** Saves the state after every `every` steps, and after the last, under `name(steps)`, by default `step-000040`, with `userMetadata`. */
  readonly checkpoint?:
    | {
      readonly every: number
      readonly name?: ((steps: number) => string) | undefined
      readonly userMetadata?: Readonly<Record<string, string>> | undefined
    }
    | undefined
  /** Has `run` look at the model after every `every` steps, and after the last. Its result is the step's `evaluation`. */
  readonly evaluate?: Evaluation<A, E, R> | undefined
}

/**
 * `run` finds the weights that its step has left: the next step is submitted when it is done.
 *
 * @since 0.1.0
 * @category models
 */
export interface Evaluation<A, E = never, R = never> {
  readonly every: number
  readonly run: (training: TrainingClient.Service, step: Step) => Effect.Effect<A, E, R>
}

/**
 * A step that is done, and what its evaluation gave, if it was due.
 *
 * @since 0.1.0
 * @category models
 */
export interface EvaluatedStep<A> extends Step {
  readonly evaluation: A | undefined
}

/**
 * Trains on each batch in turn: gradients of the cross entropy, then one Adam step. The requests of a step are submitted
 * before the step ahead of it is awaited, so the server never waits for this program, and no more are under way than
 * those of two steps. A checkpoint is submitted right after the update it belongs to, so it never holds a later one.
 *
 * So whoever looks at the model while they handle a step sees the weights of the step after it: to look at those of each
 * step, pass `evaluate`.
 *
 * Options that make no sense are an `InvalidInputError`.
 *
 * @since 0.1.0
 * @category combinators
 */
export const steps =
  <A = never, E2 = never, R2 = never>(training: TrainingClient.Service, options: StepsOptions<A, E2, R2> = {}) =>
  <E, R>(batches: Stream.Stream<Batch, E, R>): Stream.Stream<EvaluatedStep<A>, E | E2 | TinkerError, R | R2> =>
    Stream.unwrap(Effect.gen(function*() {
      yield* failOnIssues(stepsName, [
        ...trainingClient(training, "training"),
        ...Given.stream(batches, "batches"),
        ...Given.options(stepsFields)(options, "options")
      ])
      const startedAt = yield* Clock.currentTimeMillis
      return batches.pipe(
        Stream.map(Option.some),
        Stream.concat(Stream.succeed(Option.none<Batch>())),
        // Pulling one more element submits its step, so none may be pulled before it is asked for.
        Stream.rechunk(1),
        Stream.mapAccumEffect(
          { ahead: Option.none<SubmittedStep>(), doneAt: startedAt },
          ({ ahead, doneAt }, batch) =>
            Effect.gen(function*() {
              const submitNext = Effect.transposeMapOption(
                batch,
                (batch) => submit(stepsName, training, batch, options)
              )
              if (Option.isNone(ahead)) {
                return [{ ahead: yield* submitNext, doneAt }, Option.none<EvaluatedStep<A>>()] as const
              }
              const { evaluate } = options
              const isEvaluated = evaluate !== undefined && isDue(evaluate.every, ahead.value.batch)
              // What is submitted before the evaluation is done would change what it sees.
              const early = isEvaluated ? Option.none<SubmittedStep>() : yield* submitNext
              const finished = yield* finish(ahead.value)
              const now = yield* Clock.currentTimeMillis
              const step = {
                ...finished,
                tokensPerSecond: now > doneAt ? (1000 * finished.tokens) / (now - doneAt) : 0
              }
              if (!isEvaluated) {
                return [{ ahead: early, doneAt: now }, Option.some({ ...step, evaluation: undefined })] as const
              }
              const run: Effect.Effect<A, E2, R2> = evaluate.run(training, step)
              yield* failOnIssues(stepsName, Given.resultCheck(Effect.isEffect, "an Effect")(run, "evaluate.run"))
              const evaluation = yield* run
              const evaluatedAt = yield* Clock.currentTimeMillis
              return [
                { ahead: yield* submitNext, doneAt: evaluatedAt },
                Option.some({ ...step, evaluation })
              ] as const
            })
        ),
        Stream.filterMap((step) => step)
      )
    }))

const stepsName = "Supervised.steps"

const trainingClient = Given.client("forward", "forwardBackward", "optimStep", "saveState")

const stepsFields: Given.Fields = {
  adamParams: Given.optional((value, field) =>
    Given.isObject(value)
      ? AdamParams.issues(AdamParams.make(value)).map((issue) => ({ ...issue, field: `${field}.${issue.field}` }))
      : Given.must(() => false, "what AdamParams.make gives")(value, field)
  ),
  schedule: Given.optional(Given.func),
  checkpoint: Given.optional(
    Given.object({
      every: Given.count,
      name: Given.optional(Given.func),
      userMetadata: Given.optional(Given.record(Given.anyText))
    })
  ),
  evaluate: Given.optional(Given.object({ every: Given.count, run: Given.func }))
} satisfies Record<keyof StepsOptions, Given.Check>

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
  Effect.gen(function*() {
    yield* failOnIssues("Supervised.evaluate", [
      ...trainingClient(training, "training"),
      ...Given.data(data, "data"),
      ...Given.options({ batchSize: Given.optional(Given.count) })(options, "options")
    ])
    return yield* Stream.fromIterable(data).pipe(
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
  })
