/**
 * The order of one model's requests. A call takes its place at once; its number on the wire is taken when it is sent.
 *
 * So calls keep their order whatever fiber made them, and a call that ends before it is sent leaves no hole: the server
 * executes by number and waits for missing ones.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import type * as Scope from "effect/Scope"
import * as RetryPolicy from "./RetryPolicy.js"
import { isDefinitelyRefused, type TinkerError } from "./TinkerError.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface RequestSequence {
  /**
   * Takes a place in the order in its first step, runs `prepare`, waits for the turn, and then sends.
   *
   * Interrupting before the turn gives the place back. What is being sent goes on in the sequence's scope, holding the
   * turn, because whether the server took it must be known before the next number can be used.
   */
  readonly run: <P, A>(options: {
    readonly prepare: Effect.Effect<P, TinkerError>
    readonly submit: (prepared: P, send: Send) => Effect.Effect<A, TinkerError>
  }) => Effect.Effect<A, TinkerError>
}

/**
 * Sends one numbered request, again and again by {@link RetryPolicy.transient} under the same number. A number that the
 * server definitely refused is used again by the next request.
 *
 * @since 0.1.0
 * @category models
 */
export type Send = <A>(attempt: (seqId: number) => Effect.Effect<A, TinkerError>) => Effect.Effect<A, TinkerError>

/**
 * The first request gets the number 1; 0 is the creation of the model.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (scope: Scope.Scope): RequestSequence => {
  const places: Array<Place> = []
  let seqId = 1

  const take = (): Place => {
    const place: Place = { turn: Deferred.unsafeMake<void>(FiberId.none), left: false }
    places.push(place)
    if (places[0] === place) Deferred.unsafeDone(place.turn, Effect.void)
    return place
  }

  const leave = (place: Place): void => {
    place.left = true
    while (places[0]?.left === true) {
      places.shift()
      if (places[0] !== undefined) Deferred.unsafeDone(places[0].turn, Effect.void)
    }
  }

  const send: Send = (attempt) =>
    Effect.suspend(() => {
      let outcomeUnknown = false
      return RetryPolicy.retry(
        Effect.tapError(attempt(seqId), (error) =>
          Effect.sync(() => {
            outcomeUnknown ||= !isDefinitelyRefused(error)
          }))
      ).pipe(
        Effect.onExit((exit) =>
          Effect.sync(() => {
            if (exit._tag === "Success" || outcomeUnknown) seqId++
          })
        )
      )
    })

  return {
    run: ({ prepare, submit }) =>
      Effect.uninterruptibleMask((restore) =>
        Effect.suspend(() => {
          const place = take()
          const left = Effect.sync(() => leave(place))
          return restore(Effect.tap(prepare, () => Deferred.await(place.turn))).pipe(
            Effect.onError(() => left),
            Effect.flatMap((prepared) =>
              Effect.forkIn(Effect.ensuring(Effect.interruptible(submit(prepared, send)), left), scope)
            ),
            Effect.flatMap((sending) => restore(Fiber.join(sending)))
          )
        })
      )
  }
}

interface Place {
  readonly turn: Deferred.Deferred<void>
  left: boolean
}
