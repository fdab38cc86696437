/**
 * Options whose text means something else: a duration, a time, a size.
 */
import * as HelpDoc from "@effect/cli/HelpDoc"
import * as Options from "@effect/cli/Options"
import * as ValidationError from "@effect/cli/ValidationError"
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import * as GlobalOptions from "./GlobalOptions.js"

/**
 * An option that may be left out. What `parse` cannot read is refused by the option's name; `wanted` ends the sentence that begins with
 * "it must be".
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = <A>(name: string, { description, kind, parse, wanted }: {
  readonly description: string
  /** What help calls the value. */
  readonly kind: string
  readonly wanted: string
  readonly parse: (text: string) => A | undefined
}): Options.Options<Option.Option<A>> =>
  Options.text(name).pipe(
    Options.withPseudoName(kind),
    Options.withDescription(description),
    Options.mapEffect((text) => {
      const value = parse(text.trim())
      return value === undefined
        ? Effect.fail(
          ValidationError.invalidValue(HelpDoc.p(`--${name} is ${JSON.stringify(text)}; it must be ${wanted}.`))
        )
        : Effect.succeed(value)
    }),
    Options.optional
  )

/**
 * A duration, e.g. `12h` or `7d`, in milliseconds.
 *
 * @since 0.1.0
 * @category constructors
 */
export const duration = (name: string, description: string): Options.Options<Option.Option<number>> =>
  make(name, {
    description,
    kind: "duration",
    wanted: "a duration, as 90s, 12h, 7d or 2w",
    parse: GlobalOptions.millisOf
  })

/**
 * A time of ISO 8601, or the date alone, which is its midnight; without a zone it is of UTC. In milliseconds since 1970.
 *
 * @since 0.1.0
 * @category constructors
 */
export const time = (name: string, description: string): Options.Options<Option.Option<number>> =>
  make(name, {
    description,
    kind: "time",
    wanted: "a date or a time of ISO 8601, as 2026-11-30 or 2026-11-30T12:00:00Z",
    parse: timeOf
  })

/** What the language itself reads varies: dates are of UTC, times without a zone of where one is. */
const iso = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?)(Z|[+-]\d\d:?\d\d)?)?$/i

/**
 * The milliseconds since 1970 of a time as {@link time} reads it; none for a text that is none.
 *
 * @since 0.1.0
 * @category parsing
 */
export const timeOf = (text: string): number | undefined => {
  const [, date, time = "00:00", zone = "Z"] = iso.exec(text) ?? []
  if (date === undefined) return undefined
  const millis = Date.parse(`${date}T${time}${zone.toUpperCase()}`)
  // The 31st of February is no day, and would be read as one in March.
  return Number.isNaN(millis) || new Date(`${date}T00:00Z`).toISOString().slice(0, 10) !== date ? undefined : millis
}

const unitBytes: Readonly<Record<string, number>> = { "": 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3, t: 1024 ** 4 }

/**
 * A size, e.g. `500MB` or `1.5GB`, in bytes; units are 1024 of the one before.
 *
 * @since 0.1.0
 * @category constructors
 */
export const size = (name: string, description: string): Options.Options<Option.Option<number>> =>
  make(name, {
    description,
    kind: "size",
    wanted: "a size, as 500MB or 1.5GB",
    parse: (text) => {
      const [, digits, unit = ""] = /^([0-9]+(?:\.[0-9]+)?)\s*([kmgt])?i?b?$/i.exec(text) ?? []
      return digits === undefined ? undefined : Math.round(Number(digits) * unitBytes[unit.toLowerCase()]!)
    }
  })
