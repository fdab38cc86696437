/** What of a body does not fit its schema, told without walking through all of the body. */
import * as ParseResult from "effect/ParseResult"
import { brief, maxTextLength } from "./wording.js"

export interface SchemaIssue {
  readonly path: ReadonlyArray<PropertyKey>
  readonly message: string
}

export const of = ({ issue }: ParseResult.ParseError): ReadonlyArray<SchemaIssue> =>
  ParseResult.ArrayFormatter.formatIssueSync(sketched(issue)).map(({ message, path }) => ({
    path,
    message: brief(message)
  }))

/** The same issue about a sketch of the value: all of it would be written into the message. */
const sketched = (issue: ParseResult.ParseIssue): ParseResult.ParseIssue => {
  switch (issue._tag) {
    case "Type":
      return new ParseResult.Type(issue.ast, sketchOf(issue.actual, { parts: 100 }), issue.message)
    case "Pointer":
      return new ParseResult.Pointer(issue.path, issue.actual, sketched(issue.issue))
    case "Refinement":
      return new ParseResult.Refinement(issue.ast, issue.actual, issue.kind, sketched(issue.issue))
    case "Transformation":
      return new ParseResult.Transformation(issue.ast, issue.actual, issue.kind, sketched(issue.issue))
    case "Composite": {
      const [first, ...others] = "_tag" in issue.issues ? [issue.issues] : issue.issues
      return new ParseResult.Composite(
        issue.ast,
        issue.actual,
        [sketched(first!), ...others.map(sketched)],
        issue.output
      )
    }
    default:
      return issue
  }
}

/** The beginnings of texts, arrays and objects; `left.parts` of them in all. */
const sketchOf = (value: unknown, left: { parts: number }): unknown => {
  if (typeof value === "string") return value.slice(0, maxTextLength)
  if (typeof value !== "object" || value === null) return value
  if (left.parts-- <= 0) return "…"
  if (Array.isArray(value)) return value.slice(0, mostElements).map((element) => sketchOf(element, left))
  const sketch: Record<string, unknown> = {}
  let fields = 0
  for (const name in value) {
    if (fields++ === mostElements) break
    sketch[name.slice(0, maxTextLength)] = sketchOf((value as Record<string, unknown>)[name], left)
  }
  return sketch
}

const mostElements = 20
