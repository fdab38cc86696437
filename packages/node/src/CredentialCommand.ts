/**
 * Runs the credential command through the shell of this machine.
 */
import { InvalidInputError } from "@effect-tinker/protocol/TinkerError"
import * as Command from "@effect/platform/Command"
import * as CommandExecutor from "@effect/platform/CommandExecutor"
import * as Credentials from "effect-tinker/Credentials"
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"

/** Time enough for a person to touch a key; longer means that the command waits for something that does not come. */
const patience = Duration.seconds(30)

/**
 * What the command writes to its standard output, without white space around it. `InvalidInputError` when it cannot be
 * run, fails, prints nothing, or takes longer than 30 seconds. No error repeats what the command has written.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<
  Context.Tag.Service<Credentials.CredentialCommand>,
  never,
  CommandExecutor.CommandExecutor
> = Effect.map(CommandExecutor.CommandExecutor, (executor) => ({
  run: (command) =>
    Command.start(Command.runInShell(Command.make(command), true)).pipe(
      Effect.flatMap((process) =>
        Effect.all([
          Stream.mkString(Stream.decodeText(process.stdout)),
          process.exitCode,
          // What nobody reads would hold the command up.
          Stream.runDrain(process.stderr)
        ], { concurrency: "unbounded" })
      ),
      Effect.scoped,
      Effect.provideService(CommandExecutor.CommandExecutor, executor),
      // The error of the platform tells the command; of a signal it knows no status.
      Effect.mapError(() => wrong("it could not be run, or was killed")),
      Effect.flatMap(([output, status]) => {
        const credential = output.trim()
        if (status !== 0) return Effect.fail(wrong(`it ended with status ${status}`))
        return credential === ""
          ? Effect.fail(wrong("it printed nothing"))
          : Effect.succeed(Redacted.make(credential))
      }),
      // A command may take its time to die.
      Effect.disconnect,
      Effect.timeoutFail({
        duration: patience,
        onTimeout: () => wrong(`it has not ended within ${Duration.format(patience)}`)
      })
    )
}))

/**
 * Provides the credential command to the SDK.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<Credentials.CredentialCommand, never, CommandExecutor.CommandExecutor> = Layer.effect(
  Credentials.CredentialCommand,
  make
)

const wrong = (what: string) =>
  new InvalidInputError({
    operation: "Credentials",
    field: "credentialCommand",
    description: `the credential command failed: ${what}. Run it in a shell, and check TINKER_CREDENTIAL_CMD.`
  })
