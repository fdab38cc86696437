/**
 * The quickstart: fine-tunes a small language model, on this machine or at a service, and shows what it learned.
 */
import * as Command from "@effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as CommandLine from "./CommandLine.js"
import * as Display from "./Display.js"
import * as Main from "./Main.js"
import { ofNpm, ProgramNames } from "./ProgramNames.js"
import * as QuickstartOptions from "./QuickstartOptions.js"
import * as TrainingProgram from "./TrainingProgram.js"

const command = Command.make(
  "quickstart",
  QuickstartOptions.flags,
  (flags) =>
    QuickstartOptions.fromFlags(flags).pipe(
      Effect.flatMap(TrainingProgram.run),
      Effect.flatMap(TrainingProgram.tell),
      Effect.provideService(ProgramNames, ofNpm)
    )
).pipe(Command.withDescription("Fine-tunes a small language model and shows what it learned."))

/** Runs the quickstart with the arguments of a process, the first two of which are the programs. */
export const run = CommandLine.run(command, {
  name: "effect-tinker quickstart",
  known: CommandLine.known(QuickstartOptions.flags)
})

if (Main.isEntry(import.meta.url)) {
  Main.run(Effect.provide(run(process.argv), Layer.provideMerge(Display.layerLogger, Display.layerTerminal)))
}
