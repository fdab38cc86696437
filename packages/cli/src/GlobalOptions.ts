/**
 * The options that every command has, wherever on the line they stand.
 */
import { nearest } from "@effect-tinker/protocol/CallOptions"
import * as Context from "effect/Context"

/**
 * @since 0.1.0
 * @category tags
 */
export class GlobalOptions extends Context.Tag("@effect-tinker/cli/GlobalOptions")<GlobalOptions, Service>() {}

/**
 * @since 0.1.0
 * @category models
 */
export interface Service {
  readonly format: Format
  /** Whether a program that reads tables gets the names of their columns. */
  readonly hasHeader: boolean
  /** None: the one of `TINKER_PROFILE`, or else the file's default. */
  readonly profile: string | undefined
  /** None: that of the environment or the profile. */
  readonly baseUrl: string | undefined
  /** How long a request may take with all its attempts, in milliseconds. */
  readonly timeoutMillis: number
  readonly isVerbose: boolean
  readonly isQuiet: boolean
}

/**
 * @since 0.1.0
 * @category models
 */
export type Format = "table" | "json"

/**
 * The defaults. Twenty seconds are as long as people wait before they look whether something is wrong.
 *
 * @since 0.1.0
 * @category config
 */
export const defaults: Service = {
  format: "table",
  hasHeader: false,
  profile: undefined,
  baseUrl: undefined,
  timeoutMillis: 20_000,
  isVerbose: false,
  isQuiet: false
}

/**
 * What help says of them: how each is written, and what it does.
 *
 * @since 0.1.0
 * @category config
 */
export const described: ReadonlyArray<readonly [term: string, text: string]> = [
  ["-f, --format table|json", "How results are written. Default: table"],
  ["--json", "The same as --format json"],
  ["--header", "Names the columns of a table also where it does not go to a terminal"],
  [
    "--profile name",
    "The profile of ~/.tinker/profiles.json whose settings are used. Default: TINKER_PROFILE, or the file's default"
  ],
  ["--base-url url", "The address of the service. Default: TINKER_BASE_URL, or the profile's"],
  ["--timeout duration", "How long a request may take with all its attempts, as 30s or 2m. Default: 20s"],
  ["-v, --verbose", "Says more when something fails: the cause, and the ids of requests"],
  ["-q, --quiet", "Says nothing beside the result and errors"],
  ["-h, --help", "Says what a command does"]
]

const withValue = ["format", "profile", "base-url", "timeout"] as const
const switches = ["json", "header", "verbose", "quiet"] as const
const short: Readonly<Record<string, string>> = { "-f": "format", "-v": "verbose", "-q": "quiet" }

/**
 * The names of all of them, without their dashes.
 *
 * @since 0.1.0
 * @category config
 */
export const names: ReadonlyArray<string> = [...withValue, ...switches]

/**
 * A line of words, taken apart.
 *
 * - `options`: what was given of these options, over the defaults
 * - `words`: all others, in their order
 * - `issue`: what is wrong with these options, in a sentence
 *
 * @since 0.1.0
 * @category models
 */
export interface Extracted {
  readonly options: Service
  readonly words: ReadonlyArray<string>
  readonly issue: string | undefined
}

/**
 * Takes these options out of the words of a line, up to a `--` if there is one. How results are written is found out also of a line that
 * has a mistake, as the mistake is to be told so.
 *
 * @since 0.1.0
 * @category parsing
 */
export const extract = (line: ReadonlyArray<string>): Extracted => {
  const given = new Map<string, string>()
  const words: Array<string> = []
  let issue: string | undefined
  for (let i = 0; i < line.length; i++) {
    const word = line[i]!
    if (word === "--") {
      words.push(...line.slice(i))
      break
    }
    const [, long, equals, text] = /^--([^=]+)(=?)(.*)$/s.exec(word) ?? []
    const name = short[word] ?? long
    if (name === undefined || !names.includes(name)) {
      words.push(word)
      continue
    }
    const isSwitch = switches.some((one) => one === name)
    const next = line[i + 1]
    const value = isSwitch ? "" : equals === "=" ? text! : next
    if (isSwitch && equals === "=") issue ??= `--${name} takes no value. Write it alone.`
    if (!isSwitch && (value === undefined || value === "" || (equals !== "=" && value.startsWith("-")))) {
      issue ??= `--${name} is given without its value. Write it behind the name, with a blank between.`
      continue
    }
    if (given.has(name)) issue ??= `--${name} is given twice. Give it once.`
    given.set(name, value ?? "")
    if (!isSwitch && equals !== "=") i += 1
  }
  const format = given.get("format")
  if (format !== undefined && !isFormat(format)) issue ??= wrongFormat(format)
  if (format === "table" && given.has("json")) {
    issue ??= "--json and --format table say different things. Give one of them."
  }
  const timeout = given.get("timeout")
  const timeoutMillis = timeout === undefined ? defaults.timeoutMillis : millisOf(timeout)
  if (timeoutMillis === undefined || timeoutMillis === 0) {
    issue ??= `--timeout is ${JSON.stringify(timeout)}; it must be a duration above 0, as 30s, 2m or 1h.`
  }
  return {
    options: {
      format: format === "json" || given.has("json") ? "json" : "table",
      hasHeader: given.has("header"),
      profile: given.get("profile"),
      baseUrl: given.get("base-url"),
      timeoutMillis: timeoutMillis || defaults.timeoutMillis,
      isVerbose: given.has("verbose"),
      isQuiet: given.has("quiet")
    },
    words,
    issue
  }
}

const formats = ["table", "json"]

const isFormat = (text: string): text is Format => formats.includes(text)

const wrongFormat = (text: string): string => {
  const meant = nearest(text, formats)
  return `--format is ${JSON.stringify(text)}; it must be table or json.${
    meant === undefined ? "" : ` Was ${meant} meant?`
  }`
}

const unitMillis: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000
}

/**
 * A duration as it is written on a command line, e.g. `90s`, `12h` or `7d`, in milliseconds; a number alone is of seconds. None for a text
 * that is none.
 *
 * @since 0.1.0
 * @category parsing
 */
export const millisOf = (text: string): number | undefined => {
  const [, digits, unit] = /^([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d|w)?$/.exec(text) ?? []
  return digits === undefined ? undefined : Math.round(Number(digits) * unitMillis[unit ?? "s"]!)
}
