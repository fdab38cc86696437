import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"

/** A value that changes, and a stream of it that costs nothing while nobody listens. */
export interface StateCell<A> {
  /** Tells every listener, unless nothing has changed. After the end nothing does. */
  readonly set: (value: A) => void
  /** Ends the streams. */
  readonly end: () => void
  readonly get: () => A
  /** The present value and those that follow. */
  readonly changes: Stream.Stream<A>
}

interface Listener<A> {
  readonly single: (value: A) => boolean
  readonly end: () => void
}

export const make = <A>(initial: A, same: (a: A, b: A) => boolean): StateCell<A> => {
  const listeners = new Set<Listener<A>>()
  let current = initial
  let ended = false
  return {
    get: () => current,
    set: (value) => {
      if (ended || same(current, value)) return
      current = value
      for (const listener of listeners) listener.single(value)
    },
    end: () => {
      ended = true
      for (const listener of listeners) listener.end()
      listeners.clear()
    },
    changes: Stream.asyncPush<A>((emit) =>
      Effect.acquireRelease(
        Effect.sync(() => {
          const listener: Listener<A> = { single: emit.single, end: emit.end }
          listener.single(current)
          if (ended) listener.end()
          else listeners.add(listener)
          return listener
        }),
        (listener) => Effect.sync(() => listeners.delete(listener))
      ), { bufferSize: "unbounded" })
  }
}
