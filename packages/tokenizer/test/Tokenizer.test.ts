import { FileSystem, Path } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { SystemError } from "@effect/platform/Error"
import { assert, it } from "@effect/vitest"
import { Effect, FastCheck, Layer, Schema } from "effect"
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import * as Tokenizer from "../src/Tokenizer.js"

const fixture = (name: string) => fileURLToPath(new URL(`./fixtures/${name}`, import.meta.url))

const folders = {
  gpt2: fixture("gpt2"),
  newer: fixture("newer"),
  shipped: fileURLToPath(new URL("../../llama/model", import.meta.url))
}

const tokenizerOf = (folder: string) =>
  Tokenizer.Tokenizer.pipe(
    Effect.provide(Tokenizer.layerFolder(folder)),
    Effect.provide(NodeContext.layer)
  )

const decodeSamples = Schema.decodeUnknownSync(Schema.parseJson(Schema.Array(Schema.Struct({
  text: Schema.String,
  parsed: Schema.Array(Schema.Number),
  plain: Schema.Array(Schema.Number)
}))))

/** A tokenizer from a folder with these files, which is gone afterwards. */
const fromFiles = (files: Readonly<Record<string, string>>) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const folder = yield* Effect.orDie(fs.makeTempDirectoryScoped())
    for (const [name, content] of Object.entries(files)) {
      yield* Effect.orDie(fs.writeFileString(path.join(folder, name), content))
    }
    return yield* tokenizerOf(folder)
  }).pipe(Effect.scoped, Effect.provide(NodeContext.layer))

const minimal = {
  model: { type: "BPE", vocab: { a: 0, b: 1, ab: 2 }, merges: ["a b"] },
  added_tokens: [{ id: 3, content: "<end>", special: true }]
}

for (const [name, folder] of Object.entries(folders)) {
  it.effect(`agrees with the Python library on stored samples (${name})`, () =>
    Effect.gen(function*() {
      const tokenizer = yield* tokenizerOf(folder)
      for (const sample of decodeSamples(readFileSync(`${fixture(name)}/samples.json`, "utf8"))) {
        assert.deepStrictEqual(Array.from(tokenizer.encode(sample.text)), sample.plain, JSON.stringify(sample.text))
        assert.deepStrictEqual(
          Array.from(tokenizer.encode(sample.text, { parseSpecialTokens: true })),
          sample.parsed,
          JSON.stringify(sample.text)
        )
      }
    }))

  it.effect(`gives back every text it encodes (${name})`, () =>
    Effect.gen(function*() {
      const tokenizer = yield* tokenizerOf(folder)
      FastCheck.assert(
        FastCheck.property(FastCheck.string({ unit: "grapheme", maxLength: 40 }), (text) => {
          assert.strictEqual(tokenizer.decode(tokenizer.encode(text)), text)
        })
      )
    }))

  it.effect(`encodes the pieces of a text to tokens that decode to the whole (${name})`, () =>
    Effect.gen(function*() {
      const tokenizer = yield* tokenizerOf(folder)
      FastCheck.assert(
        FastCheck.property(FastCheck.string({ maxLength: 20 }), FastCheck.string({ maxLength: 20 }), (left, right) => {
          const tokens = [...tokenizer.encode(left), ...tokenizer.encode(right)]
          assert.strictEqual(tokenizer.decode(tokens), left + right)
        })
      )
    }))
}

it.effect("keeps the name of a special token in a text plain unless told to parse it", () =>
  Effect.gen(function*() {
    const tokenizer = yield* tokenizerOf(fixture("gpt2"))
    const special = tokenizer.tokenId("<|endoftext|>")
    assert.isDefined(special)
    assert.notInclude(Array.from(tokenizer.encode("a<|endoftext|>b")), special)
    assert.include(Array.from(tokenizer.encode("a<|endoftext|>b", { parseSpecialTokens: true })), special)
  }))

it.effect("writes special tokens out, or skips them", () =>
  Effect.gen(function*() {
    const tokenizer = yield* tokenizerOf(fixture("gpt2"))
    const tokens = [...tokenizer.encode("a"), tokenizer.tokenId("<|endoftext|>")!]
    assert.strictEqual(tokenizer.decode(tokens), "a<|endoftext|>")
    assert.strictEqual(tokenizer.decode(tokens, { skipSpecialTokens: true }), "a")
  }))

it.effect("decodes nothing, and tokens beyond the vocabulary, to no text", () =>
  Effect.gen(function*() {
    const tokenizer = yield* tokenizerOf(fixture("gpt2"))
    assert.strictEqual(tokenizer.decode([]), "")
    assert.strictEqual(tokenizer.decode([tokenizer.vocabularySize + 7]), "")
    assert.strictEqual(tokenizer.decode([...tokenizer.encode("lamp"), 100_000]), "lamp")
  }))

it.effect("marks bytes that are no UTF-8", () =>
  Effect.gen(function*() {
    const tokenizer = yield* tokenizerOf(fixture("gpt2"))
    const firstByte = tokenizer.encode("é").slice(0, 1)
    assert.strictEqual(tokenizer.decode(firstByte), "\uFFFD")
  }))

it.effect("names the tokens that a sequence begins and ends with", () =>
  Effect.gen(function*() {
    const tokenizer = yield* tokenizerOf(fixture("gpt2"))
    assert.strictEqual(tokenizer.bosToken, tokenizer.tokenId("<|begin|>"))
    assert.strictEqual(tokenizer.eosToken, tokenizer.tokenId("<|endoftext|>"))
    assert.strictEqual(tokenizer.vocabularySize, 340)
  }))

it.effect("does without a tokenizer_config.json", () =>
  Effect.gen(function*() {
    const tokenizer = yield* fromFiles({ "tokenizer.json": JSON.stringify(minimal) })
    assert.deepStrictEqual(Array.from(tokenizer.encode("abba")), [2, 1, 0])
    assert.strictEqual(tokenizer.bosToken, undefined)
    assert.strictEqual(tokenizer.vocabularySize, 4)
  }))

it.effect("reads a special token that the configuration describes as an object", () =>
  Effect.gen(function*() {
    const tokenizer = yield* fromFiles({
      "tokenizer.json": JSON.stringify(minimal),
      "tokenizer_config.json": JSON.stringify({ eos_token: { content: "<end>" }, bos_token: null })
    })
    assert.strictEqual(tokenizer.eosToken, 3)
  }))

it.effect("begins a sequence with nothing where the configuration says so, though it names a token", () =>
  Effect.gen(function*() {
    const bosToken = (settings: object) =>
      Effect.map(
        fromFiles({
          "tokenizer.json": JSON.stringify(minimal),
          "tokenizer_config.json": JSON.stringify({ bos_token: "<end>", ...settings })
        }),
        (tokenizer) => tokenizer.bosToken
      )
    assert.strictEqual(yield* bosToken({}), 3)
    assert.strictEqual(yield* bosToken({ add_bos_token: true }), 3)
    assert.strictEqual(yield* bosToken({ add_bos_token: null }), 3)
    assert.strictEqual(yield* bosToken({ add_bos_token: false }), undefined)
  }))

it.effect("fails when the folder is missing, and names it", () =>
  Effect.gen(function*() {
    const error = yield* Effect.flip(tokenizerOf("/nowhere/model"))
    assert.strictEqual(error.reason, "FolderMissing")
    assert.include(error.message, "/nowhere/model")
  }))

it.effect("fails when the folder has no tokenizer.json, and names the file", () =>
  Effect.gen(function*() {
    const error = yield* Effect.flip(fromFiles({ "config.json": "{}" }))
    assert.strictEqual(error.reason, "FileMissing")
    assert.match(error.path, /tokenizer\.json$/)
  }))

it.effect("fails when a file is no JSON, and names it", () =>
  Effect.gen(function*() {
    const json = yield* Effect.flip(fromFiles({ "tokenizer.json": "version https://git-lfs" }))
    assert.strictEqual(json.reason, "Malformed")
    assert.match(json.path, /tokenizer\.json$/)
    const config = yield* Effect.flip(
      fromFiles({ "tokenizer.json": JSON.stringify(minimal), "tokenizer_config.json": "[" })
    )
    assert.strictEqual(config.reason, "Malformed")
    assert.match(config.path, /tokenizer_config\.json$/)
  }))

it.effect("fails when tokenizer.json has no model", () =>
  Effect.gen(function*() {
    const error = yield* Effect.flip(fromFiles({ "tokenizer.json": "{\"added_tokens\": []}" }))
    assert.strictEqual(error.reason, "Malformed")
  }))

it.effect("fails when tokenizer_config.json is of the wrong shape, and names that file", () =>
  Effect.gen(function*() {
    const error = yield* Effect.flip(
      fromFiles({ "tokenizer.json": JSON.stringify(minimal), "tokenizer_config.json": "{\"bos_token\": 7}" })
    )
    assert.strictEqual(error.reason, "Malformed")
    assert.match(error.path, /tokenizer_config\.json$/)
  }))

it.effect("says which part of a tokenizer it does not know", () =>
  Effect.gen(function*() {
    const error = yield* Effect.flip(
      fromFiles({ "tokenizer.json": JSON.stringify({ ...minimal, pre_tokenizer: { type: "Clairvoyant" } }) })
    )
    assert.strictEqual(error.reason, "Unsupported")
    assert.include(error.message, "Clairvoyant")
  }))

const refusalOf = (file: object) => Effect.flip(fromFiles({ "tokenizer.json": JSON.stringify(file) }))

it.effect("refuses ids that are no whole numbers from 0 on, and names the token", () =>
  Effect.gen(function*() {
    for (const id of [-1, 0.5, 2 ** 31, "7", null, true]) {
      for (
        const file of [
          { ...minimal, model: { ...minimal.model, vocab: { ...minimal.model.vocab, odd: id } } },
          ...(typeof id === "number" ? [{ ...minimal, added_tokens: [{ id, content: "odd", special: true }] }] : [])
        ]
      ) {
        const error = yield* refusalOf(file)
        assert.strictEqual(error.reason, "Malformed")
        assert.include(error.message, `the token "odd" the id ${id}`)
      }
    }
    const scores = { type: "Unigram", unk_id: 0, vocab: [["a", -1], ["b", "-2"]] }
    assert.include((yield* refusalOf({ ...minimal, model: scores })).message, "entry 1 in model.vocab")
    assert.include((yield* refusalOf({ ...minimal, model: { type: "BPE", merges: [] } })).message, "no model.vocab")
  }))

it.effect("refuses models of a type that it does not know, by name", () =>
  Effect.gen(function*() {
    for (const type of ["WordLevel", "Clairvoyant", 7, undefined]) {
      const error = yield* refusalOf({ ...minimal, model: { type, vocab: { a: 0 }, unk_token: "a" } })
      assert.strictEqual(error.reason, "Unsupported")
      assert.include(error.message, type === undefined ? "none" : String(type))
    }
    // An old file that names none has merges.
    const { type: _, ...untyped } = { ...minimal.model, continuing_subword_prefix: null, unk_token: null }
    const tokenizer = yield* fromFiles({ "tokenizer.json": JSON.stringify({ ...minimal, model: untyped }) })
    assert.deepStrictEqual(Array.from(tokenizer.encode("abba")), [2, 1, 0])
  }))

it.effect("refuses what would give other tokens than the file says, by the part", () =>
  Effect.gen(function*() {
    const split = (Regex: string) => ({ type: "Split", behavior: "Isolated", invert: false, pattern: { Regex } })
    const first = { type: "Metaspace", replacement: "_", prepend_scheme: "first" }
    const vocab = { ...minimal.model.vocab }
    for (
      const [file, part] of [
        [{ pre_tokenizer: { type: "UnicodeScripts" } }, "pre_tokenizer of the type UnicodeScripts"],
        [{ normalizer: { type: "Sequence", normalizers: [{ type: "Nmt" }] } }, "normalizer of the type Nmt"],
        [{ decoder: { type: "CTC" } }, "decoder of the type CTC"],
        [{ pre_tokenizer: { ...split("a"), behavior: "Sideways" } }, "Split of the behavior Sideways"],
        [{ pre_tokenizer: split("(a)\\1") }, "pattern with \\1"],
        [{ pre_tokenizer: split("(?i:ss)") }, "ss of either case"],
        [{ pre_tokenizer: split("(?i:é)") }, "é of either case"],
        [{ pre_tokenizer: split("\\p{Klingon}") }, "pattern with \\p{Klingon}"],
        [{ pre_tokenizer: split("a(?i)b") }, "(?i) in the middle"],
        [{ pre_tokenizer: first, normalizer: { type: "Strip" } }, "prepend_scheme first"],
        [{ model: { ...minimal.model, dropout: 0.1 } }, "model.dropout"]
      ] as const
    ) {
      const error = yield* refusalOf({ ...minimal, ...file })
      assert.strictEqual(error.reason, "Unsupported")
      assert.include(error.message, part)
    }
    for (
      const [file, part] of [
        [{ pre_tokenizer: { ...first, add_prefix_space: false } }, "whose add_prefix_space is false"],
        [{ pre_tokenizer: { ...first, replacement: "__" } }, "no single character"],
        [{ model: { ...minimal.model, merges: ["a c"] } }, "entry 0 in model.merges with \"c\""],
        [{ model: { ...minimal.model, merges: ["a b c"] } }, "no pair of tokens"],
        [{ model: { ...minimal.model, unk_token: "<unk>" } }, "model.unk_token \"<unk>\""],
        [{ model: { type: "WordPiece", vocab } }, "without an unk_token"],
        [{ model: { type: "Unigram", vocab: [["a", -1]] } }, "unk_id"],
        [{ normalizer: { type: "Precompiled", precompiled_charsmap: "AAAA" } }, "cut short"]
      ] as const
    ) {
      const error = yield* refusalOf({ ...minimal, ...file })
      assert.strictEqual(error.reason, "Malformed")
      assert.include(error.message, part)
    }
  }))

it.effect("refuses an added token with another id than the reference gives it", () =>
  Effect.gen(function*() {
    const token = (id: number, content: string) => ({ id, content, special: true })
    for (const added of [[token(5, "<end>")], [token(3, "<end>"), token(5, "<pad>")], [token(0, "b")]]) {
      const error = yield* refusalOf({ ...minimal, added_tokens: added })
      assert.strictEqual(error.reason, "Malformed")
      assert.match(error.message, /the id \d, which is \d for the Python library/)
    }
    const inOrder = { ...minimal, added_tokens: [token(1, "b"), token(3, "<end>"), token(4, "<pad>")] }
    const tokenizer = yield* fromFiles({ "tokenizer.json": JSON.stringify(inOrder) })
    assert.deepStrictEqual(
      Array.from(tokenizer.encode("<pad>b<end>", { parseSpecialTokens: true })),
      [4, 1, 3]
    )
  }))

it.effect("reads a text of half characters as the replacement character, and a byte order mark as itself", () =>
  Effect.gen(function*() {
    const tokenizer = yield* tokenizerOf(fixture("gpt2"))
    assert.strictEqual(tokenizer.decode(tokenizer.encode("a\ud83d")), "a\ufffd")
    assert.strictEqual(tokenizer.decode(tokenizer.encode("\ufeffa")), "\ufeffa")
  }))

it.effect("refuses a pattern that can take time without end, wherever it stands", () =>
  Effect.gen(function*() {
    const pattern = { Regex: "(a+)+$" }
    for (
      const file of [
        { pre_tokenizer: { type: "Split", behavior: "Isolated", pattern } },
        { pre_tokenizer: { type: "Sequence", pretokenizers: [{ type: "Split", behavior: "Isolated", pattern }] } },
        { normalizer: { type: "Replace", pattern, content: "" } },
        { decoder: { type: "Replace", pattern, content: "" } }
      ]
    ) {
      const error = yield* refusalOf({ ...minimal, ...file })
      assert.strictEqual(error.reason, "Unsupported")
      assert.include(error.message, `in its ${Object.keys(file)[0]!}`)
      assert.include(error.message, "time without end")
    }
  }))

it.effect("fails when a file cannot be read", () =>
  Effect.gen(function*() {
    const denied = FileSystem.layerNoop({
      exists: () => Effect.succeed(true),
      readFileString: (path) =>
        Effect.fail(
          new SystemError({ reason: "PermissionDenied", module: "FileSystem", method: "read", pathOrDescriptor: path })
        )
    })
    const error = yield* Tokenizer.Tokenizer.pipe(
      Effect.provide(Tokenizer.layerFolder("model")),
      Effect.provide(Layer.merge(denied, Path.layer)),
      Effect.flip
    )
    assert.strictEqual(error.reason, "Unreadable")
  }))
