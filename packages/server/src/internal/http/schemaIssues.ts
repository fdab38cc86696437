/** What of a body does not fit its schema, told without walking through all of the body. */
import * as ParseResult from "effect/ParseResult"
import * as Predicate from "effect/Predicate"
import * as AST from "effect/SchemaAST"
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
      const [first, ...others] = AST.isUnion(issue.ast) ? meant(issuesOf(issue), issue.actual) : issuesOf(issue)
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

const issuesOf = ({ issues }: ParseResult.Composite): ReadonlyArray<ParseResult.ParseIssue> =>
  "_tag" in issues ? [issues] : issues

/**
 * Leaves, of what the members of a union found, that of the member which was meant: the one of the value's `type`, or else those that
 * came furthest into it.
 */
const meant = (
  issues: ReadonlyArray<ParseResult.ParseIssue>,
  actual: unknown
): ReadonlyArray<ParseResult.ParseIssue> => {
  const type = Predicate.hasProperty(actual, "type") ? actual.type : undefined
  const named = issues.filter((issue) =>
    (issue._tag === "Composite" || issue._tag === "Transformation") && typesOf(issue.ast).includes(type)
  )
  const candidates = named.length > 0 ? named : issues
  const depths = candidates.map(depthOf)
  const deepest = Math.max(...depths)
  return candidates.filter((_, i) => depths[i] === deepest)
}

/** What the field `type` of a value of this kind may be, where that is told by literals. */
const typesOf = (ast: AST.AST): ReadonlyArray<unknown> => {
  switch (ast._tag) {
    case "Transformation":
    case "Refinement":
      return typesOf(ast.from)
    case "Suspend":
      return typesOf(ast.f())
    case "TypeLiteral":
      return ast.propertySignatures.flatMap(({ name, type }) => name === "type" ? literalsOf(type) : [])
    default:
      return []
  }
}

const literalsOf = (ast: AST.AST): ReadonlyArray<unknown> =>
  AST.isLiteral(ast)
    ? [ast.literal]
    : AST.isUnion(ast)
    ? ast.types.flatMap(literalsOf)
    : AST.isTransformation(ast) || AST.isRefinement(ast)
    ? literalsOf(ast.from)
    : []

/** How far into the value the first trouble is; that with its `type` says only that another kind was meant. */
const depthOf = (issue: ParseResult.ParseIssue): number => {
  switch (issue._tag) {
    case "Pointer": {
      const path = Array.isArray(issue.path) ? issue.path : [issue.path]
      // A field that is not there is none that was come into.
      if (issue.issue._tag === "Missing" || issue.issue._tag === "Unexpected" || path[0] === "type") return 0
      return path.length + depthOf(issue.issue)
    }
    case "Composite":
      return Math.max(...issuesOf(issue).map(depthOf))
    case "Refinement":
    case "Transformation":
      return depthOf(issue.issue)
    default:
      return 0
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
