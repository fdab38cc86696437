/**
 * Evaluation by exact answers: the most probable answer to each prompt is right when it is the expected text, letter for
 * letter.
 */
import * as SamplingParams from "@effect-tinker/protocol/SamplingParams"
import { failOnIssues, type TinkerError } from "@effect-tinker/protocol/TinkerError"
import type * as Tokenizer from "@effect-tinker/tokenizer/Tokenizer"
import type * as SamplingClient from "effect-tinker/SamplingClient"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type { Chat } from "./ChatDataset.js"
import * as Given from "./internal/given.js"
import * as RoleRenderer from "./RoleRenderer.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface Report {
  readonly exact: number
  readonly total: number
  /** The groups in the order in which they first appear. */
  readonly groups: ReadonlyArray<Group>
  /** The answers in the order of the prompts. */
  readonly answers: ReadonlyArray<Answer>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Group {
  readonly name: string
  readonly exact: number
  readonly total: number
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Answer {
  readonly chat: Chat
  readonly group: string
  readonly expected: string
  readonly given: string
  readonly isExact: boolean
}

/**
 * Asks for the last message of each conversation, given those before it, at temperature 0.
 *
 * - `group` names the group of a conversation in the report, by default its `template` or else `all`
 * - `maxTokens` is the longest answer, 64 by default
 * - `concurrency` is how many are asked for at a time, 16 by default
 *
 * @since 0.1.0
 * @category combinators
 */
export const measure = (
  sampling: SamplingClient.Service,
  chats: ReadonlyArray<Chat>,
  options: {
    readonly group?: ((chat: Chat) => string) | undefined
    readonly maxTokens?: number | undefined
    readonly concurrency?: number | undefined
  } = {}
): Effect.Effect<Report, TinkerError, Tokenizer.Tokenizer> =>
  Effect.gen(function*() {
    yield* failOnIssues("ExactAnswers.measure", [
      ...Given.client("sample")(sampling, "sampling"),
      ...Given.chats(chats, "chats"),
      ...Given.options({
        group: Given.optional(Given.func),
        maxTokens: Given.optional(Given.count),
        concurrency: Given.optional(Given.count)
      })(options, "options")
    ])
    const renderer = yield* RoleRenderer.make
    const group = options.group ?? templateOf
    const samplingParams = SamplingParams.make({
      maxTokens: options.maxTokens ?? 64,
      temperature: 0,
      stop: renderer.stop
    })
    const answers = yield* Effect.forEach(
      chats,
      (chat) =>
        Effect.flatMap(
          Either.match(renderer.generationPrompt(chat.messages.slice(0, -1)), {
            onLeft: Effect.fail,
            onRight: Effect.succeed
          }),
          (prompt) => sampling.sample({ prompt, samplingParams })
        ).pipe(
          Effect.map(({ sequences }): Answer => {
            const expected = chat.messages.at(-1)?.content ?? ""
            const given = renderer.parse(sequences[0]?.tokens ?? []).message.content
            return { chat, group: group(chat), expected, given, isExact: given === expected }
          })
        ),
      { concurrency: options.concurrency ?? 16 }
    )
    return { ...count(answers), groups: countGroups(answers), answers }
  })

const templateOf = (chat: Chat): string => {
  const template = chat.metadata["template"]
  return typeof template === "string" ? template : "all"
}

const count = (answers: ReadonlyArray<Answer>) => ({
  exact: answers.filter((answer) => answer.isExact).length,
  total: answers.length
})

const countGroups = (answers: ReadonlyArray<Answer>): ReadonlyArray<Group> => {
  const byName = new Map<string, Array<Answer>>()
  for (const answer of answers) {
    const members = byName.get(answer.group)
    if (members === undefined) byName.set(answer.group, [answer])
    else members.push(answer)
  }
  return Array.from(byName, ([name, members]) => ({ name, ...count(members) }))
}
