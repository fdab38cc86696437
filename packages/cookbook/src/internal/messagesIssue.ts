import type { Issue } from "../DatasetError.js"
import { isTrainable, type Message, roles } from "../Message.js"
import { isAboutLearning } from "./marks.js"
import { roleIssue } from "./roleIssue.js"

/** The first thing about messages that keeps any tokenizer from learning them as they stand, in plain text. */
export const messagesIssue = (messages: ReadonlyArray<Message>): Issue | undefined => {
  for (const [i, message] of messages.entries()) {
    const issue = messageIssue(
      message,
      messages[i + 1],
      messages.some((other) => other !== message && isTrainable(other))
    )
    if (issue !== undefined) return { ...issue, description: `messages.${i} ${issue.description}` }
  }
  return messages.some(isTrainable)
    ? undefined
    : { reason: "NoAssistantMessage", description: "has no message of the assistant that is to be learned." }
}

/** `isOneOfSeveral`: whether another message is learned, too. */
const messageIssue = (
  message: Message,
  next: Message | undefined,
  isOneOfSeveral: boolean
): Issue | undefined => {
  const role = roleIssue(message.role)
  if (role !== undefined) return { reason: "UnknownRole", description: role }
  const key = Object.keys(message.rest ?? {})[0]
  if (key !== undefined) {
    const has = `has ${JSON.stringify(key.slice(0, 40))}`
    if (isAboutLearning(key)) {
      return {
        reason: "Unsupported",
        description: `${has}, which is not honoured. Say whether it is learned by "trainable", true or false.`
      }
    }
    // Who says nothing but this would say nothing without it.
    const isAll = message.content === "" && isTrainable(message)
    return {
      reason: "Unsupported",
      description: `${has}, for which plain text has no place. Remove it, or leave the conversation out.`,
      ...(isAll ? {} : { keys: [key] })
    }
  }
  const forged = forgedTurn(message)
  if (forged !== undefined) return forged
  if (!isTrainable(message)) return undefined
  if (message.role !== "assistant") {
    return {
      reason: "Unsupported",
      description: `of ${message.role} is marked as to be learned, and only what the assistant says can be.`
    }
  }
  return next === undefined || next.role === "user"
    ? undefined
    : {
      reason: "Unsupported",
      description: `is an answer that ${next.role} follows, and an answer ends where the user speaks. `
        + adviceBefore(next.role, isOneOfSeveral)
    }
}

const adviceBefore = (next: string, isOneOfSeveral: boolean): string => {
  const others = isOneOfSeveral
    ? "mark it as not to be learned (\"trainable\": false)"
    : "leave the conversation out"
  if (next === "assistant") return `Join the two, or ${others}.`
  return next === "tool"
    ? `Plain text has no place for tools: ${others}.`
    : `Put what ${next} says at the beginning, or in front of a message of the user, or ${others}.`
}

/**
 * Where a text holds what would be read as the beginning of another turn: by the user, for an answer; by anybody, for what else
 * is said.
 */
const forgedTurn = ({ content, role }: Message): Issue | undefined => {
  const found = (role === "assistant" ? answerEnd : anyTurn).exec(content)
  if (found === null) return undefined
  const at = found.index
  const turn = JSON.stringify(`${found[1]}:`)
  return {
    reason: "NotExact",
    description: `holds a blank line and ${turn} at character ${at + 1}, by which `
      + (role === "assistant"
        ? "an answer ends: it would be read back cut short."
        : "another turn begins, that nobody spoke.")
      + " Write it in other words, or leave the conversation out."
  }
}

/** What an answer is cut at is this very text; a reader takes other line ends for a blank line as well. */
const answerEnd = /\n\n(user):/

const lineEnd = "(?:\\r\\n|[\\n\\v\\f\\u0085\\u2028\\u2029]|\\r(?!\\n))"
const anyTurn = new RegExp(`${lineEnd}[ \\t]*${lineEnd}(${roles.join("|")}):`)
