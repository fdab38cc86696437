import { TinkerNode } from "@effect-tinker/node"
import { assert, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { ApiFuture, Datum, ServiceClient, Tinker } from "effect-tinker"
import { readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { folder, server } from "./program.js"
import * as Trainings from "./trainings.js"

it.scopedLive("lists models, those alone whose names have a text in them, and fails where there is none", () =>
  Effect.gen(function*() {
    const { line } = yield* server()
    const { models } = JSON.parse((yield* line(["model", "list", "BIG", "--json"])).stdout)
    assert.deepInclude(models[0], { model_name: "bigram", trainable: true })
    const none = yield* line(["model", "list", "Qwen9"])
    assert.strictEqual(none.code, 1)
    assert.match(none.stderr, /none of the \d+ models of the service has "Qwen9" in its name/)
  }))

it.scopedLive("lists sessions and tells of one", () =>
  Effect.gen(function*() {
    const { line, url } = yield* server()
    assert.strictEqual((yield* line(["session", "list"])).stdout, "")
    const paths = yield* Trainings.save(url, ["a"])
    yield* Trainings.save(url, ["b"])
    const ids = (yield* line(["session", "list"])).stdout.trim().split("\n")
    assert.strictEqual(ids.length, 2)
    assert.deepStrictEqual(
      JSON.parse((yield* line(["session", "list", "--limit", "1", "--json"])).stdout).sessions,
      [ids[0]]
    )
    const info = JSON.parse((yield* line(["session", "info", ids[1]!, "--json"])).stdout)
    assert.deepStrictEqual(info.training_run_ids, [paths[0]!.split("/")[2]])
    assert.strictEqual((yield* line(["session", "info", "nope"])).code, 4)
    // Our server keeps no traces.
    const trace = yield* line(["session", "export-trace", ids[0]!, "-o", "/nowhere/t"])
    assert.strictEqual(trace.code, 1)
    assert.match(trace.stderr, /keeps no traces/)
  }))

it.scopedLive("lists hourly usage and storage as a table, as JSON and as CSV, and sums them", () =>
  Effect.gen(function*() {
    const { line, url } = yield* server({
      protocol: {
        prices: { tokens: { bigram: { training: 1_000_000, prefill: 1, sampled: 1 } }, gigabyteMonth: 0.1 }
      }
    })
    yield* train(url)
    const window = ["--last", "2h"]
    const { data } = JSON.parse((yield* line(["billing", "usage", ...window, "--json"])).stdout)
    assert.isAbove(data.length, 0)
    assert.hasAnyKeys(data[0], ["event_info"])
    const csv = (yield* line(["billing", "usage", ...window, "--csv", "-"])).stdout
    assert.match(csv.split("\r\n")[0]!, /bucket_start.*type/)
    assert.strictEqual(csv.trim().split("\r\n").length, data.length + 1)
    const { groups } = JSON.parse((yield* line(["billing", "usage", ...window, "--group-by", "type", "--json"])).stdout)
    assert.strictEqual(groups.at(-1).type, "total")
    assert.strictEqual(groups.find((group: { type: string }) => group.type === "training").tokens, 3)
    const both = yield* line(["billing", "usage", ...window, "--csv", "-", "--sessions-csv", "-"])
    assert.strictEqual(both.code, 2)
    assert.match(both.stderr, /cannot both go to the standard output/)
    const place = yield* folder
    const written = yield* line([
      "billing",
      "usage",
      ...window,
      "--csv",
      join(place, "u.csv"),
      "--sessions-csv",
      join(place, "s.csv")
    ])
    assert.strictEqual(written.stdout, "")
    // What is stored costs more by the second.
    assert.strictEqual(readFileSync(join(place, "u.csv"), "utf8").split("\r\n")[0], csv.split("\r\n")[0])
    assert.match(readFileSync(join(place, "s.csv"), "utf8"), /^session_id,user_metadata\r\n/)
    const empty = yield* line(["billing", "usage", "2020-01-01T00:00:00Z", "2020-01-03T00:00:00Z"], { terminal: 80 })
    assert.strictEqual(empty.stdout, "No billing usage in this window\n")
    for (
      const [says, words] of [
        [/of which time\? Give STARTING_ON and ENDING_BEFORE/, []],
        [/STARTING_ON is "yesterday"; it must be a time/, ["yesterday", "2026-01-01"]],
        [/ENDING_BEFORE is "2026-01-01T00:30Z"; it must be on the hour/, ["2026-01-01", "2026-01-01T00:30Z"]],
        [/ENDING_BEFORE must be later/, ["2026-01-02", "2026-01-01"]],
        [/--last and STARTING_ON say different things/, ["2026-01-02", "--last", "2h"]],
        [/--group-by: there is nothing called "colour"/, ["--last", "2h", "--group-by", "colour"]]
      ] as const
    ) {
      const { code, stderr } = yield* line(["billing", "usage", ...words])
      assert.match(stderr, says)
      assert.strictEqual(code, 2)
    }
    const storage = JSON.parse((yield* line(["billing", "checkpoint-storage", "--json"])).stdout)
    assert.strictEqual(storage.effective_rate_usd_per_gigabyte_month, 0.1)
    assert.strictEqual(storage.data[0].checkpoint_count, 1)
    assert.match(
      (yield* line(["billing", "checkpoint-storage"], { terminal: 200 })).stdout,
      /^Current checkpoint storage\n\n/
    )
  }))

it.scopedLive("downloads a checkpoint into a folder of its name, whole or not at all, and never over another", () =>
  Effect.gen(function*() {
    const { line, url } = yield* server()
    const [path = ""] = yield* Trainings.save(url, ["final"])
    const place = yield* folder
    const sampler = yield* line(["checkpoint", "download", path.replace("/weights/", "/sampler_weights/"), "-o", place])
    assert.strictEqual(sampler.code, 2)
    assert.match(sampler.stderr, /was saved for sampling, and its files cannot be had/)
    const name = `${path.split("/")[2]}_weights_final`
    const first = yield* line(["checkpoint", "download", path, "--output", place])
    assert.deepStrictEqual([first.code, first.stdout], [0, `${join(place, name)}\n`], first.stderr)
    assert.includeMembers(readdirSync(join(place, name)), ["adapter_config.json", "adapter_model.safetensors"])
    writeFileSync(join(place, name, "mine"), "")
    const again = yield* line(["checkpoint", "download", path, "-o", place])
    assert.strictEqual(again.code, 2)
    assert.match(again.stderr, /is there already, and was left as it is\. Pass --force/)
    assert.include(readdirSync(join(place, name)), "mine")
    const forced = JSON.parse((yield* line(["checkpoint", "download", path, "-o", place, "--force", "--json"])).stdout)
    assert.strictEqual(forced.destination, join(place, name))
    assert.notInclude(readdirSync(join(place, name)), "mine")
    const listed = JSON.parse((yield* line(["checkpoint", "list", "--json"])).stdout)
    assert.deepStrictEqual(listed.checkpoints.map((one: { tinker_path: string }) => one.tinker_path), [path])
    const missing = yield* line(["checkpoint", "download", "tinker://nope/weights/a", "-o", place])
    assert.strictEqual(missing.code, 4)
    assert.deepStrictEqual(readdirSync(place), [name])
  }))

/** Trains three tokens, and saves. */
const train = (url: string) =>
  Effect.gen(function*() {
    const service = yield* ServiceClient.ServiceClient
    const training = yield* service.createLoraTrainingClient({ baseModel: "bigram", rank: 4 })
    yield* ApiFuture.flatten(training.forwardBackward({
      data: [Datum.fromTokens(Int32Array.of(1, 2, 3, 4), Float32Array.of(1, 1, 1, 1))],
      lossFn: "cross_entropy"
    }))
    yield* ApiFuture.flatten(training.saveState({ name: "a" }))
  }).pipe(
    Effect.scoped,
    Effect.provide(Layer.provide(Tinker.layer({ baseUrl: url }), TinkerNode.layer))
  )
