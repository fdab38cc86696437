import { assert, it } from "@effect/vitest"
import { FastCheck } from "effect"
import { LinkedQueue, type Place } from "../src/internal/fast/linkedQueue.js"

it("gives the oldest of those that have not left, whichever left before, and lets each leave once", () => {
  const step = FastCheck.record({
    what: FastCheck.constantFrom("add", "add", "remove", "shift"),
    which: FastCheck.nat(12)
  })
  FastCheck.assert(
    FastCheck.property(FastCheck.array(step, { maxLength: 60 }), (steps) => {
      const line = new LinkedQueue<number>()
      const places: Array<Place<number>> = []
      let plain: Array<number> = []
      steps.forEach(({ what, which }, i) => {
        const place = places[which]
        if (what === "add") {
          places.push(line.add(i))
          plain.push(i)
        } else if (what === "shift") assert.strictEqual(line.shift(), plain.shift())
        else if (place !== undefined) {
          assert.strictEqual(line.remove(place), plain.includes(place.value))
          plain = plain.filter((value) => value !== place.value)
        }
        assert.strictEqual(line.size, plain.length)
        assert.strictEqual(line.oldest(), plain[0])
      })
    }),
    { seed: 1, numRuns: 500 }
  )
})
