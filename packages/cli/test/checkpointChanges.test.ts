import { Faults } from "@effect-tinker/server"
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { server } from "./program.js"
import * as Trainings from "./trainings.js"

const left = (line: Effect.Effect.Success<ReturnType<typeof server>>["line"]) =>
  Effect.map(
    line(["checkpoint", "list", "--json"]),
    ({ stdout }) =>
      (JSON.parse(stdout).checkpoints as ReadonlyArray<{ tinker_path: string }>).map((one) => one.tinker_path).sort()
  )

it.scopedLive("refuses a line that does not say which checkpoints are meant before anything is sent", () =>
  Effect.gen(function*() {
    const { faults, line } = yield* server()
    const path = "tinker://run:train:0/weights/a"
    const wrong: ReadonlyArray<readonly [says: RegExp, words: ReadonlyArray<string>]> = [
      [/which checkpoints\? Give their paths \(tinker checkpoint delete tinker/, ["delete"]],
      [/checkpoints are named, and --run-id describes some/, ["delete", path, "--run-id", "r"]],
      [/checkpoints are named, and --type describes some/, ["delete", path, "--type", "sampler"]],
      [/--type narrows down which checkpoints are meant\. Give --run-id/, ["delete", "--type", "sampler"]],
      [/--before is "yesterday"; it must be a date or a time/, ["delete", "--run-id", "r", "--before", "yesterday"]],
      [/--before is "2026-02-31"; it must be a date/, ["delete", "--run-id", "r", "--before", "2026-02-31"]],
      [/"weights\/a" is no path of a checkpoint/, ["delete", path, "weights/a"]],
      [/training:?.*sampler.*external/, ["delete", "--run-id", "r", "--type", "model"]],
      [/--older-than is "old"; it must be a duration/, ["delete", "--all", "--older-than", "old"]],
      [/--min-size is "big"; it must be a size/, ["delete", "--all", "--min-size", "big"]],
      [/--all alone would delete every checkpoint/, ["delete", "--all", "--yes"]],
      [/--run-id and --all say different things/, ["delete", "--all", "--run-id", "r"]],
      [/--public and --private leave none/, ["delete", "--all", "--public", "--private"]],
      [/for how long\? Give --ttl/, ["set-ttl", path]],
      [/--ttl, --expires-at and --remove say different things/, ["set-ttl", path, "--ttl", "7d", "--remove"]],
      [/--ttl is less than an hour from now/, ["set-ttl", path, "--ttl", "3599"]],
      [/--ttl is more than ten years from now/, ["set-ttl", path, "--ttl", "600w"]],
      [/--expires-at is in the past/, ["set-ttl", path, "--expires-at", "2020-01-01"]],
      [/--metric/, ["keep", "r"]]
    ]
    for (const [says, words] of wrong) {
      const { code, stderr, stdout } = yield* line(["checkpoint", ...words])
      assert.match(stderr, says, words.join(" "))
      assert.deepStrictEqual([code, stdout], [2, ""], words.join(" "))
    }
    assert.strictEqual((yield* faults.requestCounts).size, 0)
  }))

it.scopedLive("deletes what is named or described, and says how many and how much", () =>
  Effect.gen(function*() {
    const { line, url } = yield* server()
    const [a = "", b = "", c = "", d = ""] = yield* Trainings.save(url, ["step-1", "step-2", "step-3", "final"])
    const runId = a.split("/")[2]!
    const one = yield* line(["checkpoint", "rm", a, a, "-y", "--json"])
    assert.deepInclude(JSON.parse(one.stdout), { deleted_count: 1, deleted: [a], already_gone: [], failed: [] })
    const gone = yield* line(["checkpoint", "delete", a, "--yes"])
    assert.strictEqual(gone.code, 0)
    assert.match(gone.stderr, /^0 deleted; 1 had been deleted before\.\n$/)
    const plan = yield* line(["checkpoint", "delete", "--run-id", runId, "--name", "step-*", "--dry-run", "--json"])
    assert.deepInclude(JSON.parse(plan.stdout), { dry_run: true, count: 2 })
    assert.deepStrictEqual(yield* left(line), [b, c, d].sort())
    const described = yield* line(["checkpoint", "delete", "--all", "--name", "step-*", "--keep", c, "--yes"])
    assert.strictEqual(described.stdout, `${b}\n`)
    assert.match(described.stderr, /^1 deleted, [\d.]+ K?B freed\.\n$/)
    assert.deepStrictEqual(yield* left(line), [c, d].sort())
    const none = yield* line(["checkpoint", "delete", "--all", "--type", "sampler_weights"])
    assert.deepStrictEqual(none, { code: 0, stdout: "", stderr: "No checkpoint fits; nothing was changed.\n" })
    const last = yield* line(["checkpoint", "delete", "--run-id", runId, "--keep-last", "1", "-y"])
    assert.strictEqual(last.stdout.split("\n").length, 2)
    assert.strictEqual((yield* left(line)).length, 1)
    const listed = yield* line(["checkpoint", "delete", "--from-file", "-", "-y"], { stdin: `# those\n\n${c}\n${d}\n` })
    assert.strictEqual(listed.code, 0)
    assert.deepStrictEqual(yield* left(line), [])
  }))

it.scopedLive("asks before it deletes, takes silence for no, and does not ask where nobody is", () =>
  Effect.gen(function*() {
    const { line, url } = yield* server()
    const [path = ""] = yield* Trainings.save(url, ["a"])
    const unasked = yield* line(["checkpoint", "delete", path])
    assert.strictEqual(unasked.code, 2)
    assert.match(unasked.stderr, /Pass --yes/)
    for (const answers of [["n"], [""], []]) {
      const declined = yield* line(["checkpoint", "delete", path, "--json"], { answers })
      assert.strictEqual(declined.code, 0)
      assert.deepInclude(JSON.parse(declined.stdout), { cancelled: true })
      assert.include(declined.stderr, path)
    }
    assert.deepStrictEqual(yield* left(line), [path])
    const agreed = yield* line(["checkpoint", "delete", path], { answers: ["y"] })
    assert.strictEqual(agreed.stdout, `${path}\n`)
  }))

it.scopedLive("deletes the rest when one fails, tells which did, and exits with 1", () =>
  Effect.gen(function*() {
    const { faults, line, url } = yield* server()
    const paths = yield* Trainings.save(url, ["a", "b", "c"])
    yield* faults.plan({
      path: "training_runs/:id/checkpoints/:kind/:name",
      nth: 2,
      fault: Faults.answer(403, { body: { detail: "locked" } })
    })
    const { code, stderr, stdout } = yield* line(["checkpoint", "delete", ...paths, "--yes", "--json"])
    assert.strictEqual(code, 1)
    const { deleted_count, failed } = JSON.parse(stdout)
    assert.strictEqual(deleted_count, 2)
    assert.strictEqual(failed.length, 1)
    assert.include(paths, failed[0].tinker_path)
    assert.match(JSON.parse(stderr).error.message, /^1 of 3 checkpoints could not be deleted\. .*locked/)
  }))

it.scopedLive("publishes, unpublishes, and says of what was so already that it was", () =>
  Effect.gen(function*() {
    const { line, url } = yield* server()
    const [path = ""] = yield* Trainings.save(url, ["a"])
    assert.strictEqual((yield* line(["checkpoint", "publish", path])).stdout, `Published ${path}\n`)
    assert.deepStrictEqual(yield* line(["checkpoint", "publish", path]), {
      code: 0,
      stdout: `${path} was public already\n`,
      stderr: ""
    })
    const asked = yield* line(["checkpoint", "publish", path], { answers: ["n"] })
    assert.match(asked.stderr, /Publish it\? \[y\/N\]/)
    const undone = yield* line(["checkpoint", "unpublish", path, "--json"])
    assert.deepStrictEqual(JSON.parse(undone.stdout), {
      checkpoints: [{ tinker_path: path, public: false }],
      failed: []
    })
    const missing = yield* line(["checkpoint", "publish", "tinker://nope/weights/a"])
    assert.strictEqual(missing.code, 4)
    assert.match(missing.stderr, /^error: [^\n]*nope[^\n]*\n$/)
  }))

it.scopedLive("says until when checkpoints are kept", () =>
  Effect.gen(function*() {
    const { line, url } = yield* server()
    const [path = ""] = yield* Trainings.save(url, ["a"])
    const { checkpoints } = JSON.parse((yield* line(["checkpoint", "set-ttl", path, "--ttl", "7d", "--json"])).stdout)
    assert.deepInclude(checkpoints[0], { tinker_path: path, ttl_seconds: 604_800 })
    assert.match((yield* line(["checkpoint", "list"])).stdout, /\tin 6 days\t/)
    assert.strictEqual(
      (yield* line(["checkpoint", "set-ttl", path, "--remove"])).stdout,
      `${path} never expires\n`
    )
    assert.match((yield* line(["checkpoint", "list"])).stdout, /\tNever\t/)
  }))

it.scopedLive("keeps the best of a run by a figure of their metadata", () =>
  Effect.gen(function*() {
    const { line, url } = yield* server()
    const paths = yield* Trainings.save(url, ["a", "b", "c", "d"], [
      { loss: "2" },
      { loss: "0.5" },
      { loss: "1e0" },
      {}
    ])
    const runId = paths[0]!.split("/")[2]!
    const wrong = yield* line(["checkpoint", "keep", runId, "--metric", "los"])
    assert.strictEqual(wrong.code, 2)
    assert.match(wrong.stderr, /has a number "los" in its metadata, and nothing was deleted\. There are: loss\./)
    const kept = yield* line(["checkpoint", "keep", runId, "--metric", "loss", "--best", "2", "--yes"])
    assert.strictEqual(kept.stdout, `${paths[0]}\n`)
    assert.include(kept.stderr, `Kept: ${paths[1]} (loss 0.5)`)
    assert.match(kept.stderr, /1 of the run's checkpoints have no loss/)
    assert.deepStrictEqual(yield* left(line), paths.slice(1).sort())
  }))

it.scopedLive("deletes nothing where one that is to be kept is not there, nor all that there is by a word that fits everything", () =>
  Effect.gen(function*() {
    const { line, url } = yield* server()
    const paths = yield* Trainings.save(url, ["a", "b"])
    const typo = yield* line(["checkpoint", "delete", "--all", "--name", "a", "--keep", `${paths[0]}x`, "--yes"])
    assert.strictEqual(typo.code, 2)
    assert.match(typo.stderr, /--keep: there is no checkpoint .*ax among those that are meant, and nothing was changed/)
    for (const all of [["--name", "*"], ["--older-than", "0"], ["--min-size", "0"], ["--keep", paths[0]!]]) {
      const refused = yield* line(["checkpoint", "delete", "--all", ...all, "--yes"])
      assert.strictEqual(refused.code, 2, all.join(" "))
      assert.match(refused.stderr, /--all alone would delete every checkpoint/)
    }
    assert.deepStrictEqual(yield* left(line), paths.toSorted())
  }))

it.scopedLive("compares figures that are numbers alone", () =>
  Effect.gen(function*() {
    const { line, url } = yield* server()
    const values = ["-Infinity", "0x10", "-1e999", "NaN", "0.1", "0.2"]
    const paths = yield* Trainings.save(url, values.map((_, index) => `s${index}`), values.map((loss) => ({ loss })))
    const plan = yield* line([
      "checkpoint",
      "keep",
      paths[0]!.split("/")[2]!,
      "--metric",
      "loss",
      "--dry-run",
      "--json"
    ])
    assert.deepStrictEqual(JSON.parse(plan.stdout).checkpoints, [paths[5]])
  }))
