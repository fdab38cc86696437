import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { makeSignal, type Signal } from "./signal.js"

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
  /** What it has not taken yet. */
  values: Array<A>
  readonly news: Signal
}

export const make = <A>(initial: A, same: (a: A, b: A) => boolean): StateCell<A> => {
  const listeners = new Set<Listener<A>>()
  let current = initial
  let ended = false

  const listening = Effect.acquireRelease(
    Effect.sync(() => {
      const listener: Listener<A> = { values: [current], news: makeSignal() }
      listeners.add(listener)
      return listener
    }),
    (listener) => Effect.sync(() => listeners.delete(listener))
  )

  const take = (listener: Listener<A>): Effect.Effect<Chunk.Chunk<A>, Option.Option<never>> =>
    Effect.suspend(() => {
      const { news, values } = listener
      if (values.length > 0) {
        listener.values = []
        return Effect.succeed(Chunk.unsafeFromArray(values))
      }
      return ended ? Effect.fail(Option.none()) : Effect.zipRight(news.wait, take(listener))
    })

  return {
    get: () => current,
    set: (value) => {
      if (ended || same(current, value)) return
      current = value
      for (const { news, values } of listeners) {
        values.push(value)
        news.give()
      }
    },
    end: () => {
      ended = true
      for (const { news } of listeners) news.give()
    },
    changes: Stream.unwrapScoped(
      Effect.map(listening, (listener) => Stream.repeatEffectChunkOption(take(listener)))
    )
  }
}
