/**
 * Lets so many things run at a time. Those that wait take turns by group, so that a group with many does not hold up one
 * with few.
 */
import * as Effect from "effect/Effect"
import { OldestFirst } from "./oldestFirst.js"

export interface Slots {
  readonly limit: number
  readonly slot: (group: string) => Slot
  /** Does the work in a slot. */
  readonly within: <A, E, R>(group: string, work: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** How many wait. */
  readonly waiting: () => number
  /** How many run. */
  readonly taken: () => number
}

export interface Slot {
  /** Takes it, or gives what waits until it is there. */
  readonly begin: () => Effect.Effect<void>
  readonly hasBegun: () => boolean
  /** Gives it to the next, if it has begun; must be called once nobody waits for it any more. */
  readonly end: () => void
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

  const slot = (group: string): Slot => {
    let state: "waiting" | "held" | "ended" = "waiting"
    const take = (): boolean => {
      if (taken >= limit) return false
      taken += 1
      state = "held"
      return true
    }
    const wait = Effect.async<void>((resume) => {
      // One may have become free since it was asked for.
      if (take()) return resume(Effect.void)
      const queue = groups.get(group) ?? new OldestFirst()
      groups.set(group, queue)
      const start = () => {
        state = "held"
        resume(Effect.void)
      }
      queue.set(start, true)
      waiting += 1
      return Effect.sync(() => {
        if (!queue.delete(start)) return
        waiting -= 1
        if (queue.size === 0) groups.delete(group)
      })
    })
    return {
      begin: () => take() ? Effect.void : wait,
      hasBegun: () => state !== "waiting",
      end: () => {
        if (state === "held") giveBack()
        state = "ended"
      }
    }
  }

  return {
    limit,
    slot,
    within: (group, work) =>
      Effect.suspend(() => {
        const { begin, end } = slot(group)
        return Effect.ensuring(Effect.zipRight(begin(), work), Effect.sync(end))
      }),
    waiting: () => waiting,
    taken: () => taken
  }
}
