import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import * as Asking from "./asking.js"
import { folder, line, server } from "./program.js"

const chat = (question: string, answer: string) =>
  JSON.stringify({ messages: [{ role: "user", content: question }, { role: "assistant", content: answer }] })

const write = (place: string, lines: ReadonlyArray<string>) => {
  const file = join(place, "data.jsonl")
  writeFileSync(file, `${lines.join("\n")}\n`)
  return file
}

/** What an example of one turn takes, a token a byte. */
const tokens = (question: string, answer: string) => `user: ${question}\n\nassistant: ${answer}\n\nuser:`.length

it.scopedLive("counts what a file teaches, and shows one line with what is learned of it", () =>
  Effect.gen(function*() {
    const place = yield* folder
    const tokenizer = Asking.byteTokenizer(place)
    const file = write(place, [chat("a", "bc"), chat("d", "efg"), "", chat("a", "bc")])
    const { code, stderr, stdout } = yield* line([
      "data",
      "check",
      file,
      "--tokenizer",
      tokenizer,
      "--example",
      "2",
      "--json"
    ])
    assert.strictEqual(code, 0, stderr)
    assert.deepStrictEqual(JSON.parse(stdout), {
      file,
      base_model: null,
      context: null,
      conversations: 3,
      messages: { user: 3, assistant: 3 },
      learned_messages: 3,
      tokens: 2 * tokens("a", "bc") + tokens("d", "efg"),
      learned_tokens: 2 * " bc\n\nuser:".length + " efg\n\nuser:".length,
      tokens_median: tokens("a", "bc"),
      tokens_95: tokens("d", "efg"),
      tokens_longest: tokens("d", "efg"),
      over_context: 0,
      duplicates: [{ line: 4, first: 1 }],
      example: {
        line: 2,
        parts: [
          { text: "user: d\n\nassistant:", learned: false, tokens: 19 },
          { text: " efg\n\nuser:", learned: true, tokens: 11 }
        ]
      },
      wrong_lines: 0,
      faults: []
    })
    const text = (yield* line(["data", "check", file, "--tokenizer", tokenizer])).stdout
    assert.include(text, "The same as an earlier line\t1 (line 4 as 1)\n")
    assert.include(text, "user: a\n\nassistant:« bc\n\nuser:»\n")
    const colored = yield* line(["data", "check", file, "--tokenizer", tokenizer], { terminal: 80, isColored: true })
    assert.include(colored.stdout, "user: a\n\nassistant:\u001B[32m bc\n\nuser:\u001B[39m\n")
    const missing = yield* line(["data", "check", file, "--tokenizer", tokenizer, "--example", "3"])
    assert.strictEqual(missing.code, 2)
    assert.match(missing.stderr, /--example: line 3 of .* holds no conversation/)
  }))

it.scopedLive("exits with 1 for lines at fault, and tells of every kind with its lines", () =>
  Effect.gen(function*() {
    const place = yield* folder
    const tokenizer = Asking.byteTokenizer(place)
    const good = chat("a", "b")
    const broken = write(place, [good, "{", good, "{\"text\": \"a\"}", "{"])
    const { code, stderr, stdout } = yield* line(["data", "check", broken, "--tokenizer", tokenizer])
    assert.deepStrictEqual([code, stdout], [1, ""])
    assert.match(stderr, /data\.jsonl:2: [^]*data\.jsonl:4: is text alone[^]*3 of 5 lines are wrong/)
    const json = yield* line(["data", "check", broken, "--tokenizer", tokenizer, "--json"])
    assert.strictEqual(json.code, 1)
    const document = JSON.parse(json.stdout)
    assert.strictEqual(document.wrong_lines, 3)
    assert.deepStrictEqual(document.faults.map((one: { line: number }) => one.line), [2, 4, 5])
    assert.match(JSON.parse(json.stderr).error.message, /^3 of 5 lines cannot be learned\.$/)
    const message = { role: "user", content: "a", timestamp: 1 }
    const stamped = write(place, [
      JSON.stringify({ messages: [message, { role: "assistant", content: "b" }] }),
      good
    ])
    for (const command of [["data", "check"], ["cost"]]) {
      const words = [...command, stamped, "--tokenizer", tokenizer]
      assert.match((yield* line(words)).stderr, /If timestamp is of no account, pass --ignore-keys timestamp\./)
      assert.strictEqual((yield* line([...words, "--ignore-keys", "timestamp"])).code, 0)
    }
    // What only the tokenizer finds: all is counted beside it.
    const long = write(place, [good, chat("a", "b".repeat(40)), good])
    const tooLong = yield* line(["data", "check", long, "--tokenizer", tokenizer, "--context", "60"])
    assert.strictEqual(tooLong.code, 1)
    assert.match(tooLong.stdout, /Longer than the context\t1 \(60 tokens\)/)
    assert.match(tooLong.stderr, /data\.jsonl:2: takes 67 tokens, and 60 are allowed/)
    assert.strictEqual((yield* line(["data", "check", join(place, "none")])).code, 1)
  }))

it.scopedLive("reads as the model that ships does, or one of the service, with its context", () =>
  Effect.gen(function*() {
    const { line: atServer } = yield* server()
    const place = yield* folder
    const file = write(place, [chat("a", "b")])
    const here = JSON.parse((yield* line(["data", "check", file, "--json"])).stdout)
    assert.strictEqual(here.base_model, "effect-tinker/tiny-english")
    assert.isAbove(here.context, 0)
    const words = ["--tokenizer", Asking.byteTokenizer(place), "--json"]
    const there = JSON.parse((yield* atServer(["data", "check", file, "--base-model", "bigram", ...words])).stdout)
    assert.deepInclude(there, { base_model: "bigram", context: 1024 })
    const unknown = yield* atServer(["data", "check", file, "--base-model", "mammoth", ...words])
    assert.strictEqual(unknown.code, 2)
  }))
