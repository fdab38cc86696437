import { assert, it } from "@effect/vitest"
import { constant, cosine, linear, withWarmUp } from "../src/LearningRateSchedule.js"

it("keeps the rate, or lets it fall from 1 towards 0", () => {
  assert.deepStrictEqual([0, 5, 9].map((step) => constant(step, 10)), [1, 1, 1])
  assert.deepStrictEqual([0, 5, 10].map((step) => linear(step, 10)), [1, 0.5, 0])
  assert.strictEqual(cosine(0, 10), 1)
  assert.closeTo(cosine(5, 10), 0.5, 1e-12)
  assert.closeTo(cosine(10, 10), 0, 1e-12)
  // A cosine stays high for longer than a line.
  assert.isAbove(cosine(2, 10), linear(2, 10))
})

it("rises first, and then has the whole schedule in the steps that are left", () => {
  const schedule = withWarmUp(linear, 4)
  assert.deepStrictEqual([0, 1, 2, 3].map((step) => schedule(step, 14)), [0.25, 0.5, 0.75, 1])
  assert.deepStrictEqual([4, 9, 14].map((step) => schedule(step, 14)), [1, 0.5, 0])
})

it("never leaves the range from 0 to 1, whatever the step", () => {
  for (const schedule of [constant, linear, cosine, withWarmUp(cosine, 3)]) {
    for (const [step, total] of [[0, 0], [5, 0], [20, 10], [0, 1]] as const) {
      const factor = schedule(step, total)
      assert.isTrue(factor >= 0 && factor <= 1)
    }
  }
})
