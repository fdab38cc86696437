import type { Chat } from "@effect-tinker/cookbook/ChatDataset"
import type { ChatFile } from "@effect-tinker/cookbook/ChatFile"
import { DatasetError, type Issue } from "@effect-tinker/cookbook/DatasetError"
import { isTrainable } from "@effect-tinker/cookbook/Message"
import * as RoleRenderer from "@effect-tinker/cookbook/RoleRenderer"
import * as Supervised from "@effect-tinker/cookbook/Supervised"
import type * as Tokenizer from "@effect-tinker/tokenizer/Tokenizer"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import { createHash } from "node:crypto"
import type { Handler } from "../CommandTree.js"
import * as Failure from "../Failure.js"
import * as Humanize from "../Humanize.js"
import * as Output from "../Output.js"
import * as Reading from "../Reading.js"
import * as Table from "../Table.js"
import { explainData } from "../TrainingProgram.js"
import { UsageError } from "../UsageError.js"
import * as Words from "../Words.js"

interface Input extends Reading.Asked {
  readonly context: Option.Option<number>
  readonly example: Option.Option<number>
}

export const check: Handler<Input> = (input) =>
  Effect.gen(function*() {
    const output = yield* Output.Output
    const ignoredKeys = yield* Reading.ignoredKeys(input)
    const reader = yield* Reading.open(input)
    const context = Option.getOrElse(input.context, () => reader.maxContextLength)
    const progress = (bytes: number, total: number | undefined) =>
      output.progress(`Reading ${input.file}: ${Humanize.size(bytes)}${total ? ` of ${Humanize.size(total)}` : ""}`)
    const chats = yield* Supervised.chatsFromFile(input.file, {
      ignoredKeys,
      onProgress: ({ bytes, totalBytes }) => progress(bytes, totalBytes)
    }).pipe(Effect.catchTag("DatasetError", (error) => tellFaults(input.file, error, ignoredKeys)))
    const { example, faults, ...counts } = yield* counted(chats, { ...reader, context, exampleLine: input.example })
    yield* output.progress("")
    const isToldOtherwise = (wanted: number) => faults.some(({ line }) => line === wanted)
    if (Option.isSome(input.example) && example === undefined && !isToldOtherwise(input.example.value)) {
      return yield* new UsageError({
        description: `--example: line ${input.example.value} of ${input.file} holds no conversation.`
      })
    }
    const error = faultsOf(faults, chats.length)
    yield* output.result({
      json: {
        file: input.file,
        base_model: reader.baseModel ?? null,
        context: context ?? null,
        ...jsonOf(counts),
        example: example === undefined ? null : { line: example.line, parts: example.parts },
        ...jsonOfFaults(error)
      },
      text: (layout) =>
        [
          Table.facts(input.file, rowsOf(counts, context))(layout),
          ...(example === undefined ? [] : [exampleText(example, layout)])
        ].join("\n")
    })
    if (error !== undefined) return yield* failure(error, ignoredKeys)
  })

/** What is wrong with lines that no tokenizer could learn; nothing else is known then. */
const tellFaults = (
  file: string,
  error: DatasetError,
  ignoredKeys: ReadonlyArray<string>
): Effect.Effect<never, Failure.CommandFailed, Output.Output> =>
  Effect.gen(function*() {
    const output = yield* Output.Output
    yield* output.progress("")
    if (output.format === "json") {
      yield* output.result({ json: { file, ...jsonOfFaults(error) }, text: () => "" })
    }
    return yield* failure(error, ignoredKeys)
  })

/** The error tells of the faults where the result does not. */
const failure = (
  error: DatasetError,
  ignoredKeys: ReadonlyArray<string>
): Effect.Effect<never, Failure.CommandFailed, Output.Output> =>
  Effect.flatMap(Output.Output, ({ format }) =>
    Failure.failed(
      format === "table" || error.wrongLines === undefined
        ? explainData(error, ignoredKeys).message
        : `${error.wrongLines} of ${error.totalLines ?? "the"} lines cannot be learned.`
    ))

const jsonOfFaults = (error: DatasetError | undefined) => ({
  wrong_lines: error?.wrongLines ?? (error === undefined ? 0 : 1),
  faults: error === undefined ? [] : [error, ...error.others].map(({ description, lines, line, reason }) => ({
    line: line ?? null,
    reason,
    description,
    ...(lines === undefined ? {} : { lines })
  }))
})

/** One error of all faults, as the reader of files makes it. */
const faultsOf = (faults: ReadonlyArray<Issue>, totalLines: number): DatasetError | undefined => {
  const [first, ...others] = faults
  return first === undefined
    ? undefined
    : new DatasetError({ ...first, others, wrongLines: faults.length, totalLines })
}

interface Part {
  readonly text: string
  readonly learned: boolean
  readonly tokens: number
}

interface Example {
  readonly line: number
  readonly parts: ReadonlyArray<Part>
}

interface Counts {
  readonly conversations: number
  readonly messages: Readonly<Record<string, number>>
  readonly learnedMessages: number
  readonly tokens: number
  readonly learnedTokens: number
  /** How many tokens each conversation has, the shortest first. */
  readonly lengths: ReadonlyArray<number>
  readonly tooLong: number
  /** The lines that say the same as an earlier one, and that one. */
  readonly duplicates: ReadonlyArray<readonly [line: number, first: number]>
}

/** So many conversations are held at once. */
const partLength = 500

const counted = (
  chats: ChatFile,
  { context, exampleLine, tokenizer }: {
    readonly context: number | undefined
    readonly exampleLine: Option.Option<number>
    readonly tokenizer: Tokenizer.Service
  }
) =>
  Effect.gen(function*() {
    const output = yield* Output.Output
    const renderer = RoleRenderer.fromTokenizer(tokenizer)
    const faults: Array<Issue> = []
    const lengths: Array<number> = []
    const messages: Record<string, number> = {}
    const firsts = new Map<string, number>()
    const duplicates: Array<readonly [number, number]> = []
    let learnedMessages = 0
    let learnedTokens = 0
    let example: Example | undefined
    const add = (chat: Chat): void => {
      const { file, line } = chat
      const key = createHash("sha256").update(JSON.stringify(chat.messages)).digest("base64")
      const first = firsts.get(key)
      if (first === undefined) firsts.set(key, line)
      else duplicates.push([line, first])
      for (const message of chat.messages) {
        messages[message.role] = (messages[message.role] ?? 0) + 1
        if (isTrainable(message)) learnedMessages += 1
      }
      const rendered = renderer.supervisedExample(chat.messages)
      if (Either.isLeft(rendered)) {
        const error = rendered.left
        faults.push(
          error._tag === "DatasetError"
            ? { reason: error.reason, description: error.description, file, line }
            : { reason: "MalformedLine", description: error.message, file, line }
        )
        return
      }
      const { tokens, weights } = rendered.right
      lengths.push(tokens.length)
      learnedTokens += weights.reduce((sum, weight) => sum + weight, 0)
      if (context !== undefined && tokens.length > context) {
        faults.push({
          reason: "SequenceTooLong",
          description: `takes ${tokens.length} tokens, and ${context} are allowed. Shorten or split it.`,
          file,
          line
        })
      }
      const isExample = Option.match(exampleLine, { onNone: () => true, onSome: (wanted) => wanted === line })
      if (example === undefined && isExample) example = { line, parts: partsOf(rendered.right, tokenizer) }
    }
    for (let from = 0; from < chats.length; from += partLength) {
      if (chats.length > partLength) yield* output.progress(`Turning text into tokens: ${from} of ${chats.length}`)
      const places = Array.from({ length: Math.min(partLength, chats.length - from) }, (_, i) => from + i)
      for (const chat of yield* chats.read(places)) add(chat)
    }
    lengths.sort((a, b) => a - b)
    return {
      conversations: chats.length,
      messages,
      learnedMessages,
      tokens: lengths.reduce((sum, length) => sum + length, 0),
      learnedTokens,
      lengths,
      tooLong: faults.filter(({ reason }) => reason === "SequenceTooLong").length,
      duplicates,
      example,
      faults
    }
  })

/** The text of an example, cut where what is learned begins and ends. */
const partsOf = (
  { tokens, weights }: RoleRenderer.SupervisedExample,
  tokenizer: Tokenizer.Service
): ReadonlyArray<Part> => {
  const parts: Array<Part> = []
  for (let from = 0; from < tokens.length;) {
    let to = from + 1
    while (to < tokens.length && weights[to] === weights[from]) to += 1
    parts.push({ text: tokenizer.decode(tokens.subarray(from, to)), learned: weights[from]! > 0, tokens: to - from })
    from = to
  }
  return parts
}

const exampleText = ({ line, parts }: Example, { isColored, width }: Table.Layout): string => {
  const [open, close] = isColored ? ["\u001B[32m", "\u001B[39m"] : ["«", "»"]
  const text = parts.map(({ learned, text }) => {
    const words = width === undefined ? text : Words.shown(text)
    return learned ? `${open}${words}${close}` : words
  }).join("")
  return `Line ${line}; ${isColored ? "in color" : "between « and »"} is what is learned:\n\n${text}\n`
}

const at = (lengths: ReadonlyArray<number>, share: number): number =>
  lengths[Math.min(lengths.length - 1, Math.floor(share * lengths.length))] ?? 0

const rowsOf = (
  { conversations, duplicates, learnedMessages, learnedTokens, lengths, messages, tokens, tooLong }: Counts,
  context: number | undefined
): ReadonlyArray<readonly [string, string]> => [
  ["Conversations", String(conversations)],
  ...Object.entries(messages).map(([role, count]) => [`Messages of ${role}`, String(count)] as const),
  ["Messages learned", String(learnedMessages)],
  ["Tokens", String(tokens)],
  ["Tokens learned", String(learnedTokens)],
  [
    "Tokens a conversation",
    `${at(lengths, 0.5)} in the middle, ${at(lengths, 0.95)} of one in twenty, ${lengths.at(-1) ?? 0} at most`
  ],
  [
    "Longer than the context",
    context === undefined ? "not known; --context says it" : `${tooLong} (${context} tokens)`
  ],
  [
    "The same as an earlier line",
    duplicates.length === 0 ?
      "0" :
      `${duplicates.length} (${duplicates.slice(0, 5).map(([line, first]) => `line ${line} as ${first}`).join(", ")}${
        duplicates.length > 5 ? ", …" : ""
      })`
  ]
]

const jsonOf = (
  { conversations, duplicates, learnedMessages, learnedTokens, lengths, messages, tokens, tooLong }: Counts
) => ({
  conversations,
  messages,
  learned_messages: learnedMessages,
  tokens,
  learned_tokens: learnedTokens,
  tokens_median: at(lengths, 0.5),
  tokens_95: at(lengths, 0.95),
  tokens_longest: lengths.at(-1) ?? 0,
  over_context: tooLong,
  duplicates: duplicates.map(([line, first]) => ({ line, first }))
})
