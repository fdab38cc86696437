import { assert, it } from "@effect/vitest"
import * as Words from "../src/Words.js"

it("shows a model's words without what would steer a terminal", () => {
  assert.strictEqual(Words.shown("a\tb\nå 🙂"), "a\tb\nå 🙂")
  assert.strictEqual(Words.shown("\u001B[31mred\u0007\r\u009B2J\u202E"), "\uFFFD[31mred\uFFFD\uFFFD\uFFFD2J\uFFFD")
})
