import { assert, it } from "@effect/vitest"
import { Effect, FastCheck, Schema, Stream } from "effect"
import { HttpRuntime, ServerSentEvents } from "effect-tinker"
import { readdirSync, readFileSync } from "node:fs"
import { boundedLines } from "../src/internal/transport/boundedLines.js"
import { parseJson } from "../src/internal/transport/responseLimits.js"

const bytesOf = (text: string) => new TextEncoder().encode(text)
const parse = (text: string) => parseJson(bytesOf(text))
const nested = (depth: number, inner = "1") => "[".repeat(depth) + inner + "]".repeat(depth)

it("reads JSON as JSON is read", () => {
  FastCheck.assert(
    FastCheck.property(FastCheck.json({ maxDepth: 6 }), (text) => {
      assert.deepStrictEqual(parse(text), JSON.parse(text))
    })
  )
})

it("reads JSON a hundred deep, and none deeper", () => {
  assert.deepStrictEqual(parse(nested(100)), JSON.parse(nested(100)))
  assert.deepStrictEqual(parse(`[${Array(300).fill("{\"a\":[[1]]}").join(",")}]`), Array(300).fill({ a: [[1]] }))
  for (const text of [nested(101), "[".repeat(101), `{"a":${nested(100)}}`, "{\"a\":".repeat(101)]) {
    assert.throws(() => parse(text), HttpRuntime.RefusedAnswer)
  }
})

it("takes brackets in texts for texts, whatever is escaped before their end", () => {
  for (const text of ["[", "\\", "\"", "\"[", "\\\"", "[\\"]) {
    const json = JSON.stringify(Array(200).fill(`${text}[[`))
    assert.deepStrictEqual(parse(json), JSON.parse(json))
    assert.throws(() => parse(nested(101, JSON.stringify(text))), HttpRuntime.RefusedAnswer)
  }
  assert.throws(() => parse(`"${"[".repeat(200)}`), SyntaxError)
})

it("no answer is parsed otherwise", () => {
  const src = new URL("../src/", import.meta.url)
  const files = readdirSync(src, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts") && /JSON\.parse\(/.test(readFileSync(new URL(file, src), "utf8")))
  // The one other reads the body of a request.
  assert.deepStrictEqual(files.toSorted(), ["RequestExtras.ts", "internal/transport/responseLimits.ts"])
})

it.effect("a line or an event without end ends its stream", () =>
  Effect.gen(function*() {
    const count = <A, E>(stream: Stream.Stream<A, E>) => Stream.runFold(stream, 0, (sum) => sum + 1)
    const text = Stream.make("data: 12345", "67890", "12345\n\n").pipe(Stream.rechunk(1))
    const lines = (most: number) => Stream.splitLines(boundedLines("lines", text, most))
    assert.strictEqual(yield* count(lines(16)), 2)
    assert.include((yield* Effect.flip(count(lines(15)))).message, "a line is longer than 15 characters")
    const events = (maxEventLength: number) => ServerSentEvents.decode(Stream.encodeText(text), { maxEventLength })
    assert.strictEqual(yield* count(events(16)), 1)
    assert.include((yield* Effect.flip(count(events(15)))).message, "an event is longer than 15 characters")
    const many = Stream.encodeText(Stream.rechunk(Stream.make("data: 12345\n", "data: 67890\n", "\n"), 1))
    assert.include(
      (yield* Effect.flip(count(ServerSentEvents.decode(many, { maxEventLength: 10 })))).message,
      "an event is longer"
    )
  }))

it.effect("an event whose JSON is nested without end does not fit any schema", () =>
  Effect.gen(function*() {
    const events = ServerSentEvents.decode(Stream.encodeText(Stream.make(`data: ${nested(101)}\n\n`)))
    const error = yield* Effect.flip(Stream.runDrain(ServerSentEvents.json(Schema.Unknown)(events)))
    assert.include(error.message, "nested more than 100 deep")
  }))
