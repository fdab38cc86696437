/**
 * A request that the server has accepted: its result, and what is happening to it meanwhile.
 */
import { type Check, fitting } from "@effect-tinker/protocol/Checks"
import type { RequestId } from "@effect-tinker/protocol/Identifiers"
import { type TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import type * as Either from "effect/Either"
import * as Predicate from "effect/Predicate"
import * as Stream from "effect/Stream"
import * as FuturesApi from "./FuturesApi.js"
import * as Given from "./internal/given.js"

/**
 * @since 0.1.0
 * @category type ids
 */
export const TypeId: unique symbol = Symbol.for("effect-tinker/ApiFuture")

/**
 * @since 0.1.0
 * @category type ids
 */
export type TypeId = typeof TypeId

/**
 * @since 0.1.0
 * @category models
 */
export interface ApiFuture<out A, out E = TinkerError> {
  readonly [TypeId]: TypeId
  /** One a chunk of the call. */
  readonly requestIds: ReadonlyArray<RequestId>
  /**
   * The result, asked for once however often it is awaited. Interrupting ends this wait alone. `ApiStatusError` of reason
   * `Expired` when the server no longer knows the request, `RequestFailedError` when it failed there, `ApiTimeoutError`
   * by the `WaitingPolicy` of the call, `SessionClosedError` when the client is closed before.
   */
  readonly await: Effect.Effect<A, E>
  /** The present state and those that follow, to `done`, `failed` or `cancelled`. */
  readonly states: Stream.Stream<State>
  /** Stops asking for the result; whoever awaits it is interrupted. The server is not told: it runs what it accepted. */
  readonly cancel: Effect.Effect<void>
}

/**
 * What is known of a request:
 *
 * - `submitted`: accepted, nothing else is known
 * - `queued`: the server says that its queue stands still, and why
 * - `running`: the server says that its queue moves
 * - `paused`: the account has no credit
 * - `retrying`: asking for the result failed, and is tried again
 * - `stuck`: no progress was reported for as long as `WaitingPolicy` says
 * - `done`, `failed`
 * - `cancelled`: the result is not asked for any more
 *
 * @since 0.1.0
 * @category models
 */
export type State =
  | { readonly _tag: "submitted" }
  | {
    readonly _tag: "queued"
    readonly queueState: FuturesApi.QueueState
    readonly reason: string | undefined
    /** When the server first said so. */
    readonly since: DateTime.Utc
  }
  | { readonly _tag: "running"; readonly reason: string | undefined }
  | { readonly _tag: "paused"; readonly reason: "billing"; readonly since: DateTime.Utc }
  | { readonly _tag: "retrying"; readonly attempt: number; readonly error: TinkerError }
  | { readonly _tag: "stuck"; readonly since: DateTime.Utc }
  | { readonly _tag: "done" }
  | { readonly _tag: "failed"; readonly error: unknown }
  | { readonly _tag: "cancelled" }

/**
 * @since 0.1.0
 * @category guards
 */
export const isApiFuture = (u: unknown): u is ApiFuture<unknown, unknown> => Predicate.hasProperty(u, TypeId)

/**
 * Submits and awaits in one go.
 *
 * @since 0.1.0
 * @category combinators
 */
export const flatten = <A, E2, E, R>(
  submit: Effect.Effect<ApiFuture<A, E2>, E, R>
): Effect.Effect<A, E | E2, R> =>
  Given.around(
    "ApiFuture.flatten",
    [submit],
    { submit: Given.effect },
    () =>
      Effect.flatMap(
        submit,
        (future) => Given.around("ApiFuture.flatten", [future], { result: futureCheck }, () => future.await)
      )
  )

const futureCheck = fitting(isApiFuture, "it must be an ApiFuture, as calls that are submitted give")

/**
 * Awaits all, each with its result or its failure in its place.
 *
 * @example
 * ```ts
 * import { BigramEngine } from "@effect-tinker/engine"
import { TinkerServer } from "@effect-tinker/server"
 * import { Effect, Layer } from "effect"
 * import { ApiFuture, Datum, ServiceClient, Tinker } from "effect-tinker"
 *
 * // Two passes under way at once; one of them may fail without the other.
 * const program = Effect.gen(function*() {
 *   const service = yield* ServiceClient.ServiceClient
 *   const training = yield* service.createLoraTrainingClient({ baseModel: "bigram", rank: 4 })
 *   const data = [Datum.fromTokens(Int32Array.of(1, 2, 3), Float32Array.of(0, 1, 1))]
 *   const futures = yield* Effect.all([
 *     training.forward({ data, lossFn: "cross_entropy" }),
 *     training.forward({ data, lossFn: "cross_entropy" })
 *   ])
 *   return yield* ApiFuture.awaitAll(futures)
 * })
 *
 * const Local = Tinker.layer().pipe(Layer.provide(TinkerServer.layerClient), Layer.provide(BigramEngine.layer()))
 *
 * await Effect.runPromise(Effect.provide(program, Local))
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const awaitAll = <A, E>(
  futures: Iterable<ApiFuture<A, E>>
): Effect.Effect<Array<Either.Either<A, E>>> =>
  Given.around("ApiFuture.awaitAll", [futures], { futures: iterable }, () => {
    // What is no list may be read once alone.
    const all = Array.from(futures)
    return Given.around(
      "ApiFuture.awaitAll",
      [all],
      { futures: futuresCheck },
      () => Effect.forEach(all, (future) => Effect.either(future.await), { concurrency: "unbounded" })
    )
  })

const futuresCheck: Check = (value, field) =>
  (value as ReadonlyArray<unknown>).flatMap((future, i) => futureCheck(future, `${field}[${i}]`))

const iterable = fitting(
  (value) => Predicate.isIterable(value) && typeof value !== "string",
  "pass a list of futures"
)
