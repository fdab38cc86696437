/**
 * A request that the server has accepted: its result, and what is happening to it meanwhile.
 */
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Predicate from "effect/Predicate"
import * as PubSub from "effect/PubSub"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Take from "effect/Take"
import type * as FuturesApi from "./FuturesApi.js"
import type { RequestId } from "./Identifiers.js"
import * as RetryPolicy from "./RetryPolicy.js"
import { ApiResponseValidationError, RequestFailedError, type TinkerError } from "./TinkerError.js"

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
export interface ApiFuture<out A> {
  readonly [TypeId]: TypeId
  /** One a chunk of the call. */
  readonly requestIds: ReadonlyArray<RequestId>
  /**
   * The result, asked for once however often it is awaited. Interrupting ends this wait alone.
   */
  readonly await: Effect.Effect<A, TinkerError>
  /** Everything that happened and happens, from `submitted` on; ends with `done` or `failed`. */
  readonly states: Stream.Stream<State>
  /** Stops asking for the result; whoever awaits it is interrupted. The server is not told. */
  readonly cancel: Effect.Effect<void>
}

/**
 * What is known of a request. `active` and `paused` are the server's words: its queue moves, or stands still for `reason`.
 *
 * @since 0.1.0
 * @category models
 */
export type State =
  | { readonly _tag: "submitted" }
  | { readonly _tag: "active"; readonly reason: string | undefined }
  | {
    readonly _tag: "paused"
    readonly queueState: FuturesApi.QueueState
    readonly reason: string | undefined
    /** When the server first said so. */
    readonly since: DateTime.Utc
  }
  | { readonly _tag: "done" }
  | { readonly _tag: "failed"; readonly error: TinkerError }

/**
 * @since 0.1.0
 * @category guards
 */
export const isApiFuture = (u: unknown): u is ApiFuture<unknown> => Predicate.hasProperty(u, TypeId)

/**
 * Submits and awaits in one go.
 *
 * @since 0.1.0
 * @category combinators
 */
export const flatten = <A, E, R>(
  submit: Effect.Effect<ApiFuture<A>, E, R>
): Effect.Effect<A, E | TinkerError, R> => Effect.flatMap(submit, (future) => future.await)

/**
 * One submitted request, and how its result is read.
 *
 * @since 0.1.0
 * @category models
 */
export interface Submitted<A> {
  readonly requestId: RequestId
  readonly requestType: FuturesApi.RequestType
  /** Named in errors, e.g. `TrainingClient.optimStep`. */
  readonly operation: string
  readonly decode: Decoder<A>
}

/**
 * Reads a result. Protobuf decoders throw an `Error` that names the field.
 *
 * @since 0.1.0
 * @category models
 */
export type Decoder<A> =
  | { readonly _tag: "Json"; readonly decode: (value: unknown) => Effect.Effect<A, TinkerError> }
  | { readonly _tag: "Protobuf"; readonly decode: (bytes: Uint8Array) => A }

/**
 * Polls for the results of the chunks of one call in a fiber of the scope, and combines them in order.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = <A, B>(
  futures: FuturesApi.Service,
  scope: Scope.Scope,
  chunks: ReadonlyArray<Submitted<A>>,
  combine: (results: ReadonlyArray<A>) => B
): Effect.Effect<ApiFuture<B>> =>
  Effect.gen(function*() {
    const result = yield* Deferred.make<B, TinkerError>()
    // Replayed to every subscriber, however late; a request passes through few states.
    const history = yield* PubSub.unbounded<Take.Take<State>>({ replay: Infinity })
    let last: State | undefined
    const publish = (state: State): Effect.Effect<void> =>
      Effect.suspend(() => {
        if (last !== undefined && sameState(last, state)) return Effect.void
        last = state
        return PubSub.publish(history, Take.of(state))
      })
    yield* publish({ _tag: "submitted" })

    const fiber = yield* Effect.forEach(chunks, (chunk) => retrieve(futures, chunk, publish), {
      concurrency: "unbounded"
    }).pipe(
      Effect.map(combine),
      Effect.tap(() => publish({ _tag: "done" })),
      Effect.tapError((error) => publish({ _tag: "failed", error })),
      Effect.onExit((exit) => Effect.zipRight(PubSub.publish(history, Take.end), Deferred.done(result, exit))),
      Effect.interruptible,
      Effect.forkIn(scope)
    )

    return {
      [TypeId]: TypeId,
      requestIds: chunks.map((chunk) => chunk.requestId),
      await: Deferred.await(result),
      states: Stream.flattenTake(Stream.fromPubSub(history)),
      cancel: Effect.asVoid(Fiber.interrupt(fiber))
    }
  })

/**
 * Asks for one result until it is there.
 *
 * @since 0.1.0
 * @category utils
 */
export const retrieve = <A>(
  futures: FuturesApi.Service,
  submitted: Submitted<A>,
  report: (state: State) => Effect.Effect<void>
): Effect.Effect<A, TinkerError> =>
  Effect.gen(function*() {
    const { decode, operation, requestId, requestType } = submitted
    let allowMetadataOnly = true
    let emptyBadRequests = 0
    for (let iteration = 0;; iteration++) {
      const asked = yield* Clock.currentTimeMillis
      const reply = yield* futures.retrieve({
        requestId,
        requestType,
        iteration,
        allowMetadataOnly,
        protobuf: decode._tag === "Protobuf"
      }).pipe(
        Effect.retry(RetryPolicy.poll),
        Effect.catchIf(
          // A 400 without a word comes from a proxy on the way, not from the service.
          (error) => isEmptyBadRequest(error) && emptyBadRequests++ < mostEmptyBadRequests,
          () => Effect.succeed<FuturesApi.Reply>({ _tag: "Pending", queueState: undefined, reason: undefined })
        )
      )
      switch (reply._tag) {
        case "Pending": {
          if (reply.queueState !== undefined || reply.reason !== undefined) {
            yield* report(toState(reply, yield* DateTime.now))
          }
          yield* pace(asked)
          continue
        }
        case "MetadataOnly": {
          if (!allowMetadataOnly) {
            return yield* new ApiResponseValidationError({
              operation,
              description: `the result of ${requestId} was announced twice and not sent`
            })
          }
          allowMetadataOnly = false
          continue
        }
        case "Failed":
          return yield* new RequestFailedError({
            operation,
            requestId,
            category: reply.category,
            description: reply.description
          })
        case "Json":
          return decode._tag === "Json"
            ? yield* decode.decode(reply.value)
            : yield* new ApiResponseValidationError({
              operation,
              description: `the result of ${requestId} is JSON; protobuf was asked for`
            })
        case "Protobuf":
          return decode._tag === "Protobuf"
            ? yield* decodeBytes(operation, decode.decode, reply.bytes)
            : yield* new ApiResponseValidationError({
              operation,
              description: `the result of ${requestId} is protobuf; JSON was asked for`
            })
      }
    }
  })

/** Source: the Python SDK 0.38.0. */
const mostEmptyBadRequests = 3

const isEmptyBadRequest = (error: TinkerError): boolean =>
  error._tag === "ApiStatusError" && error.reason === "BadRequest" && error.detail === ""

/** The server is to hold the question; one that answers at once is asked ten times a second, not as fast as it answers. */
const pace = (asked: number): Effect.Effect<void> =>
  Effect.flatMap(Clock.currentTimeMillis, (now) => Effect.sleep(Duration.millis(Math.max(0, asked + 100 - now))))

const toState = ({ queueState, reason }: FuturesApi.Pending, now: DateTime.Utc): State =>
  queueState === undefined || queueState === "active"
    ? { _tag: "active", reason }
    : { _tag: "paused", queueState, reason, since: now }

const sameState = (a: State, b: State): boolean => {
  if (a._tag === "paused" && b._tag === "paused") return a.queueState === b.queueState && a.reason === b.reason
  return a._tag === b._tag && !(a._tag === "active" && b._tag === "active" && a.reason !== b.reason)
}

const decodeBytes = <A>(operation: string, decode: (bytes: Uint8Array) => A, bytes: Uint8Array) =>
  Effect.try({
    try: () => decode(bytes),
    catch: (cause) =>
      new ApiResponseValidationError({
        operation,
        description: cause instanceof Error ? cause.message : "the protobuf message is damaged",
        cause
      })
  })
