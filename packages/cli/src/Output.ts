/**
 * Where a command writes: the result, and nothing else, to standard output, and all that is said beside it to standard error.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import { createInterface } from "node:readline"
import { Writable } from "node:stream"
import type { Format } from "./GlobalOptions.js"
import type { Layout } from "./Table.js"
import { UsageError } from "./UsageError.js"

/**
 * @since 0.1.0
 * @category tags
 */
export class Output extends Context.Tag("@effect-tinker/cli/Output")<Output, Service>() {}

/**
 * @since 0.1.0
 * @category models
 */
export interface Service {
  readonly format: Format
  /** Whether standard output is a terminal. */
  readonly isTerminal: boolean
  /** Whether what is said beside the result goes to a terminal. */
  readonly isErrorTerminal: boolean
  readonly isQuiet: boolean
  /** Writes text beside the result, as it is. */
  readonly say: (text: string) => Effect.Effect<void>
  /** Whether somebody can be asked: input and errors are those of a terminal. */
  readonly isInteractive: boolean
  readonly layout: Layout
  /** All that is left of the standard input. */
  readonly input: Effect.Effect<string>
  /** The standard input line after line, for a command that reads it in no other way. */
  readonly lines: Effect.Effect<LineReader, never, Scope.Scope>
  /** What is typed in answer to a question, which is not shown; all of the standard input where it is no terminal. */
  readonly secret: (question: string) => Effect.Effect<Redacted.Redacted>
  /** Writes a result: one JSON document, or what `text` makes of it. */
  readonly result: (result: Result) => Effect.Effect<void>
  /** Writes a result that is of a format of its own, whatever the format. */
  readonly raw: (parts: ReadonlyArray<string | Uint8Array>) => Effect.Effect<void>
  /** Writes text of a result as it is, where the format is not JSON. */
  readonly write: (text: string) => Effect.Effect<void>
  /** Says a line beside the result, unless nothing is to be said. */
  readonly notice: (line: string) => Effect.Effect<void>
  /** Says a line that must be heard. */
  readonly warning: (line: string) => Effect.Effect<void>
  /**
   * Asks whether to go on; no is the answer to silence. `UsageError`, which names `--yes`, where nobody can be asked.
   */
  readonly confirm: (question: string) => Effect.Effect<boolean, UsageError>
  /**
   * How far something is, on a line that is written over; an empty text takes the line away. Only on a terminal, and not where the result is
   * JSON.
   */
  readonly progress: (text: string) => Effect.Effect<void>
}

/**
 * Reads one line after another. On a terminal they can be edited while they are typed, earlier ones come back by the arrow keys, and Ctrl-C
 * is for the reader's owner.
 *
 * @since 0.1.0
 * @category models
 */
export interface LineReader {
  /** The next line, for which `question` asks on a terminal. None at the end of the input, and after Ctrl-C. */
  readonly next: (question: string) => Effect.Effect<string | undefined>
  /** Waits for Ctrl-C, which then ends nothing else. Where the input is no terminal it waits for ever. */
  readonly interrupted: Effect.Effect<void>
}

/**
 * What a command has found out, for programs and for people.
 *
 * @since 0.1.0
 * @category models
 */
export interface Result {
  readonly json: unknown
  readonly text: (layout: Layout) => string
}

/**
 * Where the streams lead.
 *
 * @since 0.1.0
 * @category models
 */
export interface Streams {
  readonly write: (text: string | Uint8Array) => void
  readonly writeError: (text: string) => void
  /** None where standard output is no terminal. */
  readonly columns: number | undefined
  readonly isErrorTerminal: boolean
  readonly isInputTerminal: boolean
  readonly isColored: boolean
  /** The next line of the standard input; none at its end. */
  readonly readLine: Effect.Effect<string | undefined>
  /** All that is left of the standard input. */
  readonly readInput: Effect.Effect<string>
  readonly openLines: Effect.Effect<LineReader, never, Scope.Scope>
  /** The next line that is typed, without showing it. */
  readonly readHidden: Effect.Effect<string>
}

/**
 * The streams of this process. `NO_COLOR` takes the colors away, and `COLUMNS` goes before the terminal's own width.
 *
 * @since 0.1.0
 * @category constructors
 */
export const ofProcess = (): Streams => {
  const isTerminal = process.stdout.isTTY === true
  const wanted = Number(process.env.COLUMNS)
  return {
    write: (text) => void process.stdout.write(text),
    writeError: (text) => void process.stderr.write(text),
    columns: isTerminal ? wanted > 0 ? wanted : process.stdout.columns || 80 : undefined,
    isErrorTerminal: process.stderr.isTTY === true,
    isInputTerminal: process.stdin.isTTY === true,
    readLine,
    readInput,
    openLines,
    readHidden,
    isColored: isTerminal && !process.env.NO_COLOR && process.env.TERM !== "dumb"
  }
}

const readLine = Effect.async<string | undefined>((resume) => {
  const lines = createInterface({ input: process.stdin })
  lines.once("line", (line) => {
    resume(Effect.succeed(line))
    lines.close()
  })
  lines.once("close", () => resume(Effect.succeed(undefined)))
  return Effect.sync(() => lines.close())
})

const readInput = Effect.promise(async () => {
  const parts: Array<Buffer> = []
  for await (const part of process.stdin) parts.push(part as Buffer)
  return Buffer.concat(parts).toString("utf8")
})

const openLines = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() => {
      const isTerminal = process.stdin.isTTY === true && process.stderr.isTTY === true
      const lines = createInterface({
        input: process.stdin,
        ...(isTerminal ? { output: process.stderr } : {}),
        terminal: isTerminal
      })
      return { lines, isTerminal }
    }),
    ({ lines }) => Effect.sync(() => lines.close())
  ),
  ({ isTerminal, lines }): LineReader => {
    const early: Array<string> = []
    let isEnded = false
    let take: ((line: string | undefined) => void) | undefined
    let interrupt: (() => void) | undefined
    lines.on("line", (line) => take === undefined ? early.push(line) : take(line))
    lines.on("close", () => {
      isEnded = true
      take?.(undefined)
    })
    // Where lines are edited, Ctrl-C is a key like others, and no signal. It may come just before somebody waits for it.
    let wasInterrupted = false
    lines.on("SIGINT", () => {
      if (interrupt !== undefined) interrupt()
      else if (take !== undefined) lines.close()
      else wasInterrupted = true
    })
    return {
      next: (question) =>
        Effect.async<string | undefined>((resume) => {
          wasInterrupted = false
          if (early.length > 0 || isEnded) return resume(Effect.succeed(early.shift()))
          take = (line) => {
            take = undefined
            resume(Effect.succeed(line))
          }
          if (isTerminal) {
            lines.setPrompt(question)
            lines.prompt()
          }
          return Effect.sync(() => take = undefined)
        }),
      interrupted: Effect.async<void>((resume) => {
        if (wasInterrupted) return resume(Effect.void)
        interrupt = () => resume(Effect.void)
      }).pipe(Effect.ensuring(Effect.sync(() => interrupt = undefined)))
    }
  }
)

const readHidden = Effect.async<string>((resume) => {
  const nowhere = new Writable({ write: (_part, _encoding, done) => done() })
  const lines = createInterface({ input: process.stdin, output: nowhere, terminal: true })
  lines.once("line", (line) => {
    resume(Effect.succeed(line))
    lines.close()
  })
  // Where nothing is shown, the terminal does not see to Ctrl-C either.
  lines.once("SIGINT", () => resume(Effect.interrupt))
  lines.once("close", () => resume(Effect.succeed("")))
  return Effect.sync(() => lines.close())
})

const clearLine = "\r\u001B[2K"

/**
 * @since 0.1.0
 * @category constructors
 */
export const make = (streams: Streams, { format, hasHeader, isQuiet }: {
  readonly format: Format
  readonly hasHeader: boolean
  readonly isQuiet: boolean
}): Service => {
  const { columns, isErrorTerminal, isInputTerminal } = streams
  const layout: Layout = { width: columns, isColored: streams.isColored, hasHeader }
  const showsProgress = isErrorTerminal && format === "table" && !isQuiet
  let isLineOpen = false
  const sayLine = (line: string) =>
    Effect.sync(() => {
      streams.writeError(`${isLineOpen ? clearLine : ""}${line}\n`)
      isLineOpen = false
    })
  const write = (text: string) =>
    Effect.sync(() => {
      if (isLineOpen) streams.writeError(clearLine)
      isLineOpen = false
      streams.write(text)
    })
  return Output.of({
    format,
    isTerminal: columns !== undefined,
    isErrorTerminal,
    isQuiet,
    say: (text) => Effect.sync(() => streams.writeError(text)),
    isInteractive: isInputTerminal && isErrorTerminal,
    layout,
    input: streams.readInput,
    lines: streams.openLines,
    secret: (question) =>
      isInputTerminal
        ? Effect.sync(() => streams.writeError(`${question}: `)).pipe(
          Effect.zipRight(streams.readHidden),
          Effect.tap(() => Effect.sync(() => streams.writeError("\n"))),
          Effect.map((text) => Redacted.make(text.trim()))
        )
        : Effect.map(streams.readInput, (text) => Redacted.make(text.trim())),
    result: ({ json, text }) => write(format === "json" ? `${JSON.stringify(json, null, 2)}\n` : text(layout)),
    raw: (parts) =>
      Effect.sync(() => {
        for (const part of parts) streams.write(part)
      }),
    write: (text) => format === "json" ? Effect.void : write(text),
    notice: (line) => isQuiet ? Effect.void : sayLine(line),
    warning: (line) => sayLine(`warning: ${line}`),
    confirm: (question) =>
      isInputTerminal && isErrorTerminal
        ? Effect.sync(() => streams.writeError(`${question} [y/N] `)).pipe(
          Effect.zipRight(streams.readLine),
          Effect.map((answer) => /^\s*y(es)?\s*$/i.test(answer ?? ""))
        )
        : new UsageError({
          description:
            "this asks first, and there is nobody to ask: neither input nor errors are a terminal's. Pass --yes to go on "
            + "without."
        }),
    progress: (text) =>
      showsProgress
        ? Effect.sync(() => {
          if (text !== "" || isLineOpen) streams.writeError(`${clearLine}${text}`)
          isLineOpen = text !== ""
        })
        : Effect.void
  })
}
