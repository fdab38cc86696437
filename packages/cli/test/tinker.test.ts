import { Faults } from "@effect-tinker/server"
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { line, server, tinker } from "./program.js"
import * as Trainings from "./trainings.js"

it.scopedLive("says what it does and which version it is without a server, a key, or a request", () =>
  Effect.gen(function*() {
    const help = yield* tinker(["--help"])
    assert.strictEqual(help.code, 0)
    assert.match(help.stdout, /^Trains language models[^]*\bcheckpoint …[^]*\brun …[^]*\bversion /)
    assert.strictEqual(help.stderr, "")
    const leaf = yield* tinker(["run", "list", "-h"])
    assert.match(leaf.stdout, /tinker run list \[options\][^]*--limit integer[^]*-c, --columns list[^]*--profile name/)
    for (const line of [["version"], ["--version"]]) {
      assert.deepStrictEqual(yield* tinker(line), { code: 0, stdout: "tinker 0.1.0\n", stderr: "" })
    }
    const json = JSON.parse(
      (yield* tinker(["version", "--json"], { env: { TINKER_BASE_URL: "http://x.test" } })).stdout
    )
    assert.include(json, { version: "0.1.0", base_url: "http://x.test" })
  }))

it.scopedLive("refuses a line that it cannot read in one sentence, with the exit code of usage, before anything is sent", () =>
  Effect.gen(function*() {
    const wrong: ReadonlyArray<readonly [says: RegExp, line: ReadonlyArray<string>]> = [
      [/^error: there is no command rum\. Was tinker run meant\?\n$/, ["rum", "list"]],
      [/^error: there is no command run lits\. Was tinker run list meant\?\n$/, ["run", "lits"]],
      [/^error: there is no option --limt\. Was --limit meant\?\n$/, ["run", "list", "--limt", "3"]],
      [/^error: there is no option --profil\. Was --profile meant\?\n$/, ["run", "list", "--profil", "x"]],
      [/^error: --limit is -1; it must be a whole number from 0/, ["run", "list", "--limit=-1"]],
      [/^error: --limit is given without its value/, ["run", "list", "--limit"]],
      [/^error: --format is "jsno"; it must be table or json\. Was json meant\?\n$/, [
        "--format",
        "jsno",
        "run",
        "list"
      ]],
      [/"message":"--json and --format table say different things/, ["run", "list", "--json", "--format", "table"]],
      [/^error: --timeout is "soon"; it must be a duration/, ["run", "list", "--timeout", "soon"]],
      [/^error: RUN_ID is missing/, ["run", "info"]],
      [/^error: "c" belongs to no option, and the command takes no word/, ["run", "list", "c"]],
      [/^error: there are 2 words where RUN_ID stands/, ["run", "info", "a", "b"]],
      [/^error: --columns: there is no column "modle"\. Was model meant\?/, ["run", "list", "-c", "id,modle"]],
      [/^error: there is no profile "work" in .*profiles\.json\. It has none yet/, ["run", "list", "--profile", "work"]]
    ]
    yield* Effect.forEach(
      wrong,
      ([says, line]) =>
        Effect.map(tinker(line, { env: { TINKER_BASE_URL: "http://127.0.0.1:1" } }), ({ code, stderr, stdout }) => {
          assert.match(stderr, says, line.join(" "))
          assert.deepStrictEqual([code, stdout], [2, ""], line.join(" "))
        }),
      { concurrency: 2 }
    )
  }))

it.scopedLive("tells an error as JSON where results are JSON, wherever the option stands", () =>
  Effect.gen(function*() {
    for (const words of [["--json", "run", "info"], ["run", "info", "--json"], ["run", "--format", "json", "info"]]) {
      const { code, stderr, stdout } = yield* line(words)
      assert.deepStrictEqual([code, stdout], [2, ""])
      assert.deepInclude(JSON.parse(stderr).error, { code: "usage" })
    }
  }))

it.scopedLive("names the variable and the command that give a key where there is none, or none of Tinker's", () =>
  Effect.gen(function*() {
    const none = yield* line(["run", "list"])
    assert.strictEqual(none.code, 3)
    assert.match(none.stderr, /^error: there is no API key\. Set TINKER_API_KEY, .*tinker auth login[^\n]*\n$/)
    const wrong = yield* line(["run", "list"], { env: { TINKER_API_KEY: "sk-secret" } })
    assert.strictEqual(wrong.code, 3)
    assert.match(wrong.stderr, /tml-/)
    assert.notInclude(wrong.stderr, "sk-secret")
  }))

it.scopedLive("lists runs and checkpoints, and tells of each, to people and to programs", () =>
  Effect.gen(function*() {
    const { line, tinker, url } = yield* server()
    const empty = yield* line(["run", "list", "--json"])
    assert.deepStrictEqual(JSON.parse(empty.stdout), { runs: [], total: 0, shown: 0 })
    const paths = yield* Trainings.save(url, ["first", "second"])
    const runs = JSON.parse((yield* tinker(["run", "list", "--json"])).stdout)
    assert.strictEqual(runs.total, 1)
    const id: string = runs.runs[0].training_run_id
    assert.strictEqual(runs.runs[0].lora_rank, 4)
    assert.match((yield* tinker(["run", "list"])).stdout, new RegExp(`^${id}\\tbigram\\tRank 4\\t[a-z0-9 ]+\\tOK\\n$`))
    assert.strictEqual(
      (yield* line(["run", "list", "--header", "-c", "checkpoint, id"])).stdout,
      `Last Checkpoint\tRun ID\nweights/second\t${id}\n`
    )
    assert.match(
      (yield* line(["run", "info", id])).stdout,
      /^Run ID\t[^]*\nLoRA\tYes \(Rank 4\)\n[^]*- Path\ttinker:/
    )
    const listed = JSON.parse((yield* line(["checkpoint", "ls", "--json"])).stdout)
    assert.deepStrictEqual(
      listed.checkpoints.map((checkpoint: { tinker_path: string }) => checkpoint.tinker_path).sort(),
      [...paths].sort()
    )
    assert.strictEqual((yield* line(["checkpoint", "list", "--limit", "1"])).stdout.split("\n").length, 2)
    const info = JSON.parse((yield* line(["ckpt", "info", paths[0]!, "--json"])).stdout)
    assert.deepInclude(info, { checkpoint_id: "weights/first", base_model: "bigram", is_lora: true, lora_rank: 4 })
  }))

it.scopedLive("exits with 4 where there is nothing of that name, with 2 for what is no path, and with 1 for other failures", () =>
  Effect.gen(function*() {
    const { faults, line, tinker } = yield* server()
    const missing = yield* tinker(["run", "info", "nope"])
    assert.strictEqual(missing.code, 4)
    assert.match(missing.stderr, /^error: [^\n]*nope[^\n]*\n$/)
    assert.strictEqual((yield* line(["checkpoint", "info", "tinker://nope/weights/a"])).code, 4)
    const badPath = yield* line(["checkpoint", "info", "run:train:0/weights/a"])
    assert.deepStrictEqual(badPath, {
      code: 2,
      stdout: "",
      stderr: "error: \"run:train:0/weights/a\" is no path of a checkpoint. Was tinker://run:train:0/weights/a meant?\n"
    })
    yield* faults.plan({ path: "training_runs", fault: Faults.answer(402, { body: { detail: "no credit" } }) })
    const billing = yield* line(["run", "list", "--json"])
    assert.strictEqual(billing.code, 1)
    assert.deepInclude(JSON.parse(billing.stderr).error, { code: "billing", status: 402 })
  }))
