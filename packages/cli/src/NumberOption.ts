/**
 * Options that are numbers, as people write them.
 */
import * as HelpDoc from "@effect/cli/HelpDoc"
import * as Options from "@effect/cli/Options"
import * as ValidationError from "@effect/cli/ValidationError"
import * as Effect from "effect/Effect"

/**
 * A number, in decimal digits: a whole one in these alone, another also with a point and an exponent. What is none, or beyond its bounds,
 * is refused by the name of the option.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (name: string, { bounds, description, fallback, isInteger = false }: {
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
