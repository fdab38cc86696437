/**
 * Conversations as plain text, for models that were never taught a chat format:
 *
 * ```
 * user: Where is the lamp?
 *
 * assistant: In the cellar.
 *
 * user:
 * ```
 *
 * Texts stand as they are, after one space. An answer ends where the user's turn begins: with a blank line and `user:`. That
 * is learned too, and ends what is sampled; so an answer may hold blank lines and all else but this one text, and is read
 * back letter for letter. What holds it is refused, and so is what others say where it holds a blank line and any role with a
 * colon, what the tokenizer would change, and what plain text has no place for. No special token is used but the one a sequence begins with, where the tokenizer puts one there; any
 * tokenizer will do that gives back the text that it was given.
 *
 * The text is encoded in pieces (`user:`, ` Where is the lamp?⏎⏎`, `assistant:`, ` In the cellar.⏎⏎`, `user:`), and the cuts
 * are the same in prompts and in training examples. So a prompt is always the beginning of its example, token for token,
 * and each of a conversation's prompts the beginning of the next. Where a tokenizer would put a space between the last two,
 * they are one piece.
 */
import * as Datum from "@effect-tinker/protocol/Datum"
import * as ModelInput from "@effect-tinker/protocol/ModelInput"
import { invalidInput, type InvalidInputError } from "@effect-tinker/protocol/TinkerError"
import * as Tokenizer from "@effect-tinker/tokenizer/Tokenizer"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { DatasetError, type Issue } from "./DatasetError.js"
import * as Given from "./internal/given.js"
import { messagesIssue } from "./internal/messagesIssue.js"
import { isTrainable, type Message } from "./Message.js"

/**
 * What this way of writing is called in the metadata of checkpoints, under {@link metadataKey}, so that whoever asks a model later writes
 * as it was trained.
 *
 * @since 0.1.0
 * @category config
 */
export const name = "role"

/**
 * The key under which a checkpoint's metadata name its renderer.
 *
 * @since 0.1.0
 * @category config
 */
export const metadataKey = "renderer"

/**
 * @since 0.1.0
 * @category models
 */
export interface RoleRenderer {
  /** The text that ends an answer, for `SamplingParams`. It is sampled with the answer. */
  readonly stop: ReadonlyArray<string>

  /**
   * What the model reads before it answers as `role`, by default the assistant. Texts are not checked: one that holds a blank
   * line and `assistant:` reads as two turns.
   *
   * Left, where the arguments are no messages and no role.
   */
  readonly generationPrompt: (
    messages: ReadonlyArray<Message>,
    role?: string
  ) => Either.Either<ModelInput.ModelInput, InvalidInputError>

  /**
   * A whole conversation to learn from: all that the assistant says, unless it is marked otherwise. What is learned of an
   * answer is a space, its text, a blank line and `user:`.
   *
   * Left: `UnknownRole`, `Unsupported`, `NotExact` or `NoAssistantMessage`, naming the message by its place; or an
   * `InvalidInputError` for what are no messages.
   */
  readonly supervisedExample: (
    messages: ReadonlyArray<Message>
  ) => Either.Either<SupervisedExample, DatasetError | InvalidInputError>

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
  const begin: ReadonlyArray<Piece> = tokenizer.bosToken === undefined
    ? []
    : [{ tokens: Int32Array.of(tokenizer.bosToken), text: undefined, learned: undefined }]
  const pieceOf = (text: string, learned?: number): Piece => ({ tokens: tokenizer.encode(text), text, learned })
  const isApart = tokenizer.decode(join([tokenizer.encode(blankLine), tokenizer.encode(turn)])) === end
  /** An answer and the turn after it. */
  const answerOf = (content: string, learned?: number): Piece => {
    const text = ` ${content}${end}`
    if (!isApart) return pieceOf(text, learned)
    const tokens = join([tokenizer.encode(` ${content}${blankLine}`), tokenizer.encode(turn)])
    return { tokens, text, learned }
  }

  /** The pieces of a conversation, and of where `next` begins to speak, if somebody does. */
  const pieces = (messages: ReadonlyArray<Message>, next?: string): ReadonlyArray<Piece> => {
    const all = [...begin]
    let isIntroduced = false
    for (const [i, message] of messages.entries()) {
      if (!isIntroduced) all.push(pieceOf(`${message.role}:`))
      const follower = messages[i + 1]?.role ?? next ?? "user"
      isIntroduced = message.role === "assistant" && follower === "user"
      const learned = isTrainable(message) ? i : undefined
      all.push(isIntroduced ? answerOf(message.content, learned) : pieceOf(` ${message.content}${blankLine}`, learned))
    }
    if (!isIntroduced && next !== undefined) all.push(pieceOf(`${next}:`))
    return all
  }

  return {
    stop: [end],
    generationPrompt: (messages, role = "assistant") => {
      const issues = [...Given.messages(messages, "messages"), ...Given.text(role, "role")]
      return issues.length > 0
        ? Either.left(invalidInput("RoleRenderer.generationPrompt", issues))
        : Either.right(ModelInput.fromTokens(join(pieces(messages, role).map(({ tokens }) => tokens))))
    },
    supervisedExample: (messages) => {
      const issues = Given.messages(messages, "messages")
      if (issues.length > 0) return Either.left(invalidInput("RoleRenderer.supervisedExample", issues))
      const issue = messagesIssue(messages)
      if (issue !== undefined) return refuse(issue)
      const all = pieces(messages)
      const tokens = join(all.map(({ tokens }) => tokens))
      const weights = new Float32Array(tokens.length)
      let at = 0
      for (const piece of all) {
        const to = at + piece.tokens.length
        if (piece.learned !== undefined) {
          weights.fill(1, at, to)
          if (tokenizer.decode(piece.tokens) !== piece.text) return refuse(inexact(piece.learned))
        }
        at = to
      }
      return Either.right({ tokens, weights })
    },
    parse: (tokens) => {
      const isEnded = tokens.length > 0 && tokens[tokens.length - 1] === tokenizer.eosToken
      const text = tokenizer.decode(isEnded ? Array.from(tokens).slice(0, -1) : tokens)
      const at = text.indexOf(end)
      const content = at >= 0 ? text.slice(0, at) : isEnded && text.endsWith(blankLine) ? text.slice(0, -2) : text
      return {
        message: { role: "assistant", content: content.startsWith(" ") ? content.slice(1) : content },
        isComplete: at >= 0 || isEnded
      }
    }
  }
}

/** Tokens, and the text that they are. */
interface Piece {
  readonly tokens: Int32Array
  /** Absent for a token that is no text. */
  readonly text: string | undefined
  /** The place of the message that is learned, if it is. */
  readonly learned: number | undefined
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

const blankLine = "\n\n"

const turn = "user:"

const end = `${blankLine}${turn}`

const refuse = (issue: Issue): Either.Either<never, DatasetError> => Either.left(new DatasetError(issue))

const inexact = (place: number): Issue => ({
  reason: "NotExact",
  description: `messages.${place} is not given back by the tokenizer as it stands, so other text would be learned. `
    + "Tokenizers that change text, e.g. by putting accents in normal form (NFC), need text in that form."
})

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
