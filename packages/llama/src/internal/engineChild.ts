/**
 * The program of the child process: it owns the weights, the adapters and the compiled graphs, answers messages about
 * models one after another and those about samplers beside them, and ends with its parent.
 */
import { EngineError } from "@effect-tinker/engine/Engine"
import * as Tokenizer from "@effect-tinker/tokenizer/Tokenizer"
import * as Effect from "effect/Effect"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import * as LocalEngine from "../LocalEngine.js"
import * as ModelFolder from "../ModelFolder.js"
import * as OnnxRuntime from "../OnnxRuntime.js"
import * as Scheduler from "../Scheduler.js"
import type { Cancel, Reply, Request, StartOptions } from "./engineMessages.js"

const scheduler = Scheduler.make()
let engine: LocalEngine.LocalEngine | undefined

const start = async ({ folder, name, niceness, threads, ...budgets }: StartOptions): Promise<void> => {
  // Before the runtime makes threads of its own, which keep what they began with.
  Os.setPriority(niceness)
  const runtime = await OnnxRuntime.load({ threads })
  const description = ModelFolder.describeSync(folder, name)
  engine = LocalEngine.make({
    runtime,
    description,
    scheduler,
    weights: ModelFolder.weightsSync(description),
    decode: description.hasTokenizer ? decoder(Path.join(description.folder, "tokenizer.json")) : undefined,
    ...budgets
  })
}

/** Reads the tokenizer at its first use, for most programs stop at tokens. */
const decoder = (file: string) => {
  let tokenizer: Tokenizer.Service | undefined
  return (tokens: ReadonlyArray<number>): string => {
    try {
      tokenizer ??= Effect.runSync(
        Tokenizer.make({ tokenizerJson: JSON.parse(Fs.readFileSync(file, "utf8")), path: file })
      )
    } catch (cause) {
      throw new EngineError({ reason: "UnsupportedModel", description: `${file} cannot be used: ${cause}` })
    }
    return tokenizer.decode(tokens)
  }
}

const answer = async (request: Request, signal: AbortSignal): Promise<unknown> => {
  signal.throwIfAborted()
  if (request.method === "start") return start(request.args[0])
  const method = engine?.[request.method] as ((...args: ReadonlyArray<unknown>) => Promise<unknown>) | undefined
  if (method === undefined) throw new Error(`${request.method} before start`)
  return method(...request.args, signal)
}

const reply = async (request: Request, signal: AbortSignal): Promise<Reply> => {
  try {
    return { id: request.id, value: await answer(request, signal) }
  } catch (error) {
    if (error instanceof EngineError) {
      return { id: request.id, failure: { reason: error.reason, description: error.description } }
    }
    const description = `${request.method} failed: ${error instanceof Error ? error.message : String(error)}`
    return { id: request.id, failure: { reason: "Unavailable", description } }
  }
}

// Ctrl-C and the end of a service reach the whole group: the parent decides when this process has to go.
process.on("SIGINT", () => {})
process.on("SIGTERM", () => {})
process.on("disconnect", () => process.exit(0))

/** What samplers do depends on no model, so it does not wait for training. */
const besideTraining: ReadonlySet<Request["method"]> = new Set(["createSampler", "sample", "unloadSampler"])

// Messages are read between two runs of a graph too, so a cancellation arrives while its request is being computed.
let started: Promise<void> = Promise.resolve()
const controllers = new Map<number, AbortController>()
process.on("message", (message: Request | Cancel) => {
  if ("cancel" in message) {
    controllers.get(message.cancel)?.abort()
    return
  }
  const controller = new AbortController()
  controllers.set(message.id, controller)
  const handle = async (): Promise<void> => {
    const answered = await reply(message, controller.signal)
    controllers.delete(message.id)
    if (process.connected) process.send!(answered)
  }
  const handled = besideTraining.has(message.method) ? started.then(handle) : scheduler.inOrder(handle)
  if (message.method === "start") started = handled
})
