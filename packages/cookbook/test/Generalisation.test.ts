import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { Local, program } from "../examples/generalisation.js"
import { quiet } from "./fixture.js"

const isLong = process.env["TINKER_TEST_LONG"] === "1"
const size = isLong ? { steps: 100, prompts: 200 } : { steps: 60, prompts: 20 }
/** Of every template, the share of exact answers that must at least be reached. */
const least = isLong ? 0.5 : 0

it.live(
  "teaches the model that ships what it could not do: exact answers to prompts it never saw",
  () =>
    Effect.gen(function*() {
      const { after, before, lossAfter, lossBefore } = yield* isLong ? program(size) : quiet(program(size))
      assert.isBelow(before.all.exact / before.all.total, 0.1)
      assert.isAbove(after.all.exact / after.all.total, 0.8)
      for (const { exact, name, total } of after.all.groups) assert.isAtLeast(exact / total, least, name)
      assert.isBelow(lossAfter.nllPerToken, 0.7 * lossBefore.nllPerToken)
    }).pipe(Effect.provide(Local)),
  600_000
)
