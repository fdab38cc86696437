import * as Effect from "effect/Effect"
import * as Random from "effect/Random"

const hex = (length: number) =>
  Effect.map(
    Effect.replicateEffect(Random.nextIntBetween(0, 16), length),
    (digits) => digits.map((digit) => digit.toString(16)).join("")
  )

/** A random (version 4) UUID from Effect's `Random`, so that tests can fix it. */
export const uuid: Effect.Effect<string> = Effect.gen(function*() {
  const variant = yield* Random.nextIntBetween(8, 12)
  const [a, b, c, d, e] = yield* Effect.all([hex(8), hex(4), hex(3), hex(3), hex(12)])
  return `${a}-${b}-4${c}-${variant.toString(16)}${d}-${e}`
})
