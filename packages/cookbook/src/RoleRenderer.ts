/**
 * Conversations as plain text, for models that were never taught a chat format:
 *
 * ```
 * user: Where is the lamp?
 *
 * assistant: In the cellar.
 *
 * ```
 *
 * A message ends with a blank line, so it cannot hold one: blank lines within a message become line breaks. No special
 * token is used but the one a sequence begins with, where the tokenizer names it; any tokenizer will do.
 *
 * The text is encoded in pieces (`user:`, then ` Where is the lamp?⏎⏎`), and the cuts are the same in prompts and in
 * training examples. So a prompt is always the beginning of its example, token for token, and each of a conversation's
 * prompts the beginning of the next.
 */
import * as Tokenizer from "@effect-tinker/tokenizer/Tokenizer"
import * as Datum from "effect-tinker/Datum"
import * as ModelInput from "effect-tinker/ModelInput"
import * as Effect from "effect/Effect"
import type { Message } from "./Message.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface RoleRenderer {
  /** Texts that end an answer, for `SamplingParams`. The one that ended it is part of the answer. */
  readonly stop: ReadonlyArray<string>

  /** What the model reads before it answers as `role`, by default the assistant. */
  readonly generationPrompt: (messages: ReadonlyArray<Message>, role?: string) => ModelInput.ModelInput

  /** A whole conversation to learn from: all that the assistant says, and where it stops. */
  readonly supervisedExample: (messages: ReadonlyArray<Message>) => SupervisedExample

  /** The answer in sampled tokens. */
  readonly parse: (tokens: ArrayLike<number>) => Answer
}

/**
 * `tokens` `[tokens] int32`; `weights` `[tokens] float32`, 1 where the assistant speaks or ends its turn, else 0.
 *
 * @since 0.1.0
 * @category models
 */
export interface SupervisedExample {
  readonly tokens: Int32Array
  readonly weights: Float32Array
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Answer {
  readonly message: Message
  /** Whether the answer came to its end, rather than being cut off. */
  readonly isComplete: boolean
}

/**
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<RoleRenderer, never, Tokenizer.Tokenizer> = Effect.map(
  Tokenizer.Tokenizer,
  (tokenizer) => fromTokenizer(tokenizer)
)

/**
 * @since 0.1.0
 * @category constructors
 */
export const fromTokenizer = (tokenizer: Tokenizer.Service): RoleRenderer => {
  const begin: ReadonlyArray<Int32Array> = tokenizer.bosToken === undefined ? [] : [Int32Array.of(tokenizer.bosToken)]
  const header = (role: string) => tokenizer.encode(`${role}:`)
  const body = (content: string) => tokenizer.encode(` ${asParagraph(content)}${end}`)

  return {
    stop: [end],
    generationPrompt: (messages, role = "assistant") => {
      const pieces = [...begin]
      for (const message of messages) pieces.push(header(message.role), body(message.content))
      pieces.push(header(role))
      return ModelInput.fromTokens(join(pieces))
    },
    supervisedExample: (messages) => {
      const pieces = [...begin]
      const spoken: Array<readonly [from: number, to: number]> = []
      let length = begin.length
      for (const message of messages) {
        const head = header(message.role)
        const text = body(message.content)
        pieces.push(head, text)
        length += head.length + text.length
        if (message.role === "assistant") spoken.push([length - text.length, length])
      }
      const weights = new Float32Array(length)
      for (const [from, to] of spoken) weights.fill(1, from, to)
      return { tokens: join(pieces), weights }
    },
    parse: (tokens) => {
      const text = tokenizer.decode(tokens)
      const at = text.indexOf(end)
      const content = at < 0 ? text : text.slice(0, at)
      return { message: { role: "assistant", content: content.trim() }, isComplete: at >= 0 }
    }
  }
}

/**
 * The datum of cross entropy for an example. With `mean`, the default, the weights of an example sum to 1, so that long
 * answers count no more than short ones; with `none` every token counts the same.
 *
 * @since 0.1.0
 * @category constructors
 */
export const toDatum = (example: SupervisedExample, reduction: "mean" | "none" = "mean"): Datum.Datum => {
  if (reduction === "none") return Datum.fromTokens(example.tokens, example.weights)
  let sum = 0
  for (let t = 1; t < example.weights.length; t++) sum += example.weights[t]!
  return Datum.fromTokens(example.tokens, sum > 0 ? example.weights.map((weight) => weight / sum) : example.weights)
}

const end = "\n\n"

const asParagraph = (content: string): string => content.trim().replace(/\s*\n\s*\n\s*/g, "\n")

const join = (pieces: ReadonlyArray<Int32Array>): Int32Array => {
  let length = 0
  for (const piece of pieces) length += piece.length
  const joined = new Int32Array(length)
  let offset = 0
  for (const piece of pieces) {
    joined.set(piece, offset)
    offset += piece.length
  }
  return joined
}
