import { Message, roles } from "@effect-tinker/cookbook/Message"
import * as ModelInput from "@effect-tinker/protocol/ModelInput"
import type { SampledSequence } from "@effect-tinker/protocol/SampleResponse"
import * as SamplingParams from "@effect-tinker/protocol/SamplingParams"
import type * as Tokenizer from "@effect-tinker/tokenizer/Tokenizer"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { Handler } from "../CommandTree.js"
import * as Connection from "../Connection.js"
import * as Humanize from "../Humanize.js"
import * as PlatformErrors from "../internal/effect/platformErrors.js"
import * as JsonFile from "../JsonFile.js"
import * as NewFile from "../NewFile.js"
import * as Output from "../Output.js"
import * as Renderers from "../Renderers.js"
import * as SampledModel from "../SampledModel.js"
import * as SamplingOptions from "../SamplingOptions.js"
import { UsageError } from "../UsageError.js"
import * as Words from "../Words.js"

interface Input extends SampledModel.Asked, SamplingOptions.SamplingOptions {
  readonly prompt: Option.Option<string>
  readonly promptFile: Option.Option<string>
  readonly messages: Option.Option<string>
  readonly system: Option.Option<string>
  readonly renderer: Option.Option<string>
  readonly stop: ReadonlyArray<string>
  readonly numSamples: number
  readonly jsonl: boolean
  readonly output: Option.Option<string>
  readonly force: boolean
}

export const sample: Handler<Input> = (input) =>
  Effect.gen(function*() {
    const output = yield* Output.Output
    if (input.jsonl && output.format === "json") {
      return yield* new UsageError({
        description: "--json is one document, and --jsonl a line an answer. Give one of them."
      })
    }
    if (input.force && Option.isNone(input.output)) {
      return yield* new UsageError({ description: "--force is for a file that --output names." })
    }
    const params = yield* SamplingOptions.params(input)
    const asked = yield* readAsked(input)
    if (Option.isSome(input.output)) yield* NewFile.check(input.output.value, { isReplaced: input.force })
    const model = yield* SampledModel.open(input)
    const { answer, prompt, stop } = yield* preparing(asked, model, input)
    const { maxContextLength: most } = model
    const length = ModelInput.textLength(prompt) ?? 0
    if (most !== undefined && length + input.maxTokens > most) {
      return yield* new UsageError({
        description:
          `the prompt has ${length} tokens and --max-tokens is ${input.maxTokens}, which is more than the ${most} `
          + `that ${model.baseModel} has room for. Shorten one of them.`
      })
    }
    yield* output.progress(`Asking ${model.description} …`)
    const { sequences } = yield* Connection.impatient(
      model.sampling.sample({
        prompt,
        samplingParams: SamplingParams.make({ ...params, stop }),
        numSamples: input.numSamples
      })
    )
    yield* output.progress("")
    const answers = sequences.map((sequence, index) => ({ ...sequence, index, text: answer(sequence.tokens) }))
    for (const one of answers) yield* output.notice(noticeOf(one, answers.length))
    yield* write(input, answers, {
      base_model: model.baseModel,
      checkpoint: model.checkpoint ?? null,
      prompt_tokens: length
    })
  })

interface Answer extends SampledSequence {
  readonly index: number
  readonly text: string
}

/** Writes the answers, in the form that was asked for, to where they were wanted. */
const write = (
  { jsonl, output: file }: Input,
  answers: ReadonlyArray<Answer>,
  facts: Readonly<Record<string, string | number | null>>
) =>
  Effect.gen(function*() {
    const output = yield* Output.Output
    const rows = answers.map((answer) => ({
      index: answer.index,
      text: answer.text,
      tokens: Array.from(answer.tokens),
      logprobs: answer.logprobs === undefined ? null : Array.from(answer.logprobs),
      stop_reason: answer.stopReason
    }))
    const text = jsonl
      ? rows.map((row) => `${JSON.stringify(row)}\n`).join("")
      : output.format === "json"
      ? `${JSON.stringify({ ...facts, sequences: rows }, null, 2)}\n`
      : textOf(answers)
    if (Option.isNone(file)) {
      return yield* output.raw([output.isTerminal && !jsonl && output.format === "table" ? Words.shown(text) : text])
    }
    yield* NewFile.write(file.value, Stream.make(new TextEncoder().encode(text)))
    yield* output.notice(`${Humanize.counted(answers.length, "answer")} written to ${file.value}`)
  })

/** One answer as it is, several under numbers. */
const textOf = (answers: ReadonlyArray<Answer>): string =>
  answers.length === 1
    ? `${answers[0]!.text}\n`
    : answers.map(({ index, text }) => `Sample ${index + 1}:\n${text}\n`).join("\n")

const noticeOf = ({ index, logprobs, stopReason, tokens }: Answer, of: number): string => {
  const mean = logprobs === undefined || logprobs.length === 0
    ? ""
    : `, ${(logprobs.reduce((sum, logprob) => sum + logprob, 0) / logprobs.length).toFixed(3)} nats/token`
  const end = stopReason === "length" ? "cut off at --max-tokens" : "came to its end"
  return `${of === 1 ? "" : `sample ${index + 1}: `}${Humanize.counted(tokens.length, "token")}, ${end}${mean}`
}

type Asked =
  | { readonly _tag: "Text"; readonly text: string }
  | { readonly _tag: "Tokens"; readonly tokens: ReadonlyArray<number> }
  | { readonly _tag: "Messages"; readonly messages: ReadonlyArray<Message> }

/** What the model reads, where its answer ends, and how its answer reads. */
const preparing = (asked: Asked, model: SampledModel.SampledModel, { renderer: name, stop }: Input) =>
  Effect.gen(function*() {
    const { tokenizer } = model
    const ownStop = stop.length === 0 ? undefined : stop
    const text = (tokens: Int32Array) => tokenizer.decode(tokens, { skipSpecialTokens: true })
    switch (asked._tag) {
      case "Tokens":
        return { prompt: ModelInput.fromTokens(asked.tokens), stop: ownStop, answer: text }
      case "Text":
        return { prompt: ModelInput.fromTokens(beginning(tokenizer, asked.text)), stop: ownStop, answer: text }
      case "Messages": {
        const renderer = yield* Renderers.choose(model, name)
        return {
          prompt: yield* renderer.generationPrompt(asked.messages),
          stop: [...renderer.stop, ...stop],
          answer: (tokens: Int32Array) => renderer.parse(tokens).message.content
        }
      }
    }
  })

/** A text begins as all that the model was trained on, where the tokenizer says how. */
const beginning = ({ bosToken, encode }: Tokenizer.Service, text: string): Int32Array => {
  const tokens = encode(text)
  return bosToken === undefined ? tokens : Int32Array.from([bosToken, ...tokens])
}

const readAsked = (
  { messages, prompt, promptFile, renderer, system }: Input
): Effect.Effect<Asked, UsageError, Output.Output | FileSystem.FileSystem> =>
  Effect.gen(function*() {
    const given = [prompt, promptFile, messages].filter(Option.isSome)
    if (given.length !== 1) {
      return yield* new UsageError({
        description: given.length === 0
          ? "what is the model to go on with? Give --prompt, --prompt-file or --messages."
          : "--prompt, --prompt-file and --messages say different things. Give one of them."
      })
    }
    if (Option.isNone(messages)) {
      const extra = Option.isSome(system) ? "--system" : Option.isSome(renderer) ? "--renderer" : undefined
      if (extra !== undefined) {
        return yield* new UsageError({
          description: `${extra} is for a conversation, and a prompt is none. Give the conversation with --messages.`
        })
      }
      const asked: Asked = Option.isSome(prompt) && prompt.value !== "-"
        ? { _tag: "Text", text: prompt.value }
        : Option.isSome(prompt)
        ? { _tag: "Text", text: yield* contentOf("-", "--prompt") }
        : yield* promptIn(Option.getOrThrow(promptFile))
      return asked._tag === "Text" && asked.text === "" || asked._tag === "Tokens" && asked.tokens.length === 0
        ? yield* new UsageError({ description: "the prompt is empty, so there is nothing to go on with." })
        : asked
    }
    return { _tag: "Messages", messages: yield* conversation(messages.value, system) }
  })

const contentOf = (file: string, option: string) =>
  Effect.gen(function*() {
    if (file === "-") return yield* (yield* Output.Output).input
    const files = yield* FileSystem.FileSystem
    return yield* Effect.mapError(files.readFileString(file), (cause) =>
      new UsageError({
        description: `${option}: ${file} ${
          PlatformErrors.kindOf(cause) === "NotFound"
            ? "is not there"
            : `cannot be read: ${cause.message}`
        }.`,
        cause
      }))
  })

const promptIn = (file: string) =>
  Effect.flatMap(contentOf(file, "--prompt-file"), (text): Effect.Effect<Asked, UsageError> => {
    const value = jsonOf(text)
    const isObject = typeof value === "object" && value !== null && "tokens" in value
    const list: unknown = isObject ? value.tokens : value
    const isNumbers = Array.isArray(list) && list.every((one) => typeof one === "number")
    if (!isObject && !isNumbers) return Effect.succeed({ _tag: "Text", text })
    return isNumbers && list.every((one) => Number.isSafeInteger(one) && one >= 0 && one < 2 ** 31)
      ? Effect.succeed({ _tag: "Tokens", tokens: list })
      : new UsageError({
        description:
          `--prompt-file: ${file} has a list of tokens in which one is no token id. They are whole numbers from 0 on.`
      })
  })

const jsonOf = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const Conversation = Schema.Union(Schema.Array(Message), Schema.Struct({ messages: Schema.Array(Message) }))

/** The messages of a file, behind those of the system that were given beside it. */
const conversation = (file: string, system: Option.Option<string>) =>
  Effect.gen(function*() {
    const text = yield* contentOf(file, "--messages")
    const issue = JsonFile.issueOf(text)
    const wrong = (description: string) => new UsageError({ description: `--messages: ${file} ${description}` })
    if (issue !== undefined) return yield* wrong(`is no JSON: ${issue}`)
    const decoded = Schema.decodeUnknownOption(Conversation)(jsonOf(text))
    if (Option.isNone(decoded)) {
      return yield* wrong("is no conversation. It reads [{\"role\": \"user\", \"content\": \"…\"}, …].")
    }
    const messages = "messages" in decoded.value ? decoded.value.messages : decoded.value
    const strange = messages.find(({ role }) => !roles.includes(role))
    if (strange !== undefined) {
      return yield* wrong(`has a message of ${JSON.stringify(strange.role)}. Roles are ${roles.join(", ")}.`)
    }
    if (messages.length === 0) return yield* wrong("has no message.")
    if (messages.at(-1)!.role === "assistant") {
      return yield* wrong("ends with a message of the assistant, and there is nothing to answer.")
    }
    if (Option.isNone(system)) return messages
    return messages[0]!.role === "system"
      ? yield* wrong("begins with a message of the system, and so does --system. Give one of them.")
      : [{ role: "system", content: system.value }, ...messages]
  })
