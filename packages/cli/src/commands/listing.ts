/** Parameters that listings have in common. */
import * as Options from "@effect/cli/Options"
import * as NumberOption from "../NumberOption.js"

export const parameters = {
  limit: NumberOption.make("limit", {
    isInteger: true,
    bounds: [0, Number.MAX_SAFE_INTEGER],
    description: "Most entries; 0 lists all",
    fallback: 20
  }),
  offset: NumberOption.make("offset", {
    isInteger: true,
    bounds: [0, Number.MAX_SAFE_INTEGER],
    description: "Entries to leave out before",
    fallback: 0
  })
}

export const accessScope = Options.choice("access-scope", ["owned", "accessible"]).pipe(
  Options.withDescription("owned: your own; accessible: also those of others that you may see. Default: owned"),
  Options.withDefault("owned" as const)
)
