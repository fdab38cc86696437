/**
 * A conversation with a model, a line after the other.
 */
import type { Message } from "@effect-tinker/cookbook/Message"
import type { RoleRenderer } from "@effect-tinker/cookbook/RoleRenderer"
import { nearest } from "@effect-tinker/protocol/CallOptions"
import * as SamplingParams from "@effect-tinker/protocol/SamplingParams"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as Connection from "./Connection.js"
import * as Failure from "./Failure.js"
import * as Humanize from "./Humanize.js"
import * as NewFile from "./NewFile.js"
import * as Output from "./Output.js"
import type { SampledModel } from "./SampledModel.js"
import { UsageError } from "./UsageError.js"
import * as Words from "./Words.js"

/**
 * What has been said, and how the model is asked.
 *
 * @since 0.1.0
 * @category models
 */
export interface Conversation {
  readonly system: string | undefined
  /** What was said after it, in turns: a question and its answer. */
  readonly turns: ReadonlyArray<Message>
  readonly params: SamplingParams.SamplingParams
}

/**
 * Reads messages and commands until the input ends, and has the model answer. Its words alone go to standard output. An answer that is
 * stopped by Ctrl-C, or fails, is left out of the conversation with the message it is to. Where nobody types, a failure is the end.
 *
 * @since 0.1.0
 * @category constructors
 */
export const converse = (model: SampledModel, renderer: RoleRenderer, begin: Conversation) =>
  Effect.gen(function*() {
    const output = yield* Output.Output
    const reader = yield* output.lines
    const told = <E, R>(change: Effect.Effect<Conversation, E, R>, before: Conversation) =>
      output.isInteractive
        ? Effect.catchAll(change, (error) => Effect.as(output.warning(Failure.ofError(error).message), before))
        : change
    let conversation = begin
    for (;;) {
      const line = yield* reader.next("> ")
      if (line === undefined) break
      const text = line.trim()
      if (text === "") continue
      if (!text.startsWith("/") || text.startsWith("//")) {
        const question = text.startsWith("//") ? text.slice(1) : text
        conversation = yield* told(turn({ model, renderer, reader, conversation, question }), conversation)
        continue
      }
      const [name = "", ...words] = text.slice(1).split(/\s+/)
      if (leaving.includes(name)) return
      conversation = yield* told(obey(name, words.join(" "), text, conversation), conversation)
    }
    if (output.isInteractive) yield* output.say("\n")
  }).pipe(Effect.scoped)

const turn = ({ conversation, model, question, reader, renderer }: {
  readonly model: SampledModel
  readonly renderer: RoleRenderer
  readonly reader: Output.LineReader
  readonly conversation: Conversation
  readonly question: string
}) =>
  Effect.gen(function*() {
    const output = yield* Output.Output
    const turns: ReadonlyArray<Message> = [...conversation.turns, { role: "user", content: question }]
    const prompt = yield* renderer.generationPrompt(messagesOf({ ...conversation, turns }))
    const asking = Connection.impatient(
      model.sampling.sample({
        prompt,
        samplingParams: SamplingParams.make({ ...conversation.params, stop: renderer.stop })
      })
    )
    yield* output.progress("…")
    const response = yield* Effect.raceFirst(
      Effect.asSome(asking),
      Effect.as(reader.interrupted, none)
    ).pipe(
      Effect.ensuring(output.progress(""))
    )
    if (response._tag === "None") {
      yield* output.notice("\nStopped. The message and its answer are left out of the conversation.")
      return conversation
    }
    const { isComplete, message } = renderer.parse(response.value.sequences[0]?.tokens ?? [])
    yield* output.write(`${output.isTerminal ? Words.shown(message.content) : message.content}\n`)
    if (!isComplete) {
      yield* output.notice(`(cut off after ${conversation.params.maxTokens} tokens; --max-tokens allows more)`)
    }
    return { ...conversation, turns: [...turns, message] } satisfies Conversation
  })

const none = Option.none<never>()

const messagesOf = ({ system, turns }: Conversation): ReadonlyArray<Message> =>
  system === undefined ? turns : [{ role: "system", content: system }, ...turns]

const leaving = ["exit", "quit"]

/** Does what a command says, and gives the conversation that it leaves. */
const obey = (name: string, words: string, line: string, conversation: Conversation) =>
  Effect.gen(function*() {
    const output = yield* Output.Output
    switch (name) {
      case "help":
        yield* output.say(help)
        return conversation
      case "system": {
        const system = line.slice("/system".length).trim() || undefined
        yield* output.notice(system === undefined ? "The system says nothing." : "The system says this from now on.")
        return { ...conversation, system }
      }
      case "temperature": {
        if (words === "") {
          yield* output.notice(`The temperature is ${conversation.params.temperature}.`)
          return conversation
        }
        const params = SamplingParams.make({ ...conversation.params, temperature: Number(words) })
        if (!/^[0-9]*\.?[0-9]+$/.test(words) || SamplingParams.firstInvalid(params) !== undefined) {
          return yield* new UsageError({
            description: `/temperature ${JSON.stringify(words)}: it must be a number, 0 or more, as 0.7.`
          })
        }
        yield* output.notice(`The temperature is ${params.temperature} from now on.`)
        return { ...conversation, params }
      }
      case "reset":
        yield* output.notice("The conversation begins anew.")
        return { ...conversation, turns: [] }
      case "save":
        yield* save(words, conversation)
        return conversation
      default: {
        const meant = nearest(name, names)
        return yield* new UsageError({
          description: `there is no command /${name}. ${
            meant === undefined ? "/help lists those there are." : `Was /${meant} meant?`
          } A message that begins with a slash is written with two.`
        })
      }
    }
  })

/** A line of the files that tinker train learns from. */
const save = (file: string, conversation: Conversation) =>
  Effect.gen(function*() {
    const output = yield* Output.Output
    if (file === "") return yield* new UsageError({ description: "/save: to which file? Write it behind the command." })
    if (conversation.turns.length === 0) {
      return yield* new UsageError({ description: "/save: nothing has been said yet." })
    }
    yield* NewFile.check(file, { isReplaced: false }).pipe(
      Effect.mapError((error) =>
        error._tag === "UsageError"
          ? new UsageError({ description: `/save: ${file} is there already, and was left as it is. Name another.` })
          : error
      )
    )
    const line = `${JSON.stringify({ messages: messagesOf(conversation) })}\n`
    yield* NewFile.write(file, Stream.make(new TextEncoder().encode(line)))
    yield* output.notice(`${Humanize.counted(messagesOf(conversation).length, "message")} written to ${file}`)
  })

const commands = [
  ["/system TEXT", "What the system says before the conversation; without a text, nothing"],
  ["/temperature N", "How freely the model answers; without a number, says how it is"],
  ["/reset", "Begins the conversation anew; what the system says stays"],
  ["/save FILE", "Writes the conversation into a new file, as a line of those that tinker train learns from"],
  ["/help", "Lists these"],
  ["/exit", "Leaves, as Ctrl-D does"]
] as const

const names = [...commands.map(([command]) => command.slice(1).split(" ")[0]!), ...leaving]

const help = commands.map(([command, text]) => `${command.padEnd(16)}${text}\n`).join("")
