/**
 * Encodes by schemas what goes out by the thousands: to encode is to decode by the schema read backwards, which the lean decoder does in a
 * fraction of the time. What it would not be quicker with is left to Effect's own encoder, part by part.
 */
import * as Either from "effect/Either"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import * as AST from "effect/SchemaAST"
import * as LeanDecoder from "./leanDecoder.js"

/** Gives what `Schema.encodeUnknownSync` gives, and throws its errors. */
export const encodeUnknownSync = ({ ast }: Schema.Schema.AnyNoContext): (value: unknown) => unknown => {
  const backwards = Schema.make<unknown, unknown>(backwardsOf(ast))
  return (value) => Either.getOrThrowWith(LeanDecoder.decode(backwards, value), (error) => error)
}

const backwardsOf = (ast: AST.AST): AST.AST => {
  switch (ast._tag) {
    case "StringKeyword":
    case "NumberKeyword":
    case "BooleanKeyword":
    case "UndefinedKeyword":
    case "UnknownKeyword":
    case "Literal":
      return ast
    case "TypeLiteral":
      return typeLiteral(ast)
    case "TupleType":
      return new AST.TupleType(
        ast.elements.map(({ isOptional, type }) => new AST.OptionalType(backwardsOf(type), isOptional)),
        ast.rest.map(({ type }) => new AST.Type(backwardsOf(type))),
        ast.isReadonly
      )
    case "Union":
      return AST.Union.make(ast.types.map(backwardsOf))
    case "Transformation":
      return renaming(ast) ?? whole(ast)
    default:
      return whole(ast)
  }
}

const typeLiteral = (ast: AST.TypeLiteral): AST.TypeLiteral =>
  new AST.TypeLiteral(
    ast.propertySignatures.map(({ isOptional, isReadonly, name, type }) =>
      new AST.PropertySignature(name, backwardsOf(type), isOptional, isReadonly)
    ),
    ast.indexSignatures.map(({ isReadonly, parameter, type }) =>
      new AST.IndexSignature(parameter, backwardsOf(type), isReadonly)
    )
  )

/** An object whose fields have other names, or are left out: they get the names first, and are encoded then. */
const renaming = ({ from, to, transformation }: AST.Transformation): AST.AST | undefined => {
  if (!AST.isTypeLiteralTransformation(transformation) || !AST.isTypeLiteral(from) || !AST.isTypeLiteral(to)) {
    return undefined
  }
  const renamed = new AST.Transformation(
    typeLiteral(to),
    AST.typeAST(from),
    new AST.TypeLiteralTransformation(
      transformation.propertySignatureTransformations.map((field) =>
        new AST.PropertySignatureTransformation(field.to, field.from, field.encode, field.decode)
      )
    )
  )
  return new AST.Transformation(renamed, typeLiteral(from), AST.composeTransformation)
}

/** A part that is encoded as it was before. */
const whole = (ast: AST.AST): AST.AST => {
  const encode = ParseResult.encodeUnknownEither(Schema.make<unknown, unknown>(ast))
  const decode = ParseResult.decodeUnknownEither(Schema.make<unknown, unknown>(ast))
  return new AST.Declaration([], () => (value) => encode(value), () => (value) => decode(value))
}
