/** What a line says of itself beside its messages: keys and values that change what is to be learned, and are not honoured. */
import * as Predicate from "effect/Predicate"
import type { Issue } from "../DatasetError.js"
import { isNo, isNothing, isYes, type Json, nothingOrNo, plain } from "./keys.js"

/** What is wrong with a line, and all the marks by which the line is none to train on. */
export interface MarkedIssue extends Issue {
  readonly marks?: ReadonlyArray<LineMark> | undefined
}

/** A mark by which a line is none to train on, whatever else it says. */
export interface LineMark {
  readonly path: ReadonlyArray<string>
  /** The value as JSON, where it is no words of anybody. */
  readonly value: string | undefined
  /** What `jq` finds this and all other such values by. */
  readonly test: string | undefined
}

/** The first mark of a line that keeps it from being learned, at any depth of its objects. Those of tests may be passed over. */
export const markIssue = (metadata: Json, options: { readonly isTest: boolean }): MarkedIssue | undefined => {
  let issue: Issue | undefined
  const lineMarks: Array<LineMark> = []
  for (const { path, rule, value } of marks(metadata)) {
    if (options.isTest && rule.about === "tests") continue
    issue ??= rule.issue(path, value)
    if (rule.isOfLine(value)) {
      lineMarks.push({ path, value: rule.tells(value) ? JSON.stringify(value) : undefined, test: rule.test })
    }
  }
  return issue === undefined ? undefined : { ...issue, marks: lineMarks }
}

/** Whether a line says that it is for tests. */
export const isForTests = (metadata: Json): boolean => {
  for (const { rule } of marks(metadata)) if (rule.about === "tests") return true
  return false
}

/** Whether a key is one of those that say whether something is learned. */
export const isAboutLearning = (key: string): boolean => {
  const about = ruleOf(key)?.about
  return about === "tests" || about === "learning"
}

interface Mark {
  readonly path: ReadonlyArray<string>
  readonly value: unknown
  readonly rule: Rule
}

interface Rule {
  /** What is falsy, or as it is without the key, changes nothing. */
  readonly changes: (value: unknown) => boolean
  readonly issue: (path: ReadonlyArray<string>, value: unknown) => Issue
  /** What it is about; what is more than messages may be of no account. */
  readonly about: "tests" | "learning" | "more"
  /** Whether a value that changes something says that the line is none to train on. */
  readonly isOfLine: (value: unknown) => boolean
  /** Whether a value is no words of anybody. */
  readonly tells: (value: unknown) => boolean
  /** What `jq` finds every value by that changes something, where they may be of any kind. */
  readonly test?: string
}

function* marks(metadata: Json, path: ReadonlyArray<string> = []): Generator<Mark> {
  for (const [key, value] of Object.entries(metadata)) {
    const rule = ruleOf(key)
    if (rule !== undefined && rule.changes(value)) yield { path: [...path, key], rule, value }
    else if (Predicate.isReadonlyRecord(value)) yield* marks(value, [...path, key])
  }
}

/** The rule of a key, with or without what stands around such names: `is_…`, `…_from_training`. */
const ruleOf = (key: string): Rule | undefined => {
  const name = plain(key)
  const known = found.get(name)
  if (known !== undefined) return known.rule
  const bare = name.replace(before, "")
  const rule = ruleOfName(name) ?? ruleOfName(bare) ?? ruleOfName(bare.replace(behind, ""))
  if (found.size < 1000) found.set(name, { rule })
  return rule
}

const before = /^(?:is|was|tobe|should(?:be)?|marked(?:as|for)?|for|in)+/

const behind =
  /(?:(?:from|for|in|of|during)(?:the)?loss|(?:from|for|in|of|during)?(?:the)?(?:train(?:ing)?)?(?:data)?(?:set|split|flag)?)$/

/** A file has the same few keys in all its lines. */
const found = new Map<string, { readonly rule: Rule | undefined }>()

const ruleOfName = (name: string): Rule | undefined => rules.find(([names]) => names.test(name))?.[1]

const not = (says: (value: unknown) => boolean) => (value: unknown): boolean => !says(value)

const saysNothing = (value: unknown): boolean => isNothing(value) || isNo(value)

const asEver = (value: unknown): boolean => isNothing(value) || isYes(value)

const placeOf = (path: ReadonlyArray<string>): string => path.map((key) => key.slice(0, 40)).join(".")

const never = (): boolean => false

const always = (): boolean => true

const isWord = (value: unknown): boolean =>
  (isYes(value) || isNo(value)) && (typeof value !== "string" || value.length <= 40)

/** Whether a value is the name of a split, or holds nothing but such. */
const isName = (value: unknown): boolean =>
  typeof value === "string"
    ? /^([\w.:%[\]-]{1,40}|(held|hold) out|\w{1,20} (set|split|data))$/i.test(value)
    : typeof value === "object" && value !== null && Object.entries(value).length <= 10
      && Object.entries(value).every(([key, inner]: [string, unknown]) =>
        isName(key) && typeof inner === "string" && isName(inner)
      )

const ofTests = (changes: Rule["changes"], tells: Rule["tells"]): Rule => ({
  changes,
  issue: (path) => ({
    reason: "Unsupported",
    description: `says by ${placeOf(path)} that it is for tests, and what is trained on is no test. `
      + "Put such lines into a file of their own, and keep the others."
  }),
  about: "tests",
  isOfLine: always,
  tells
})

const leftOut = (path: ReadonlyArray<string>): Issue => ({
  reason: "Unsupported",
  description: `says by ${placeOf(path)} that it is to be left out, and would be learned. Keep only the others.`
})

const notLearned = (changes: Rule["changes"], test?: string): Rule => ({
  changes,
  issue: leftOut,
  about: "learning",
  isOfLine: always,
  tells: isWord,
  ...(test === undefined ? {} : { test })
})

/** What `jq` finds by that a value says something, and not no. */
const saysSomething = `. == 0 or (tostring | test(${
  JSON.stringify(`^\\s*(${nothingOrNo.map((word) => word.replace(/[.[\]{}]/g, "\\$&")).join("|")})\\s*$`)
}; "i")) | not`

/** A value of which `isOfLine` is true leaves the whole line out. */
const weighed = (changes: Rule["changes"], isOfLine: Rule["isOfLine"] = never): Rule => ({
  changes,
  issue: (path, value) =>
    isOfLine(value) ? leftOut(path) : {
      reason: "Unsupported",
      description: `has ${placeOf(path)}, which is not honoured. `
        + "Say which messages are learned in the messages themselves, or leave the line out."
    },
  about: "learning",
  isOfLine,
  tells: isWord
})

/** What is more than messages, and can be of no account: the key, at any depth, may be left out. */
const more = (advice: string): Rule => ({
  changes: not(saysNothing),
  issue: (path) => ({
    reason: "Unsupported",
    description: `has ${placeOf(path)}, which is not honoured. ${advice}`,
    keys: path.slice(-1)
  }),
  about: "more",
  isOfLine: never,
  tells: never
})

const isFalse = (value: unknown): boolean => isNo(value) && typeof value !== "number"

const textsOf = (value: unknown): ReadonlyArray<string> =>
  typeof value === "string"
    ? [value.slice(0, 100)]
    : typeof value === "object" && value !== null
    ? Object.values(value).slice(0, 100).flatMap((inner: unknown) =>
      typeof inner === "string" ? [inner.slice(0, 100)] : []
    )
    : []

/** Whether the name of a split says that it is held out, as `test`, `test[:10%]`, `test_sft` and `held-out` do. */
const isHeldOut = (split: unknown): boolean => {
  const words = textsOf(split).join(" ").toLowerCase().replace(/(held|hold)[ _-]?out/g, "heldout").split(/[^a-z]+/)
  return words.some((word) => heldOutNames.test(word)) && !words.some((word) => word.startsWith("train"))
}

const heldOutNames = /^(test|testing|validation|valid|val|dev|development|eval|evaluation|heldout)$/

const leavingOut = "exclude|skip|delete|remove|ignore|drop|discard|omit|reject|mask|disable|invalid|invalidate"

/** Names as {@link plain} writes them. The first that fits counts. */
const rules: ReadonlyArray<readonly [names: RegExp, rule: Rule]> = [
  [
    /(split|splits|partition|subset)$|^(set|fold|phase|purpose)$/,
    ofTests(isHeldOut, isName)
  ],
  [/^(test|validation|val|dev|eval|evaluation|heldout|holdout)$/, ofTests(isYes, isWord)],
  [
    new RegExp(
      `^(${leavingOut})(d|ed|ped|ted|s)?$|^(${leavingOut})(d|ed|ped|ted)(at|on|by|date|time|timestamp)$|`
        + `^(${leavingOut}|exclusion|deletion|removal|rejection)(d|ed|ped|ted)?reason$|^(do)?(not|nt|no)(train|learn|use)$`
    ),
    notLearned(not(saysNothing), saysSomething)
  ],
  [
    /^(keep|include|included|use|used|enable|enabled|valid|approved|accepted|eligible|learnable|training|train(ing)?(data|set))$/,
    notLearned(isNo)
  ],
  [/^loss$/, notLearned(isFalse)],
  [/^label$/, weighed(isFalse)],
  [/^labels$/, weighed((value) => Array.isArray(value) && value.includes(-100))],
  [/(loss|completion|response|assistant|answer|label|token|train|learn)masks?$/, weighed(not(isNothing))],
  [/^trainon(input|prompt|user)s?$/, weighed(not(saysNothing))],
  [
    /^(loss|sample|example|line|row|message|turn|token|train|training)?weights?$|^(train|trainable|learn)$/,
    weighed(not(asEver), isNo)
  ],
  [/^trainon\w*$/, weighed(not(asEver))],
  [
    /^(tools?|functions?|toolchoice|paralleltoolcalls|functioncalls?|toolcalls?)$/,
    more("Plain text has no place for tools; leave it out, and the line if it needs them.")
  ],
  [
    /^(system|systemprompt|systemmessage|systeminstructions?|developer|developermessage|instructions|preamble)$/,
    more("Make it the first of the messages, of the role system.")
  ],
  [/^(context|documents|prefix|suffix)$/, more("Write it into the message that it belongs to.")],
  [/^(images?|videos?|audios?)$/, more("Only text can be learned; leave the line out if it needs it.")],
  [
    /^(reasoning|reasoningcontent|thinking|enablethinking|reasoningeffort)$/,
    more("Plain text has no place for reasoning beside the answer; write it into the answer, or leave it out.")
  ],
  [
    /^(chattemplate|chattemplatekwargs|responseformat)$/,
    more("Conversations are written as plain text; leave it out, and the line if it needs it.")
  ]
]
