import { Tokenizer } from "@effect-tinker/tokenizer"
import { assert, it } from "@effect/vitest"
import { Effect, FastCheck } from "effect"
import { learn, makeEncoder, toTokenizerJson } from "../scripts/bpe.js"
import { document, drill, makeRandom } from "../scripts/corpus.js"
import { encodeFloat16 } from "../scripts/float16.js"

const documents = (seed: number, count: number) => {
  const random = makeRandom(seed)
  return Array.from({ length: count }, () => document(random, { roles: true }))
}

it("writes the same text from the same seed, and other text from another", () => {
  assert.deepStrictEqual(documents(1, 50), documents(1, 50))
  assert.notDeepEqual(documents(1, 50), documents(2, 50))
})

it("never writes an entry of the log that fine-tuning teaches", () => {
  for (const pieces of documents(3, 3000)) assert.notMatch(pieces.join(""), /Log:|Signed|all is well/)
})

it("says every word of a drill at least twice", () => {
  const random = makeRandom(4)
  for (let i = 0; i < 100; i++) {
    const words = drill(random).join("").match(/[A-Za-z]+/g)!.filter((word) => !/^(Say|Again|List|The|is)$/.test(word))
    const once = new Set(words.filter((word) => words.indexOf(word) === words.lastIndexOf(word)))
    once.forEach((word) => assert.include(["list", "first", "last", "second"], word))
  }
})

it.effect("encodes as the tokenizer that reads its tokenizer.json", () =>
  Effect.gen(function*() {
    const vocabulary = learn(documents(5, 400).flat(), 400)
    assert.strictEqual(vocabulary.tokens.length, 400)
    assert.strictEqual(new Set(vocabulary.tokens).size, 400)
    const encode = makeEncoder(vocabulary)
    const tokenizer = yield* Tokenizer.make({ tokenizerJson: toTokenizerJson(vocabulary) })
    for (const piece of documents(6, 40).flat()) {
      assert.deepStrictEqual(encode(piece), Array.from(tokenizer.encode(piece)))
    }
    FastCheck.assert(FastCheck.property(FastCheck.string({ unit: "grapheme" }), (text) => {
      assert.deepStrictEqual(encode(text), Array.from(tokenizer.encode(text)))
    }))
  }))

it("lays half-precision tensors one after another behind their header", () => {
  const file = encodeFloat16([["a", [2], Float32Array.of(1, -2)], ["b", [1], Float32Array.of(0)]])
  const length = Number(new DataView(file.buffer, file.byteOffset).getBigUint64(0, true))
  const header: unknown = JSON.parse(new TextDecoder().decode(file.subarray(8, 8 + length)))
  assert.deepInclude(header, {
    a: { dtype: "F16", shape: [2], data_offsets: [0, 4] },
    b: { dtype: "F16", shape: [1], data_offsets: [4, 6] }
  })
  assert.deepStrictEqual(Array.from(file.subarray(8 + length)), [0x00, 0x3c, 0x00, 0xc0, 0, 0])
})
