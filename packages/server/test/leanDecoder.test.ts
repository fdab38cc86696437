import { assert, it } from "@effect/vitest"
import { Either, FastCheck, Schema } from "effect"
import { FuturesMessages, SamplingMessages, ServiceMessages } from "effect-tinker"
import { decode } from "../src/internal/fast/leanDecoder.js"

const chunk = { type: "encoded_text", tokens: [1, 2, 3] }
const sample = {
  sampling_session_id: "s:sample:0",
  num_samples: 2,
  prompt: { chunks: [chunk, { type: "image", data: "AAAA", format: "png", expected_tokens: 3 }] },
  sampling_params: { max_tokens: 4, temperature: 0.5, top_k: -1, stop: ["a", "b"], seed: 7 },
  prompt_logprobs: null,
  base_model: "m",
  prompt_logprobs_last_n: 3,
  type: "sample",
  other: 1
}

const Named = Schema.Struct({ name: Schema.String })

const Kinds = Schema.Struct({
  pair: Schema.Tuple(Schema.Number, Schema.String),
  anything: Schema.Struct({}),
  counts: Schema.Record({ key: Schema.String, value: Schema.Int }),
  /** The schema asks the second one first. */
  either: Schema.Union(Named, Schema.Struct({ type: Schema.Literal("b") })),
  decided: Schema.Array(
    Schema.Union(
      Schema.Struct({ type: Schema.Literal("a"), size: Schema.NumberFromString }),
      Schema.Struct({ type: Schema.Literal("b"), size: Schema.NullOr(Schema.Int) })
    )
  ),
  tagMayBeMissing: Schema.Array(
    Schema.Union(
      Schema.Struct({ type: Schema.optional(Schema.Literal("a")), size: Schema.NumberFromString }),
      Schema.Struct({ type: Schema.Literal("b"), size: Schema.Unknown })
    )
  ),
  bothTagsMayBeMissing: Schema.Union(
    Schema.Struct({ type: Schema.optional(Schema.Literal("a")), size: Schema.NumberFromString }),
    Schema.Struct({ type: Schema.optional(Schema.Literal("b")), size: Schema.Unknown })
  ),
  text: Schema.compose(Schema.Trim, Schema.NonEmptyString),
  strict: Schema.Struct({ a: Schema.optional(Schema.BigIntFromSelf) }).annotations({
    parseOptions: { onExcessProperty: "error" }
  }),
  lenient: Schema.Number.annotations({ decodingFallback: () => Either.right(7) }),
  renamed: Schema.rename(Named, { name: "title" })
})

const kinds = {
  pair: [1, "a"],
  anything: "a",
  counts: { a: 1, b: 2 },
  either: { name: "a", type: "b" },
  decided: [{ type: "a", size: "1" }, { type: "b", size: null }, { type: "b", size: 2 }],
  tagMayBeMissing: [{ size: "1" }, { type: "a", size: "1" }, { type: "b", size: 1 }],
  bothTagsMayBeMissing: { size: "1" },
  text: " a ",
  strict: { a: 1n },
  lenient: "a",
  renamed: { name: "a" }
}

const asUnknown = <A, I>(schema: Schema.Schema<A, I>) => Schema.make<unknown, unknown>(schema.ast)

const schemas: ReadonlyArray<readonly [string, Schema.Schema<unknown>, object]> = [
  ["a sample", asUnknown(SamplingMessages.SampleRequest), sample],
  ["a question for a result", asUnknown(FuturesMessages.FutureRetrieveRequest), {
    request_id: "r",
    allow_metadata_only: true
  }],
  ["a session", asUnknown(ServiceMessages.CreateSessionRequest), {
    tags: ["a"],
    sdk_version: "0.38.0",
    user_metadata: { a: 1 },
    type: "create_session"
  }],
  ["fields whose schemas are of every kind", asUnknown(Kinds), kinds]
]

/** The same value with something in it gone, or of another kind. */
const damaged = (value: unknown, path: ReadonlyArray<number>, other: unknown): unknown => {
  if (typeof value !== "object" || value === null || path.length === 0) return other
  const keys = Object.keys(value)
  const key = keys[path[0]! % keys.length]
  if (key === undefined) return other
  const copy = (Array.isArray(value) ? [...value] : { ...value }) as Record<string, unknown>
  if (other === undefined && path.length === 1) delete copy[key]
  else copy[key] = damaged(copy[key], path.slice(1), other)
  return copy
}

for (const [name, schema, value] of schemas) {
  it(`reads ${name} as its schema does, and refuses what that refuses`, () => {
    const same = (given: unknown) => {
      const wanted = Schema.decodeUnknownEither(schema)(given)
      const found = decode(schema, given)
      if (Either.isRight(wanted)) return assert.deepStrictEqual(Either.getOrThrow(found), wanted.right)
      assert.strictEqual(Either.getOrThrow(Either.flip(found)).message, wanted.left.message)
    }
    same(value)
    const change = FastCheck.tuple(
      FastCheck.array(FastCheck.nat(20), { minLength: 1, maxLength: 4 }),
      FastCheck.constantFrom(undefined, null, 1, -1.5, "a", "b", "image", "", [], {}, [1], true)
    )
    FastCheck.assert(FastCheck.property(change, ([path, other]) => same(damaged(value, path, other))), {
      seed: 1,
      numRuns: 500
    })
  })
}
