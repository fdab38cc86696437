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
 * Who reads it whole is told of all such lines at once: each mistake, and how many lines have it.
 */
import { failOnIssues, type InvalidInputError } from "@effect-tinker/protocol/TinkerError"
import type * as FileSystem from "@effect/platform/FileSystem"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Stream from "effect/Stream"
import { DatasetError, type Issue } from "./DatasetError.js"
import { isMessages, type Line, parseLine } from "./internal/chatLine.js"
import { type FileBytes, openBytes } from "./internal/fileBytes.js"
import {
  beginsArray,
  fileKind,
  hasOldLineEnds,
  headBytes,
  oldLineEnds,
  oneArray,
  tableKind
} from "./internal/fileKind.js"
import { gatherAll } from "./internal/gather.js"
import * as Given from "./internal/given.js"
import { retryIgnoringKeys } from "./internal/ignorableKeys.js"
import { isUnfinished } from "./internal/jsonText.js"
import * as Keys from "./internal/keys.js"
import * as Lines from "./internal/lines.js"
import type { MarkedIssue } from "./internal/marks.js"
import { reportProgress } from "./internal/reportProgress.js"
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
 * - `ignoredKeys`: keys of lines, of the objects in them and of messages that are of no account, e.g. `timestamp`; they are as if
 *   they were not there, however they are capitalised, with whatever blanks, dashes and underlines
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
 * Every conversation of `file`, in order. Blank lines are skipped. Lines that are wrong are told of at once, in one error: the first
 * hundred, each kind of mistake, and how many there are.
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
  gatherAll(Stream.map(linesOfFile("ChatDataset.read", file, options), chatOfLine))

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
  linesOfFile("ChatDataset.stream", file, options).pipe(
    Stream.mapChunksEffect((lines) =>
      Either.match(Either.all(Chunk.map(lines, chatOfLine)), {
        onLeft: (issue) => Effect.fail(new DatasetError(issue)),
        onRight: (chats) => Effect.succeed(Chunk.unsafeFromArray(chats))
      })
    )
  )

/**
 * A conversation, and the byte of the file that its line begins with.
 *
 * @internal
 */
export interface ChatLine {
  readonly chat: Chat
  readonly offset: number
}

/** What a line holds, or what is wrong with it. */
type Read = Either.Either<ChatLine, MarkedIssue>

const chatOfLine = (line: Read): Either.Either<Chat, Issue> => Either.map(line, ({ chat }) => chat)

/**
 * The lines that hold something, each a conversation or what is wrong with it, be it by `check`. Fails where the file is no JSON
 * lines at all.
 *
 * @internal
 */
export const linesOfFile = (
  operation: string,
  file: string,
  options: Options,
  check: Check = () => undefined
): Stream.Stream<Read, DatasetError | InvalidInputError, FileSystem.FileSystem> =>
  Stream.unwrap(Effect.map(
    Effect.zipRight(checkArguments(operation, file, options), openBytes(file)),
    (bytes) => linesOfBytes(operation, file, bytes, options, check)
  ))

/**
 * Fails with what makes no sense in the arguments of a function that reads a file.
 *
 * @internal
 */
export const checkArguments = (
  operation: string,
  file: string,
  options: Options
): Effect.Effect<void, InvalidInputError> =>
  failOnIssues(operation, [
    ...Given.path(file, "file"),
    ...Given.options(optionFields)(options, "options")
  ])

type Check = (line: Line) => MarkedIssue | undefined

/**
 * The conversations in the text of a file; `file` names it in errors, which are those of {@link read}.
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
    return yield* gatherAll(
      Stream.map(
        linesOfBytes("ChatDataset.parse", file, { all: Stream.make(bytes), total: bytes.length }, options),
        chatOfLine
      )
    )
  })

const mostLineBytes = 64 * 2 ** 20

/**
 * The lines in the bytes of a file, as {@link linesOfFile} gives them.
 *
 * @internal
 */
export const linesOfBytes = (
  operation: string,
  file: string,
  bytes: Pick<FileBytes, "all" | "total">,
  options: Options,
  check: Check = () => undefined
): Stream.Stream<Read, DatasetError | InvalidInputError> =>
  Stream.suspend(() => {
    const reader = makeReader(file, options.ignoredKeys ?? [], check)
    const tell = (lines: Chunk.Chunk<Read>) =>
      Effect.suspend(() =>
        reportProgress(operation, options.onProgress, { ...reader.progress(), totalBytes: bytes.total })
      ).pipe(Effect.as(lines))
    return bytes.all.pipe(
      Stream.mapEffect((part) => Effect.flatMap(reader.add(part), tell)),
      Stream.concat(Stream.fromEffect(Effect.flatMap(reader.end, tell))),
      Stream.flattenChunks
    )
  })

/**
 * Takes the bytes of a file in parts of any size, and gives what is in the lines that they complete. Fails where the file is no
 * JSON lines at all.
 */
const makeReader = (file: string, ignoredKeys: ReadonlyArray<string>, check: Check) => {
  const lines = Lines.make()
  const ignored = Keys.ignoredKeys(ignoredKeys)
  const decoder = new TextDecoder("utf-8", { fatal: true })
  let head: Uint8Array | undefined = new Uint8Array(0)
  let isArray = false
  let bytes = 0
  let conversations = 0
  let issues = 0

  const refuse = (issue: Issue, line?: number) => new DatasetError({ ...issue, file, line })

  const wrongFormat = (description: string): Either.Either<never, Issue> =>
    Either.left({ reason: "WrongFormat", description })

  const decode = (content: Uint8Array): Either.Either<string, Issue> => {
    try {
      return Either.right(decoder.decode(content))
    } catch {
      return wrongFormat("is not UTF-8, perhaps Latin-1. Save the file as UTF-8, e.g. by iconv -f LATIN1 -t UTF-8.")
    }
  }

  const isFirst = () => conversations + issues === 0

  const chatOf = (content: Uint8Array, isLast: boolean): Either.Either<Line | undefined, MarkedIssue> =>
    Either.flatMap(decode(content), (text): Either.Either<Line | undefined, MarkedIssue> => {
      if (text.trim() === "") return Either.right(undefined)
      if (isFirst()) {
        if (!isLast && isBeginning(text)) {
          return wrongFormat(
            "begins a JSON object that goes on in the next line. Write each on one line, e.g. by jq -c ."
          )
        }
        if (text.trimStart().startsWith("[") && !isMessages(text)) return wrongFormat(oneArray)
        const kind = tableKind(text)
        if (kind !== undefined) return wrongFormat(kind)
      }
      return retryIgnoringKeys((more) =>
        Either.flatMap(
          parseLine(text, { ignoredKeys: Keys.ignoredKeys(more, ignored), isLast }),
          (line) => {
            const issue = check(line)
            return issue === undefined ? Either.right(line) : Either.left(issue)
          }
        )
      )
    })

  const read = (
    lines: Iterable<Lines.Line>,
    isLast: boolean
  ): Effect.Effect<Chunk.Chunk<Read>, DatasetError> => {
    const all: Array<Read> = []
    for (const { content, number: line, offset } of lines) {
      const chat = chatOf(content, isLast)
      if (Either.isLeft(chat)) {
        if (chat.left.reason === "WrongFormat") return refuse(chat.left, line)
        issues += 1
        all.push(Either.left({ ...chat.left, file, line }))
      } else if (chat.right !== undefined) {
        conversations += 1
        all.push(Either.right({ chat: { ...chat.right, file, line }, offset }))
      }
    }
    return Effect.succeed(Chunk.unsafeFromArray(all))
  }

  /** Lines of the parts so far, once there are bytes enough to say that they may be JSON lines. */
  const linesOf = (part: Uint8Array, isLast: boolean): Effect.Effect<Iterable<Lines.Line>, DatasetError> => {
    if (head === undefined) return Effect.succeed(lines.add(part))
    const joined = new Uint8Array(head.length + part.length)
    joined.set(head)
    joined.set(part, head.length)
    if (joined.length < headBytes && !isLast) {
      head = joined
      return Effect.succeed([])
    }
    head = undefined
    isArray = beginsArray(joined)
    const description = fileKind(joined)
    return description === undefined
      ? Effect.succeed(lines.add(joined))
      : Effect.fail(refuse({ reason: "WrongFormat", description }))
  }

  /** What is wrong with a line that has not ended, at its newest part. */
  const pendingIssue = (bytes: number, part: Uint8Array): Issue | undefined => {
    if (bytes > part.length && hasOldLineEnds(part)) return { reason: "WrongFormat", description: oldLineEnds }
    if (bytes <= mostLineBytes) return undefined
    if (isArray && isFirst()) return { reason: "WrongFormat", description: oneArray }
    return {
      reason: "MalformedLine",
      description: `is longer than ${mostLineBytes / 2 ** 20} MiB. Split it into several conversations; if it holds `
        + "several, write each on a line of its own."
    }
  }

  return {
    add: (part: Uint8Array): Effect.Effect<Chunk.Chunk<Read>, DatasetError> =>
      Effect.gen(function*() {
        bytes += part.length
        const all = yield* read(yield* linesOf(part, false), false)
        const pending = lines.pending()
        const issue = pendingIssue(pending.bytes, part)
        return issue === undefined ? all : yield* refuse(issue, pending.number)
      }),
    end: Effect.gen(function*() {
      const ended = yield* read(yield* linesOf(new Uint8Array(0), true), false)
      const last = lines.last()
      const all = last === undefined ? ended : Chunk.appendAll(ended, yield* read([last], true))
      if (!isFirst()) return all
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
