import { Sampler } from "@effect-tinker/engine"
import { Tokenizer } from "@effect-tinker/tokenizer"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import * as ShippedModel from "../src/ShippedModel.js"
import * as StopTexts from "../src/StopTexts.js"

const tokenizer = Effect.runSync(
  Tokenizer.make({ tokenizerJson: JSON.parse(readFileSync(join(ShippedModel.folder, "tokenizer.json"), "utf8")) })
)

/** Of the tokens of a text, how many it takes to complete one of the stops. */
const tokensUntil = (stops: ReadonlyArray<string>, text: string): number | undefined => {
  const texts = StopTexts.make(stops, (tokens) => tokenizer.decode(tokens))
  const at = Array.from(tokenizer.encode(text)).findIndex((token) => texts.completes(token))
  return at < 0 ? undefined : at + 1
}
const textOf = (text: string, count: number | undefined) => tokenizer.decode(tokenizer.encode(text).slice(0, count))

const runs = process.env["TINKER_TEST_LONG"] === "1" ? 20_000 : 1000

describe("StopTexts", () => {
  it("completes a character only with the last of its bytes, each of which is a token", () => {
    const text = "I like 🦊 and 🐢 very much"
    assert.isAbove(tokenizer.encode("🐢").length, 2)
    const end = tokensUntil(["🐢"], text)!
    assert.strictEqual(textOf(text, end), "I like 🦊 and 🐢")
    assert.notInclude(textOf(text, end - 1), "🐢")
  })

  it("finds combined characters, and a text between two of them", () => {
    const text = "a cafe\u0301 and 👩‍👧 there"
    for (const stop of ["e\u0301", "👩‍👧", "\u0301 and 👩"]) {
      const end = tokensUntil([stop], text)!
      assert.include(textOf(text, end), stop)
      assert.notInclude(textOf(text, end - 1), stop)
    }
  })

  it("finds a text that begins inside of one token and ends inside of another", () => {
    const text = "the children were happy and then they went home"
    const tokens = Array.from(tokenizer.encode(text), (token) => tokenizer.decode([token]))
    const long = tokens.findIndex((token, i) => token.length > 2 && (tokens[i + 1]?.length ?? 0) > 2)
    assert.isAtLeast(long, 0)
    const stop = tokens[long]!.slice(-1) + tokens[long + 1]!.slice(0, 2)
    const end = tokensUntil([stop], text)!
    assert.include(textOf(text, end), stop)
    assert.notInclude(textOf(text, end - 1), stop)
  })

  it("finds the first of several, and none that is not there", () => {
    const text = "one two three"
    assert.strictEqual(textOf(text, tokensUntil(["three", "two"], text)), "one two")
    assert.isUndefined(tokensUntil(["four", "", "🦊"], text))
    assert.isUndefined(tokensUntil([], text))
  })

  it("takes bytes that are no character for nothing, and goes on after them", () => {
    const bytes = Array.from(tokenizer.encode("🦊")).slice(0, 2)
    const texts = StopTexts.make(["stop"], (tokens) => tokenizer.decode(tokens))
    const tokens = [...bytes, ...bytes, ...bytes, ...bytes, ...tokenizer.encode(" stop")]
    const found = tokens.map((token) => texts.completes(token))
    assert.deepStrictEqual(found.indexOf(true), tokens.length - 1)
  })

  it("finds a character whose first bytes come after those of one that never ends", () => {
    const unfinished = Array.from(tokenizer.encode("日")).slice(0, 2)
    const fox = Array.from(tokenizer.encode("🦊"))
    const texts = StopTexts.make(["🦊"], (tokens) => tokenizer.decode(tokens))
    const found = [...unfinished, ...fox].map((token) => texts.completes(token))
    assert.deepStrictEqual(found, [...found.slice(1).map(() => false), true])
  })

  it("finds a character with tokens that have no text between its bytes", () => {
    const [first, ...others] = Array.from(tokenizer.encode("日"))
    const texts = StopTexts.make(["日"], (tokens) => tokenizer.decode(tokens))
    const tokens = [first!, ...new Array<number>(6).fill(tokenizer.vocabularySize), ...others]
    const found = tokens.map((token) => texts.completes(token))
    assert.strictEqual(found.indexOf(true), tokens.length - 1)
  })

  it("finds a text at the token with which the whole answer has it, whatever bytes are before and after", () => {
    const pieces = ["é", "🦊", "日", "stop", "ü€", "a é", "a", " ", "\uFFFD", "<|endoftext|>"]
      .map((piece) => Array.from(tokenizer.encode(piece, { parseSpecialTokens: true })))
    const bytes = Array.from(tokenizer.encode("🦊🐢éßñ日本語👩‍👧ü€"))
    const outside = tokenizer.vocabularySize
    const withoutCut = (text: string) => text.replace(/\uFFFD+$/, "")
    const random = Sampler.makeRandom(1)
    const among = <A>(all: ReadonlyArray<A>): A => all[Math.floor(random() * all.length)]!
    let found = 0
    for (let run = 0; run < runs; run++) {
      const stops = [among(["é", "🦊", "日", "stop", "ü€", "a é", "本"]), among(["🐢", "日a", "語", ""])]
      const tokens: Array<number> = []
      while (tokens.length < 14) {
        const kind = random()
        tokens.push(...(kind < 0.3 ? among(pieces) : kind < 0.98 ? [among(bytes)] : [outside]))
      }
      const texts = StopTexts.make(stops, (tokens) => tokenizer.decode(tokens))
      const expected = tokens.findIndex((_, i) => {
        const text = withoutCut(tokenizer.decode(tokens.slice(0, i + 1)))
        return stops.some((stop) => stop !== "" && text.includes(stop))
      })
      assert.strictEqual(tokens.findIndex((token) => texts.completes(token)), expected, `${stops} in ${tokens}`)
      if (expected >= 0) found += 1
    }
    assert.isAbove(found, runs / 10)
  })

  it("decodes a few tokens at each, however long the answer is, and whether or not it is text", () => {
    const unfinished = Array.from(tokenizer.encode("日")).slice(0, 2)
    const answers = [
      tokenizer.encode("a long answer. ".repeat(50)),
      ...[unfinished.slice(0, 1), unfinished.slice(1), unfinished].map((bytes) => Array(200).fill(bytes).flat())
    ]
    for (const answer of answers) {
      let decoded = 0
      const texts = StopTexts.make(["never said", "🦊"], (tokens) => {
        decoded += tokens.length
        return tokenizer.decode(tokens)
      })
      for (const token of answer) assert.isFalse(texts.completes(token))
      assert.isAtMost(decoded / answer.length, 12)
    }
  })
})
