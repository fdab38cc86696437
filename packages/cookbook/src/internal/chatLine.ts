import * as Either from "effect/Either"
import * as Predicate from "effect/Predicate"
import type { Issue } from "../DatasetError.js"
import { isTrainable, type Message } from "../Message.js"
import { hasOldLineEnds, oldLineEnds } from "./fileKind.js"
import { jsonIssue, keysIssue, nulIssue } from "./jsonText.js"
import {
  type IgnoredKeys,
  isEmpty,
  isNo,
  isSame,
  isYes,
  type Json,
  plain,
  withoutKeys,
  withoutKeysWithin
} from "./keys.js"
import { roleIssue } from "./roleIssue.js"

export interface Line {
  readonly messages: ReadonlyArray<Message>
  readonly metadata: Readonly<Record<string, unknown>>
}

/** Thrown here and caught by {@link parse}: a file has millions of lines, and an `Either` at each step costs more than the rest. */
class Refusal {
  constructor(readonly issue: Issue) {}
}

const refuse = (reason: Issue["reason"], description: string): never => {
  throw new Refusal({ reason, description })
}

const wrong = (place: string, what: string): never =>
  refuse("MalformedLine", `has a missing or wrong value at ${place}: ${what}`)

const example = `A line reads {"messages": [{"role": "user", "content": "…"}, …]}.`

/**
 * How a line is read.
 *
 * - `ignoredKeys`: keys of the line and of its messages that are as if they were not there
 * - `isLast`: whether the file ends with it
 */
export interface Options {
  readonly ignoredKeys: IgnoredKeys
  readonly isLast: boolean
}

/** The conversation of one line. */
export const parseLine = (text: string, options: Options): Either.Either<Line, Issue> => {
  try {
    return Either.right(conversationOf(text, options))
  } catch (error) {
    if (error instanceof Refusal) return Either.left(error.issue)
    throw error
  }
}

const conversationOf = (text: string, { ignoredKeys, isLast }: Options): Line => {
  const value = parseJson(text, isLast)
  const keys = keysIssue(text)
  if (keys !== undefined) return refuse("MalformedLine", keys)
  const line = Predicate.isReadonlyRecord(value)
    ? lineOf(value, ignoredKeys)
    : isListOfMessages(value)
    ? refuse("MalformedLine", "is a list of messages alone. Put it under messages, e.g. by jq -c '{messages: .}'.")
    : refuse("MalformedLine", `is no JSON object. ${example}`)
  if (!line.messages.some(({ role }) => role === "assistant")) {
    return refuse(
      "NoAssistantMessage",
      "has no message of the assistant, so there is nothing to learn. Add one or remove the line."
    )
  }
  if (!line.messages.some(isTrainable)) {
    return refuse(
      "NoAssistantMessage",
      "marks every message as not to be learned, so there is nothing to learn. Mark one otherwise or remove the line."
    )
  }
  return line
}

/** Whether a line is a list of messages, without the object that should be around it. */
export const isMessages = (text: string): boolean => {
  try {
    return isListOfMessages(JSON.parse(text))
  } catch {
    return false
  }
}

const isListOfMessages = (value: unknown): boolean => {
  const first: unknown = Array.isArray(value) ? value[0] : undefined
  return Predicate.isReadonlyRecord(first) && ("role" in first || "from" in first)
}

const parseJson = (text: string, isLast: boolean): unknown => {
  try {
    return JSON.parse(text)
  } catch (error) {
    if (hasOldLineEnds(text)) return refuse("WrongFormat", oldLineEnds)
    const nuls = nulIssue(text)
    if (nuls !== undefined) return refuse("MalformedLine", nuls)
    const issue = jsonIssue(text, isLast)
    if (issue !== undefined) {
      return refuse("MalformedLine", `is no JSON from character ${issue.at + 1} on: ${issue.description}`)
    }
    // The message of the error quotes the text.
    const position = /position (\d+)/.exec(String(error))?.[1]
    const place = position === undefined ? "" : ` from character ${Number(position) + 1} on`
    return refuse("MalformedLine", `is no JSON${place}. ${example}`)
  }
}

const named = (key: string): string => JSON.stringify(key.slice(0, 40))

const listKeys = ["messages", "conversations", "conversation"]

/** Keys under which files have what somebody said, beside those of {@link listKeys}. */
const askKeys = ["prompt", "instruction", "input", "question", "query", "problem"]

const answerKeys = ["completion", "response", "output", "answer", "solution", "target"]

const otherTextKeys = [
  "text",
  "contents",
  "chosen",
  "rejected",
  "chosen_response",
  "rejected_response",
  "preferred_output",
  "non_preferred_output"
]

/** The keys of texts, as {@link plain} writes them. */
const textKeys: ReadonlySet<string> = new Set(
  [...listKeys, ...askKeys, ...answerKeys, ...otherTextKeys].map((key) => plain(key))
)

const lineOf = (line: Json, ignoredKeys: IgnoredKeys): Line => {
  const value = withoutKeys(line, ignoredKeys)
  const [key] = listKeys.filter((key) => has(value, key))
  if (key !== undefined) {
    checkNoOtherTexts(value, [key])
    return { messages: messagesOf(value[key], key, ignoredKeys), metadata: metadataOf(value, [key], ignoredKeys) }
  }
  if (has(value, "prompt") && has(value, "completion")) return promptAndCompletion(value, ignoredKeys)
  checkSpelling(value, [...listKeys, "prompt", "completion"])
  const other = otherShapes.find(([keys]) => keys.every((key) => key in value))
  if (other !== undefined) return refuse("UnknownShape", `${other[1]} ${example}`)
  const asked = askKeys.find((key) => has(value, key))
  const answered = answerKeys.find((key) => has(value, key))
  if (asked !== undefined && answered !== undefined) return refuse("UnknownShape", renaming(asked, answered))
  return asked === "prompt"
    ? refuse("MalformedLine", `has a prompt without a completion, which is what is learned. ${example}`)
    : refuse("MalformedLine", `has no messages. ${example}`)
}

/** Refuses a key that would be one of `names` but for its capitals, dashes and the like. */
const checkSpelling = (value: Json, names: ReadonlyArray<string>, place: string = ""): void => {
  for (const key of Object.keys(value)) {
    const meant = names.find((name) => name !== key && isSame(name, key))
    if (meant !== undefined && !has(value, meant)) {
      refuse("MalformedLine", `has ${named(key)}${place}, which is written ${meant} here. Rename it.`)
    }
  }
}

/** Refuses a line in which other texts stand beside those that are read: all were meant, and some would not be learned. */
const checkNoOtherTexts = (value: Json, read: ReadonlyArray<string>): void => {
  const other = Object.keys(value).find((key) =>
    !read.includes(key) && textKeys.has(plain(key)) && !isEmpty(value[key])
  )
  if (other === undefined) return
  throw new Refusal({
    reason: "UnknownShape",
    description:
      `has ${read.join(" and ")} and ${other}, and ${other} would not be learned. Keep what is to be learned and `
      + `remove the rest.`,
    keys: [other]
  })
}

const renaming = (asked: string, answered: string): string => {
  const names = [[asked, "prompt"], [answered, "completion"]].filter(([from, to]) => from !== to)
  return `has ${asked} and ${answered}, which are not read under these names. Rename ${
    names.map(([from, to]) => `${from} to ${to}`).join(" and ")
  }.`
}

/** What a line says beside what is read of it. */
const metadataOf = (value: Json, read: ReadonlyArray<string>, ignoredKeys: IgnoredKeys): Json =>
  withoutKeysWithin(Object.fromEntries(Object.entries(value).filter(([key]) => !read.includes(key))), ignoredKeys)

const has = (value: Json, key: string): boolean => value[key] !== undefined && value[key] !== null

const pair = (keys: string) =>
  `is a pair of a preferred answer and another (${keys}), from which supervised training cannot learn. Keep the preferred one.`

/** Shapes that others use and that are not read, by the keys that they have. */
const otherShapes: ReadonlyArray<readonly [keys: ReadonlyArray<string>, description: string]> = [
  [["preferred_output"], pair("preferred_output, non_preferred_output")],
  [["chosen", "rejected"], pair("chosen, rejected")],
  [["rejected_response"], pair("response, rejected_response")],
  [
    ["instruction"],
    "is an instruction with its output (Alpaca), which is not read. Write the instruction, with its input, as the user's "
    + "message and the output as the assistant's."
  ],
  [["contents"], "has contents with parts (Gemini), which are not read. Write them as messages."],
  [["text"], "is text alone, in which nobody speaks, and only answers are learned. Write it as an answer to something."]
]

/** A prompt and its completion, each a text or messages, of which the completion is learned. */
const promptAndCompletion = (value: Json, ignoredKeys: IgnoredKeys): Line => {
  const label = Object.entries(value).find(([key]) => isSame(key, "label"))?.[1]
  if (typeof label !== "number" && (isYes(label) || isNo(label))) {
    return refuse(
      "UnknownShape",
      "says of its completion whether it is good (label), from which supervised training cannot learn. Remove the bad "
        + "ones, and then the label."
    )
  }
  const { completion, prompt } = value
  checkNoOtherTexts(value, ["prompt", "completion"])
  const metadata = metadataOf(value, ["prompt", "completion"], ignoredKeys)
  if (typeof prompt === "string" && typeof completion === "string") {
    if (isBlank(completion)) return emptyAnswer("completion", completion, "Write one, or remove the line.")
    const asked = { role: "user", content: wholeText(prompt, "prompt") }
    return { messages: [asked, { role: "assistant", content: wholeText(completion, "completion") }], metadata }
  }
  const before = messagesOf(prompt, "prompt", ignoredKeys)
  const given = before.map((message) => message.role === "assistant" ? { trainable: false, ...message } : message)
  return { messages: [...given, ...messagesOf(completion, "completion", ignoredKeys)], metadata }
}

const messagesOf = (list: unknown, place: string, ignoredKeys: IgnoredKeys): ReadonlyArray<Message> =>
  !Array.isArray(list)
    ? wrong(place, `it is a list of messages. ${example}`)
    : list.length === 0
    ? refuse("MalformedLine", `has no message in ${place}, which is an empty list. Add some, or remove the line.`)
    : list.map((value: unknown, i) => messageOf(value, `${place}.${i}`, ignoredKeys))

const messageOf = (message: unknown, place: string, ignoredKeys: IgnoredKeys): Message => {
  if (!Predicate.isReadonlyRecord(message)) return wrong(place, "a message is an object.")
  const value = withoutKeys(message, ignoredKeys)
  const isShareGpt = "from" in value || "value" in value
  if (isShareGpt && ("role" in value || "content" in value)) {
    return wrong(place, "it has role and content, or from and value, and not some of both.")
  }
  const [roleKey, contentKey] = isShareGpt ? ["from", "value"] as const : ["role", "content"] as const
  checkSpelling(value, ["role", "content", "from", "value"], ` at ${place}`)
  const role = roleOf(value[roleKey], `${place}.${roleKey}`, isShareGpt)
  const rest = Object.entries(value).filter(([key, inner]) =>
    key !== roleKey && key !== contentKey && !trainableKeys.includes(key) && !isEmpty(inner)
  )
  // Whoever calls a tool need not say anything.
  const content = !has(value, contentKey) && rest.some(([key]) => callKeys.includes(key))
    ? ""
    : contentOf(value[contentKey], `${place}.${contentKey}`)
  const trainable = trainableOf(value, place)
  if (role === "assistant" && trainable !== false && isBlank(content) && rest.length === 0) {
    return emptyAnswer(
      `${place}.${contentKey}`,
      content,
      "Write one, or remove the line; where another answer is to be learned, it can be marked as not to be "
        + "(\"trainable\": false)."
    )
  }
  return {
    role,
    content,
    ...(trainable === undefined ? {} : { trainable }),
    ...(rest.length === 0 ? {} : { rest: Object.fromEntries(rest) })
  }
}

/** Whether a text has nothing that can be seen: blanks, line ends, and characters of no width. */
const isBlank = (text: string): boolean => /^[\s\p{Cf}]*$/u.test(text)

const emptyAnswer = (place: string, answer: string, advice: string): never =>
  wrong(
    place,
    `the answer ${answer === "" ? "is empty" : "holds blanks only"}, so there is nothing to learn. ${advice}`
  )

const callKeys = ["tool_calls", "function_call"]

const shareGptRoles: ReadonlyMap<string, string> = new Map([["human", "user"], ["gpt", "assistant"]])

const roleOf = (value: unknown, place: string, isShareGpt: boolean): string => {
  if (typeof value !== "string") return wrong(place, "a role is a text.")
  const role = isShareGpt ? shareGptRoles.get(value) ?? value : value
  const issue = roleIssue(role)
  return issue === undefined ? role : refuse("UnknownRole", `${issue} It is at ${place}.`)
}

/** A text, or parts of text, which are put together as they are. */
const contentOf = (value: unknown, place: string): string => {
  if (typeof value === "string") return wholeText(value, place)
  if (!Array.isArray(value) || value.length === 0) return wrong(place, "it is a text, or a list of parts of text.")
  return wholeText(value.map((part: unknown, i) => partOf(part, `${place}.${i}`)).join(""), place)
}

const partOf = (part: unknown, place: string): string => {
  if (typeof part === "string") return part
  if (!Predicate.isReadonlyRecord(part)) return wrong(place, "a part of a message is an object.")
  const { text, type } = part
  if (type !== "text") {
    const name = typeof type === "string" ? `of the type ${named(type)}` : "without a type"
    const advice = typeof text === "string" && (type === undefined || textTypes.includes(String(type)))
      ? "Write it as {\"type\": \"text\", \"text\": …}."
      : "Only text can be learned: remove it or the line."
    return refuse("Unsupported", `has a part ${name} at ${place}, which is not read. ${advice}`)
  }
  const other = Object.keys(part).find((key) => key !== "type" && key !== "text" && !isEmpty(part[key]))
  if (other !== undefined) {
    return refuse("Unsupported", `has ${named(other)} at ${place}, which cannot be honoured. Remove it or the line.`)
  }
  return typeof text === "string" ? text : wrong(`${place}.text`, "it is a text.")
}

/** How others name a part of text; those of OpenAI's Responses. */
const textTypes = ["output_text", "input_text"]

/** Half of a pair of surrogates is no character, and would be learned as another. */
const wholeText = (text: string, place: string): string =>
  /\p{Surrogate}/u.test(text)
    ? wrong(place, "it holds half a character, a \\ud800 to \\udfff without the other of its pair.")
    : text

const trainableKeys = ["weight", "trainable", "train"]

/** What the keys that decide it say together. */
const trainableOf = (value: Json, place: string): boolean | undefined => {
  let decided: boolean | undefined
  for (const key of trainableKeys) {
    if (!has(value, key)) continue
    const given = value[key]
    const isValid = key === "weight" ? given === 0 || given === 1 : typeof given === "boolean"
    if (!isValid) return wrong(`${place}.${key}`, key === "weight" ? "it is 0 or 1." : "it is true or false.")
    const says = given === 1 || given === true
    if (decided !== undefined && decided !== says) {
      return wrong(`${place}.${key}`, "it contradicts what else says whether the message is learned.")
    }
    decided = says
  }
  return decided
}
