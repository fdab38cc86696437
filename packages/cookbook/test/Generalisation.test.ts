import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { Local, program } from "../examples/generalisation.js"

it.live.runIf(process.env["TINKER_TEST_LONG"] === "1")(
  "teaches the model that ships what it could not do: exact answers to prompts it never saw",
  () =>
    Effect.gen(function*() {
      const { after, before, lossAfter, lossBefore } = yield* program
      assert.isBelow(before.all.exact / before.all.total, 0.1)
      assert.isAbove(after.all.exact / after.all.total, 0.8)
      for (const { exact, name, total } of after.all.groups) assert.isAbove(exact / total, 0.5, name)
      assert.isBelow(lossAfter.nllPerToken, 0.7 * lossBefore.nllPerToken)
    }).pipe(Effect.scoped, Effect.provide(Local)),
  600_000
)
