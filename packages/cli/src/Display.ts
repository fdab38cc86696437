/**
 * What the quickstart shows while it runs: on a terminal one line that is written over, elsewhere a line a step.
 */
import type * as Supervised from "@effect-tinker/cookbook/Supervised"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

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
      let firstDone: { readonly at: number; readonly step: number } | undefined
      const bold = (text: string) => options.interactive ? `\u001B[1m${text}\u001B[22m` : text
      const line = (text: string) => options.write(`${text}\n`)

      return Display.of({
        line,
        note: (text) => line(options.interactive ? `\r\u001B[2K${text}` : text),
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
            firstDone ??= { at: now, step: step.step }
            const text = describe(step, secondsLeft(step, firstDone, now))
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

/** The first step is left out of the rate: it also builds the graphs. Unknown until there is a second. */
const secondsLeft = (
  step: Supervised.Step,
  first: { readonly at: number; readonly step: number },
  now: number
): number | undefined =>
  step.step === first.step
    ? undefined
    : (now - first.at) / (step.step - first.step) * (step.totalSteps - step.step - 1) / 1000

const describe = (step: Supervised.Step, secondsLeft: number | undefined): string => {
  const width = String(step.totalSteps).length
  const columns = [
    `step ${String(step.step + 1).padStart(width)}/${step.totalSteps}`,
    `loss ${step.nllPerToken.toFixed(3)} nats/token`,
    `${Math.round(step.tokensPerSecond).toLocaleString("en-US")} tokens/s`
  ]
  return (secondsLeft === undefined ? columns : [...columns, `${Math.ceil(secondsLeft)} s left`]).join("   ")
}
