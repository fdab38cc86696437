/** Small tokenizers of many kinds, made by the reference library, with what it makes of texts and tokens (scripts/makeLayouts.py). */
import { assert, it } from "@effect/vitest"
import { Chunk, Effect, Either, Schema, Stream } from "effect"
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import * as Tokenizer from "../src/Tokenizer.js"

const Tokens = Schema.Array(Schema.Number)

const decodeLine = Schema.decodeUnknownSync(Schema.parseJson(Schema.Struct({
  name: Schema.optional(Schema.String),
  file: Schema.Unknown,
  texts: Schema.Array(Schema.Tuple(Schema.String, Tokens, Tokens)),
  decoded: Schema.Array(Schema.Tuple(Tokens, Schema.String, Schema.String))
})))

const linesOf = (name: string) =>
  readFileSync(fileURLToPath(new URL(`./fixtures/${name}`, import.meta.url)), "utf8").trimEnd().split("\n").map((
    line
  ) => decodeLine(line))

const agrees = (tokenizer: Tokenizer.Service, { decoded, texts }: ReturnType<typeof decodeLine>) => {
  for (const [text, parsed, plain] of texts) {
    const message = JSON.stringify(text)
    assert.deepStrictEqual(Array.from(tokenizer.encode(text, { parseSpecialTokens: true })), parsed, message)
    assert.deepStrictEqual(Array.from(tokenizer.encode(text)), plain, message)
  }
  for (const [tokens, text, withoutSpecial] of decoded) {
    assert.strictEqual(tokenizer.decode(tokens), text, tokens.join(" "))
    assert.strictEqual(tokenizer.decode(tokens, { skipSpecialTokens: true }), withoutSpecial, tokens.join(" "))
  }
}

/** The text of tokens that come one by one. */
const streamed = (tokenizer: Tokenizer.Service, tokens: ReadonlyArray<number>, skipSpecialTokens: boolean) =>
  Stream.fromIterable(tokens).pipe(
    Stream.map((token) => [token]),
    Tokenizer.decodeStream(tokenizer, { skipSpecialTokens }),
    Stream.runCollect,
    Effect.map(Chunk.join(""))
  )

for (const line of linesOf("layouts.jsonl")) {
  it.effect(`agrees with the reference on texts and on tokens cut anywhere (${line.name})`, () =>
    Effect.map(Tokenizer.make({ tokenizerJson: line.file }), (tokenizer) => {
      agrees(tokenizer, line)
    }))

  it.effect(`gives the same text when tokens come one by one (${line.name})`, () =>
    Effect.gen(function*() {
      const tokenizer = yield* Tokenizer.make({ tokenizerJson: line.file })
      for (const [tokens, text, withoutSpecial] of line.decoded) {
        assert.strictEqual(yield* streamed(tokenizer, tokens, false), text, tokens.join(" "))
        assert.strictEqual(yield* streamed(tokenizer, tokens, true), withoutSpecial, tokens.join(" "))
      }
    }))
}

it.effect("agrees with the reference on parts put together at random, or refuses the file by the part", () =>
  Effect.gen(function*() {
    let agreed = 0
    for (const line of linesOf("combinations.jsonl")) {
      const made = yield* Effect.either(Tokenizer.make({ tokenizerJson: line.file }))
      if (Either.isLeft(made)) {
        assert.strictEqual(made.left.reason, "Unsupported")
        continue
      }
      agrees(made.right, line)
      agreed += 1
    }
    assert.isAtLeast(agreed, 15)
  }))
