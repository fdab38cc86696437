/** What messages are made of. */
import * as Duration from "effect/Duration"

/** A text with one full stop at its end: servers and systems end their sentences, or do not. */
export const sentence = (text: string): string => {
  const said = text.trimEnd()
  return /[.!?…]$/.test(said) ? said : `${said}.`
}

/** A text without the full stop at its end, for the middle of a sentence. */
export const phrase = (text: string): string => text.trimEnd().replace(/\.$/, "")

/** A duration as people say it, e.g. `5 minutes 15 s`: its two largest units, and seconds with a fraction below ten. */
export const durationText = (input: Duration.DurationInput): string => {
  const millis = Duration.toMillis(input)
  if (millis === Infinity) return "for ever"
  if (millis < 1000) return `${Number(millis.toPrecision(3))} ms`
  if (millis < 10_000) return `${Math.round(millis / 100) / 10} s`
  const seconds = Math.round(millis / 1000)
  const parts = [
    named(Math.floor(seconds / 86_400), "day"),
    named(Math.floor(seconds / 3600) % 24, "hour"),
    named(Math.floor(seconds / 60) % 60, "minute"),
    seconds % 60 === 0 ? "" : `${seconds % 60} s`
  ]
  const first = parts.findIndex((part) => part !== "")
  return parts.slice(first, first + 2).filter((part) => part !== "").join(" ")
}

const named = (count: number, unit: string): string =>
  count === 0 ? "" : count === 1 ? `1 ${unit}` : `${count} ${unit}s`

/** A name in quotes; of one that is too long to be any, its beginning. */
export const quoted = (name: string): string =>
  name.length <= 100 ? JSON.stringify(name) : `${JSON.stringify(name.slice(0, 60))}… (${name.length} characters)`
