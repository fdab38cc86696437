import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Tiktoken from "../src/Tiktoken.js"
import * as Tokenizer from "../src/Tokenizer.js"

const line = (token: string | Uint8Array, id: number) => `${Buffer.from(token).toString("base64")} ${id}\n`

const bytes = Array.from({ length: 256 }, (_, byte) => line(Uint8Array.of(byte), byte)).join("")

/** A file of single bytes and these tokens, in order. */
const ranksOf = (...tokens: ReadonlyArray<string>) => bytes + tokens.map((token, i) => line(token, 256 + i)).join("")

const encodingOf = (pattern: string, specialTokens: Readonly<Record<string, number>> = {}): Tiktoken.Encoding => ({
  pattern,
  specialTokens
})

const make = (ranks: string, encoding: Tiktoken.Encoding) => Tiktoken.make({ ranks, encoding, path: "small.tiktoken" })

it.effect("joins any two tokens that are one together, in the order of the file", () =>
  Effect.gen(function*() {
    const tokenizer = yield* make(ranksOf("ab", "bc", "abc", "cab", "abcab"), encodingOf("[a-z]+|\\s"))
    assert.deepStrictEqual(Array.from(tokenizer.encode("ab bc abc abcab cabc")), [
      256,
      32,
      257,
      32,
      258,
      32,
      260,
      32,
      99,
      258
    ])
    // A piece that is a token as a whole is that token, however it would be joined.
    const whole = yield* make(ranksOf("bc", "abc", "ab", "abcd", "cd"), encodingOf("[a-z]+"))
    assert.deepStrictEqual(Array.from(whole.encode("abcd")), [259])
  }))

it.effect("knows special tokens by their ids, also where there are gaps", () =>
  Effect.gen(function*() {
    const tokenizer = yield* make(ranksOf("ab"), {
      ...encodingOf("[a-z]+", { "<end>": 300, "<begin>": 299 }),
      bosToken: "<begin>",
      eosToken: "<end>"
    })
    assert.deepStrictEqual(
      Array.from(tokenizer.encode("<begin>ab<end>", { parseSpecialTokens: true })),
      [299, 256, 300]
    )
    assert.notInclude(Array.from(tokenizer.encode("ab<end>")), 300)
    assert.strictEqual(tokenizer.decode([299, 256, 300]), "<begin>ab<end>")
    assert.strictEqual(tokenizer.decode([299, 256, 300], { skipSpecialTokens: true }), "ab")
    assert.strictEqual(tokenizer.bosToken, 299)
    assert.strictEqual(tokenizer.eosToken, 300)
    assert.strictEqual(tokenizer.vocabularySize, 301)
  }))

it.effect("reads a pattern as Rust does", () =>
  Effect.gen(function*() {
    const cut = (pattern: string, text: string) =>
      Effect.map(make(ranksOf("aa", "\n\n", "11"), encodingOf(pattern)), (tokenizer) =>
        Array.from(tokenizer.encode(text)))
    // `$` is the end of the text alone, and `{1,1}+` gives nothing back.
    assert.deepStrictEqual(yield* cut("\\n+$|\\n", "\n\n1\n\n"), [10, 10, 49, 257])
    assert.deepStrictEqual(yield* cut("1{1,1}+", "111"), [49, 49, 49])
    assert.deepStrictEqual(yield* cut("(?i:A)", "aa"), [97, 97])
    assert.deepStrictEqual(yield* cut("(?i:ss|aa)", "aa"), [256])
  }))

it.effect("refuses a pattern that it does not understand, or that can take time without end", () =>
  Effect.gen(function*() {
    for (
      const pattern of ["\\w+", "a\\b", "(?m:a)", "[[:alpha:]]+", "[a--b]", "(a)\\1", "(a+)+$", "(?s:.)", "(?x: a)"]
    ) {
      const error = yield* Effect.flip(make(bytes, encodingOf(pattern)))
      assert.strictEqual(error.reason, "Unsupported", pattern)
      assert.include(error.message, "small.tiktoken")
    }
  }))

it.effect("refuses a file that was cut short or is none, by the line", () =>
  Effect.gen(function*() {
    for (
      const [ranks, part] of [
        [bytes.slice(0, -2), "a line 256"],
        [bytes.split("\n").slice(0, 250).join("\n"), "no token for the byte 250"],
        [bytes + "YWI=", "a line 257"],
        [bytes + "YWI= x\n", "a line 257"],
        [bytes + "!!! 256\n", "a line 257"],
        [bytes + line("ab", 7), "an id that came before"],
        [bytes + line("a", 256), "a token or an id that came before"],
        [bytes + `YWI= ${2 ** 31}\n`, "a line 257"],
        ["", "no token for the byte 0"],
        ["version https://git-lfs.github.com/spec/v1\n", "a line 1"]
      ] as const
    ) {
      const error = yield* Effect.flip(make(ranks, encodingOf("a")))
      assert.strictEqual(error.reason, "Malformed")
      assert.include(error.message, part)
    }
  }))

it.effect("refuses special tokens at ids that are no place for them", () =>
  Effect.gen(function*() {
    for (const id of [97, -1, 0.5, 2 ** 31]) {
      const error = yield* Effect.flip(make(bytes, encodingOf("a", { "<end>": id })))
      assert.strictEqual(error.reason, "Malformed")
      assert.include(error.message, "<end>")
    }
    const twice = yield* Effect.flip(make(bytes, encodingOf("a", { "<end>": 300, "<stop>": 300 })))
    assert.include(twice.message, "<stop>")
    const nothing = yield* Effect.flip(make(bytes, { ...encodingOf("a"), eosToken: "<end>" }))
    assert.include(nothing.message, "<end>")
  }))

it.scoped("reads a file, and says when there is none", () =>
  Effect.gen(function*() {
    const files = yield* FileSystem.FileSystem
    const path = yield* files.makeTempFileScoped({ suffix: ".tiktoken" })
    yield* files.writeFileString(path, ranksOf("ab").replaceAll("\n", "\r\n"))
    const tokenizer = yield* Effect.provide(Tokenizer.Tokenizer, Tiktoken.layerFile(path, encodingOf("[a-z]+")))
    assert.deepStrictEqual(Array.from(tokenizer.encode("ab")), [256])
    const missing = yield* Effect.provide(Tokenizer.Tokenizer, Tiktoken.layerFile("/nowhere/a", encodingOf("a"))).pipe(
      Effect.flip
    )
    assert.strictEqual(missing.reason, "FileMissing")
    assert.include(missing.message, "/nowhere/a")
  }).pipe(Effect.provide(NodeContext.layer)))

it.effect("cuts long runs where Kimi's own code does, and nowhere else", () =>
  Effect.gen(function*() {
    const ranks = ranksOf("aa", "  ")
    const encoding = encodingOf("\\s+|\\S+")
    const cutting = yield* make(ranks, { ...encoding, cutsLongRuns: true })
    const whole = yield* make(ranks, encoding)
    const ones = (tokenizer: Tokenizer.Service, text: string) => {
      const tokens = tokenizer.encode(text)
      assert.strictEqual(tokenizer.decode(tokens), text)
      return tokens.filter((token) => token < 256).length
    }
    // Where a run of 25,001 is cut, the last is alone.
    for (const one of ["a", " "]) {
      assert.strictEqual(ones(cutting, one.repeat(25_000)), 0)
      assert.strictEqual(ones(cutting, one.repeat(25_002)), 0)
      assert.strictEqual(ones(cutting, one.repeat(24_999) + (one === "a" ? " " : "a") + one.repeat(24_999)), 3)
      assert.strictEqual(ones(whole, one.repeat(25_001)), 1)
    }
    assert.strictEqual(ones(cutting, "a".repeat(25_001) + "a".repeat(24_999)), 0)
    assert.strictEqual(ones(cutting, "b" + "a".repeat(25_000)), 3)
    assert.strictEqual(ones(whole, "b" + "a".repeat(25_000)), 1)
  }))

it.effect("has the ids of the special tokens of gpt-oss", () =>
  Effect.sync(() => {
    const { specialTokens } = Tiktoken.o200kHarmony
    assert.strictEqual(specialTokens["<|return|>"], 200002)
    assert.strictEqual(specialTokens["<|call|>"], 200012)
    assert.strictEqual(specialTokens["<|reserved_201087|>"], 201087)
    assert.lengthOf(Object.keys(specialTokens), 201088 - 199998)
  }))
