import { assert, it } from "@effect/vitest"
import { FastCheck } from "effect"
import { OldestFirst } from "../src/internal/oldestFirst.js"

it("gives the oldest key, whichever keys were set again, deleted, or asked for before", () => {
  const step = FastCheck.record({
    what: FastCheck.constantFrom("set", "delete", "deleteOldest", "ask"),
    key: FastCheck.integer({ min: 0, max: 8 })
  })
  FastCheck.assert(
    FastCheck.property(FastCheck.array(step, { maxLength: 60 }), (steps) => {
      const map = new OldestFirst<number, number>()
      const plain = new Map<number, number>()
      steps.forEach(({ key, what }, i) => {
        if (what === "set") {
          map.set(key, i)
          plain.set(key, i)
        } else if (what !== "ask") {
          const gone = what === "delete" ? key : map.oldest()
          if (gone !== undefined) assert.strictEqual(map.delete(gone), plain.delete(gone))
        }
        assert.strictEqual(map.size, plain.size)
        assert.strictEqual(map.get(key), plain.get(key))
        assert.strictEqual(map.has(key), plain.has(key))
        if (what !== "set") assert.strictEqual(map.oldest(), plain.keys().next().value)
      })
    }),
    { seed: 1, numRuns: 500 }
  )
})
