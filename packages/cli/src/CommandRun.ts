/**
 * Runs a command of `tinker` to its end, or until it is told to stop.
 */
import * as CliConfig from "@effect/cli/CliConfig"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeTerminal from "@effect/platform-node/NodeTerminal"
import type * as FileSystem from "@effect/platform/FileSystem"
import type * as Path from "@effect/platform/Path"
import type * as Terminal from "@effect/platform/Terminal"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as CommandHelp from "./CommandHelp.js"
import * as CommandLine from "./CommandLine.js"
import { root } from "./Commands.js"
import * as CommandTree from "./CommandTree.js"
import * as GlobalOptions from "./GlobalOptions.js"
import * as Output from "./Output.js"
import { patiently } from "./PatientScheduler.js"
import { UsageError } from "./UsageError.js"

/**
 * Runs the command that a line asks for, or says why there is none. Gives the exit code; an interruption is passed on.
 *
 * @since 0.1.0
 * @category constructors
 */
export const execute = (
  line: ReadonlyArray<string>,
  streams: Output.Streams
): Effect.Effect<number, never, Platform> =>
  Effect.suspend(() => {
    const { issue, options, words } = GlobalOptions.extract(line)
    const output = Output.make(streams, options)
    return asked(words, issue).pipe(
      Effect.scoped,
      Effect.ensuring(output.progress("")),
      Effect.catchAllCause((cause) =>
        Cause.isInterruptedOnly(cause) ? Effect.interrupt : Effect.map(
          Effect.promise(() => import("./Failure.js")),
          (Failure) => {
            const failure = Failure.ofCause(cause)
            streams.writeError(Failure.text(failure, options))
            return failure.exitCode
          }
        )
      ),
      Effect.provideService(Output.Output, output),
      Effect.provideService(CommandTree.Root, root),
      Effect.provideService(GlobalOptions.GlobalOptions, options),
      Effect.provide(warnings(output))
    )
  })

type Platform = FileSystem.FileSystem | Path.Path | Terminal.Terminal

/**
 * Runs a line as this process, which ends with its exit code; after Ctrl-C with 130.
 *
 * @since 0.1.0
 * @category utils
 */
export const run = (line: ReadonlyArray<string>): void => {
  let codeOfReader: number | undefined
  const { words } = GlobalOptions.extract(line)
  const found = CommandTree.find(root, words)
  const isServer = typeof found !== "string" && found.command._tag === "Leaf" && found.command.isServer
  Effect.zipRight(endsWithItsReader((isFailure) => codeOfReader = isFailure ? 1 : 0), execute(line, Output.ofProcess()))
    .pipe(
      Effect.provide(platform),
      patiently,
      NodeRuntime.runMain({
        disableErrorReporting: true,
        disablePrettyLogger: true,
        teardown: (exit, onExit) =>
          onExit(
            codeOfReader !== undefined ? codeOfReader : Exit.isSuccess(exit) ? exit.value as number : isServer ? 0 : 130
          )
      })
    )
}

const asked = (words: ReadonlyArray<string>, issue: string | undefined) =>
  Effect.gen(function*() {
    const found = CommandTree.find(root, words)
    const wrong = typeof found === "string" ? found : issue
    if (wrong !== undefined || typeof found === "string") return yield* new UsageError({ description: wrong ?? "" })
    const { command, path } = found
    if (command._tag === "Group") {
      const output = yield* Output.Output
      if (output.format === "table" && found.words.length === 0) {
        yield* output.say(CommandHelp.text(found, false))
        return 2
      }
      return yield* new UsageError({
        description: `${path.join(" ")} is no command by itself. ${path.join(" ")} --help lists those there are.`
      })
    }
    const loaded = yield* Effect.promise(command.load)
    yield* CommandLine.run(loaded, { name: path.join(" "), known: command.known })(["", "", ...found.words]).pipe(
      Effect.provide(CliConfig.layer({ isCaseSensitive: true }))
    )
    return 0
  })

const platform: Layer.Layer<Platform> = Layer.mergeAll(
  NodeFileSystem.layer,
  NodePath.layer,
  NodeTerminal.layer,
  CliConfig.layer({ isCaseSensitive: true })
)

/** What the SDK logs is said beside the result. */
const warnings = (output: Output.Service) =>
  Logger.replace(
    Logger.defaultLogger,
    Logger.make(({ logLevel, message }) => {
      const text = (Array.isArray(message) ? message : [message]).map(String).join(" ")
      Effect.runSync(logLevel._tag === "Info" ? output.notice(text) : output.warning(text))
    })
  )

/** Whoever read the result has gone, as after `| head`: nothing is left to do, and that is no failure. A full disk is one. */
const endsWithItsReader = (onGone: (isFailure: boolean) => void) =>
  Effect.sync(() => {
    process.stdout.once("error", (error: NodeJS.ErrnoException) => {
      process.stdout.on("error", () => {})
      const isFailure = error.code !== "EPIPE"
      if (isFailure) process.stderr.write(`error: the result could not be written (${error.code ?? error.message}).\n`)
      onGone(isFailure)
      process.kill(process.pid, "SIGINT")
    })
  })
