/**
 * Reads the arguments of a process: what cannot be read is said in one sentence that names the option, as every other failure.
 */
import type * as CliApp from "@effect/cli/CliApp"
import * as CliConfig from "@effect/cli/CliConfig"
import * as Command from "@effect/cli/Command"
import * as HelpDoc from "@effect/cli/HelpDoc"
import * as Span from "@effect/cli/HelpDoc/Span"
import * as Options from "@effect/cli/Options"
import * as Primitive from "@effect/cli/Primitive"
import * as Usage from "@effect/cli/Usage"
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
 *
 * @since 0.1.0
 * @category models
 */
export interface Known {
  readonly values: ReadonlyArray<string>
  readonly repeated: ReadonlyArray<string>
  readonly switches: ReadonlyArray<string>
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
    UnknownOptions.check(args, [...known.values, ...known.switches]),
    Effect.suspend(() => Either.mapLeft(arranged(args, known), (description) => new UsageError({ description })))
  )

/** The switches of the library itself, which take no value. */
const builtInSwitches = ["help", "version", "wizard"]

/** Each option with its value behind it, and those of one name together, as the library reads them; left is what is wrong. */
const arranged = (
  args: ReadonlyArray<string>,
  { repeated, switches }: Known
): Either.Either<ReadonlyArray<string>, string> => {
  const byName = new Map<string, Array<string>>()
  for (let i = 0; i < args.length; i++) {
    const word = args[i]!
    const [, name, equals, given] = /^--([^=]+)(=?)(.*)$/s.exec(word) ?? []
    if (name === undefined) {
      return Either.left(
        word.startsWith("-") && word !== "-"
          ? `there is no option ${word}. --help lists those there are.`
          : `${JSON.stringify(word)} belongs to no option. --help lists those there are, each of which begins with --.`
      )
    }
    const earlier = byName.get(name)
    if (earlier !== undefined && !repeated.includes(name)) return Either.left(`--${name} is given twice. Give it once.`)
    const next = args[i + 1]
    if (switches.includes(name) || builtInSwitches.includes(name)) {
      if (equals !== "" && !isTruthValue.test(given!)) {
        return Either.left(`--${name} is ${given || "given with an empty value"}; it takes no value. Write it alone.`)
      }
      const isFollowed = equals === "" && next !== undefined && isTruthValue.test(next)
      byName.set(name, isFollowed ? [word, next] : [word])
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
  return Either.right(Array.from(byName.values()).flat())
}

const isTruthValue = /^(true|false|1|0|y|n|yes|no|on|off)$/i

/**
 * A number, in decimal digits: a whole one in these alone, another also with a point and an exponent. What is none, or beyond its bounds,
 * is refused by the name of the option.
 *
 * @since 0.1.0
 * @category config
 */
export const number = (name: string, { bounds, description, fallback, isInteger = false }: {
  readonly description: string
  readonly fallback: number
  readonly isInteger?: boolean | undefined
  /** The least and the most that it may be. */
  readonly bounds?: readonly [least: number, most: number] | undefined
}): Options.Options<number> =>
  Options.text(name).pipe(
    Options.withPseudoName(isInteger ? "integer" : "number"),
    Options.withDescription(`${description}. Default: ${fallback}`),
    Options.mapEffect((text) => {
      const value = Number(text)
      const { form, kind, written } = isInteger ? wholeNumber : fraction
      const [least, most] = bounds ??
        (isInteger ? [-largestExact, largestExact] : [-Number.MAX_VALUE, Number.MAX_VALUE])
      const isWritten = form.test(text)
      if (isWritten && value >= least && value <= most) return Effect.succeed(value)
      const within = bounds === undefined && !isWritten ? "" : ` from ${least} to ${most}`
      const wanted = `it must be ${kind}${within}.${isWritten ? "" : ` Write it in ${written}.`}`
      return Effect.fail(ValidationError.invalidValue(HelpDoc.p(`--${name} is ${shown(text)}; ${wanted}`)))
    }),
    Options.withDefault(fallback)
  )

const largestExact = Number.MAX_SAFE_INTEGER

const wholeNumber = { kind: "a whole number", form: /^-?[0-9]+$/, written: "the digits 0 to 9 alone, as 1000" }

const fraction = {
  kind: "a number",
  form: /^-?([0-9]+\.?[0-9]*|\.[0-9]+)(e[-+]?[0-9]+)?$/i,
  written: "the digits 0 to 9, as 0.001 or 1e-3"
}

/** Blanks are seen only between quotes. */
const shown = (text: string): string => /^[^\s"\p{C}]+$/u.test(text) ? text : JSON.stringify(text)

/**
 * Runs a command with the arguments of a process, the first two of which are the programs.
 *
 * @since 0.1.0
 * @category combinators
 */
export const run = <Name extends string, R, E, A>(
  command: Command.Command<Name, R, E, A>,
  options: { readonly name: string; readonly known: Known }
) => {
  const parse = Command.run(command, { name: options.name, version })
  return (
    args: ReadonlyArray<string>
  ): Effect.Effect<void, Exclude<E, ValidationError.ValidationError> | UsageError, R | CliApp.CliApp.Environment> =>
    Effect.suspend(() => {
      const [runtime = "", script = "", ...words] = args
      // Who asks for help may be in the middle of a line that cannot be read.
      if (words.some((word) => isForHelp.test(word))) {
        return Console.log(HelpDoc.toAnsiText(help(command, options.name)))
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

const isForHelp = /^(-h|--help(=(true|1|y|yes|on))?)$/i

const help = <Name extends string, R, E, A>(command: Command.Command<Name, R, E, A>, name: string): HelpDoc.HelpDoc =>
  [
    HelpDoc.p(`${name} ${version}`),
    HelpDoc.h1("USAGE"),
    ...Arr.map(
      Usage.enumerate(Command.getUsage(command), CliConfig.defaultConfig),
      (usage) => HelpDoc.p(Span.concat(Span.text("$ "), usage))
    ),
    withoutKinds(Command.getHelp(command, CliConfig.defaultConfig))
  ].reduce((before, after) => HelpDoc.sequence(before, after))

/** The library says of each option that it is a text, or true or false: the first is no news, and the second is not how it is written. */
const withoutKinds = (doc: HelpDoc.HelpDoc): HelpDoc.HelpDoc => {
  if (HelpDoc.isSequence(doc)) return HelpDoc.sequence(withoutKinds(doc.left), withoutKinds(doc.right))
  if (HelpDoc.isDescriptionList(doc)) return HelpDoc.mapDescriptionList(doc, (term, text) => [term, withoutKinds(text)])
  return kinds.includes(plain(doc)) ? HelpDoc.empty : doc
}

const plain = (doc: HelpDoc.HelpDoc): string =>
  HelpDoc.toAnsiText(doc).replace(/\u001b\[[\d;]*m/g, "").replace(/\s+/g, " ").trim()

const kinds = [Primitive.getHelp(Primitive.text), Primitive.getHelp(Primitive.boolean(Option.none()))].map((kind) =>
  plain(HelpDoc.p(kind))
)
