import type * as Command from "@effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type { flags } from "../commands/trainFlags.js"
import type { Handler } from "../CommandTree.js"
import * as Connection from "../Connection.js"
import * as Display from "../Display.js"
import * as Output from "../Output.js"
import * as QuickstartOptions from "../QuickstartOptions.js"
import * as Table from "../Table.js"
import * as TrainingProgram from "../TrainingProgram.js"
import { UsageError } from "../UsageError.js"

interface Input extends Omit<Command.Command.ParseConfig<typeof flags>, "data"> {
  readonly file: Option.Option<string>
  readonly local: boolean
}

export const train: Handler<Input> = ({ file, local, ...given }) =>
  Effect.gen(function*() {
    if (local && given.remote) {
      return yield* new UsageError({ description: "--local and --remote say different things. Give one of them." })
    }
    const settings = yield* Connection.settings
    // Who has said where the service is means it; to pay for the hosted one takes a word.
    const isElsewhere = !local && Option.isNone(given.model) && settings.has("TINKER_BASE_URL")
    const options = yield* QuickstartOptions.fromFlags({
      ...given,
      data: file,
      remote: given.remote || isElsewhere
    })
    const summary = yield* TrainingProgram.run(options)
    const output = yield* Output.Output
    yield* output.result({
      json: {
        base_model: summary.baseModel,
        checkpoint: summary.checkpoint ?? null,
        adapter: summary.adapter ?? null,
        report: summary.report,
        out: summary.out,
        steps: summary.steps,
        seconds: summary.seconds,
        held_out_loss_before: summary.lossBefore,
        held_out_loss_after: summary.lossAfter
      },
      text: Table.facts("Trained", [
        ["Held-out loss", `${summary.lossBefore.toFixed(3)} → ${summary.lossAfter.toFixed(3)} nats/token`],
        ["Steps", `${summary.steps} in ${summary.seconds} s`],
        ["Checkpoint", summary.checkpoint ?? "none"],
        ...(summary.adapter === undefined ? [] : [["Adapter", summary.adapter] as const]),
        ["Report", summary.report]
      ])
    })
    yield* output.notice(`\n${summary.advice}`)
  }).pipe(
    Effect.provide(Layer.provideMerge(Display.layerLogger, display)),
    Connection.withSettings
  )

/** The result alone goes to standard output. */
const display = Layer.unwrapEffect(
  Effect.map(Output.Output, ({ isErrorTerminal, isQuiet, say }) =>
    Display.layer({
      interactive: isErrorTerminal,
      write: (text) => isQuiet ? Effect.void : say(text)
    }))
)
