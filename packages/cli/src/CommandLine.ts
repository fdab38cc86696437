/**
 * Reads the arguments of a process: what cannot be read is said in one sentence that names the option, as every other failure.
 */
import type * as CliApp from "@effect/cli/CliApp"
import * as Command from "@effect/cli/Command"
import * as HelpDoc from "@effect/cli/HelpDoc"
import * as Options from "@effect/cli/Options"
import * as ValidationError from "@effect/cli/ValidationError"
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as UnknownOptions from "./UnknownOptions.js"
import { UsageError } from "./UsageError.js"

/**
 * Which options a command has, without their dashes.
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
 * Those of a command, under the keys of its `flags`: `learningRate` is `--learning-rate`. `repeated` names what may be given again.
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

/** Of the library itself, without a value. */
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
 * A number. What is none, or beyond its bounds, is refused by the name of the option.
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
      const value = text.trim() === "" ? NaN : Number(text)
      const isFine = (isInteger ? Number.isSafeInteger(value) : Number.isFinite(value))
        && (bounds === undefined || (value >= bounds[0] && value <= bounds[1]))
      const kind = isInteger ? "a whole number" : "a number"
      const within = bounds === undefined ? "" : ` from ${bounds[0]} to ${bounds[1]}`
      return isFine
        ? Effect.succeed(value)
        : Effect.fail(ValidationError.invalidValue(HelpDoc.p(`--${name} is ${text}; it must be ${kind}${within}.`)))
    }),
    Options.withDefault(fallback)
  )

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
  const parse = Command.run(command, { name: options.name, version: "0.1.0" })
  return (
    args: ReadonlyArray<string>
  ): Effect.Effect<void, Exclude<E, ValidationError.ValidationError> | UsageError, R | CliApp.CliApp.Environment> =>
    Effect.suspend(() => {
      const [runtime = "", script = "", ...words] = args
      // Who asks for help may be in the middle of a line that cannot be read.
      if (words.some((word) => word === "--help" || word === "-h")) return parse([runtime, script, "--help"])
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

const plain = (doc: HelpDoc.HelpDoc): string =>
  HelpDoc.toAnsiText(doc).replace(/\u001b\[[\d;]*m/g, "").replace(/\s+/g, " ").trim()
