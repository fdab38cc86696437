/**
 * Training from the command line: fine-tunes a small language model, on this machine or at a service, and shows what it learned.
 */
import { DatasetError } from "@effect-tinker/cookbook/DatasetError"
import type { RunJournalError } from "@effect-tinker/cookbook/RunJournalError"
import * as ShippedModel from "@effect-tinker/llama/ShippedModel"
import {
  isPuzzling,
  isTinkerError,
  isUnanswered,
  isUserError,
  type SessionClosedError
} from "@effect-tinker/protocol/TinkerError"
import * as FileSystem from "@effect/platform/FileSystem"
import * as KeyValueStore from "@effect/platform/KeyValueStore"
import * as Path from "@effect/platform/Path"
import * as CheckpointDownload from "effect-tinker/CheckpointDownload"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as BaseModel from "./BaseModel.js"
import * as Display from "./Display.js"
import * as FineTune from "./FineTune.js"
import * as Lessons from "./Lessons.js"
import * as Local from "./Local.js"
import * as OutFolder from "./OutFolder.js"
import { ProgramNames } from "./ProgramNames.js"
import * as QuickstartOptions from "./QuickstartOptions.js"
import * as Remote from "./Remote.js"
import * as Report from "./Report.js"
import { RunFailure } from "./RunFailure.js"
import * as Stopping from "./Stopping.js"
import { UsageError } from "./UsageError.js"

/** The conversations to learn, of which nothing is known but that they are some. */
const readLessons = ({ data, ignoredKeys }: QuickstartOptions.QuickstartOptions) =>
  Effect.flatMap(Display.Display, (display) =>
    Lessons.read(data, {
      ignoredKeys,
      onProgress: ({ bytes, totalBytes }) =>
        display.progress({ what: `Reading ${data}`, millionUnit: "MB", done: bytes, total: totalBytes })
    }))

/** The conversations as the base model reads them. */
const encodeLessons = (conversations: Lessons.Conversations, { steps }: QuickstartOptions.QuickstartOptions) =>
  Effect.gen(function*() {
    const display = yield* Display.Display
    const base = yield* BaseModel.BaseModel
    yield* display.line(`Base model: ${base.description}`)
    const lessons = yield* Lessons.encode(conversations, {
      steps,
      batchSize: QuickstartOptions.defaults.batchSize,
      maxTokens: base.maxContextLength,
      onProgress: ({ bytes, totalBytes }) =>
        display.progress({ what: "Turning text into tokens", millionUnit: "MB", done: bytes, total: totalBytes })
    })
    const heldOut = conversations.heldOut.length
    const examined = lessons.heldOut.length
    yield* display.note(
      `Lessons: ${lessons.name} (${lessons.trainLength} to learn from, ${heldOut} held out${
        examined < heldOut ? `, of which it is examined on ${examined}` : ""
      })\n`
    )
    if (lessons.alsoLearned > 0) {
      yield* display.note(
        `${lessons.alsoLearned} of those it is examined on are learned too, so the held-out loss says little of what is new to the model; `
          + "give it more conversations, each of them once\n"
      )
    }
    return lessons
  })

/** Where a run writes to, and whether there was one before. */
interface Place {
  readonly out: string
  readonly hasEarlier: boolean
  /** Run when it is known that there is no checkpoint before this run. */
  readonly onBegin: Effect.Effect<void>
}

/**
 * What a run that has ended leaves. Losses are in nats a token of what was held out.
 *
 * @since 0.1.0
 * @category models
 */
export interface Summary {
  readonly baseModel: string
  readonly out: string
  readonly steps: number
  readonly seconds: number
  readonly lossBefore: number
  readonly lossAfter: number
  readonly checkpoint: string | undefined
  /** A PEFT folder, where it could be had. */
  readonly adapter: string | undefined
  readonly report: string
  /** How a program goes on from the checkpoint. */
  readonly advice: string
}

/** Trains, and leaves a report. */
const train = (options: QuickstartOptions.QuickstartOptions, lessons: Lessons.Lessons, place: Place) =>
  Effect.gen(function*() {
    const { out } = place
    const display = yield* Display.Display
    const path = yield* Path.Path
    const base = yield* BaseModel.BaseModel
    const startedAt = yield* Clock.currentTimeMillis
    const { batchSize } = QuickstartOptions.defaults
    const result = yield* FineTune.program({ ...options, batchSize, lessons, onBegin: place.onBegin }).pipe(
      Effect.provide(KeyValueStore.layerFileSystem(path.join(out, "journal"))),
      Effect.catchTags({
        RunJournalError: (error) => explainJournal(error, out),
        SessionClosedError: (error) => sayHowToGoOn(place, error, whySessionEnded(error))
      })
    )
    const seconds = Math.round(((yield* Clock.currentTimeMillis) - startedAt) / 1000)
    const [lossBefore, lossAfter] = [result.lossBefore.nllPerToken, result.lossAfter.nllPerToken]

    const report = path.join(out, "report.html")
    const facts = [
      ["Base model", base.description],
      ["Lessons", lessons.name],
      ["Held-out loss before and after, nats/token", lossWords({ lossBefore, lossAfter })],
      ["Steps", String(result.steps.length)],
      ["LoRA rank", String(options.rank)],
      ["Learning rate", String(options.learningRate)],
      ["Seconds", String(seconds)]
    ] as const
    yield* Effect.flatMap(FileSystem.FileSystem, (files) =>
      files.writeFileString(
        report,
        Report.html({
          title: `Fine-tuning ${base.name}`,
          facts,
          losses: result.steps.map((step) => step.nllPerToken),
          before: result.before,
          after: result.after
        })
      ))

    const kept = yield* display.kept
    const adapter = path.join(out, "adapter")
    const bringing = kept === undefined ? undefined : yield* bringAdapter(kept.path, adapter)
    return {
      baseModel: base.name,
      out,
      steps: result.steps.length,
      seconds,
      lossBefore,
      lossAfter,
      checkpoint: kept?.path,
      adapter: bringing,
      report,
      advice: `${yield* howToGoOn(
        options.where,
        out
      )}\n  service.createTrainingClientFromStateWithOptimizer("${kept?.path}")`
    } satisfies Summary
  }).pipe(Effect.catchAll((error) => error._tag === "RunFailure" ? Effect.fail(error) : sayHowToGoOn(place, error)))

const lossWords = ({ lossAfter, lossBefore }: Pick<Summary, "lossAfter" | "lossBefore">): string =>
  `${lossBefore.toFixed(3)} → ${lossAfter.toFixed(3)}`

/**
 * Shows what a run has left.
 *
 * @since 0.1.0
 * @category rendering
 */
export const tell = (summary: Summary): Effect.Effect<void, never, Display.Display> =>
  Effect.flatMap(Display.Display, ({ line }) =>
    Effect.forEach(
      [
        `Held-out loss: ${lossWords(summary)} nats/token, in ${summary.seconds} s\n`,
        `Checkpoint: ${summary.checkpoint ?? "none"}`,
        ...(summary.adapter === undefined ? [] : [`Adapter:    ${summary.adapter} (a PEFT folder)`]),
        `Report:     ${summary.report}`,
        `\n${summary.advice}`
      ],
      line,
      { discard: true }
    ))

/** Brings what was trained here, as others read it; a service that does not give it away ends nothing. */
const bringAdapter = (checkpoint: string, directory: string) =>
  Effect.gen(function*() {
    const display = yield* Display.Display
    yield* display.note("Bringing the adapter here …")
    const download = yield* CheckpointDownload.CheckpointDownload
    return yield* download.exportTrainingCheckpoint(checkpoint, { directory, overwrite: true }).pipe(
      CheckpointDownload.result,
      Effect.as<string | undefined>(directory),
      Effect.catchAll((error) =>
        Effect.as(display.note(`The adapter could not be brought here: ${error.message}`), undefined)
      )
    )
  })

/** What a journal advises is for programs. */
const explainJournal = (error: RunJournalError, out: string) => {
  const other = "pass another folder with --out"
  const advice = {
    InUse: `Wait for that run to end, or ${other}.`,
    DifferentRun: `Give the same options and data as it began with, or ${other}.`,
    CheckpointsGone: `To begin anew, ${other}.`,
    Unreadable: `Put back a copy of that folder, or ${other} to begin anew.`,
    Lost: "Start it again to go on from its last checkpoint.",
    StoreFailed: `Check that the folder is there and may be written to, or ${other}.`
  }[error.reason]
  return new RunFailure({
    description: `the run in ${out} cannot be gone on with: ${otherData(error) ?? error.description} ${advice}`,
    cause: error
  })
}

/** Says that it is the data that are others, where a journal counts what is said of them among the settings. */
const otherData = ({ differences = [] }: RunJournalError): string | undefined => {
  const { conversations: count, data: name, ...others } = Object.fromEntries(differences.map((one) => [one.name, one]))
  if (count === undefined && name === undefined) return undefined
  const data = (when: "before" | "now") =>
    [count && `${String(count[when])} conversations`, name?.[when]].filter((part) => part !== undefined).join(" of ")
  const settings = Object.values(others).map((one) =>
    `${one.name} (${String(one.before)} before, ${String(one.now)} now)`
  )
  return `it is of a run on other data: it learned from ${data("before")}, and now it would from ${data("now")}`
    + `${settings.length === 0 ? "" : `, and its settings were others too: ${settings.join(", ")}`}.`
}

/** What a session's end asks of a program is for programs too. */
const whySessionEnded = ({ reason }: SessionClosedError): string => {
  const why = {
    closed: "it was closed",
    finished: "somebody has ended it",
    expired: "the server did not hear of this program for too long",
    lost: "the server does not know it any more, or could not be reached"
  }[reason]
  return `the session at the server is over: ${why}.`
}

/** Why a run has ended, and behind it what is kept. */
const sayHowToGoOn = (place: Place, cause: { readonly message: string }, why?: string) =>
  Effect.gen(function*() {
    const kept = yield* Effect.flatMap(Display.Display, (display) => display.kept)
    const keepsAll = `A server that is started as ${
      (yield* ProgramNames).serve
    } --data FOLDER keeps models and checkpoints.`
    const isForgotten = Remote.isForgotten(cause)
    const isGone = kept !== undefined && (yield* Remote.isCheckpointGone(kept.path))
    const end = isGone
      ? `Stopped. The checkpoint of step ${kept.steps}, ${kept.path}, is not there any more either. ${keepsAll}\n`
        + "Then begin anew: the same command, with another folder for --out."
      : yield* whatIsKept(place, "Stopped", isForgotten ? undefined : condition(cause))
    const isKeptNowhere = isForgotten && kept === undefined ? ` ${keepsAll}` : ""
    const reason = why
      ?? (isForgotten
        ? "the server has forgotten the model, as it does when it is started anew and has kept it in memory alone."
        : yield* Remote.explain(cause))
    return yield* new RunFailure({ description: `${reason}\n${end}${isKeptNowhere}`, cause })
  })

/** What has to be first if the same is not to fail again, at the beginning of a sentence. */
const condition = (cause: unknown): string | undefined =>
  isToBeMended(cause)
    ? mended
    : isTinkerError(cause) && isUnanswered(cause)
    ? "Once the server runs and can be reached"
    : undefined

const mended = "Once that is mended"

/** Whether the same would fail again: what was asked for is wrong, or the key, or the address. */
const isToBeMended = (cause: unknown): boolean =>
  isTinkerError(cause)
  && (isUserError(cause) || isPuzzling(cause) || (cause._tag === "ApiConnectionError" && cause.isUntrusted === true))

const whatIsKept = ({ hasEarlier, out }: Place, stopped: string, condition?: string) =>
  Effect.map(Effect.flatMap(Display.Display, ({ kept }) => kept), (kept) => {
    const command = condition === undefined ? "The same command" : `${condition}, the same command`
    const again = `${command} with --out ${quoted(out)} goes on`
    return kept !== undefined
      ? `${stopped}. Kept: the checkpoint of step ${kept.steps}, ${kept.path}\n${again} from step ${kept.steps}.`
      : hasEarlier
      ? `${stopped}. The run in ${out} is as it was before.\n${again} with it.`
      : condition === mended
      ? "Nothing was kept. Mend that before you begin anew."
      : `${stopped} before there was a checkpoint; this run has kept nothing.\n${command} begins anew.`
  })

/**
 * The error of a file as people at a command line read it: keys that are in the way can be left out by an option.
 *
 * @since 0.1.0
 * @category errors
 */
export const explainData = (error: DatasetError, ignoredKeys: ReadonlyArray<string>) => {
  const keys = Array.from(new Set([error, ...error.others].flatMap(({ keys }) => keys ?? [])))
  if (keys.length === 0) return error
  const others = error.others.map((issue) => ({ ...issue, keys: undefined }))
  const { message } = new DatasetError({ ...error, keys: undefined, others })
  const these = `${keys.join(", ")} ${keys.length === 1 ? "is" : "are"}`
  return new UsageError({
    description: `${message} If ${these} of no account, pass --ignore-keys ${
      // Commas stand between them, and do not matter in them.
      quoted([...ignoredKeys, ...keys.map((key) => key.replaceAll(",", " "))].join(","))}.`,
    cause: error
  })
}

const howToGoOn = (where: QuickstartOptions.Where, out: string): Effect.Effect<string> => {
  if (where._tag === "Remote") {
    return Effect.map(
      Remote.address,
      (url) =>
        url === undefined ? "To go on from it:" : `To go on from it, in your program, with TINKER_BASE_URL=${url}:`
    )
  }
  const model = where.modelFolder === ShippedModel.folder ? "" : ` --model ${quoted(where.modelFolder)}`
  const data = quoted(checkpoints(out))
  return Effect.map(
    ProgramNames,
    ({ serve }) =>
      `To go on from it, start the server:\n  ${serve} --port 8787${model} --data ${data}\n`
      + "and in your program, with TINKER_BASE_URL=http://127.0.0.1:8787:"
  )
}

/** A path as a shell reads it, in quotes where it has to be. */
const quoted = (path: string): string => /^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`

const checkpoints = (out: string): string => `${out}/checkpoints`

const newFolder = Effect.map(
  DateTime.now,
  (now) => `runs/quickstart-${DateTime.formatIso(now).replace(/\D/g, "").slice(0, 14)}`
)

/** Nothing is written before it is known that there is something to learn, and that the model can read it. */
const trainInto = (options: QuickstartOptions.QuickstartOptions, place: Place) =>
  Effect.gen(function*() {
    const { where } = options
    const { out } = place
    const display = yield* Display.Display
    yield* OutFolder.check(out)
    const conversations = yield* readLessons(options)
    const prepared = Effect.gen(function*() {
      const lessons = yield* encodeLessons(conversations, options)
      yield* OutFolder.prepare(out)
      return lessons
    })
    if (where._tag === "Remote") {
      yield* display.note("Asking the service for its models …")
      return yield* Effect.flatMap(prepared, (lessons) => train(options, lessons, place)).pipe(
        Effect.provide(Remote.layer(where)),
        Effect.catchIf(isTinkerError, (error) => sayHowToGoOn(place, error))
      )
    }
    const { modelFolder } = where
    yield* display.note(`Loading ${modelFolder} …`)
    return yield* Effect.gen(function*() {
      const lessons = yield* prepared
      return yield* Effect.provide(
        train(options, lessons, place),
        Local.layer({ modelFolder, checkpointFolder: checkpoints(out) })
      )
    }).pipe(Effect.provide(Local.layerModel(modelFolder)))
  }).pipe(Effect.catchTag("DatasetError", (error) => Effect.fail(explainData(error, options.ignoredKeys))))

/**
 * Runs a training run to its end.
 *
 * @since 0.1.0
 * @category constructors
 */
export const run = (options: QuickstartOptions.QuickstartOptions) =>
  Effect.gen(function*() {
    const out = options.out ?? (yield* newFolder)
    const display = yield* Display.Display
    const path = yield* Path.Path
    const files = yield* FileSystem.FileSystem
    const hasEarlier = yield* Effect.orElseSucceed(files.exists(path.join(out, "journal")), () => false)
    let hasBegun = false
    const place: Place = { out, hasEarlier, onBegin: Effect.sync(() => void (hasBegun = true)) }
    const undo = yield* OutFolder.undoing(out, ["journal", "checkpoints"])
    const leaveNothing = Effect.flatMap(
      display.kept,
      (kept) => kept === undefined ? undo({ whole: hasBegun && !hasEarlier }) : Effect.void
    )
    const words = (stopped: string) =>
      Effect.map(whatIsKept(place, stopped), (kept) => `\n${kept}`).pipe(
        Effect.provideService(Display.Display, display)
      )
    yield* Stopping.atOnce({ second: words("Stopped at once"), write: (text) => void process.stdout.write(text) })
    return yield* trainInto(options, place).pipe(
      Effect.onError(() => leaveNothing),
      Effect.onInterrupt(() => Effect.flatMap(words("Stopped"), display.line))
    )
  }).pipe(Effect.scoped)
