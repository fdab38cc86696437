import * as Effect from "effect/Effect"
import type { WatchedRequest } from "./requestWatch.js"

/** Tells whoever watches the request when nobody waits for it any more. */
export const unlessInterrupted = <A, E>(
  effect: Effect.Effect<A, E>,
  watched: WatchedRequest | undefined
): Effect.Effect<A, E> =>
  watched === undefined ? effect : Effect.onInterrupt(effect, () => Effect.sync(() => watched.interrupted()))
