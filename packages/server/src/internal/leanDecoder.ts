/**
 * Decodes by schemas what comes by the thousands. Effect's own decoder renames fields and fills in defaults in a copy that it
 * deletes the old ones from, which leaves an object that is slow ever after, and then checks the result once more; this one
 * makes the object that it shall be from what was checked.
 */
import * as Either from "effect/Either"
import { identity } from "effect/Function"
import * as Option from "effect/Option"
import type { ParseError } from "effect/ParseResult"
import * as Schema from "effect/Schema"
import * as AST from "effect/SchemaAST"

/** What `Schema.decodeUnknownEither` gives, and its errors. */
export const decode = <A, I>(schema: Schema.Schema<A, I>, value: unknown): Either.Either<A, ParseError> => {
  const decoded = decoderOf(schema.ast)(value)
  return Either.isRight(decoded) ? Either.right(decoded.right as A) : Schema.decodeUnknownEither(schema)(value)
}

const decoderOf = (ast: AST.AST): Decoder => {
  const known = decoders.get(ast)
  if (known !== undefined) return known
  const decoder: Decoder = Schema.decodeUnknownEither(Schema.make<unknown, unknown>(lean(ast)))
  decoders.set(ast, decoder)
  return decoder
}

type Decoder = (value: unknown) => Either.Either<unknown, ParseError>

const decoders = new WeakMap<AST.AST, Decoder>()

const lean = (ast: AST.AST): AST.AST => {
  switch (ast._tag) {
    case "TypeLiteral":
      return new AST.TypeLiteral(
        ast.propertySignatures.map(({ annotations, isOptional, isReadonly, name, type }) =>
          new AST.PropertySignature(name, lean(type), isOptional, isReadonly, annotations)
        ),
        ast.indexSignatures,
        ast.annotations
      )
    case "TupleType":
      return new AST.TupleType(
        ast.elements,
        ast.rest.map(({ annotations, type }) => new AST.Type(lean(type), annotations)),
        ast.isReadonly,
        ast.annotations
      )
    case "Union":
      return AST.Union.make(ast.types.map(lean), ast.annotations)
    case "Transformation": {
      const from = lean(ast.from)
      const { transformation } = ast
      return AST.isTypeLiteralTransformation(transformation)
        ? new AST.Transformation(from, AST.unknownKeyword, rebuilding(ast.to, transformation), ast.annotations)
        : new AST.Transformation(from, ast.to, transformation, ast.annotations)
    }
    default:
      return ast
  }
}

type Fields = Readonly<Record<PropertyKey, unknown>>

const rebuilding = (to: AST.AST, transformation: AST.TypeLiteralTransformation): AST.FinalTransformation => {
  const changes = transformation.propertySignatureTransformations
  const fields = AST.getPropertySignatures(to).map(({ name }) =>
    changes.find((change) => change.to === name) ?? { to: name, from: name, decode: identity }
  )
  const decode = (input: Fields) => {
    const output: Record<PropertyKey, unknown> = {}
    for (const { decode, from, to } of fields) {
      if (decode === identity) {
        if (from in input) output[to] = input[from]
        continue
      }
      const value = decode(from in input ? Option.some(input[from]) : Option.none())
      if (Option.isSome(value)) output[to] = value.value
    }
    return Either.right(output)
  }
  return new AST.FinalTransformation(decode, () => Either.right(undefined))
}
