/**
 * The quickstart: fine-tunes a small language model, on this machine or at a service, and shows what it learned.
 */
import * as ShippedModel from "@effect-tinker/engine/ShippedModel"
import * as Command from "@effect/cli/Command"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as BaseModel from "./BaseModel.js"
import * as Display from "./Display.js"
import * as EventLoop from "./EventLoop.js"
import * as FineTune from "./FineTune.js"
import * as Lessons from "./Lessons.js"
import * as Local from "./Local.js"
import * as Main from "./Main.js"
import * as OutFolder from "./OutFolder.js"
import * as QuickstartOptions from "./QuickstartOptions.js"
import * as Remote from "./Remote.js"
import * as Report from "./Report.js"

/** Prepares, trains, and says where everything is. */
const quickstart = (options: QuickstartOptions.QuickstartOptions, out: string) =>
  Effect.gen(function*() {
    const display = yield* Display.Display
    const base = yield* BaseModel.BaseModel
    yield* display.line(`Base model: ${base.description}`)
    const lessons = yield* Lessons.read(options.data, base.maxContextLength)
    yield* display.line(
      `Lessons: ${lessons.name} (${lessons.train.length} to learn from, ${lessons.heldOut.length} held out)\n`
    )

    const startedAt = yield* Clock.currentTimeMillis
    const longestPause = yield* EventLoop.watch
    const watched: Display.Service = {
      ...display,
      step: (step) => Effect.zipRight(step.step === 0 ? longestPause : Effect.void, display.step(step))
    }
    const result = yield* FineTune.program({ ...options, batchSize: QuickstartOptions.defaults.batchSize, lessons })
      .pipe(
        Effect.provideService(Display.Display, watched),
        Effect.onInterrupt(() => sayWhatIsKept(out))
      )
    const pause = yield* longestPause
    const seconds = (((yield* Clock.currentTimeMillis) - startedAt) / 1000).toFixed(0)
    const loss = `${result.lossBefore.nllPerToken.toFixed(3)} → ${result.lossAfter.nllPerToken.toFixed(3)}`

    const report = (yield* Path.Path).join(out, "report.html")
    const facts = [
      ["Base model", base.description],
      ["Lessons", lessons.name],
      ["Held-out loss before and after, nats/token", loss],
      ["Steps", String(result.steps.length)],
      ["LoRA rank", String(options.rank)],
      ["Learning rate", String(options.learningRate)],
      ["Seconds", seconds]
    ] as const
    yield* Effect.flatMap(FileSystem.FileSystem, (files) =>
      files.writeFileString(
        report,
        Report.html({
          title: `Fine-tuning ${base.name}`,
          facts,
          losses: result.steps.map((step) => step.nllPerToken),
          before: result.before,
          after: result.after
        })
      ))

    const kept = yield* display.kept
    yield* display.line(`Held-out loss: ${loss} nats/token, in ${seconds} s`)
    yield* display.line(`This process was never busy for longer than ${pause.toFixed(0)} ms after the first step\n`)
    yield* display.line(`Checkpoint: ${kept?.path ?? "none"}`)
    yield* display.line(`Report:     ${report}`)
    yield* display.line(
      `\n${howToGoOn(options.where, out)}\n  service.createTrainingClientFromStateWithOptimizer("${kept?.path}")`
    )
  }).pipe(Effect.scoped)

const howToGoOn = (where: QuickstartOptions.Where, out: string): string => {
  if (where._tag === "Remote") return "To go on from it:"
  const model = where.modelFolder === ShippedModel.folder ? "" : ` --model ${where.modelFolder}`
  return `To go on from it, start the server:\n  npm run serve -- --port 8787${model} --data ${checkpoints(out)}\n`
    + "and in your program, with TINKER_BASE_URL=http://127.0.0.1:8787:"
}

const checkpoints = (out: string): string => `${out}/checkpoints`

const sayWhatIsKept = (out: string) =>
  Effect.gen(function*() {
    const display = yield* Display.Display
    const kept = yield* display.kept
    yield* display.line(
      kept === undefined
        ? "\nStopped before the first checkpoint; nothing was kept."
        : `\nStopped. Kept: the checkpoint of step ${kept.steps}, ${kept.path} (in ${out})`
    )
  })

const newFolder = Effect.map(
  DateTime.now,
  (now) => `runs/quickstart-${DateTime.formatIso(now).replace(/\D/g, "").slice(0, 14)}`
)

type Layers = ReturnType<typeof Local.layer> | ReturnType<typeof Remote.layer>

const layerOf = (
  where: QuickstartOptions.Where,
  out: string
): Layer.Layer<Layer.Layer.Success<Layers>, Layer.Layer.Error<Layers>, Layer.Layer.Context<Layers>> =>
  where._tag === "Local"
    ? Local.layer({ modelFolder: where.modelFolder, checkpointFolder: checkpoints(out) })
    : Remote.layer(where)

const command = Command.make("quickstart", QuickstartOptions.flags, (flags) =>
  Effect.gen(function*() {
    const options = yield* QuickstartOptions.fromFlags(flags)
    const out = yield* OutFolder.prepare(options.out ?? (yield* newFolder))
    yield* quickstart(options, out).pipe(Effect.provide(layerOf(options.where, out)))
  })).pipe(Command.withDescription("Fine-tunes a small language model and shows what it learned."))

/** Runs the quickstart with the arguments of a process, the first two of which are the programs. */
export const run = Command.run(command, { name: "effect-tinker quickstart", version: "0.1.0" })

if (Main.isEntry(import.meta.url)) {
  Main.run(Effect.provide(run(process.argv), Display.layerTerminal))
}
