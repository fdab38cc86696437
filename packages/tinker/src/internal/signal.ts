import * as Effect from "effect/Effect"

/** What fibers wait for; `give` wakes those that wait now. */
export interface Signal {
  readonly wait: Effect.Effect<void>
  readonly give: () => void
}

export const makeSignal = (): Signal => {
  let waiting = new Set<(effect: Effect.Effect<void>) => void>()
  return {
    wait: Effect.async((resume) => {
      waiting.add(resume)
      return Effect.sync(() => waiting.delete(resume))
    }),
    give: () => {
      if (waiting.size === 0) return
      const woken = waiting
      waiting = new Set()
      for (const resume of woken) resume(Effect.void)
    }
  }
}
