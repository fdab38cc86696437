/** Fields of wire schemas, whose names differ there and here. */
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"

/** A field that must be there. */
export const field = <A, I, const K extends string>(schema: Schema.Schema<A, I>, key: K) =>
  Schema.propertySignature(schema).pipe(Schema.fromKey(key))

/** A field of the same name here and there, which may be missing or null; then it is absent here, and left out when sent. */
export const nullish = <A, I>(schema: Schema.Schema<A, I>) => Schema.optionalWith(schema, { nullable: true })

/** A field that may be missing or null; then it is absent here, and left out when sent. */
export const optional = <A, I, const K extends string>(schema: Schema.Schema<A, I>, key: K) =>
  nullish(schema).pipe(Schema.fromKey(key))

/** A field of the same name here and there, which may be missing or null; then it is absent here, and null when sent. */
export const nullable = <A, I>(schema: Schema.Schema<A, I>) =>
  Schema.optionalToOptional(Schema.NullishOr(schema), Schema.UndefinedOr(Schema.typeSchema(schema)), {
    decode: Option.filter(Predicate.isNotNull),
    encode: (value) => Option.some(Option.getOrUndefined(value) ?? null)
  })

/** A field that may be missing or null; then it is absent here, and null when sent. */
export const fieldNullable = <A, I, const K extends string>(schema: Schema.Schema<A, I>, key: K) =>
  nullable(schema).pipe(Schema.fromKey(key))

/** The name of an answer's type, which is always sent, and never looked at: it is absent here. */
export const sentType = (type: string) =>
  Schema.optionalToOptional(Schema.Unknown, Schema.Undefined, { decode: Option.none, encode: () => Option.some(type) })

/** A field that may be missing or null; then it is there, and `undefined`. It is left out when sent. */
export const orUndefined = <A, I, const K extends string>(schema: Schema.Schema<A, I>, key: K) =>
  Schema.optionalToRequired(Schema.NullOr(schema), Schema.UndefinedOr(Schema.typeSchema(schema)), {
    decode: (found) => Option.getOrUndefined(Option.filter(found, Predicate.isNotNull)),
    encode: Option.fromNullable
  }).pipe(Schema.fromKey(key))

/** A field of the same name here and there that has a value when it is missing. */
export const defaulted = <A, I>(schema: Schema.Schema<A, I>, value: () => NoInfer<A>) =>
  Schema.optionalWith(schema, { default: value })

/** A field that has a value when it is missing. */
export const fieldDefaulted = <A, I, const K extends string>(
  schema: Schema.Schema<A, I>,
  key: K,
  value: () => NoInfer<A>
) => defaulted(schema, value).pipe(Schema.fromKey(key))

/** A field of the same name here and there that has a value when it is missing or null. */
export const nullishDefaulted = <A, I>(schema: Schema.Schema<A, I>, value: () => NoInfer<A>) =>
  Schema.optionalWith(schema, { default: value, nullable: true })

/** A field that has a value when it is missing or null. */
export const optionalDefaulted = <A, I, const K extends string>(
  schema: Schema.Schema<A, I>,
  key: K,
  value: () => NoInfer<A>
) => nullishDefaulted(schema, value).pipe(Schema.fromKey(key))

/** A field that may be missing, and is left out when it is `undefined`. */
export const missable = <A, I, const K extends string>(schema: Schema.Schema<A, I>, key: K) =>
  Schema.optional(schema).pipe(Schema.fromKey(key))

/** A flag of the same name here and there, which may be missing or null, and is sent only where it says something. */
export const flag = Schema.optionalToRequired(Schema.NullOr(Schema.Boolean), Schema.Boolean, {
  decode: (found) => Option.getOrUndefined(found) ?? false,
  encode: (value) => value ? Option.some(true) : Option.none()
})

/** The name of the request's type, always sent; other servers' clients may leave it out. */
export const literal = <const L extends string>(value: L) => defaulted(Schema.Literal(value), () => value)
