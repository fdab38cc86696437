/** Shares of what there is so much of, first come, first served. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"

/** So much of something may be in use at once. Who asks for more than there is at all gets all of it. */
export interface Budget {
  /** Waits for its turn and its share, and gives the share back at the end, however that comes. */
  readonly withPermits: (cost: number) => <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** The part of the limit that is in use now. */
  readonly taken: () => number
  /** The number of calls that wait now. */
  readonly waiting: () => number
}

/** A budget whose capacity may change while it is in use. */
export const make = (capacity: () => number): Budget => {
  // In order of arrival; leaving costs nothing, however long the queue is.
  const queue = new Set<Waiting>()
  let taken = 0

  const grant = (cost: number): number | undefined => {
    const limit = Math.max(1, capacity())
    const share = Math.min(cost, limit)
    if (taken + share > limit) return undefined
    taken += share
    return share
  }

  const serve = () => {
    for (const first of queue) {
      const granted = grant(first.cost)
      if (granted === undefined) return
      queue.delete(first)
      first.granted = granted
      Deferred.unsafeDone(first.turn, Effect.void)
    }
  }

  const release = (granted: number) => {
    taken -= granted
    serve()
  }

  const leave = (waiting: Waiting) => {
    if (waiting.granted !== undefined) return release(waiting.granted)
    queue.delete(waiting)
    serve()
  }

  // Many wait here at once, so there is little to hold for one that does.
  const withPermits = (cost: number) => <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.uninterruptibleMask((restore) => {
      const use = (granted: number) => Effect.onExit(restore(effect), () => Effect.sync(() => release(granted)))
      const granted = queue.size === 0 ? grant(cost) : undefined
      if (granted !== undefined) return use(granted)
      const waiting: Waiting = { cost, turn: Deferred.unsafeMake<void>(FiberId.none), granted: undefined }
      queue.add(waiting)
      return Effect.matchCauseEffect(restore(Deferred.await(waiting.turn)), {
        onFailure: (cause) => {
          leave(waiting)
          return Effect.failCause(cause)
        },
        onSuccess: () => use(waiting.granted!)
      })
    })

  return { withPermits, taken: () => taken, waiting: () => queue.size }
}

interface Waiting {
  readonly cost: number
  readonly turn: Deferred.Deferred<void>
  granted: number | undefined
}
