import { Faults } from "@effect-tinker/server"
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import * as Asking from "./asking.js"
import { folder, server } from "./program.js"

const lines = Array.from(
  { length: 30 },
  (_, i) =>
    JSON.stringify({ messages: [{ role: "user", content: String(i % 10) }, { role: "assistant", content: "ab" }] })
)

/** Of each of these lines, a token a byte; the last token of an example is learned and not read. */
const read = "user: 1\n\nassistant: ab\n\nuser:".length - 1

const asked = "user: 1\n\nassistant:".length

it.scopedLive("counts the tokens of what training does, and knows no cost without a price", () =>
  Effect.gen(function*() {
    const { faults, line } = yield* server()
    const place = yield* folder
    const file = join(place, "data.jsonl")
    writeFileSync(file, lines.join("\n"))
    const words = ["cost", file, "--tokenizer", Asking.byteTokenizer(place)]
    const { code, stderr, stdout } = yield* line([...words, "--steps", "10", "--batch-size", "4", "--json"])
    assert.strictEqual(code, 0, stderr)
    // Three lines are held out. An epoch of 27 has six batches of 4 and one of 3, and the other three steps have 12.
    const tokens = {
      training: 39 * read + 2 * 3 * read,
      prefill: 2 * 3 * asked,
      sampled: 2 * 3 * 64,
      of_steps: 39 * read,
      of_held_out: 2 * 3 * read
    }
    assert.deepStrictEqual(JSON.parse(stdout), {
      file,
      base_model: null,
      conversations: 27,
      held_out: 3,
      steps: 10,
      batch_size: 4,
      tokens,
      prices_usd_per_million_tokens: { training: null, prefill: null, sampled: null },
      cost_usd: { training: null, prefill: null, sampled: null, total: null }
    })
    assert.match(
      stderr,
      /No price is known of trained on, read of questions, sampled at most, so there is no total\. Give --price-training/
    )
    assert.strictEqual((yield* faults.requestCounts).size, 0)
    const epochs = JSON.parse((yield* line([...words, "--epochs", "2", "--batch-size", "4", "--json"])).stdout)
    assert.deepStrictEqual([epochs.steps, epochs.tokens.of_steps], [14, 54 * read])
    const prices = ["--price-training", "10", "--price-prefill", "1", "--price-sampled", "2"]
    const priced = JSON.parse(
      (yield* line([...words, "--steps", "10", "--batch-size", "4", ...prices, "--json"])).stdout
    )
    assert.closeTo(priced.cost_usd.total, (10 * tokens.training + tokens.prefill + 2 * tokens.sampled) / 1e6, 1e-12)
    const partly = yield* line([...words, "--price-training", "10"], { terminal: 120 })
    assert.match(partly.stdout, /Total +\d+ +N\/A +N\/A\n/)
    assert.match(partly.stderr, /Give --price-prefill, --price-sampled, or name a model/)
    for (
      const [says, more] of [
        [/--steps and --epochs say different things/, ["--steps", "1", "--epochs", "1"]],
        [/--steps is "0"; it must be a whole number/, ["--steps", "0"]],
        [/--price-training is "free"; it must be a number of dollars/, ["--price-training", "free"]]
      ] as const
    ) {
      const wrong = yield* line([...words, ...more])
      assert.match(wrong.stderr, says)
      assert.strictEqual(wrong.code, 2)
    }
  }))

it.scopedLive("takes the service's own rates of the model where its usage tells them, and those given before them", () =>
  Effect.gen(function*() {
    const { line } = yield* server({
      protocol: { prices: { tokens: { bigram: { training: 3, prefill: 0.5, sampled: 2 } } } }
    })
    const place = yield* folder
    const file = join(place, "data.jsonl")
    writeFileSync(file, lines.join("\n"))
    const tokenizer = Asking.byteTokenizer(place)
    const words = ["cost", file, "--base-model", "bigram", "--tokenizer", tokenizer, "--json"]
    const none = JSON.parse((yield* line(words)).stdout)
    assert.deepStrictEqual(none.prices_usd_per_million_tokens, { training: null, prefill: null, sampled: null })
    // What was never used has no rate yet.
    yield* line(["sample", "bigram", "--tokenizer", tokenizer, "--prompt", "ab", "--max-tokens", "2"])
    const told = yield* line([...words, "--price-sampled", "9"])
    assert.deepStrictEqual(JSON.parse(told.stdout).prices_usd_per_million_tokens, {
      training: null,
      prefill: 0.5,
      sampled: 9
    })
    assert.match(told.stderr, /Prices: the service's rate of \d{4}-[^;]* UTC; as given\./)
  }))

it.scopedLive("goes on without prices where the service does not tell usage, and says so", () =>
  Effect.gen(function*() {
    const { faults, line } = yield* server()
    yield* faults.plan({ path: "billing/usage/events", fault: Faults.answer(403, { body: { detail: "no" } }) })
    const place = yield* folder
    const file = join(place, "data.jsonl")
    writeFileSync(file, lines.join("\n"))
    const { code, stderr } = yield* line([
      "cost",
      file,
      "--base-model",
      "bigram",
      "--tokenizer",
      Asking.byteTokenizer(place)
    ])
    assert.strictEqual(code, 0, stderr)
    assert.match(stderr, /warning: the service tells no prices: [^\n]*403/)
  }))
