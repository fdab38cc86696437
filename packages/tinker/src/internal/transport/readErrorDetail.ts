import * as Predicate from "effect/Predicate"
import { parseJson } from "./responseLimits.js"

/**
 * What an error body says. Servers write it in these ways: `detail` as text or as a list of findings, `error` as text or as an
 * object with a `message`, `error_message`, or no JSON at all.
 */
export const readErrorDetail = (body: Uint8Array): string =>
  shorten(fromJson(body) ?? fromText(new TextDecoder().decode(body.subarray(0, 4096)).trim()))

/** The detail in a text; of a page it is the title, which is all of it that was written for people in trouble. */
const fromText = (text: string): string => {
  if (!text.startsWith("<")) return text
  const title = /<title[^>]*>([^<]*)</i.exec(text)?.[1]?.replace(/\s+/g, " ").trim()
  return title === undefined || title === "" ? "a web page" : `a web page, ${title}`
}

const fromJson = (body: Uint8Array): string | undefined => {
  let value: unknown
  try {
    value = parseJson(body)
  } catch {
    return undefined
  }
  if (typeof value !== "object" || value === null) return undefined
  const { detail, error, error_message: errorMessage } = value as Record<string, unknown>
  const said = detail ?? error ?? errorMessage
  if (typeof said === "string") return said
  if (Array.isArray(said)) return said.map(finding).join("; ")
  return Predicate.hasProperty(said, "message") && typeof said.message === "string" ? said.message : undefined
}

/** `msg` says what is wrong and `loc` where; `input`, what was sent, stays out of messages. */
const finding = (item: unknown): string => {
  if (typeof item !== "object" || item === null) return String(item)
  const { loc, msg } = item as Record<string, unknown>
  const told = typeof msg === "string" ? msg : "is refused"
  return Array.isArray(loc) && loc.length > 0 ? `${loc.join(".")}: ${told}` : told
}

const shorten = (text: string): string => text.length <= 500 ? text : `${text.slice(0, 500)}…`
