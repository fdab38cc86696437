/** What has come out already, as either a failure or a value, where an effect is wanted. */
import type * as Effect from "effect/Effect"
import type * as Either from "effect/Either"

/** The effect that gives the value of a `Right` and fails with that of a `Left`. It costs nothing: an `Either` is one. */
export const toEffect = <A, E>(either: Either.Either<A, E>): Effect.Effect<A, E> => either
