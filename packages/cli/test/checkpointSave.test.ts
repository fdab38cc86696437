import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import * as Asking from "./asking.js"
import { folder, server } from "./program.js"

it.scopedLive("saves weights to sample from, of a new model or of a checkpoint, whose metadata go with them", () =>
  Effect.gen(function*() {
    const { line, url } = yield* server()
    const place = yield* folder
    const file = join(place, "saved", "one.json")
    const made = yield* line([
      "checkpoint",
      "save",
      "bigram",
      "--rank",
      "8",
      "--seed",
      "1",
      "--no-train-unembed",
      "--ttl",
      "7d",
      "-o",
      file,
      "--json"
    ])
    assert.strictEqual(made.code, 0, made.stderr)
    const saved = JSON.parse(made.stdout)
    assert.match(saved.weights_path, /^tinker:\/\/.*\/sampler_weights\/checkpoint-bigram$/)
    assert.match(saved.saved_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/)
    assert.deepInclude(saved, { base_model: "bigram", model_id: saved.weights_path.split("/")[2] })
    assert.deepStrictEqual(JSON.parse(readFileSync(file, "utf8")), saved)
    const info = (path: string) =>
      Effect.map(line(["checkpoint", "info", path, "--json"]), ({ stdout }) => JSON.parse(stdout))
    const own = yield* info(saved.weights_path)
    assert.deepInclude(own, { lora_rank: 8, train_unembed: false, train_mlp: true })
    assert.isString(own.expires_at)
    const { weights } = yield* Asking.save(url, { renderer: "role" })
    const path = (yield* line(["checkpoint", "save", weights])).stdout.trim()
    assert.match(path, /^tinker:\/\/.*\/sampler_weights\/final$/)
    assert.deepInclude(yield* info(path), { user_metadata: { renderer: "role" } })
  }))

it.scopedLive("refuses what it cannot save from, and a file that is there, before anything is sent", () =>
  Effect.gen(function*() {
    const { faults, line } = yield* server()
    const place = yield* folder
    const there = Asking.byteTokenizer(place)
    const wrong: ReadonlyArray<readonly [says: RegExp, words: ReadonlyArray<string>]> = [
      [/MODEL is missing/, []],
      [/sampler_weights\/a holds no weights to go on from/, ["tinker://r/sampler_weights/a"]],
      [/a checkpoint is one already/, ["tinker://r/weights/a", "--rank", "4"]],
      [/a checkpoint is one already/, ["tinker://r/weights/a", "--no-train-mlp"]],
      [/--rank is "0"; it must be a whole number/, ["bigram", "--rank", "0"]],
      [/is there already, and was left as it is/, ["bigram", "-o", join(there, "tokenizer.json")]],
      [/--force is for a file/, ["bigram", "--force"]]
    ]
    for (const [says, words] of wrong) {
      const { code, stderr, stdout } = yield* line(["checkpoint", "save", ...words])
      assert.match(stderr, says, words.join(" "))
      assert.deepStrictEqual([code, stdout], [2, ""], words.join(" "))
    }
    assert.strictEqual((yield* faults.requestCounts).size, 0)
    assert.match((yield* line(["checkpoint", "save", "mammoth"])).stderr, /mammoth/)
  }))
