/**
 * A run that resumes: what is trained, where its checkpoints are, and where in the data it goes on, kept in a
 * `KeyValueStore`, e.g. `KeyValueStore.layerFileSystem` of the platform.
 *
 * A position is written only together with the checkpoint that was saved at it, and after it. So whenever the process
 * dies, the next one takes the last checkpoint and the batch behind it: in the model's history no batch is trained twice and
 * none is skipped. Steps done after that checkpoint died with the model that they trained.
 */
import {
  failOnIssues,
  invalidInput,
  type InvalidInputError,
  type TinkerError
} from "@effect-tinker/protocol/TinkerError"
import * as KeyValueStore from "@effect/platform/KeyValueStore"
import * as ServiceClient from "effect-tinker/ServiceClient"
import type * as TrainingClient from "effect-tinker/TrainingClient"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { ArrayFormatter } from "effect/ParseResult"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { isOfOneKind } from "./internal/fingerprint.js"
import * as Given from "./internal/given.js"
import * as JournalLock from "./internal/journalLock.js"
import * as JournalStore from "./internal/journalStore.js"
import { missing } from "./internal/missing.js"
import { RunJournalError } from "./RunJournalError.js"

/**
 * A run under way, begun or gone on with.
 *
 * @since 0.1.0
 * @category models
 */
export interface RunJournal<S extends JournaledStep> {
  /** New, or as it was at {@link RunJournal.position}, optimizer included. */
  readonly training: TrainingClient.Service
  /** How many steps were done when this process took over; 0 for a new run. */
  readonly position: number
  /**
   * Leaves out batches that are trained. They must come as they did before: same data, same order, as many. Where batches
   * tell the fingerprint of their data and how they are drawn, others fail with `DifferentRun`, unless
   * {@link Options.allowOtherData} or {@link Options.allowOtherBatching} is set. What are no batches is an `InvalidInputError`.
   */
  readonly remaining: <B extends JournaledBatch, E, R>(
    batches: Stream.Stream<B, E, R>
  ) => Stream.Stream<B, E | RunJournalError | InvalidInputError, R>
  /**
   * Writes steps down as they pass. One with a checkpoint is handed on when the journal holds it. One that {@link Options.step}
   * cannot write down and read back is an `InvalidInputError`.
   */
  readonly recorded: <E, R>(
    steps: Stream.Stream<S, E, R>
  ) => Stream.Stream<S, E | RunJournalError | InvalidInputError, R>
  /** All steps up to the last checkpoint, of this process and those before it. */
  readonly history: Effect.Effect<ReadonlyArray<S>, RunJournalError>
}

/**
 * What a journal asks of batches. Those of `Supervised` tell all of it.
 *
 * @since 0.1.0
 * @category models
 */
export interface JournaledBatch {
  /** The number of the step, from 0. */
  readonly step: number
  /** The same for the same data in the same order, and another for others. */
  readonly fingerprint?: string | undefined
  /** What decides which data each batch has, and how many there are. */
  readonly batching?: Readonly<Record<string, number>> | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface JournaledStep {
  /** The number of the step, from 0. */
  readonly step: number
  /** Where the state right after this step was saved, if it was. */
  readonly checkpoint: string | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Options<S extends JournaledStep, I, R> {
  /** Names the run in the store. */
  readonly name: string
  /** What is kept of a step, e.g. `Supervised.Step`. */
  readonly step: Schema.Schema<S, I>
  /** The model of a new run. */
  readonly create: Effect.Effect<TrainingClient.Service, TinkerError, R>
  /** What must not change between processes, e.g. the base model and the learning rate. A run with others is refused. */
  readonly settings?: Readonly<Record<string, string | number | boolean>> | undefined
  /** True: goes on with other data than the run began with, and says so in a warning. Default false: they are refused. */
  readonly allowOtherData?: boolean | undefined
  /**
   * True: goes on with batches of another size, seed or number than the run began with, and says so in a warning. Default
   * false: they are refused.
   */
  readonly allowOtherBatching?: boolean | undefined
  /** After so long without a sign of its owner a journal may be taken over; starting after a crash takes as long. */
  readonly lease?: Duration.DurationInput | undefined
}

const optionFields: Given.Fields = {
  name: Given.text,
  step: Given.must(Schema.isSchema, "a Schema, e.g. Supervised.Step"),
  create: Given.must(Effect.isEffect, "an Effect that makes a training client"),
  // A number that JSON cannot hold would make a journal that nobody can read.
  settings: Given.optional(Given.record(Given.must(
    (value) => typeof value === "string" || typeof value === "boolean" || Number.isFinite(value),
    "a text, a finite number, true or false"
  ))),
  allowOtherData: Given.optional(Given.flag),
  allowOtherBatching: Given.optional(Given.flag),
  lease: Given.optional(Given.must(
    (value) =>
      Option.exists(
        Duration.decodeUnknown(value),
        (lease) => Duration.isFinite(lease) && Duration.toMillis(lease) > 0
      ),
    "a duration longer than zero, such as \"15 seconds\""
  ))
} satisfies Record<keyof Options<JournaledStep, never, never>, Given.Check>

/**
 * Takes the journal and makes its model: from the newest checkpoint that the server still has, or with `create`.
 *
 * Fails with `InUse` when another process is at it; waits for the `lease` (15 seconds) when one may have died.
 *
 * @since 0.1.0
 * @category constructors
 */
export const open = <S extends JournaledStep, I, R>(
  options: Options<S, I, R>
): Effect.Effect<
  RunJournal<S>,
  RunJournalError | TinkerError,
  KeyValueStore.KeyValueStore | ServiceClient.ServiceClient | Scope.Scope | R
> =>
  Effect.gen(function*() {
    yield* failOnIssues(openName, Given.options(optionFields)(options, "options"))
    const { name, settings = {} } = options
    const store = JournalStore.make(yield* KeyValueStore.KeyValueStore, name)
    const service = yield* ServiceClient.ServiceClient
    const checkOwner = yield* JournalLock.acquire(store, name, Duration.decode(options.lease ?? "15 seconds"))

    const write = (key: string, text: string) => Effect.zipRight(checkOwner, store.write(key, text))
    const stepJson = Schema.parseJson(options.step)

    let head = yield* readHead(store, name)
    if (head === undefined) head = yield* writeHead(write, { revision: 0, settings, checkpoints: [] })
    else yield* checkSettings(name, head.settings, settings)

    const { checkpoints, training } = yield* restore(service, name, head.checkpoints, options.create)
    let last: Head = { ...head, checkpoints }
    let unsaved: Array<string> = []
    let checked: Omit<JournaledBatch, "step"> | undefined

    /** What cannot be read back would make a journal that nobody can read. */
    const encode = (step: S): Effect.Effect<string, InvalidInputError> =>
      Schema.encode(stepJson)(step).pipe(
        Effect.tap((text) => Schema.decode(stepJson)(text)),
        Effect.mapError((error) => {
          const path = ArrayFormatter.formatErrorSync(error)[0]?.path ?? []
          return invalidInput(recordedName, [{
            field: ["step", ...path.map(String)].join("."),
            description:
              "cannot be written down by the schema of options.step and read back. Change the one or the other."
          }])
        })
      )

    const record = (step: S): Effect.Effect<void, RunJournalError | InvalidInputError> =>
      Effect.gen(function*() {
        unsaved.push(yield* encode(step))
        if (step.checkpoint === undefined) return
        yield* write(recordKey(last.checkpoints.length), `[${unsaved.join(",")}]`)
        last = yield* writeHead(write, {
          revision: last.revision + 1,
          settings: last.settings,
          data: last.data,
          batching: last.batching,
          checkpoints: [...last.checkpoints, { steps: step.step + 1, path: step.checkpoint }]
        })
        unsaved = []
      })

    /** What is trained before the first checkpoint is lost with its process, so this is kept with that. */
    const checkBatch = ({ batching, fingerprint }: JournaledBatch): Effect.Effect<void, RunJournalError> =>
      Effect.suspend(() => {
        if (
          checked !== undefined && checked.fingerprint === fingerprint && checked.batching === batching
        ) return Effect.void
        checked = { fingerprint, batching }
        const { batching: keptBatching, checkpoints } = last
        // One of another kind says nothing.
        const data = isOfOneKind(last.data, fingerprint) ? last.data : undefined
        return Effect.gen(function*() {
          if (data !== undefined && fingerprint !== undefined && data !== fingerprint) {
            if (options.allowOtherData !== true) return yield* otherData(name)
            yield* Effect.logWarning(`journal ${name}: the run goes on with other data than it began with.`)
          }
          const different = keptBatching === undefined || batching === undefined
            ? ""
            : told(differences(keptBatching, batching))
          if (different !== "") {
            if (options.allowOtherBatching !== true) return yield* otherBatching(name, different)
            yield* Effect.logWarning(
              `journal ${name}: the run goes on with other batches than it began with: ${different}.`
            )
          }
          const untold = missing(fingerprint, data, batching, keptBatching)
          if (untold !== "") {
            yield* Effect.logWarning(`journal ${name}: the batches do not tell ${untold}, so it cannot be checked.`)
          }
          const kind = last.data === undefined || data !== undefined
            ? ""
            : " that can be compared with the one of these batches"
          last = { ...last, data: fingerprint ?? data, batching: batching ?? keptBatching }
          const unknown = checkpoints.length === 0 ? "" : missing(data, fingerprint, keptBatching, batching, kind)
          if (unknown !== "") {
            yield* Effect.logWarning(
              `journal ${name}: it was written without ${unknown}, so whether that is as it was cannot be checked. `
                + "From now on it is."
            )
            last = yield* writeHead(write, { ...last, revision: last.revision + 1 })
          }
        })
      })

    const position = checkpoints.at(-1)?.steps ?? 0
    return {
      training,
      position,
      remaining: (batches) =>
        checkedStream("RunJournal.remaining", "batches", batches, batchCheck).pipe(
          Stream.tap(checkBatch),
          Stream.filter(({ step }) => step >= position)
        ),
      recorded: (steps) => Stream.tap(checkedStream(recordedName, "steps", steps, stepCheck), record),
      history: Effect.suspend(() =>
        Effect.forEach(last.checkpoints, ({ steps }, index) =>
          Effect.flatMap(readRecord(store, index, steps), (stored) =>
            stored._tag === "Whole"
              ? JournalStore.decode(name, `its record of step ${steps}`, Schema.Array(options.step))(stored.text)
              : JournalStore.unreadable(name, `its record of step ${steps}`, undefined, withoutHistory)))
      ).pipe(Effect.map((parts) =>
        parts.flat()
      ))
    }
  })

const withoutHistory =
  "Its checkpoints and weights are whole and can be trained on; for the history put back a copy of the journal."

const recordedName = "RunJournal.recorded"

const checkedStream = <A, E, R>(
  operation: string,
  field: string,
  stream: Stream.Stream<A, E, R>,
  [name, check]: readonly [name: string, check: Given.Check]
): Stream.Stream<A, E | InvalidInputError, R> =>
  Stream.unwrap(Effect.map(
    failOnIssues(operation, Given.stream(stream, field)),
    () => Stream.tap(stream, (value) => failOnIssues(operation, check(value, name)))
  ))

const batchCheck = [
  "batch",
  Given.having({
    step: Given.place,
    fingerprint: Given.optional(Given.text),
    batching: Given.optional(Given.record(Given.must(Number.isFinite, "a finite number")))
  }, "a batch, as Supervised.batches gives them")
] as const

const stepCheck = [
  "step",
  Given.having({ step: Given.place, checkpoint: Given.optional(Given.text) }, "a step, as Supervised.steps gives them")
] as const

const Settings = Schema.Record({
  key: Schema.String,
  value: Schema.Union(Schema.String, Schema.Number, Schema.Boolean)
})

/** Where the run stands. */
const Head = Schema.Struct({
  /** Counts writes. */
  revision: Schema.Int,
  settings: Settings,
  /** The fingerprint of what is trained on, where batches tell it. */
  data: Schema.optional(Schema.String),
  /** How its batches are drawn, where they tell it. */
  batching: Schema.optional(Schema.Record({ key: Schema.String, value: Schema.Number })),
  checkpoints: Schema.Array(Schema.Struct({ steps: Schema.Int, path: Schema.String }))
})

type Head = typeof Head.Type

/** Written in turn: while one is half written, the other is whole. */
const slots = ["head.0", "head.1"] as const

const headName = "its record of where the run stands"

/**
 * The key of the record of the steps up to the checkpoint at this place among all. One follows the other, so that they are found without a
 * head.
 */
const recordKey = (index: number): string => `record.${String(index).padStart(6, "0")}`

/** Older versions named it for how many steps were done. */
const readRecord = (store: JournalStore.JournalStore, index: number, steps: number) =>
  Effect.flatMap(
    store.read(recordKey(index)),
    (stored) =>
      stored._tag === "Absent" ? store.read(`steps.${String(steps).padStart(6, "0")}`) : Effect.succeed(stored)
  )

/**
 * What there is from the first checkpoint on, so that a journal that has lost its heads is not taken for a new one: its first
 * records, and the mark that older versions made.
 */
const traces: ReadonlyArray<string> = [...Array.from({ length: 10 }, (_, index) => recordKey(index)), "begun"]

const writeHead = (
  write: (key: string, text: string) => Effect.Effect<void, RunJournalError>,
  head: Head
): Effect.Effect<Head, RunJournalError> =>
  Effect.as(write(slots[head.revision % 2 === 0 ? 0 : 1], JSON.stringify(Schema.encodeSync(Head)(head))), head)

const readHead = (
  store: JournalStore.JournalStore,
  journal: string
): Effect.Effect<Head | undefined, RunJournalError> =>
  Effect.gen(function*() {
    const stored = yield* Effect.forEach(slots, store.read)
    const heads = yield* Effect.forEach(
      stored.filter((one) => one._tag === "Whole"),
      ({ text }) => JournalStore.decode(journal, headName, Head)(text)
    )
    if (heads.length > 0) return heads.reduce((a, b) => b.revision > a.revision ? b : a)
    const found = yield* Effect.forEach(traces, store.read)
    // Half a first write is no journal yet.
    if ([stored[1]!, ...found].every(({ _tag }) => _tag === "Absent")) return undefined
    return yield* JournalStore.unreadable(journal, headName)
  })

/** What a value has that another has not, or has otherwise: names with both. */
const differences = <A>(
  kept: Readonly<Record<string, A>>,
  given: Readonly<Record<string, A>>
): ReadonlyArray<{ readonly name: string; readonly before: A | undefined; readonly now: A | undefined }> =>
  Array.from(new Set([...Object.keys(kept), ...Object.keys(given)]))
    .filter((name) => kept[name] !== given[name])
    .map((name) => ({ name, before: kept[name], now: given[name] }))

const told = (all: ReturnType<typeof differences>): string =>
  all.map(({ before, name, now }) => `${name} (${String(before)} before, ${String(now)} now)`).join(", ")

const checkSettings = (
  journal: string,
  kept: Head["settings"],
  given: Head["settings"]
): Effect.Effect<void, RunJournalError> => {
  const different = differences(kept, given)
  return different.length === 0 ? Effect.void : new RunJournalError({
    reason: "DifferentRun",
    journal,
    description: `it is of a run with other settings: ${told(different)}.`,
    advice: "Set them as they were, or give this run another name.",
    differences: different
  })
}

const otherData = (journal: string) =>
  new RunJournalError({
    reason: "DifferentRun",
    journal,
    description:
      "it is of a run on other data: since then lines were changed, moved, added or removed, or they are written "
      + "by another renderer or tokenizer.",
    advice: "Train on what it was, give this run another name, or set allowOtherData."
  })

const otherBatching = (journal: string, different: string) =>
  new RunJournalError({
    reason: "DifferentRun",
    journal,
    description: `it is of a run with other batches: ${different}.`,
    advice: "Draw them as it did, give this run another name, or set allowOtherBatching."
  })

/** Checkpoints may have expired: an older one is better than none, and none is not passed off as a new run. */
const restore = Effect.fnUntraced(function*<R>(
  service: ServiceClient.Service,
  journal: string,
  checkpoints: Head["checkpoints"],
  create: Effect.Effect<TrainingClient.Service, TinkerError, R>
) {
  let firstRefusal: TinkerError | undefined
  for (let count = checkpoints.length; count > 0; count--) {
    const { path, steps } = checkpoints[count - 1]!
    const made = yield* service.createTrainingClientFromStateWithOptimizer(path).pipe(
      Effect.map((training) => ({ training })),
      Effect.catchIf(isGone, (error) => Effect.succeed({ error }))
    )
    if ("training" in made) return { checkpoints: checkpoints.slice(0, count), training: made.training }
    firstRefusal ??= made.error
    yield* Effect.logWarning(`journal ${journal}: the checkpoint of step ${steps} is gone: ${made.error.message}`)
  }
  if (firstRefusal !== undefined) {
    return yield* new RunJournalError({
      reason: "CheckpointsGone",
      journal,
      description: "the server has none of its checkpoints any more.",
      advice: "Remove the journal to begin anew.",
      cause: firstRefusal
    })
  }
  const training = yield* create
  yield* failOnIssues(
    openName,
    Given.client("forwardBackward", "optimStep", "saveState")(training, "create").map(({ field }) => ({
      field,
      description: "gave no training client; pass what createLoraTrainingClient of a ServiceClient gives."
    }))
  )
  return { checkpoints: [], training }
})

const openName = "RunJournal.open"

const isGone = (error: TinkerError): boolean =>
  error._tag === "ApiStatusError"
    ? error.isForeign !== true && (error.reason === "NotFound" || error.reason === "Expired")
    : error._tag === "RequestFailedError" && error.category === "user"
