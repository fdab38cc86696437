/**
 * What the quickstart shows while it runs: on a terminal one line that is written over, elsewhere a line a step.
 */
import type * as Supervised from "@effect-tinker/cookbook/Supervised"
import { durationText } from "@effect-tinker/protocol/Prose"
import * as Arr from "effect/Array"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"

/**
 * @since 0.1.0
 * @category tags
 */
export class Display extends Context.Tag("@effect-tinker/cli/Display")<Display, Service>() {}

/**
 * @since 0.1.0
 * @category models
 */
export interface Service {
  readonly line: (text: string) => Effect.Effect<void>
  /** A line between steps. */
  readonly note: (text: string) => Effect.Effect<void>
  /**
   * Says for how long the server has been waited for, in milliseconds; to be called again and again. The step under way then says
   * nothing of the pace.
   */
  readonly waiting: (millis: number) => Effect.Effect<void>
  /** A warning, unless the server is waited for, which is said already. */
  readonly warning: (text: string) => Effect.Effect<void>
  /** How far something is, if it takes long. */
  readonly progress: (progress: Progress) => Effect.Effect<void>
  readonly answers: (title: string, answers: ReadonlyArray<Answer>) => Effect.Effect<void>
  /** Says that a step is done; to be called after each. */
  readonly step: (step: Supervised.Step) => Effect.Effect<void>
  /** Says that a checkpoint of so many steps is there. One that comes with a step is known already. */
  readonly keep: (kept: Kept) => Effect.Effect<void>
  /** Where the newest checkpoint is, and of how many steps; none before the first. */
  readonly kept: Effect.Effect<Kept | undefined>
}

/**
 * How far something is, e.g. reading a file.
 *
 * @since 0.1.0
 * @category models
 */
export interface Progress {
  readonly what: string
  /** A million of what is counted, e.g. `MB` of bytes. */
  readonly millionUnit: string
  readonly done: number
  /** Absent where it is not known. */
  readonly total: number | undefined
}

/**
 * A checkpoint: where it is, and after how many steps it was saved.
 *
 * @since 0.1.0
 * @category models
 */
export interface Kept {
  readonly path: string
  readonly steps: number
}

/**
 * What a model said.
 *
 * @since 0.1.0
 * @category models
 */
export interface Answer {
  readonly question: string
  readonly text: string
}

/** What is smaller is done before anybody wonders. */
const longTotal = 2e6

/**
 * Writes by `write`. `interactive` says that it is a terminal, whose lines can be written over.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: {
  readonly interactive: boolean
  readonly write: (text: string) => Effect.Effect<void>
}): Layer.Layer<Display> =>
  Layer.effect(
    Display,
    Effect.sync(() => {
      let kept: Kept | undefined
      let told = { what: "", tenth: -1 }
      let last: { readonly at: number; readonly step: number } | undefined
      const pace = { steps: 0, millis: 0 }
      let isWaiting = false
      let toldMinutes = 0
      const bold = (text: string) => options.interactive ? `\u001B[1m${text}\u001B[22m` : text
      const line = (text: string) => options.write(`${text}\n`)
      const note = (text: string) =>
        Effect.suspend(() => {
          isWaiting = false
          return line(options.interactive ? `\r\u001B[2K${text}` : text)
        })

      return Display.of({
        line,
        note,
        waiting: (millis) =>
          Effect.suspend(() => {
            isWaiting = true
            last = undefined
            if (options.interactive) return options.write(`\r\u001B[2KWaiting for the server: ${durationText(millis)}`)
            // Where nothing is written over, a line a minute.
            const minutes = Math.floor(millis / 60_000)
            const isTold = minutes === toldMinutes
            toldMinutes = minutes
            return isTold || minutes === 0
              ? Effect.void
              : line(`Waiting for the server: ${durationText(minutes * 60_000)}`)
          }),
        warning: (text) => Effect.suspend(() => isWaiting ? Effect.void : note(`warning: ${text}`)),
        progress: ({ done, millionUnit, total, what }) =>
          Effect.suspend(() => {
            if ((total ?? done) < longTotal) return Effect.void
            const percent = total === undefined ? undefined : Math.floor(100 * done / total)
            const amount = (done / 1e6).toFixed(1)
            const text = total === undefined
              ? `${what}: ${amount} ${millionUnit}`
              : `${what}: ${amount} of ${(total / 1e6).toFixed(1)} ${millionUnit}, ${percent} %`
            if (options.interactive) return options.write(`\r\u001B[2K${text}`)
            // Where nothing is written over, a line for each tenth, or each ten million.
            const tenth = Math.floor((percent ?? done / 1e6) / 10)
            if (told.what === what && told.tenth === tenth) return Effect.void
            told = { what, tenth }
            return line(text)
          }),
        answers: (title, answers) =>
          Effect.forEach(answers, ({ question, text }) => line(`  ${question}\n    → ${text || "(nothing)"}`), {
            discard: true
          }).pipe(Effect.zipLeft(line("")), (all) => Effect.zipRight(line(bold(title)), all)),
        step: (step) =>
          Effect.gen(function*() {
            const now = yield* Clock.currentTimeMillis
            if (step.checkpoint !== undefined) kept = { path: step.checkpoint, steps: step.step + 1 }
            // Neither a step that began with a wait, or comes in one, nor one that is done again says how long those take that are left.
            if (last !== undefined && step.step === last.step + 1) {
              pace.steps += 1
              pace.millis += now - last.at
            }
            last = isWaiting ? undefined : { at: now, step: step.step }
            const text = describe(step, secondsLeft(step, pace))
            const isLast = step.step + 1 === step.totalSteps
            yield* options.interactive
              ? options.write(`\r\u001B[2K${text}${isLast ? "\n" : ""}`)
              : line(text)
          }),
        keep: (checkpoint) => Effect.sync(() => void (kept = checkpoint)),
        kept: Effect.sync(() => kept)
      })
    })
  )

/**
 * A display on the standard output of this process.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerTerminal: Layer.Layer<Display> = layer({
  interactive: process.stdout.isTTY === true,
  write: (text) => Effect.sync(() => void process.stdout.write(text))
})

/**
 * Warnings that are logged are shown by the display, everything else as it was.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerLogger: Layer.Layer<never, never, Display> = Layer.unwrapEffect(
  Effect.map(Display, (display) =>
    Logger.replace(
      Logger.defaultLogger,
      Logger.make((logged) =>
        logged.logLevel._tag === "Warning"
          ? Effect.runSync(display.warning(Arr.ensure(logged.message).map(String).join(" ")))
          : Logger.defaultLogger.log(logged)
      )
    ))
)

/** The first step is left out of the pace: it also builds the graphs. Unknown until there is a second. */
const secondsLeft = (
  step: Supervised.Step,
  pace: { readonly steps: number; readonly millis: number }
): number | undefined =>
  pace.steps === 0 ? undefined : pace.millis / pace.steps * (step.totalSteps - step.step - 1) / 1000

const describe = (step: Supervised.Step, secondsLeft: number | undefined): string => {
  const width = String(step.totalSteps).length
  const columns = [
    `step ${String(step.step + 1).padStart(width)}/${step.totalSteps}`,
    `loss ${step.nllPerToken.toFixed(3)} nats/token`,
    `${Math.round(step.tokensPerSecond).toLocaleString("en-US")} tokens/s`
  ]
  return (secondsLeft === undefined ? columns : [...columns, `${Math.ceil(secondsLeft)} s left`]).join("   ")
}
