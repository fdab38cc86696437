import * as Effect from "effect/Effect"

/** One after the other; where there is nothing to do first, as for nearly every request, that costs nothing. */
export const after = <E, A, E2>(
  first: Effect.Effect<void, E>,
  next: () => Effect.Effect<A, E2>
): Effect.Effect<A, E | E2> => first === Effect.void ? next() : Effect.flatMap(first, next)
