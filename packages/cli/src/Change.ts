/**
 * Changes of many checkpoints: said before, asked for, done a few at a time, and told one by one.
 */
import type { TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as Arr from "effect/Array"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Failure from "./Failure.js"
import * as Humanize from "./Humanize.js"
import * as Output from "./Output.js"
import type { Chosen } from "./Selection.js"
import * as Table from "./Table.js"

/**
 * How many are changed at once.
 *
 * @since 0.1.0
 * @category config
 */
export const concurrency = 8

/**
 * Says what is about to change, and asks. False where nothing is to be done: nothing fits, it is only to be said what would be done, or
 * the answer was no; each of these is told as the result.
 *
 * @since 0.1.0
 * @category utils
 */
export const isWanted = (chosen: ReadonlyArray<Chosen>, { dryRun, isAsked, what, yes }: {
  /** What is done to them, e.g. `Delete`. */
  readonly what: string
  readonly dryRun: boolean
  readonly yes: boolean
  /** Whether it is asked for on a terminal. Default true. */
  readonly isAsked?: boolean
}) =>
  Effect.gen(function*() {
    const output = yield* Output.Output
    const now = yield* DateTime.now
    const count = chosen.length
    const bytes = sizeOf(chosen)
    const plan = { checkpoints: chosen.map(({ path }) => path), count, size_bytes: bytes }
    if (count === 0) {
      yield* output.result({ json: { ...plan, nothing_matches: true }, text: () => "" })
      if (output.format === "table") yield* output.notice("No checkpoint fits; nothing was changed.")
      return false
    }
    const list = table(
      `${what} ${Humanize.counted(count, "checkpoint")}${bytes > 0 ? `, ${Humanize.size(bytes)}` : ""}`,
      chosen,
      now
    )
    if (dryRun) {
      yield* output.result({ json: { dry_run: true, ...plan }, text: list })
      return false
    }
    if (yes || isAsked === false) return true
    // People are shown what they are asked about; programs read the result.
    if (output.isInteractive) {
      yield* output.notice(list({ ...output.layout, width: output.layout.width ?? 80 }).trimEnd())
    }
    if (yield* output.confirm(`${what} ${count === 1 ? "it" : `these ${count}`}?`)) return true
    yield* output.result({ json: { cancelled: true, ...plan }, text: () => "" })
    yield* output.notice("Nothing was changed.")
    return false
  })

const table = (title: string, chosen: ReadonlyArray<Chosen>, now: DateTime.Utc) =>
  Table.table<Chosen>(title, [
    { title: "Size", text: ({ checkpoint }) => Humanize.size(checkpoint?.sizeBytes), rank: 1, isNumeric: true },
    { title: "Created", text: ({ checkpoint }) => Humanize.relativeTime(checkpoint?.time, now), rank: 2 },
    { title: "Path", text: ({ path }) => path }
  ], chosen)

/**
 * The bytes of those whose size is known.
 *
 * @since 0.1.0
 * @category utils
 */
export const sizeOf = (chosen: ReadonlyArray<Chosen>): number =>
  chosen.reduce((sum, { checkpoint }) => sum + (checkpoint?.sizeBytes ?? 0), 0)

/**
 * What became of each.
 *
 * @since 0.1.0
 * @category models
 */
export interface Outcome {
  readonly done: ReadonlyArray<Chosen>
  /** Checkpoints of which nothing was to be changed. */
  readonly already: ReadonlyArray<Chosen>
  readonly failed: ReadonlyArray<{ readonly chosen: Chosen; readonly error: TinkerError }>
}

/**
 * Changes each; one that fails keeps none of the others back. `isAlready` says which failures mean that there was nothing to do.
 *
 * @since 0.1.0
 * @category utils
 */
export const each = <R>(chosen: ReadonlyArray<Chosen>, { change, isAlready, what }: {
  /** What is done to them, e.g. `Deleting`. */
  readonly what: string
  readonly change: (chosen: Chosen) => Effect.Effect<unknown, TinkerError, R>
  readonly isAlready: (error: TinkerError) => boolean
}): Effect.Effect<Outcome, never, R | Output.Output> =>
  Effect.gen(function*() {
    const output = yield* Output.Output
    let ended = 0
    const results = yield* Effect.forEach(chosen, (one) =>
      Effect.tap(
        Effect.either(change(one)),
        () => output.progress(`${what} checkpoints: ${++ended}/${chosen.length}`)
      ), { concurrency })
    yield* output.progress("")
    const all = Arr.zip(chosen, results)
    return {
      done: all.flatMap(([one, result]) => Either.isRight(result) ? [one] : []),
      already: all.flatMap(([one, result]) => Either.isLeft(result) && isAlready(result.left) ? [one] : []),
      failed: all.flatMap(([chosen, result]) =>
        Either.isLeft(result) && !isAlready(result.left)
          ? [{ chosen, error: result.left }]
          : []
      )
    }
  })

/**
 * Fails, after the result was told, where not all were changed; where one was meant, with its own error.
 *
 * @since 0.1.0
 * @category utils
 */
export const check = ({ failed }: Outcome, chosen: ReadonlyArray<Chosen>, verb: string) =>
  failed.length === 0
    ? Effect.void
    : chosen.length === 1
    ? Effect.fail(failed[0]!.error)
    : Effect.fail(
      Failure.failed(
        `${failed.length} of ${Humanize.counted(chosen.length, "checkpoint")} could not be ${verb}. ${
          failed[0]!.chosen.path
        }: ${Failure.ofError(failed[0]!.error).message}`
      )
    )

/**
 * The failures as JSON has them.
 *
 * @since 0.1.0
 * @category encoding
 */
export const failuresOf = (
  { failed }: Outcome
): ReadonlyArray<{ readonly tinker_path: string; readonly error: string }> =>
  failed.map(({ chosen, error }) => ({ tinker_path: chosen.path, error: Failure.ofError(error).message }))
