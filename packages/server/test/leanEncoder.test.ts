import { type Endpoint, Endpoints } from "@effect-tinker/protocol"
import { assert, it } from "@effect/vitest"
import { Arbitrary, Either, FastCheck, Schema } from "effect"
import { encodeUnknownSync } from "../src/internal/fast/leanEncoder.js"

const Named = Schema.Struct({
  name: Schema.String,
  size: Schema.optionalWith(Schema.NumberFromString, { nullable: true })
})

const Kinds = Schema.Struct({
  pair: Schema.Tuple(Schema.NumberFromString, Schema.String),
  anything: Schema.Struct({}),
  counts: Schema.Record({ key: Schema.String, value: Schema.NumberFromString }),
  either: Schema.Union(Named, Schema.Struct({ type: Schema.Literal("b") })),
  text: Schema.compose(Schema.Trim, Schema.NonEmptyString),
  renamed: Schema.rename(Named, { name: "title" }),
  several: Schema.Array(Named).pipe(Schema.minItems(1)),
  secret: Schema.Redacted(Schema.String),
  given: Schema.optionalWith(Schema.Int, { default: () => 3 }).pipe(Schema.fromKey("is_given"))
})

const asUnknown = <A, I>(schema: Schema.Schema<A, I>) => Schema.make<unknown, unknown>(schema.ast)

/** The schemas by which a server writes, and one of every kind. */
const schemas = [
  ...Object.entries(Endpoints).flatMap(([name, endpoint]: [string, Endpoint.Endpoint]) =>
    [endpoint.answer, endpoint.result].flatMap((schema, i) =>
      Schema.isSchema(schema)
        ? [
          [`${i === 0 ? "the answer" : "the result"} of ${name}`, asUnknown(schema as Schema.Schema<unknown>)] as const
        ]
        : []
    )
  ),
  ["fields whose schemas are of every kind", asUnknown(Kinds)] as const
]

const others = FastCheck.constantFrom(undefined, null, 1, -1.5, "a", "", [], {}, [1], true)

/** The same value with a field gone, or of another kind. */
const damaged = (value: unknown, field: number, other: unknown): unknown => {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return other
  const keys = Object.keys(value)
  return keys.length === 0 ? other : { ...value, [keys[field % keys.length]!]: other }
}

for (const [name, schema] of schemas) {
  it(`writes ${name} as its schema does, and refuses what that refuses`, () => {
    const lean = encodeUnknownSync(schema)
    const same = (value: unknown) => {
      const wanted = Schema.encodeUnknownEither(schema)(value)
      const found = Either.try(() => lean(value))
      assert.strictEqual(Either.isRight(found), Either.isRight(wanted))
      if (Either.isRight(wanted)) assert.deepStrictEqual(found, wanted)
    }
    const cases = FastCheck.tuple(Arbitrary.make(Schema.typeSchema(schema)), FastCheck.nat(20), others)
    FastCheck.assert(
      FastCheck.property(cases, ([value, field, other]) => {
        same(value)
        same(damaged(value, field, other))
      }),
      { seed: 1, numRuns: 50 }
    )
  })
}
