/** What listings have in common. */
import { kindOf } from "@effect-tinker/protocol/CallOptions"
import { type Check, none, oneOf, optional, optionsOf, wholeFrom } from "@effect-tinker/protocol/Checks"

/** The size of the pages that streams ask for. The sizes of single pages are those of the Python SDK 0.38.0. */
export const pageSize = 100

export const accessScope = optional(oneOf("owned", "accessible"))

export const scopeOptions = optional(optionsOf({ accessScope }))

export const pageFields = { limit: optional(wholeFrom(1)), offset: optional(wholeFrom(0)) }

export const noOptions: Check = (value) =>
  value === undefined
    ? none
    : [{
      field: "options",
      description: `are ${kindOf(value)}; this stream has none: it ends where its consumer stops.`
    }]

/** The offset of the next page, if there is one: without a cursor everything is on the page. */
export const nextOffset = (
  offset: number,
  entries: ReadonlyArray<unknown>,
  cursor: { readonly totalCount: number } | undefined
): number | undefined => {
  const next = offset + entries.length
  return cursor === undefined || entries.length === 0 || next >= cursor.totalCount ? undefined : next
}
