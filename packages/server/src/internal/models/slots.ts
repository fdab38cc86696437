/**
 * Lets so many things run at a time. Those that wait take turns by group, so that a group with many does not hold up one
 * with few.
 */
import * as Effect from "effect/Effect"
import { LinkedQueue } from "../fast/linkedQueue.js"

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
  const groups = new Map<string, LinkedQueue<() => void>>()
  let taken = 0
  let waiting = 0

  const giveBack = () => {
    const turn = groups.entries().next()
    if (turn.done === true) {
      taken -= 1
      return
    }
    const [group, queue] = turn.value
    const start = queue.shift()!
    waiting -= 1
    groups.delete(group)
    if (queue.size > 0) groups.set(group, queue)
    // The slot goes from one to the other.
    start()
  }

  const take = (): boolean => {
    if (taken >= limit) return false
    taken += 1
    return true
  }

  /** Many are made, most of which never wait. */
  class One implements Slot {
    private readonly group: string
    private state: "waiting" | "held" | "ended" = "waiting"

    constructor(group: string) {
      this.group = group
    }

    begin(): Effect.Effect<void> {
      return this.take() ? Effect.void : Effect.async<void>((resume) => this.wait(() => resume(Effect.void)))
    }

    hasBegun(): boolean {
      return this.state !== "waiting"
    }

    end(): void {
      if (this.state === "held") giveBack()
      this.state = "ended"
    }

    private take(): boolean {
      const isTaken = take()
      if (isTaken) this.state = "held"
      return isTaken
    }

    /** Gives what leaves the queue. */
    private wait(begin: () => void): Effect.Effect<void> | undefined {
      // One may have become free since it was asked for.
      if (this.take()) return void begin()
      const queue = groups.get(this.group) ?? new LinkedQueue()
      groups.set(this.group, queue)
      const place = queue.add(() => {
        this.state = "held"
        begin()
      })
      waiting += 1
      return Effect.sync(() => {
        if (!queue.remove(place)) return
        waiting -= 1
        if (queue.size === 0) groups.delete(this.group)
      })
    }
  }

  const slot = (group: string): Slot => new One(group)

  return {
    limit,
    slot,
    within: (group, work) =>
      Effect.suspend(() => {
        const one = slot(group)
        return Effect.ensuring(Effect.zipRight(one.begin(), work), Effect.sync(() => one.end()))
      }),
    waiting: () => waiting,
    taken: () => taken
  }
}
