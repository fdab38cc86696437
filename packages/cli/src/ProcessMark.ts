/**
 * A mark of one process, so that others can tell later whether it still runs, also when its number belongs to another by then.
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"

/**
 * @since 0.1.0
 * @category schemas
 */
export const ProcessMark = Schema.Struct({
  pid: Schema.Int.pipe(Schema.positive()),
  /** The run of the machine in which the process began, and when in it. Only Linux tells both. */
  boot: Schema.optional(Schema.String),
  start: Schema.optional(Schema.String)
})

/**
 * @since 0.1.0
 * @category models
 */
export type ProcessMark = typeof ProcessMark.Type

/**
 * The mark of this process.
 *
 * @since 0.1.0
 * @category constructors
 */
export const own: Effect.Effect<ProcessMark, never, FileSystem.FileSystem> = Effect.gen(function*() {
  const told = yield* look(process.pid)
  return { pid: process.pid, boot: yield* bootId, start: told?.start }
})

/**
 * Whether the process still runs. Where it is not known when a process began, any of its number counts.
 *
 * @since 0.1.0
 * @category guards
 */
export const isRunning = (mark: ProcessMark): Effect.Effect<boolean, never, FileSystem.FileSystem> =>
  Effect.gen(function*() {
    const boot = yield* bootId
    if (mark.boot !== undefined && boot !== undefined && mark.boot !== boot) return false
    if (!exists(mark.pid)) return false
    const told = yield* look(mark.pid)
    if (told === undefined) return true
    return !told.hasEnded && (mark.start === undefined || mark.start === told.start)
  })

interface Told {
  /** When the process began, in ticks since the machine was started. */
  readonly start: string
  /** Its parent has not asked yet what became of it. */
  readonly hasEnded: boolean
}

/** Source: proc_pid_stat(5). The name, in parentheses, may have blanks and parentheses in it; state is field 3, start 22. */
const look = (pid: number): Effect.Effect<Told | undefined, never, FileSystem.FileSystem> =>
  Effect.map(read(`/proc/${pid}/stat`), (text) => {
    const fields = text?.slice(text.lastIndexOf(")") + 2).split(" ") ?? []
    const [state = "", start] = [fields[0], fields[19]]
    return start === undefined ? undefined : { start, hasEnded: /[ZXx]/.test(state) }
  })

const bootId = Effect.map(read("/proc/sys/kernel/random/boot_id"), (text) => text?.trim())

function read(file: string): Effect.Effect<string | undefined, never, FileSystem.FileSystem> {
  return Effect.flatMap(
    FileSystem.FileSystem,
    (fs) => Effect.map(Effect.option(fs.readFileString(file)), Option.getOrUndefined)
  )
}

/** A signal of 0 is not sent: only whether it could be is told. */
const exists = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    // It is there, and somebody else's.
    return (error as NodeJS.ErrnoException).code === "EPERM"
  }
}
