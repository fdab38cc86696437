/**
 * Reads the arguments of a process: what cannot be read is said in one sentence that names the option, as every other failure.
 */
import type * as CliApp from "@effect/cli/CliApp"
import * as CliConfig from "@effect/cli/CliConfig"
import * as Command from "@effect/cli/Command"
import * as HelpDoc from "@effect/cli/HelpDoc"
import type * as Span from "@effect/cli/HelpDoc/Span"
import * as Options from "@effect/cli/Options"
import * as Primitive from "@effect/cli/Primitive"
import * as ValidationError from "@effect/cli/ValidationError"
import * as Arr from "effect/Array"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as UnknownOptions from "./UnknownOptions.js"
import { UsageError } from "./UsageError.js"

/**
 * The options that a command has, without their dashes.
 *
 * - `values`: those that are followed by a value
 * - `repeated`: those of them that may be given again and again
 * - `switches`: those without
 * - `letters`: the names of those that have a letter too, by letter
 * - `elsewhere`: options that are read before, for whoever misspells one
 * - `operands`: how many words may stand there without a dash; none unless given
 *
 * @since 0.1.0
 * @category models
 */
export interface Known {
  readonly values: ReadonlyArray<string>
  readonly repeated: ReadonlyArray<string>
  readonly switches: ReadonlyArray<string>
  readonly letters?: Readonly<Record<string, string>> | undefined
  readonly elsewhere?: ReadonlyArray<string> | undefined
  readonly operands?: Operands | undefined
}

/**
 * How many words stand behind a command's name without a dash, and how help writes them.
 *
 * @since 0.1.0
 * @category models
 */
export interface Operands {
  readonly least: number
  readonly most: number
  readonly usage: string
}

/**
 * The options of a command, under the keys of its `flags`: `learningRate` is `--learning-rate`. `repeated` names what may be given again.
 *
 * @since 0.1.0
 * @category constructors
 */
export const known = <Flags extends Readonly<Record<string, Options.Options<unknown>>>>(
  flags: Flags,
  repeated: ReadonlyArray<keyof Flags & string> = []
): Known => {
  const [values, switches] = Arr.partition(Object.keys(flags), (key) => Options.isBool(flags[key]!))
  return { values: values.map(nameOf), repeated: repeated.map(nameOf), switches: switches.map(nameOf) }
}

const nameOf = (key: string): string => key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)

/**
 * The arguments of a process, in order of their options. Fails for the first that is no option of these, lacks its value, comes
 * again, or belongs to none.
 *
 * @since 0.1.0
 * @category guards
 */
export const check = (args: ReadonlyArray<string>, known: Known): Effect.Effect<ReadonlyArray<string>, UsageError> =>
  Effect.zipRight(
    UnknownOptions.check(args, [...known.values, ...known.switches, ...known.elsewhere ?? []]),
    Effect.suspend(() =>
      Either.match(arranged(args, known), {
        onLeft: (description) => Effect.fail(new UsageError({ description })),
        onRight: Effect.succeed
      })
    )
  )

/** The switches of the library itself, which take no value. */
const builtInSwitches = ["help", "version", "wizard"]

/** Each option with its value behind it, and those of one name together, as the library reads them; left is what is wrong. */
const arranged = (
  args: ReadonlyArray<string>,
  { letters = {}, operands, repeated, switches }: Known
): Either.Either<ReadonlyArray<string>, string> => {
  const byName = new Map<string, Array<string>>()
  const others: Array<string> = []
  for (let i = 0; i < args.length; i++) {
    const word = args[i]!
    if (operands !== undefined && word === "--") {
      others.push(...args.slice(i + 1))
      break
    }
    const letter = letters[/^-([^-])$/.exec(word)?.[1] ?? ""]
    const [, name, equals, given] = letter === undefined
      ? /^--([^=]+)(=?)(.*)$/s.exec(word) ?? []
      : [word, letter, "", ""]
    if (name === undefined) {
      const isOperand = !word.startsWith("-") || word === "-"
      if (isOperand && operands !== undefined) {
        others.push(word)
        continue
      }
      return Either.left(
        isOperand
          ? `${JSON.stringify(word)} belongs to no option. --help lists those there are, each of which begins with --.`
          : `there is no option ${word}. --help lists those there are.`
      )
    }
    const earlier = byName.get(name)
    if (earlier !== undefined && !repeated.includes(name)) return Either.left(`--${name} is given twice. Give it once.`)
    const next = args[i + 1]
    if (switches.includes(name) || builtInSwitches.includes(name)) {
      if (equals !== "" && !isTruthValue.test(given!)) {
        return Either.left(`--${name} is ${given || "given with an empty value"}; it takes no value. Write it alone.`)
      }
      // The library takes a word like yes behind a switch for its value: where words may stand there, it is one of them.
      const isFollowed = operands === undefined && equals === "" && next !== undefined && isTruthValue.test(next)
      byName.set(name, [`--${name}${equals}${given}`, ...isFollowed ? [next] : equals === "" ? ["true"] : []])
      if (isFollowed) i += 1
      continue
    }
    const value = equals === "" ? next : given
    if (value === undefined || value === "" || (equals === "" && value.startsWith("--"))) {
      return Either.left(`--${name} is given without its value. Write it behind the name, with a blank between.`)
    }
    byName.set(name, [...earlier ?? [], `--${name}`, value])
    if (equals === "") i += 1
  }
  const issue = operands === undefined ? undefined : countIssue(others, operands)
  return issue === undefined
    ? Either.right([...Array.from(byName.values()).flat(), ...others])
    : Either.left(issue)
}

const countIssue = (words: ReadonlyArray<string>, { least, most, usage }: Operands): string | undefined =>
  words.length < least
    ? `${usage} is missing. Write it behind the command's name.`
    : words.length > most
    ? most === 0
      ? `${
        JSON.stringify(words[0])
      } belongs to no option, and the command takes no word of its own. --help says what it takes.`
      : `there are ${words.length} words where ${usage} stands. Write one, in quotes if it has blanks.`
    : undefined

const isTruthValue = /^(true|false|1|0|y|n|yes|no|on|off)$/i

/**
 * Runs a command with the arguments of a process, the first two of which are the programs.
 *
 * @since 0.1.0
 * @category combinators
 */
export const run = <Name extends string, R, E, A>(
  command: Command.Command<Name, R, E, A>,
  options: {
    readonly name: string
    readonly known: Known
    /** Whether titles of the help are bold. Default: where it is shown on a terminal, unless `NO_COLOR` is set. */
    readonly isColored?: boolean | undefined
  }
) => {
  const parse = Command.run(command, { name: options.name, version })
  return (
    args: ReadonlyArray<string>
  ): Effect.Effect<void, Exclude<E, ValidationError.ValidationError> | UsageError, R | CliApp.CliApp.Environment> =>
    Effect.suspend(() => {
      const [runtime = "", script = "", ...words] = args
      // Who asks for help may be in the middle of a line that cannot be read.
      if (words.some((word) => isForHelp.test(word))) {
        return Console.log(
          help(Command.getHelp(command, CliConfig.defaultConfig), options.name, options.isColored ?? isTerminal())
        )
      }
      return Effect.flatMap(
        check(words, options.known),
        (words) =>
          Effect.consoleWith((console) =>
            // The library prints what is wrong, and fails with it: it is said once.
            Effect.withConsole(parse([runtime, script, ...words]), { ...console, error: () => Effect.void })
          )
      )
    }).pipe(
      Effect.mapError((error) =>
        ValidationError.isValidationError(error)
          ? new UsageError({ description: plain(error.error), cause: error })
          : error as Exclude<E, ValidationError.ValidationError> | UsageError
      )
    )
}

const version = "0.1.0"

const isTerminal = () => process.stdout.isTTY === true && !process.env.NO_COLOR

const isForHelp = /^(-h|--help(=(true|1|y|yes|on))?)$/i

/** The options of the library that only those use who know that they are there. */
const unlisted = /^--(completions|log-level|wizard)\b/

const help = (doc: HelpDoc.HelpDoc, name: string, isColored: boolean): string => {
  const bold = (text: string) => isColored ? `\u001B[1m${text}\u001B[22m` : text
  const options = definitions(doc).flatMap(([term, text]) => {
    const words = plain(HelpDoc.p(term)).replace(/^\((.*)\)$/, "$1")
    return unlisted.test(words) ? [] : [`${bold(words)}\n${wrapped(text)}`]
  })
  return [`${bold(name)} ${version}`, wrapped(description(doc), ""), ...options].join("\n\n")
}

/** What stands before the list of options: the command's own words, under a title. */
const description = (doc: HelpDoc.HelpDoc): string =>
  HelpDoc.isSequence(doc)
    ? [description(doc.left), description(doc.right)].filter((text) => text !== "").join(" ")
    : HelpDoc.isParagraph(doc)
    ? plain(doc)
    : ""

const definitions = (doc: HelpDoc.HelpDoc): ReadonlyArray<readonly [term: Span.Span, text: string]> =>
  HelpDoc.isSequence(doc)
    ? [...definitions(doc.left), ...definitions(doc.right)]
    : HelpDoc.isDescriptionList(doc)
    ? doc.definitions.map(([term, text]) => [term, sentences(text)] as const)
    : []

/** The library says of each option that it is a text, or true or false, and may be left out: neither is news. */
const sentences = (doc: HelpDoc.HelpDoc): string =>
  HelpDoc.isSequence(doc)
    ? [sentences(doc.left), sentences(doc.right)].filter((text) => text !== "").join(" ")
    : noNews.includes(plain(doc))
    ? ""
    : plain(doc)

const wrapped = (text: string, indent = "    "): string => {
  const lines: Array<string> = []
  for (const word of text.split(" ")) {
    const last = lines.at(-1)
    if (last !== undefined && last.length + 1 + word.length <= lineLength) lines[lines.length - 1] = `${last} ${word}`
    else lines.push(indent + word)
  }
  return lines.join("\n")
}

/** Characters that every terminal has room for. */
const lineLength = 80

const plain = (doc: HelpDoc.HelpDoc): string =>
  HelpDoc.toAnsiText(doc).replace(/\u001b\[[\d;]*m/g, "").replace(/\s+/g, " ").trim()

const noNews = [
  Primitive.getHelp(Primitive.text),
  Primitive.getHelp(Primitive.boolean(Option.none()))
].map((kind) => plain(HelpDoc.p(kind))).concat("This setting is optional.")
