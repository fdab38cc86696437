/**
 * Files of conversations: JSON lines in UTF-8, each line of one of these shapes:
 *
 * - `{"messages": [{"role": "user", "content": "…"}, …]}`; a content may be a list of parts of text, which are put together
 * - `{"conversations": [{"from": "human", "value": "…"}, …]}`, as of ShareGPT; `gpt` is the assistant
 * - `{"prompt": "…", "completion": "…"}`: what the user says, and the answer; or each a list of messages
 *
 * A message may say whether it is learned: `weight` (0 or 1), `trainable` or `train` (true or false). What else it says is
 * kept in its `rest`, for a renderer to write or to refuse. Texts stay as they are, letter for letter. A line that says
 * something else, says it otherwise, or has two things to learn, fails the whole file, so that no run begins on part of its data.
 */
import { failOnIssues, type InvalidInputError } from "@effect-tinker/protocol/TinkerError"
import type { PlatformError } from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { DatasetError } from "./DatasetError.js"
import * as ChatLine from "./internal/chatLine.js"
import { beginsArray, fileKind, headBytes, oneArray, tableKind } from "./internal/fileKind.js"
import * as Given from "./internal/given.js"
import { isUnfinished } from "./internal/jsonText.js"
import * as Lines from "./internal/lines.js"
import type { Message } from "./Message.js"

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
 * - `ignoredKeys`: keys of lines and of messages that are of no account, e.g. `timestamp`; they are as if they were not there
 * - `onProgress`: told after about every MiB, and at the end
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  readonly ignoredKeys?: ReadonlyArray<string> | undefined
  readonly onProgress?: ((progress: Progress) => Effect.Effect<void>) | undefined
}

/**
 * What {@link Options} may be.
 *
 * @internal
 */
export const optionFields: Given.Fields = {
  ignoredKeys: Given.optional(Given.texts),
  onProgress: Given.optional(Given.func)
} satisfies Record<keyof Options, Given.Check>

/**
 * How far a file is read.
 *
 * @since 0.1.0
 * @category models
 */
export interface Progress {
  readonly bytes: number
  /** Absent for what has no size, e.g. a pipe. */
  readonly totalBytes: number | undefined
  readonly conversations: number
}

/**
 * Every conversation of `file`, in order. Blank lines are skipped.
 *
 * Errors: `FileMissing`, `Unreadable`, `Empty`, `WrongFormat`, `MalformedLine`, `UnknownShape`, `UnknownRole`,
 * `Unsupported`, `NoAssistantMessage`; and an `InvalidInputError` for arguments that make no sense.
 *
 * @since 0.1.0
 * @category constructors
 */
export const read = (
  file: string,
  options: Options = {}
): Effect.Effect<ReadonlyArray<Chat>, DatasetError | InvalidInputError, FileSystem.FileSystem> =>
  Effect.map(Stream.runCollect(streamOf("ChatDataset.read", file, options)), (chats) => Chunk.toReadonlyArray(chats))

/**
 * The same one after another. It holds a MiB of the file and one line at a time, of 64 MiB at most; so a file may be of any
 * size. It fails at the first line that is wrong, with the errors of {@link read}.
 *
 * @since 0.1.0
 * @category constructors
 */
export const stream = (
  file: string,
  options: Options = {}
): Stream.Stream<Chat, DatasetError | InvalidInputError, FileSystem.FileSystem> =>
  streamOf("ChatDataset.stream", file, options)

const streamOf = (
  operation: string,
  file: string,
  options: Options
): Stream.Stream<Chat, DatasetError | InvalidInputError, FileSystem.FileSystem> =>
  Stream.unwrap(Effect.gen(function*() {
    yield* failOnIssues(operation, [
      ...Given.path(file, "file"),
      ...Given.options(optionFields)(options, "options")
    ])
    const files = yield* FileSystem.FileSystem
    const before = yield* Effect.mapError(files.stat(file), unreadable(file))
    const { size, type } = before
    if (type === "Directory") {
      return yield* new DatasetError({ reason: "Unreadable", file, description: "is a folder. Name a file in it." })
    }
    const unchanged = Effect.flatMap(
      files.stat(file),
      (after) =>
        after.size === before.size && timeOf(after) === timeOf(before)
          ? Effect.void
          : new DatasetError({
            reason: "Unreadable",
            file,
            description: "was changed while it was read. Read a copy that nobody writes to."
          })
    )
    // What is no file has no positions to read from.
    const bytes = type === "File"
      ? Stream.concat(files.stream(file, { chunkSize: partBytes }), Stream.execute(unchanged))
      : Stream.fromEffect(files.readFile(file))
    return fromBytes(
      operation,
      Stream.mapError(bytes, (error) => error instanceof DatasetError ? error : unreadable(file)(error)),
      file,
      type === "File" ? Number(size) : undefined,
      options
    )
  }))

/**
 * The conversations in the text of a file; `file` names it in errors.
 *
 * @since 0.1.0
 * @category constructors
 */
export const parse = (
  text: string,
  file: string,
  options: Options = {}
): Effect.Effect<ReadonlyArray<Chat>, DatasetError | InvalidInputError> =>
  Effect.gen(function*() {
    yield* failOnIssues("ChatDataset.parse", [
      ...Given.anyText(text, "text"),
      ...Given.anyText(file, "file"),
      ...Given.options(optionFields)(options, "options")
    ])
    const bytes = new TextEncoder().encode(text)
    return yield* Effect.map(
      Stream.runCollect(fromBytes("ChatDataset.parse", Stream.make(bytes), file, bytes.length, options)),
      (chats) => Chunk.toReadonlyArray(chats)
    )
  })

const timeOf = ({ mtime }: FileSystem.File.Info): number => Option.match(mtime, { onNone: () => 0, onSome: Number })

const partBytes = 2 ** 20

const mostLineBytes = 64 * 2 ** 20

const unreadable = (file: string) => (cause: PlatformError): DatasetError =>
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

const fromBytes = (
  operation: string,
  bytes: Stream.Stream<Uint8Array, DatasetError>,
  file: string,
  totalBytes: number | undefined,
  options: Options
): Stream.Stream<Chat, DatasetError | InvalidInputError> =>
  Stream.suspend(() => {
    const reader = makeReader(file, new Set(options.ignoredKeys ?? []))
    const tell = (chats: Chunk.Chunk<Chat>) =>
      Effect.suspend(() => {
        if (options.onProgress === undefined) return Effect.succeed(chats)
        const told = options.onProgress({ ...reader.progress(), totalBytes })
        const issues = Given.mustGive(Effect.isEffect, "an Effect")(told, "onProgress")
        return Effect.zipRight(issues.length === 0 ? told : failOnIssues(operation, issues), Effect.succeed(chats))
      })
    return bytes.pipe(
      Stream.mapEffect((part) => Effect.flatMap(reader.add(part), tell)),
      Stream.concat(Stream.fromEffect(Effect.flatMap(reader.end, tell))),
      Stream.flattenChunks
    )
  })

/** Takes the bytes of a file in parts of any size, and gives the conversations that they complete. */
const makeReader = (file: string, ignoredKeys: ReadonlySet<string>) => {
  const lines = Lines.make()
  const decoder = new TextDecoder("utf-8", { fatal: true })
  let head: Uint8Array | undefined = new Uint8Array(0)
  let isArray = false
  let bytes = 0
  let conversations = 0

  const refuse = (issue: ChatLine.Issue, line?: number) => new DatasetError({ ...issue, file, line })

  const decode = (content: Uint8Array): Either.Either<string, ChatLine.Issue> => {
    try {
      return Either.right(decoder.decode(content))
    } catch {
      return Either.left({
        reason: "WrongFormat",
        description: "is not UTF-8, perhaps Latin-1. Save the file as UTF-8, e.g. by iconv -f LATIN1 -t UTF-8."
      })
    }
  }

  const chatOf = (
    { content, number: line }: Lines.Line,
    isLast: boolean
  ): Either.Either<Chat | undefined, DatasetError> =>
    Either.flatMap(decode(content), (text): Either.Either<Chat | undefined, ChatLine.Issue> => {
      if (text.trim() === "") return Either.right(undefined)
      if (conversations === 0 && !isLast && isBeginning(text)) {
        return Either.left({
          reason: "WrongFormat",
          description: "begins a JSON object that goes on in the next line. Write each on one line, e.g. by jq -c ."
        })
      }
      if (conversations === 0 && text.trimStart().startsWith("[") && !ChatLine.isMessages(text)) {
        return Either.left({ reason: "WrongFormat", description: oneArray })
      }
      const kind = conversations === 0 ? tableKind(text) : undefined
      if (kind !== undefined) return Either.left({ reason: "WrongFormat", description: kind })
      return Either.map(ChatLine.parse(text, { ignoredKeys, isLast }), (chat) => {
        conversations += 1
        return { ...chat, file, line }
      })
    }).pipe(Either.mapLeft((issue) => refuse(issue, line)))

  const chatsOf = (lines: Iterable<Lines.Line>, isLast: boolean): Effect.Effect<Chunk.Chunk<Chat>, DatasetError> => {
    const chats: Array<Chat> = []
    for (const line of lines) {
      const chat = chatOf(line, isLast)
      if (Either.isLeft(chat)) return chat.left
      if (chat.right !== undefined) chats.push(chat.right)
    }
    return Effect.succeed(Chunk.unsafeFromArray(chats))
  }

  /** Lines of the parts so far, once there are bytes enough to say that they may be JSON lines. */
  const linesOf = (part: Uint8Array, isLast: boolean): Either.Either<Iterable<Lines.Line>, DatasetError> => {
    if (head === undefined) return Either.right(lines.add(part))
    const joined = new Uint8Array(head.length + part.length)
    joined.set(head)
    joined.set(part, head.length)
    if (joined.length < headBytes && !isLast) {
      head = joined
      return Either.right([])
    }
    head = undefined
    isArray = beginsArray(joined)
    const description = fileKind(joined)
    return description === undefined
      ? Either.right(lines.add(joined))
      : Either.left(refuse({ reason: "WrongFormat", description }))
  }

  return {
    add: (part: Uint8Array): Effect.Effect<Chunk.Chunk<Chat>, DatasetError> =>
      Effect.gen(function*() {
        bytes += part.length
        const chats = yield* chatsOf(yield* linesOf(part, false), false)
        const pending = lines.pending()
        if (pending.bytes > mostLineBytes) {
          if (isArray && conversations === 0) {
            return yield* refuse({ reason: "WrongFormat", description: oneArray })
          }
          return yield* refuse({
            reason: "MalformedLine",
            description: `is longer than ${mostLineBytes / 2 ** 20} MiB. Split it into several conversations.`
          }, pending.number)
        }
        return chats
      }),
    end: Effect.gen(function*() {
      const ended = yield* chatsOf(yield* linesOf(new Uint8Array(0), true), false)
      const last = lines.last()
      const chats = last === undefined ? ended : Chunk.appendAll(ended, yield* chatsOf([last], true))
      if (conversations > 0) return chats
      return yield* refuse({
        reason: "Empty",
        description: "holds no conversation. Each line is a JSON object with a list of messages."
      })
    }),
    progress: () => ({ bytes, conversations })
  }
}

/** Whether a line is where a JSON object begins that is printed over several. */
const isBeginning = (text: string): boolean => {
  const trimmed = text.trim()
  return trimmed.startsWith("{") && "{[,:".includes(trimmed.slice(-1)) && isUnfinished(trimmed)
}
