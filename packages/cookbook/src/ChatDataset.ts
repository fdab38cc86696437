/**
 * Files of conversations: JSON lines, each `{"messages": [{"role": "user", "content": "…"}, …]}`.
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import { DatasetError } from "./DatasetError.js"
import { Message } from "./Message.js"

/**
 * A conversation with the place it was read from.
 *
 * @since 0.1.0
 * @category models
 */
export interface Chat {
  readonly messages: ReadonlyArray<Message>
  /** Every other key of the line, e.g. the name of a group for a report. */
  readonly metadata: Readonly<Record<string, unknown>>
  readonly file: string
  /** Counted from 1. */
  readonly line: number
}

/**
 * Every conversation of `file`, in order. Blank lines are skipped. One bad line fails the whole file, so that no run
 * begins on part of its data.
 *
 * Errors: `FileMissing`, `Unreadable`, `Empty`, `MalformedLine`, `NoAssistantMessage`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const read = (file: string): Effect.Effect<ReadonlyArray<Chat>, DatasetError, FileSystem.FileSystem> =>
  FileSystem.FileSystem.pipe(
    Effect.flatMap((files) => files.readFileString(file)),
    Effect.mapError((cause) =>
      cause._tag === "SystemError" && cause.reason === "NotFound"
        ? new DatasetError({
          reason: "FileMissing",
          file,
          description: "there is no such file. Give its path relative to where the program starts.",
          cause
        })
        : new DatasetError({
          reason: "Unreadable",
          file,
          description: "cannot be read. It must be a text file that you may open.",
          cause
        })
    ),
    Effect.flatMap((text) => parse(text, file))
  )

/**
 * The conversations in the text of a file; `file` names it in errors.
 *
 * @since 0.1.0
 * @category constructors
 */
export const parse = Effect.fnUntraced(function*(text: string, file: string) {
  const lines = text.replace(/^\uFEFF/, "").split(/\r?\n/)
  const chats: Array<Chat> = []
  for (let i = 0; i < lines.length; i++) {
    if (lines[i]!.trim() === "") continue
    chats.push(yield* parseLine(lines[i]!, file, i + 1))
  }
  if (chats.length === 0) {
    return yield* new DatasetError({
      reason: "Empty",
      file,
      description: "holds no conversation. Each line is a JSON object with a list of messages."
    })
  }
  return chats as ReadonlyArray<Chat>
})

const Line = Schema.parseJson(
  Schema.Struct(
    { messages: Schema.NonEmptyArray(Message) },
    { key: Schema.String, value: Schema.Unknown }
  )
)

const decodeLine = Schema.decodeEither(Line)

const parseLine = (text: string, file: string, line: number): Effect.Effect<Chat, DatasetError> =>
  Effect.gen(function*() {
    const { messages, ...metadata } = yield* Effect.mapError(decodeLine(text), (cause) =>
      new DatasetError({
        reason: "MalformedLine",
        file,
        line,
        description: `${explain(cause)} A line reads {"messages": [{"role": "user", "content": "…"}, …]}.`,
        cause
      }))
    if (!messages.some((message) => message.role === "assistant")) {
      return yield* new DatasetError({
        reason: "NoAssistantMessage",
        file,
        line,
        description: "has no message of the assistant, so there is nothing to learn. Add one or remove the line."
      })
    }
    return { messages, metadata, file, line }
  })

/** The first issue in a sentence, without the content of the line, which may be private. */
const explain = (error: ParseResult.ParseError): string => {
  const issue = ParseResult.ArrayFormatter.formatErrorSync(error)[0]
  return issue === undefined || issue.path.length === 0
    ? "is no JSON object."
    : `has a missing or wrong value at ${issue.path.join(".")}.`
}
