/** Where a client samples, which is somewhere else when the server has lost the place and it can be made anew. */
import type { TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import * as FuturesApi from "../../FuturesApi.js"
import { cachedSuccess } from "../cachedSuccess.js"
import * as CompletionPoller from "./completionPoller.js"
import { mayBeRenewed } from "./lostSample.js"
import type { Options, Place } from "./sampler.js"

export interface Places {
  readonly current: () => ActivePlace
  /** The current place, made anew first if it is lost. */
  readonly available: Effect.Effect<ActivePlace, TinkerError>
  /** Whether it can be made anew. */
  readonly isRenewable: boolean
  /** The number of the next request there. */
  readonly nextSeqId: (place: ActivePlace) => Effect.Effect<number | bigint, TinkerError>
}

/** One place at which a client samples, from its creation on. */
export interface ActivePlace extends Place {
  readonly poller: Effect.Effect<CompletionPoller.CompletionPoller, TinkerError>
  issued: number
  isLost: boolean
}

/** Requests of a copy are numbered from its own number times this. Source: the Python SDK 0.38.0. */
const cloneRange = 1_000_000_000n

export const make = (
  { place, renew, restored }: Pick<Options, "place" | "renew" | "restored">
): Effect.Effect<Places, never, FuturesApi.FuturesApi | Scope.Scope> =>
  Effect.gen(function*() {
    const futures = yield* FuturesApi.FuturesApi
    const scope = yield* Scope.Scope
    // A copy in another process counts from a number of its own, so that no two requests have the same.
    const base = restored === undefined ? Effect.succeed(0n) : yield* cachedSuccess(restored.clone)
    const activate = (place: Place): Effect.Effect<ActivePlace> =>
      Effect.map(
        cachedSuccess(
          Effect.flatMap(
            base,
            (clone) => CompletionPoller.make({ futures, ...place, clonedSamplerId: Number(clone), scope })
          )
        ),
        (poller) => ({ ...place, poller, issued: 0, isLost: false })
      )
    let current = yield* activate(place)
    const renewing = yield* Effect.makeSemaphore(1)
    const isLost = () => current.isLost || mayBeRenewed(current.session.over())

    return {
      current: () => current,
      available: Effect.suspend(() =>
        renew === undefined || !isLost()
          ? Effect.succeed(current)
          : renewing.withPermits(1)(Effect.suspend(() =>
            isLost()
              ? Effect.map(Effect.flatMap(renew, activate), (renewed) => current = renewed)
              : Effect.succeed(current)
          ))
      ),
      isRenewable: renew !== undefined,
      nextSeqId: (place) =>
        Effect.map(base, (base) => {
          const number = place.issued++
          return base === 0n ? number : base * cloneRange + BigInt(number)
        })
    }
  })
