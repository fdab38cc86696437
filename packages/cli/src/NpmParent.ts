/**
 * What npm runs, it runs in a shell, which passes no signal on: when npm is told to stop, or is killed, its program would go on
 * without anyone knowing of it.
 */
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { readFileSync } from "node:fs"

/**
 * Waits until the npm that runs this process has ended; for ever if none does. One that is killed is noticed on Linux alone, elsewhere
 * one that is told to stop.
 *
 * @since 0.1.0
 * @category utils
 */
export const ended: Effect.Effect<void> = Effect.suspend(() => {
  if (process.env.npm_lifecycle_event === undefined) return Effect.never
  const shell = process.ppid
  const npm = isShell(shell) ? parentOf(shell) : undefined
  const isOver = () => process.ppid !== shell || (npm !== undefined && parentOf(shell) !== npm)
  return Effect.asVoid(Effect.repeat(Effect.sync(isOver), {
    schedule: Schedule.spaced("500 millis"),
    until: (over) => over
  }))
})

const read = (file: string): string | undefined => {
  try {
    return readFileSync(file, "utf8")
  } catch {
    return undefined
  }
}

/** The arguments are told apart by zeros; npm shows itself otherwise. */
const isShell = (pid: number): boolean => read(`/proc/${pid}/cmdline`)?.split("\0")[1] === "-c"

/** The parent of a process. It stands with the state behind the name, which may hold anything. */
const parentOf = (pid: number): number | undefined => {
  const stat = read(`/proc/${pid}/stat`)
  return stat === undefined ? undefined : Number(stat.slice(stat.lastIndexOf(")")).split(" ")[2])
}
