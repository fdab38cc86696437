/**
 * Lets so many things run at a time. Those that wait take turns by group, so that a group with many does not hold up one
 * with few.
 */
import * as Effect from "effect/Effect"
import { OldestFirst } from "./oldestFirst.js"

export interface Slots {
  readonly limit: number
  /** Does the work in a slot. */
  readonly within: <A, E, R>(group: string, work: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** How many wait. */
  readonly waiting: () => number
  /** How many run. */
  readonly taken: () => number
}

export const make = (limit: number): Slots => {
  // In the order of their turns; a group without anyone waiting is not in it.
  const groups = new Map<string, OldestFirst<() => void, true>>()
  let taken = 0
  let waiting = 0

  const giveBack = () => {
    const turn = groups.entries().next()
    if (turn.done === true) {
      taken -= 1
      return
    }
    const [group, queue] = turn.value
    const start = queue.oldest()!
    queue.delete(start)
    waiting -= 1
    groups.delete(group)
    if (queue.size > 0) groups.set(group, queue)
    // The slot goes from one to the other.
    start()
  }

  const wait = (group: string) =>
    Effect.async<void>((resume) => {
      const queue = groups.get(group) ?? new OldestFirst()
      groups.set(group, queue)
      const start = () => resume(Effect.void)
      queue.set(start, true)
      waiting += 1
      return Effect.sync(() => {
        if (!queue.delete(start)) return giveBack()
        waiting -= 1
        if (queue.size === 0) groups.delete(group)
      })
    })

  return {
    limit,
    within: (group, work) =>
      Effect.uninterruptibleMask((restore) => {
        const held = Effect.flatMap(Effect.exit(restore(work)), (exit) => {
          giveBack()
          return exit
        })
        if (taken >= limit) return Effect.zipRight(restore(wait(group)), held)
        taken += 1
        return held
      }),
    waiting: () => waiting,
    taken: () => taken
  }
}
