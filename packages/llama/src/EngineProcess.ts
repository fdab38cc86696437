/**
 * A child process that computes. A step of the runtime holds its thread to the end, so it must not run where heartbeats
 * and polls do; and a process, unlike a thread, can be killed in the middle of one.
 *
 * Whatever ends the child, every waiting and every later call fails with the `EngineError` `Unavailable`.
 */
import { EngineError } from "@effect-tinker/engine/Engine"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import type * as Scope from "effect/Scope"
import { fork } from "node:child_process"
import type { ChildProcess } from "node:child_process"
import { createRequire } from "node:module"
import { fileURLToPath, pathToFileURL } from "node:url"
import type { Cancel, Methods, Reply } from "./internal/engineMessages.js"

/**
 * A child process that answers calls until it ends.
 *
 * @since 0.1.0
 * @category models
 */
export interface EngineProcess {
  readonly pid: number | undefined
  /**
   * Asks the child and waits for its answer. Interrupted, the child drops the call, or ends it at the next opportunity
   * with nothing changed; what it has just finished stays done.
   */
  readonly call: <Method extends keyof Methods>(
    method: Method,
    ...args: Parameters<Methods[Method]>
  ) => Effect.Effect<Awaited<ReturnType<Methods[Method]>>, EngineError>
  /** True before any call fails because of it. */
  readonly hasEnded: () => boolean
  /** Waits for its end, and tells what every call fails with from then on. */
  readonly ended: Effect.Effect<EngineError>
}

/**
 * The child's own program: TypeScript where this module is, JavaScript once built.
 *
 * @since 0.1.0
 * @category config
 */
export const defaultEntry: URL = new URL(
  import.meta.url.endsWith(".ts") ? "./internal/engineChild.ts" : "./internal/engineChild.js",
  import.meta.url
)

/**
 * Starts a child, which is killed when the scope closes, and at the latest when this process exits. `entry` is for
 * tests of what happens when a child fails.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  options: { readonly entry?: URL | undefined } = {}
): Effect.Effect<EngineProcess, EngineError, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.try({
        try: () => start(options.entry ?? defaultEntry),
        catch: (cause) => unavailable("did not start", cause)
      }),
      ({ stop }) => Effect.promise(stop)
    ),
    ({ call, child, ended, hasEnded }): EngineProcess => ({ pid: child.pid, call, hasEnded, ended })
  )

interface Started extends Omit<EngineProcess, "pid"> {
  readonly child: ChildProcess
  /** Resolves when the process is gone. */
  readonly stop: () => Promise<void>
}

const start = (entry: URL): Started => {
  const child = fork(fileURLToPath(entry), [], {
    serialization: "advanced",
    execArgv: [...memoryFlags, ...(entry.pathname.endsWith(".ts") ? ["--import", typescriptLoader()] : [])],
    env: { ...allocatorSettings, ...process.env, ...silence },
    stdio: ["ignore", "ignore", "pipe", "ipc"]
  })
  const pending = new Map<number, (reply: Reply | EngineError) => void>()
  let count = 0
  let death: EngineError | undefined
  const ended = Deferred.unsafeMake<EngineError>(FiberId.none)
  let lastWords = ""

  const die = (error: EngineError): void => {
    death ??= error
    Deferred.unsafeDone(ended, Effect.succeed(death))
    for (const resolve of pending.values()) resolve(death)
    pending.clear()
  }
  const killWithParent = (): void => void child.kill("SIGKILL")
  const gone = new Promise<void>((resolve) => {
    child.once("exit", (code, signal) => {
      const reason = signal === null ? `exited with code ${code}` : `was ended by ${signal}`
      die(unavailable(`${reason}${lastWords === "" ? "" : `: ${lastWords.trim()}`}`))
      process.removeListener("exit", killWithParent)
      resolve()
    })
    child.once("error", (cause) => {
      die(unavailable("did not start or cannot be reached", cause))
      // A process that never started does not exit either.
      if (child.pid === undefined) resolve()
    })
  })
  process.once("exit", killWithParent)

  child.stderr?.on("data", (chunk: Buffer) => {
    lastWords = (lastWords + chunk.toString()).slice(-maxLastWords)
  })
  child.on("message", (reply: Reply) => {
    pending.get(reply.id)?.(reply)
    pending.delete(reply.id)
  })

  const call: EngineProcess["call"] = <Method extends keyof Methods>(
    method: Method,
    ...args: Parameters<Methods[Method]>
  ) =>
    Effect.async<Awaited<ReturnType<Methods[Method]>>, EngineError>((resume) => {
      if (death !== undefined) return resume(Effect.fail(death))
      const id = count++
      pending.set(id, (reply) => {
        if (reply instanceof EngineError) resume(Effect.fail(reply))
        else if (reply.failure !== undefined) resume(Effect.fail(new EngineError(reply.failure)))
        // The child answers with what the method of this name returns.
        else resume(Effect.succeed(reply.value as Awaited<ReturnType<Methods[Method]>>))
      })
      child.send({ id, method, args }, (cause) => {
        if (cause !== null) die(unavailable("cannot be reached", cause))
      })
      return Effect.sync(() => {
        // Without an answer, and without a complaint, if the child has gone meanwhile.
        if (pending.delete(id)) child.send({ cancel: id } satisfies Cancel, () => {})
      })
    })

  return {
    child,
    call,
    hasEnded: () => death !== undefined,
    ended: Deferred.await(ended),
    stop: () => {
      die(unavailable("was closed"))
      child.kill("SIGKILL")
      return gone
    }
  }
}

/**
 * The child's work is done by the runtime, outside the JavaScript heap: a small heap, and few pools of the C library's,
 * save 80 MB of 310 on a model of 3 million parameters, at no cost that could be measured.
 */
const memoryFlags = ["--optimize-for-size", "--max-semi-space-size=2"]

/**
 * Environment of the child, for glibc; others do not read it. Tensors of one step take the memory of those of the last, in
 * bytes up to here, instead of fresh pages from the system, which took 3 to 6 % of a step.
 *
 * @since 0.1.0
 * @category config
 */
export const allocatorSettings = {
  MALLOC_ARENA_MAX: "2",
  MALLOC_MMAP_THRESHOLD_: "33554432",
  MALLOC_TRIM_THRESHOLD_: "67108864"
}

/**
 * Environment of the child, whatever the parent's says: the runtime would otherwise keep an id of the device and a database of events
 * in the user's cache folder, leave logs among the temporary files, and report to its maker.
 */
const silence = { ORT_DISABLE_TELEMETRY: "1" }

/** Characters of the child's error output that its death quotes. */
const maxLastWords = 2000

/** Found from here, for the working directory may be anywhere. */
const typescriptLoader = (): string => pathToFileURL(createRequire(import.meta.url).resolve("tsx")).href

const unavailable = (what: string, cause?: unknown): EngineError =>
  new EngineError({
    reason: "Unavailable",
    description: `the engine's process ${what}`,
    ...(cause === undefined ? {} : { cause })
  })
