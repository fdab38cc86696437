/**
 * Decodes by schemas what comes by the thousands. For each schema there is a function that looks at a value once and makes
 * what it is decoded to, or sees that it does not fit; then Effect's own decoder has the word, as it has about the kinds of
 * schemas that are not known here.
 */
import type * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { identity } from "effect/Function"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as AST from "effect/SchemaAST"

/** What `Schema.decodeUnknownEither` gives, and its errors. */
export const decode = <A, I>(schema: Schema.Schema<A, I>, value: unknown): Either.Either<A, ParseResult.ParseError> => {
  const decoded = attemptOf(schema.ast)(value)
  return decoded === unfit ? Schema.decodeUnknownEither(schema)(value) : Either.right(decoded as A)
}

/** Gives what a value is decoded to, or {@link unfit}. */
type Attempt = (value: unknown) => unknown

const unfit = Symbol("unfit")

const attempts = new WeakMap<AST.AST, Attempt>()

const attemptOf = (ast: AST.AST): Attempt => {
  const known = attempts.get(ast)
  if (known !== undefined) return known
  const attempt = hasOwnRules(ast) ? bySchema(ast) : make(ast)
  attempts.set(ast, attempt)
  return attempt
}

const hasOwnRules = (ast: AST.AST): boolean =>
  Option.isSome(AST.getParseOptionsAnnotation(ast)) || Option.isSome(AST.getDecodingFallbackAnnotation(ast))

const bySchema = (ast: AST.AST): Attempt => {
  const decode = ParseResult.decodeUnknownEither(Schema.make<unknown, unknown>(ast))
  return (value) => Either.getOrElse(decode(value), () => unfit)
}

const make = (ast: AST.AST): Attempt => {
  switch (ast._tag) {
    case "StringKeyword":
      return (value) => typeof value === "string" ? value : unfit
    case "NumberKeyword":
      return (value) => typeof value === "number" ? value : unfit
    case "BooleanKeyword":
      return (value) => typeof value === "boolean" ? value : unfit
    case "BigIntKeyword":
      return (value) => typeof value === "bigint" ? value : unfit
    case "UndefinedKeyword":
      return (value) => value === undefined ? value : unfit
    case "UnknownKeyword":
      return identity
    case "Literal":
      return (value) => value === ast.literal ? value : unfit
    case "Declaration": {
      const check = ast.decodeUnknown(...ast.typeParameters)
      return (value) => madeOf(check(value, AST.defaultParseOption, ast))
    }
    case "Refinement":
      return refined(ast)
    case "Union":
      return isDecided(ast) ? firstOf(ast.types.map(attemptOf)) : bySchema(ast)
    case "TupleType":
      return ast.elements.length === 0 && ast.rest.length === 1 ? arrayOf(attemptOf(ast.rest[0]!.type)) : bySchema(ast)
    case "TypeLiteral":
      return isRecord(ast)
        ? record(ast.propertySignatures.map((field) => ({ field, to: field.name })))
        : byNameOf(ast) ?? bySchema(ast)
    case "Transformation":
      return transformed(ast)
    default:
      return bySchema(ast)
  }
}

const refined = (ast: AST.Refinement): Attempt => {
  const first = attemptOf(ast.from)
  return (value) => {
    const found = first(value)
    return found !== unfit && Option.isNone(ast.filter(found, AST.defaultParseOption, ast)) ? found : unfit
  }
}

const firstOf = (members: ReadonlyArray<Attempt>): Attempt => (value) => {
  for (const member of members) {
    const found = member(value)
    if (found !== unfit) return found
  }
  return unfit
}

const arrayOf = (element: Attempt): Attempt => (value) => {
  if (!Array.isArray(value)) return unfit
  const output = new Array<unknown>(value.length)
  for (let i = 0; i < output.length; i++) {
    const found = element(value[i])
    if (found === unfit) return unfit
    output[i] = found
  }
  return output
}

interface Field {
  readonly field: AST.PropertySignature
  /** The name of the field in what is made. */
  readonly to: PropertyKey
  /** Makes its value of the one that was found, if any. */
  readonly decode?: ((found: Option.Option<unknown>) => Option.Option<unknown>) | undefined
}

const record = (fields: ReadonlyArray<Field>): Attempt => {
  const known = fields.map(({ decode, field, to }) => ({
    from: field.name,
    isOptional: field.isOptional,
    attempt: attemptOf(field.type),
    to,
    decode
  }))
  return (value) => {
    if (!Predicate.isRecord(value)) return unfit
    const output: Record<PropertyKey, unknown> = {}
    for (const { attempt, decode, from, isOptional, to } of known) {
      let found: Option.Option<unknown> = Option.none()
      if (Object.hasOwn(value, from)) {
        const decoded = attempt(value[from])
        if (decoded === unfit) return unfit
        if (decode === undefined) {
          output[to] = decoded
          continue
        }
        found = Option.some(decoded)
      } else if (!isOptional) return unfit
      const made = decode === undefined ? found : decode(found)
      if (made._tag === "Some") output[to] = made.value
    }
    return output
  }
}

/** One with no fields is anything but null, and one with others than those that it names needs all of them looked at. */
const isRecord = (ast: AST.TypeLiteral): boolean =>
  ast.propertySignatures.length > 0 && ast.indexSignatures.length === 0

/** What reads an object of any names, each with a value of one kind, if that is what the schema asks for. */
const byNameOf = ({ indexSignatures: [names, ...others], propertySignatures }: AST.TypeLiteral): Attempt | undefined =>
  names !== undefined && AST.isStringKeyword(names.parameter) && others.length === 0 && propertySignatures.length === 0
    ? byName(attemptOf(names.type))
    : undefined

const byName = (value: Attempt): Attempt => (values) => {
  if (!Predicate.isRecord(values)) return unfit
  const output: Record<string, unknown> = {}
  for (const name of Object.keys(values)) {
    const found = value(values[name])
    if (found === unfit) return unfit
    output[name] = found
  }
  return output
}

const transformed = (ast: AST.Transformation): Attempt => {
  const { from, to, transformation } = ast
  if (AST.isTypeLiteralTransformation(transformation)) {
    return AST.isTypeLiteral(from) && isRecord(from) ? record(renamed(from, to, transformation)) : bySchema(ast)
  }
  const first = attemptOf(from)
  const last = attemptOf(to)
  if (!AST.isFinalTransformation(transformation)) {
    return (value) => {
      const found = first(value)
      return found === unfit ? unfit : last(found)
    }
  }
  return (value) => {
    const found = first(value)
    if (found === unfit) return unfit
    const made = madeOf(transformation.decode(found, AST.defaultParseOption, ast, value))
    return made === unfit ? unfit : last(made)
  }
}

/** What is there at once; nothing here waits. */
const madeOf = (made: Effect.Effect<unknown, ParseResult.ParseIssue, unknown>): unknown =>
  Either.isEither(made) && Either.isRight(made) ? made.right : unfit

/** Fields under other names, and what stands in for those that are missing. */
const renamed = (
  from: AST.TypeLiteral,
  to: AST.AST,
  { propertySignatureTransformations: changes }: AST.TypeLiteralTransformation
): ReadonlyArray<Field> =>
  AST.getPropertySignatures(to).map(({ name }) => {
    const change = changes.find((change) => change.to === name) ?? { from: name, decode: identity }
    const field = from.propertySignatures.find(({ name }) => name === change.from)!
    return { field, to: name, decode: change.decode === identity ? undefined : change.decode }
  })

/**
 * Whether the first member that fits is the one that the schema's own order finds: it asks those with a literal first. That
 * is so where a value fits one at most, as the members have different literals under a name that one of them may leave out.
 */
const isDecided = ({ types }: AST.Union): boolean => {
  const compound = types.filter((type) => !isPlain(type))
  if (compound.length <= 1) return true
  const tags = compound.map(tagsOf)
  return tags[0]!.some(({ name }) => {
    const same = tags.flatMap((fields) => fields.filter((field) => field.name === name))
    return same.length === tags.length && new Set(same.map(({ literal }) => literal)).size === tags.length
      && same.filter(({ isOptional }) => isOptional).length <= 1
  })
}

/** What is decoded to itself. */
const isPlain = (ast: AST.AST): boolean =>
  AST.isLiteral(ast) || AST.isStringKeyword(ast) || AST.isNumberKeyword(ast) || AST.isBooleanKeyword(ast) ||
  AST.isUndefinedKeyword(ast) || AST.isBigIntKeyword(ast) || (AST.isRefinement(ast) && isPlain(ast.from))

interface Tag {
  readonly name: PropertyKey
  readonly literal: AST.LiteralValue
  readonly isOptional: boolean
}

/** The fields of an object that hold one literal. */
const tagsOf = (ast: AST.AST): ReadonlyArray<Tag> => {
  if (AST.isTransformation(ast)) return tagsOf(ast.from)
  if (!AST.isTypeLiteral(ast)) return []
  return ast.propertySignatures.flatMap(({ isOptional, name, type }) => {
    const members = AST.isUnion(type) ? type.types : [type]
    const given = isOptional ? members.filter((member) => !AST.isUndefinedKeyword(member)) : members
    const [one] = given
    return given.length === 1 && one !== undefined && AST.isLiteral(one)
      ? [{ name, literal: one.literal, isOptional }]
      : []
  })
}
