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

  it("decodes a few tokens at each, however long the answer is", () => {
    let most = 0
    const texts = StopTexts.make(["never said", "🦊"], (tokens) => {
      most = Math.max(most, tokens.length)
      return tokenizer.decode(tokens)
    })
    const tokens = tokenizer.encode("a long answer. ".repeat(50))
    for (const token of tokens) assert.isFalse(texts.completes(token))
    assert.isAtMost(most, 10)
  })
})
