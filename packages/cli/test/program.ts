import { BigramEngine, type Engine } from "@effect-tinker/engine"
import { NodeServer, StoredCredentials } from "@effect-tinker/node"
import { CheckpointStore, Faults, type TinkerProtocol, TinkerServer } from "@effect-tinker/server"
import { HttpServer } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { Context, Effect, Layer } from "effect"
import { spawn } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import * as CommandRun from "../src/CommandRun.js"
import { Variables } from "../src/Variables.js"

const entry = fileURLToPath(new URL("../build/program/bin/tinker.js", import.meta.url))

/** How a program has ended, and what it wrote. */
export interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface Given {
  /** Beside a home folder without anything, and what Node needs. */
  readonly env?: Readonly<Record<string, string>>
  readonly stdin?: string
  readonly cwd?: string
}

/** A folder that is gone when the scope is closed. */
export const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "tinker-test-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)

/** Runs the program in a process of its own, without anything of this machine's user. */
export const tinker = (args: ReadonlyArray<string>, { cwd, env = {}, stdin }: Given = {}) =>
  Effect.flatMap(folder, (home) =>
    Effect.async<Ended>((resume) => {
      const child = spawn(process.execPath, [entry, ...args], {
        cwd: cwd ?? home,
        env: { PATH: process.env.PATH, HOME: home, ...env },
        stdio: [stdin === undefined ? "ignore" : "pipe", "pipe", "pipe"]
      })
      let stdout = ""
      let stderr = ""
      child.stdout!.setEncoding("utf8").on("data", (text: string) => stdout += text)
      child.stderr!.setEncoding("utf8").on("data", (text: string) => stderr += text)
      child.on("close", (code) => resume(Effect.succeed({ code, stdout, stderr })))
      child.stdin?.end(stdin)
      return Effect.sync(() => void child.kill("SIGKILL"))
    })).pipe(Effect.scoped)

/** Runs a line in this process, as the program would; `terminal` is the width of the terminal that it then has. */
export const line = (
  args: ReadonlyArray<string>,
  { answers, env = {}, home: given, isColored = false, stdin = "", terminal }: {
    /** The home folder. Default: one without anything. */
    readonly home?: string | undefined
    /** What is typed, a line an entry. */
    readonly answers?: ReadonlyArray<string> | undefined
    readonly stdin?: string | undefined
    readonly env?: Readonly<Record<string, string>> | undefined
    readonly terminal?: number | undefined
    readonly isColored?: boolean | undefined
  } = {}
) =>
  Effect.gen(function*() {
    const home = given ?? (yield* folder)
    const typed = [...answers ?? []]
    let stdout = ""
    let stderr = ""
    const code = yield* CommandRun.execute(args, {
      write: (text) => stdout += text,
      writeError: (text) => stderr += text,
      columns: terminal,
      isErrorTerminal: terminal !== undefined || answers !== undefined,
      isInputTerminal: answers !== undefined,
      isColored,
      readLine: Effect.sync(() => typed.shift()),
      readInput: Effect.succeed(stdin),
      openLines: Effect.sync(() => {
        const lines = answers === undefined ? stdin.split("\n").slice(0, stdin.endsWith("\n") ? -1 : undefined) : typed
        return {
          next: (question) =>
            Effect.sync(() => {
              if (answers !== undefined) stderr += question
              return lines.shift()
            }),
          interrupted: Effect.never
        }
      }),
      readHidden: Effect.sync(() => typed.shift() ?? "")
    }).pipe(
      Effect.provideService(Variables, env),
      Effect.provideService(StoredCredentials.Folder, `${home}/.tinker`),
      Effect.provide(NodeContext.layer)
    )
    return { code, stdout, stderr } satisfies Ended
  }).pipe(Effect.scoped)

/** A server on this machine, by its address, with which tests arrange things. */
export const server = (options: {
  readonly protocol?: TinkerProtocol.Options
  readonly engine?: Layer.Layer<Engine.Engine>
} = {}) =>
  Effect.map(
    Layer.build(
      TinkerServer.layer({ archives: true, ...options.protocol }).pipe(
        Layer.provideMerge(NodeServer.layer({ port: 0, host: "127.0.0.1" })),
        Layer.provide(options.engine ?? BigramEngine.layer()),
        Layer.provide(CheckpointStore.layerMemory),
        Layer.provideMerge(Faults.layer)
      )
    ),
    (context) => {
      const { address } = Context.get(context, HttpServer.HttpServer)
      if (address._tag !== "TcpAddress") throw new Error("the server has no port")
      const url = `http://127.0.0.1:${address.port}`
      return {
        url,
        faults: Context.get(context, Faults.Faults),
        /** Runs the program against the server, in a process of its own. */
        tinker: (args: ReadonlyArray<string>, given: Given = {}) =>
          tinker(args, { ...given, env: { TINKER_BASE_URL: url, ...given.env } }),
        /** Runs a line against the server, in this process. */
        line: (args: ReadonlyArray<string>, given: Parameters<typeof line>[1] = {}) =>
          line(args, { ...given, env: { TINKER_BASE_URL: url, ...given.env } })
      }
    }
  )
