import { assert, it } from "@effect/vitest"
import { Cause, Exit, FiberId } from "effect"
import { TinkerError } from "effect-tinker"
import * as Main from "../src/Main.js"

it("exits with 0, with 1 after a failure and with 130 after Ctrl-C", () => {
  assert.strictEqual(Main.exitCode(Exit.void), 0)
  assert.strictEqual(Main.exitCode(Exit.fail("no")), 1)
  assert.strictEqual(Main.exitCode(Exit.die("no")), 1)
  assert.strictEqual(Main.exitCode(Exit.interrupt(FiberId.none)), 130)
})

it("exits with 0 after a server was told to stop", () => {
  assert.strictEqual(Main.exitCodeOfServer(Exit.interrupt(FiberId.none)), 0)
  assert.strictEqual(Main.exitCodeOfServer(Exit.fail("no")), 1)
})

it("explains a failure in one line", () => {
  const error = new TinkerError.InvalidInputError({ operation: "a", field: "rank", description: "is 0." })
  assert.strictEqual(Main.explain(Cause.fail(error)), "error: a: rank: is 0.")
})

it("shows where a mistake of ours was made", () => {
  const said = Main.explain(Cause.die(new Error("broken")))
  assert.isTrue(said.startsWith("error: "))
  assert.include(said, "Main.test.ts")
})
