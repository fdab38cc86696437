/**
 * The tokenizers that the Python package tml-renderers ships, with digests of what it, tiktoken and tokenizers make of 2,000 texts
 * (scripts/shipped_tokenizers.py, by `npm run interop:torch`). Of each vocabulary there are the tokens that are part of a text.
 */
import { assert, it } from "@effect/vitest"
import { Chunk, Effect, Stream } from "effect"
import { readFileSync } from "node:fs"
import { digest, digestOfText, unpacked } from "../scripts/storedShipped.js"
import { spelled } from "../src/internal/byteLevel.js"
import * as Tiktoken from "../src/Tiktoken.js"
import * as Tokenizer from "../src/Tokenizer.js"

const kept = unpacked(readFileSync(new URL("./fixtures/shippedTokenizers.json.br", import.meta.url)))

/** A vocabulary in the form in which the Hub has it: each token is the result of every two that are one together. */
const tokenizerJson = (
  { composes, patterns, ranks }: typeof kept.vocabularies[number],
  special: Readonly<Record<string, number>>
) => {
  const ids = new Map<string, number>()
  const merges: Array<readonly [string, string]> = []
  for (const line of ranks.split("\n").filter((line) => line !== "")) {
    const [token, id] = line.split(" ") as [string, string]
    ids.set(spelled(Buffer.from(token, "base64")), Number(id))
  }
  for (const name of ids.keys()) {
    for (let cut = 1; cut < name.length; cut++) {
      const pair = [name.slice(0, cut), name.slice(cut)] as const
      if (pair.every((half) => ids.has(half))) merges.push(pair)
    }
  }
  const split = (Regex: string) => ({ type: "Split", pattern: { Regex }, behavior: "Isolated", invert: false })
  return {
    model: {
      type: "BPE",
      vocab: { ...Object.fromEntries(ids), ...special },
      merges,
      // Those that were made of files of tiktoken take a piece that is a token for that token.
      ignore_merges: !composes && patterns.length === 1
    },
    added_tokens: Object.entries(special).map(([content, id]) => ({ content, id, special: true, normalized: false })),
    normalizer: composes ? { type: "NFC" } : null,
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [...patterns.map(split), { type: "ByteLevel", add_prefix_space: false, use_regex: false }]
    },
    decoder: { type: "ByteLevel" }
  }
}

const at = (digests: string, i: number) => digests.slice(8 * i, 8 * i + 8)

const agrees = (tokenizer: Tokenizer.Service, vocabulary: typeof kept.vocabularies[number]) => {
  kept.texts.forEach((text, i) => {
    const tokens = tokenizer.encode(text)
    assert.strictEqual(digest(tokens), at(vocabulary.encoded, i), JSON.stringify(text))
    assert.strictEqual(
      digestOfText(tokenizer.decode(tokens.slice(1, -1))),
      at(vocabulary.decoded, i),
      JSON.stringify(text)
    )
    assert.strictEqual(tokenizer.decode(tokens), vocabulary.composes ? text.normalize("NFC") : text)
  })
}

/** A special token is one token when it is looked for, and plain text otherwise. */
const knows = (tokenizer: Tokenizer.Service, special: Readonly<Record<string, number>>) => {
  const around = Array.from(tokenizer.encode("the light"))
  for (const [name, id] of Object.entries(special)) {
    const text = `the light${name}the light`
    const parsed = tokenizer.encode(text, { parseSpecialTokens: true })
    assert.deepStrictEqual(Array.from(parsed), [...around, id, ...around])
    assert.strictEqual(tokenizer.decode(parsed), text)
    assert.strictEqual(tokenizer.decode(parsed, { skipSpecialTokens: true }), "the lightthe light")
    assert.notInclude(Array.from(tokenizer.encode(text)), id)
    assert.strictEqual(tokenizer.tokenId(name), id)
  }
}

it.effect("knows as many tokenizers and texts as are promised", () =>
  Effect.sync(() => {
    assert.lengthOf(kept.tokenizers, 16)
    assert.lengthOf(kept.texts, 2000)
  }))

const done = new Set<number>()
for (const { name, special, vocabulary: index } of kept.tokenizers) {
  const vocabulary = kept.vocabularies[index]!
  const isFirst = !done.has(index)
  done.add(index)

  it.effect(`makes the tokens and texts of the Python libraries (${name}, tokenizer.json)`, () =>
    Effect.gen(function*() {
      const tokenizer = yield* Tokenizer.make({ tokenizerJson: tokenizerJson(vocabulary, special) })
      // Tokenizers of one vocabulary differ in special tokens alone.
      if (isFirst) agrees(tokenizer, vocabulary)
      knows(tokenizer, special)
    }))

  if (vocabulary.composes || vocabulary.patterns.length > 1) continue
  it.effect(`makes the tokens and texts of the Python libraries (${name}, tiktoken file)`, () =>
    Effect.gen(function*() {
      const encoding = { pattern: vocabulary.patterns[0]!, specialTokens: special }
      const tokenizer = yield* Tiktoken.make({ ranks: vocabulary.ranks, encoding })
      if (isFirst) agrees(tokenizer, vocabulary)
      knows(tokenizer, special)
    }))
}

const kimi = kept.tokenizers.find((one) => one.name === "KimiK2Thinking")!
const kimiTokenizer = Tiktoken.make({
  ranks: kept.vocabularies[kimi.vocabulary]!.ranks,
  encoding: Tiktoken.kimi(kimi.special)
})

it.effect("gives the text of a stream without breaking a character", () =>
  Effect.gen(function*() {
    const tokenizer = yield* kimiTokenizer
    const text = "Grüße 🙂 你好世界 한국어 👩‍👩‍👧‍👦 𠀀𠀁 🇩🇪"
    const tokens = Array.from(tokenizer.encode(text))
    assert.isTrue(tokens.some((token) => tokenizer.decode([token]) === "\ufffd"))
    const pieces = yield* Stream.fromIterable(tokens).pipe(
      Stream.map((token) => [token]),
      Tokenizer.decodeStream(tokenizer),
      Stream.runCollect
    )
    assert.isAbove(pieces.length, 10)
    for (const piece of pieces) assert.notInclude(piece, "\ufffd")
    assert.strictEqual(Chunk.join(pieces, ""), text)
  }))

it.effect("gives what cannot become a character at the end of a stream, and U+FFFD itself", () =>
  Effect.gen(function*() {
    const tokenizer = yield* kimiTokenizer
    const streamed = (tokens: ArrayLike<number>) =>
      Stream.make(tokens).pipe(Tokenizer.decodeStream(tokenizer), Stream.runCollect, Effect.map(Chunk.join("")))
    const half = tokenizer.encode("𠀀").slice(0, -1)
    assert.strictEqual(yield* streamed(half), "\ufffd")
    assert.strictEqual(yield* streamed(tokenizer.encode("a\ufffd\ufffdb\ufffd")), "a\ufffd\ufffdb\ufffd")
    assert.strictEqual(yield* streamed([]), "")
  }))

it.effect("encodes a long text in steps, between which others have their turn", () =>
  Effect.gen(function*() {
    const tokenizer = yield* kimiTokenizer
    for (const text of [" ".repeat(80_000), kept.texts.join("\n"), "的".repeat(30_000), "x".repeat(100_000)]) {
      let time = 0
      let turns = 0
      const clock = {
        ...(yield* Effect.clock),
        unsafeCurrentTimeMillis: () => time++,
        sleep: () => Effect.sync(() => void (turns += 1))
      }
      const tokens = yield* Effect.withClock(Tokenizer.encodeLong(tokenizer, text), clock)
      assert.deepStrictEqual(tokens, tokenizer.encode(text))
      assert.isAbove(turns, 1)
    }
  }))

it.effect("encodes at one go with a tokenizer that knows no steps", () =>
  Effect.gen(function*() {
    const { encodeSteps: _, ...tokenizer } = yield* kimiTokenizer
    assert.deepStrictEqual(yield* Tokenizer.encodeLong(tokenizer, "the light"), tokenizer.encode("the light"))
  }))

it.effect("has the patterns of Kimi and of o200k", () =>
  Effect.sync(() => {
    const patternOf = (name: string) =>
      kept.vocabularies[kept.tokenizers.find((one) => one.name === name)!.vocabulary]!.patterns
    assert.deepStrictEqual(patternOf("KimiK2Thinking"), [Tiktoken.kimi({}).pattern])
    assert.deepStrictEqual(patternOf("Harmony"), [Tiktoken.o200kBase.pattern])
    assert.deepStrictEqual(patternOf("Glm"), [Tiktoken.cl100kBase.pattern])
  }))
