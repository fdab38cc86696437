import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"

/** A time in RFC 3339. Servers that name no zone mean UTC. */
export const Time: Schema.Schema<DateTime.Utc, string> = Schema.transformOrFail(
  Schema.String,
  Schema.DateTimeUtcFromSelf,
  {
    strict: true,
    decode: (text, _, ast) => {
      const millis = parseTime(text)
      return Number.isNaN(millis)
        ? Effect.fail(new ParseResult.Type(ast, text, "is no time"))
        : Effect.succeed(DateTime.unsafeMake(millis))
    },
    encode: (time) => Effect.succeed(DateTime.formatIso(time))
  }
)

/** Milliseconds since 1970, or NaN. */
export const parseTime = (text: string): number => {
  const parts = /^(\d{4}-\d{2}-\d{2})(?:[Tt ](\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?)([Zz]|[+-]\d{2}:?\d{2})?)?$/.exec(text)
  if (parts === null) return NaN
  const [, day, time = "00:00", zone = "Z"] = parts
  // Days that no month has would be taken for some of the next one.
  if (Number.isNaN(Date.parse(day!)) || new Date(day!).toISOString().slice(0, 10) !== day) return NaN
  return Date.parse(`${day}T${time}${zone.toUpperCase().replace(/^([+-]\d{2})(\d{2})$/, "$1:$2")}`)
}
