/**
 * The edge of the world: runs a program, says in one line why it failed, and sets the exit code.
 */
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Predicate from "effect/Predicate"
import { realpathSync } from "node:fs"
import { fileURLToPath } from "node:url"
import * as NpmParent from "./NpmParent.js"
import { patiently } from "./PatientScheduler.js"

/**
 * Whether a module is the program that was started, and not one that another imports.
 *
 * @since 0.1.0
 * @category guards
 */
export const isEntry = (moduleUrl: string): boolean =>
  process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(moduleUrl)

/**
 * 0 after success, 130 after Ctrl-C, else 1.
 *
 * @since 0.1.0
 * @category utils
 */
export const exitCode = (exit: Exit.Exit<unknown, unknown>): number =>
  Exit.isSuccess(exit) ? 0 : Cause.isInterruptedOnly(exit.cause) ? 130 : 1

/**
 * The exit code of a program that goes on until it is told to stop, which then is no failure: 0 after that too.
 *
 * @since 0.1.0
 * @category utils
 */
export const exitCodeOfServer = (exit: Exit.Exit<unknown, unknown>): number => {
  const code = exitCode(exit)
  return code === 130 ? 0 : code
}

/**
 * One line for each failure of the program's own kind; a defect, which is a mistake of ours, with its stack.
 *
 * @since 0.1.0
 * @category utils
 */
export const explain = (cause: Cause.Cause<unknown>): string => {
  const failures = Array.from(Cause.failures(cause))
  return failures.length > 0
    ? failures.map((failure) => `error: ${messageOf(failure)}`).join("\n")
    : `error: this should not have happened. Please report it:\n${Cause.pretty(cause)}`
}

const messageOf = (failure: unknown): string =>
  Predicate.hasProperty(failure, "message") ? String(failure.message) : String(failure)

/** Whoever read what it says has gone, as after `| head`: the program ends as after Ctrl-C, and says no more. */
const endsWithItsReader = Effect.sync(() => {
  process.stdout.once("error", () => {
    process.stdout.on("error", () => {})
    process.kill(process.pid, "SIGINT")
  })
})

/**
 * Runs a program to its end, or until it is told to stop by a signal, or by the end of the npm that runs it. A second signal ends the
 * process at once.
 *
 * @since 0.1.0
 * @category utils
 */
export const run = (
  program: Effect.Effect<void, unknown, NodeContext.NodeContext>,
  codeOf: (exit: Exit.Exit<unknown, unknown>) => number = exitCode
): void =>
  Effect.forkScoped(Effect.zipRight(NpmParent.ended, Effect.sync(() => process.kill(process.pid, "SIGTERM")))).pipe(
    Effect.zipRight(endsWithItsReader),
    Effect.zipRight(program),
    Effect.scoped,
    Effect.tapErrorCause((cause) =>
      Cause.isInterruptedOnly(cause)
        ? Effect.void
        : Effect.sync(() => process.stderr.write(`${explain(cause)}\n`))
    ),
    Effect.provide(NodeContext.layer),
    patiently,
    NodeRuntime.runMain({
      disableErrorReporting: true,
      disablePrettyLogger: true,
      teardown: (exit, onExit) => onExit(codeOf(exit))
    })
  )
