/**
 * What holds for a region of code and for the fibers that it forks. Unlike a service it needs no new map of all services, so that a request
 * can have several at little cost.
 */
import * as Effect from "effect/Effect"
import * as FiberRef from "effect/FiberRef"

export type FiberLocal<A> = FiberRef.FiberRef<A>

export const make = <A>(initial: A): FiberLocal<A> => FiberRef.unsafeMake(initial)

/** The value where this runs. */
export const get = <A>(local: FiberLocal<A>): Effect.Effect<A> => FiberRef.get(local)

/** Another value for a region of code. */
export const within =
  <V>(local: FiberLocal<V>, value: V) => <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.locally(effect, local, value)
