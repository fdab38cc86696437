/**
 * A request that the server has accepted: its result, and what is happening to it meanwhile.
 */
import { type Check, fitting } from "@effect-tinker/protocol/Checks"
import * as FuturesMessages from "@effect-tinker/protocol/FuturesMessages"
import type { RequestId } from "@effect-tinker/protocol/Identifiers"
import {
  ApiResponseValidationError,
  ApiTimeoutError,
  RequestFailedError,
  SessionClosedError,
  type TinkerError
} from "@effect-tinker/protocol/TinkerError"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Budget } from "./internal/dispatch/dispatchLimiter.js"
import * as FuturesApi from "./FuturesApi.js"
import type { Track } from "./internal/call/callTrace.js"
import { CurrentProgress } from "./internal/call/heldToProgress.js"
import type { Observers } from "./internal/call/observers.js"
import { patienceFor, type Progress, shortestPatience, stuckAt } from "./internal/call/progress.js"
import { queueWarning } from "./internal/call/queueWarning.js"
import { stuckWarning } from "./internal/call/stuckWarning.js"
import { watchdog } from "./internal/call/watchdog.js"
import { FutureTrouble } from "./internal/futureTrouble.js"
import * as Given from "./internal/given.js"
import * as Monotonic from "./internal/monotonic.js"
import * as StateCell from "./internal/stateCell.js"
import { malformed, type Origin, unreadable } from "./internal/transport/decodeJson.js"
import * as RetryPolicy from "./RetryPolicy.js"
import type * as TinkerHttpClient from "./TinkerHttpClient.js"
import * as WaitingPolicy from "./WaitingPolicy.js"

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

/**
 * One submitted request, and how its result is read.
 *
 * @since 0.1.0
 * @category models
 */
export interface Submitted<A> {
  readonly requestId: RequestId
  readonly requestType: FuturesMessages.RequestType
  /** Named in errors, e.g. `TrainingClient.optimStep`. */
  readonly operation: string
  readonly decode: Decoder<A>
  /** The time from the call to its acceptance, in seconds. */
  readonly roundTrip?: number | undefined
  /** When the call was made, in milliseconds of the monotonic clock: a deadline counts from then. */
  readonly began?: number | undefined
  /** Kept by who submitted it, and who then also ends it when it is stuck. */
  readonly progress?: Progress | undefined
  /** The session that it is of. */
  readonly session?: TinkerHttpClient.SessionLife | undefined
  /** Known to be there, with this many bytes. */
  readonly finishedSize?: number | undefined
  /** The phases of the call, if somebody sees them. */
  readonly track?: Track | undefined
}

/**
 * Reads a result. Protobuf decoders throw an `Error` that names the field, and so may JSON decoders.
 *
 * @since 0.1.0
 * @category models
 */
export interface Decoder<A> {
  /** Absent where results have no such form. */
  readonly protobuf?: ((bytes: Uint8Array) => A) | undefined
  readonly json: (value: unknown, origin: Origin) => Effect.Effect<A, TinkerError>
}

/**
 * What waiting for results has in common within a client.
 *
 * @since 0.1.0
 * @category models
 */
export interface Waiting {
  readonly futures: FuturesApi.Service
  /** Bytes of large results on their way at once. */
  readonly responseBudget: Budget
  /** Who waits, e.g. `model S:train:0`, in warnings. */
  readonly label: string
  /** Logs a warning that something is stuck, unless this client did a moment ago. */
  readonly warn: (message: string) => Effect.Effect<void>
  /** The same for what the server says of queues. */
  readonly warnOfQueue: (message: string) => Effect.Effect<void>
  /** When a result last arrived, in milliseconds of the monotonic clock: then the others get on too. */
  readonly progress: { at: number }
  /** Who is told of failures and pauses. */
  readonly observers?: Observers | undefined
}

/**
 * A future, and the means to settle it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Pending<A, E> {
  readonly future: ApiFuture<A, E>
  readonly report: (state: State) => void
  /** Runs what gives the result. Its end is the future's; `cancel` interrupts it. May be called for one part at a time. */
  readonly settleWith: (work: Effect.Effect<A, E>) => Effect.Effect<void>
  /** Runs a part of the work, which `cancel` interrupts; a failure is the future's, and there is no value then. */
  readonly part: <B>(work: Effect.Effect<B, E>) => Effect.Effect<B | undefined>
}

/**
 * Runs before whoever awaits a future has its end.
 *
 * @since 0.1.0
 * @category models
 */
export type OnSettled<A> = (exit: Exit.Exit<A, unknown>) => Effect.Effect<void>

/**
 * @since 0.1.0
 * @category constructors
 */
export const makePending = <A, E>(
  operation: string,
  requestIds: ReadonlyArray<RequestId>,
  onSettled?: OnSettled<A>
): Pending<A, E | TinkerError> => {
  const result = Deferred.unsafeMake<A, E | TinkerError>(FiberId.none)
  const states = StateCell.make<State>({ _tag: "submitted" }, sameState)
  let cancelled = false
  let running: Fiber.RuntimeFiber<unknown, unknown> | undefined

  const reasonOf = (cause: Cause.Cause<E | TinkerError>): Exit.Exit<never, E | TinkerError> => {
    // What else was asked for is interrupted by the first failure.
    const failure = Cause.failureOption(cause)
    if (Option.isSome(failure)) return Exit.fail(failure.value)
    // Interrupted, but not by `cancel`: the scope of the client has closed.
    return Cause.isInterruptedOnly(cause) && !cancelled
      ? Exit.fail(new SessionClosedError({ operation, reason: "closed" }))
      : Exit.failCause(cause)
  }

  const settle = (exit: Exit.Exit<A, E | TinkerError>) =>
    Effect.suspend(() => {
      const settled = Exit.isSuccess(exit) ? exit : reasonOf(exit.cause)
      if (Exit.isSuccess(settled)) states.set({ _tag: "done" })
      else if (Cause.isInterruptedOnly(settled.cause)) states.set({ _tag: "cancelled" })
      else states.set({ _tag: "failed", error: Cause.squash(settled.cause) })
      states.end()
      const told = Deferred.done(result, settled)
      return onSettled === undefined ? Effect.asVoid(told) : Effect.zipRight(onSettled(settled), told)
    })

  const cancellable = <B>(work: Effect.Effect<B, E | TinkerError>) =>
    Effect.withFiberRuntime<B, E | TinkerError>((fiber) => {
      running = fiber
      return cancelled ? Effect.interrupt : work
    })

  return {
    future: {
      [TypeId]: TypeId,
      requestIds,
      await: Deferred.await(result),
      states: states.changes,
      cancel: Effect.suspend(() => {
        cancelled = true
        return running === undefined ? Effect.void : Effect.asVoid(Fiber.interrupt(running))
      })
    },
    report: states.set,
    settleWith: (work) =>
      Effect.uninterruptible(
        Effect.asVoid(Effect.exit(Effect.onExit(Effect.interruptible(cancellable(work)), settle)))
      ),
    part: (work) =>
      Effect.fork(cancellable(work)).pipe(
        Effect.flatMap(Fiber.await),
        Effect.flatMap((exit) =>
          Exit.isSuccess(exit)
            ? Effect.succeed(exit.value)
            : Effect.as(settle(Exit.failCause(exit.cause)), undefined)
        )
      )
  }
}

/**
 * Polls for the results of the chunks of one call in a fiber of the scope, and combines them in order. When one fails,
 * the others are no longer asked for.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = <A, B>(
  waiting: Waiting,
  scope: Scope.Scope,
  chunks: ReadonlyArray<Submitted<A>>,
  combine: (results: ReadonlyArray<A>) => B,
  onSettled?: OnSettled<B>
): Effect.Effect<ApiFuture<B>> =>
  Effect.suspend(() => {
    const pending = makePending<B, TinkerError>(
      chunks[0]!.operation,
      chunks.map((chunk) => chunk.requestId),
      onSettled
    )
    const work = Effect.map(retrieveAll(waiting, chunks, pending.report), combine)
    return Effect.as(settleIn(scope, pending, work), pending.future)
  })

/**
 * Runs what gives the result in a fiber of the scope. Closing the scope, also before the fiber has begun, ends the future.
 *
 * @since 0.1.0
 * @category utils
 */
export const settleIn = <A, E>(
  scope: Scope.Scope,
  pending: Pending<A, E>,
  work: Effect.Effect<A, E>
): Effect.Effect<void> =>
  // A fiber begins as uninterruptible as the one that forks it.
  Effect.uninterruptible(Effect.asVoid(Effect.forkIn(pending.settleWith(work), scope)))

/**
 * A future whose result is there.
 *
 * @since 0.1.0
 * @category constructors
 */
export const succeed = <A>(
  operation: string,
  value: A,
  onSettled?: OnSettled<A>
): Effect.Effect<ApiFuture<A>> => {
  const { future, settleWith } = makePending<A, TinkerError>(operation, [], onSettled)
  return Effect.as(settleWith(Effect.succeed(value)), future)
}

/**
 * Asks for several results at once.
 *
 * @since 0.1.0
 * @category utils
 */
export const retrieveAll = <A>(
  waiting: Waiting,
  chunks: ReadonlyArray<Submitted<A>>,
  report: (state: State) => void
): Effect.Effect<ReadonlyArray<A>, TinkerError> =>
  chunks.length === 1
    ? Effect.map(retrieve(waiting, chunks[0]!, report), (result) => [result])
    : Effect.forEach(chunks, (chunk) => retrieve(waiting, chunk, report), { concurrency: "unbounded" })

/**
 * Asks for one result until it is there, or the `WaitingPolicy` in force says otherwise.
 *
 * @since 0.1.0
 * @category utils
 */
export const retrieve = <A>(
  waiting: Waiting,
  submitted: Submitted<A>,
  report?: ((state: State) => void) | undefined
): Effect.Effect<A, TinkerError> =>
  Effect.withFiberRuntime((fiber) => {
    const policy = Context.get(fiber.currentContext, WaitingPolicy.CurrentWaitingPolicy)
    const progress = submitted.progress ?? Context.get(fiber.currentContext, CurrentProgress)
    return Effect.clockWith((clock) => {
      const now = Monotonic.unsafeNow(clock)
      const waiter = new Waiter(waiting, { ...submitted, progress }, report, policy, now)
      const watched = policy.failsWhenStuck && progress === undefined
        ? watchdog(waiter.run, () => waiter.stuckAt(), shortestPatience(policy), waiter.failAsStuck)
        : waiter.run
      const left = Duration.toMillis(policy.deadline) - (now - (submitted.began ?? now))
      return Effect.catchAll(
        Duration.isFinite(policy.deadline)
          ? Effect.timeoutFail(watched, {
            duration: Math.max(0, Math.ceil(left)),
            onTimeout: () => waiter.timeout("waiting", policy.deadline)
          })
          : watched,
        waiter.onFailure
      )
    })
  })

/** The wait for one result. A class, because thousands of them wait at once and each is stepped many times. */
class Waiter<A> {
  private readonly waiting: Waiting
  private readonly submitted: Submitted<A>
  private readonly reportState: ((state: State) => void) | undefined
  private readonly policy: WaitingPolicy.WaitingPolicy
  private iteration = 0
  private allowMetadataOnly: boolean
  private state = "submitted"
  /** What the server said last. */
  private said: FuturesApi.QueueState | undefined
  private saidWhy: string | undefined
  private readonly progress: Progress
  private isRetrying = false
  private stuck = false
  private trouble: FutureTrouble | undefined
  private inProtobuf = false

  constructor(
    waiting: Waiting,
    submitted: Submitted<A>,
    reportState: ((state: State) => void) | undefined,
    policy: WaitingPolicy.WaitingPolicy,
    now: number
  ) {
    this.waiting = waiting
    this.submitted = submitted
    this.reportState = reportState
    this.policy = policy
    this.progress = submitted.progress ?? { at: now, isActive: false }
    this.allowMetadataOnly = (submitted.finishedSize ?? 0) === 0
  }

  readonly run: Effect.Effect<A, TinkerError> = Effect.suspend(() => {
    const { finishedSize, requestId, track } = this.submitted
    track?.enter("queued", { requestId })
    return finishedSize === undefined || finishedSize === 0 ? this.ask : this.askForLarge(finishedSize)
  })

  report(state: State): void {
    this.isRetrying = state._tag === "retrying"
    this.state = describe(state)
    this.reportState?.(state)
  }

  timeout(reason: "waiting" | "stuck", deadline: Duration.Duration): ApiTimeoutError {
    const { operation, requestId } = this.submitted
    return new ApiTimeoutError({ operation, reason, deadline, requestId, state: this.state })
  }

  readonly onFailure = (error: TinkerError): Effect.Effect<never, TinkerError> =>
    this.withTrouble(Effect.fail(error), (trouble) => {
      trouble.failed(error, Math.max(0, this.iteration - 1), false, this.inProtobuf)
    })

  private troubled(): FutureTrouble | undefined {
    const { observers } = this.waiting
    return observers === undefined ? undefined : this.trouble ??= new FutureTrouble(observers, this.submitted)
  }

  /** Goes on when what there was of trouble is told. */
  private withTrouble<B>(
    effect: Effect.Effect<B, TinkerError>,
    note: (trouble: FutureTrouble) => void
  ): Effect.Effect<B, TinkerError> {
    const trouble = this.troubled()
    if (trouble === undefined) return effect
    note(trouble)
    return Effect.zipRight(trouble.finish, effect)
  }

  private readonly ask: Effect.Effect<A, TinkerError> = Effect.suspend(() => {
    const iteration = this.iteration++
    return Effect.clockWith((clock) => {
      const asked = Monotonic.unsafeNow(clock)
      return Effect.flatMap(
        RetryPolicy.resend((attempts) => this.askOnce(iteration, attempts), {
          policy: "poll",
          onRetry: this.onRetry
        }),
        (answer) => {
          if (answer._tag !== "Result") return this.read(answer, asked)
          this.waiting.progress.at = Monotonic.unsafeNow(clock)
          return Effect.succeed(answer.value)
        }
      )
    })
  })

  /** A result that cannot be read is asked for again as one that did not arrive: the server still has it. */
  private askOnce(
    iteration: number,
    attempts: TinkerHttpClient.Attempts
  ): Effect.Effect<Unfinished | Result<A>, TinkerError> {
    const { decode, operation, requestId, requestType, roundTrip, session } = this.submitted
    return Effect.flatMap(
      this.waiting.futures.retrieve({
        requestId,
        requestType,
        iteration,
        allowMetadataOnly: this.allowMetadataOnly,
        protobuf: decode.protobuf !== undefined,
        roundTrip,
        attempts,
        session,
        call: operation,
        onBillingPause: this.onBillingPause
      }),
      (reply): Effect.Effect<Unfinished | Result<A>, TinkerError> => {
        switch (reply._tag) {
          case "Json":
            return this.decoded(reply.response, malformed, (origin) => decode.json(reply.value, origin))
          case "Protobuf":
            this.inProtobuf = true
            return this.decoded(reply.response, unreadable, (origin) =>
              decode.protobuf === undefined
                ? malformed(origin, "it is protobuf, and JSON was asked for")
                : Effect.succeed(decode.protobuf(reply.response.body)))
          default:
            return Effect.succeed(reply)
        }
      }
    )
  }

  private read(reply: Unfinished, asked: number): Effect.Effect<A, TinkerError> {
    const { operation, requestId } = this.submitted
    switch (reply._tag) {
      case "Pending":
        return Effect.flatMap(Monotonic.now, (now) => {
          const noted = this.notePending(reply, now)
          return Effect.zipRight(Effect.all([noted, this.checkStuck(now), pace(asked, now)]), this.ask)
        })
      case "MetadataOnly":
        return this.allowMetadataOnly
          ? this.askForLarge(reply.size)
          : new ApiResponseValidationError({
            operation,
            requestId,
            description: "the result was announced twice and not sent"
          })
      case "Failed":
        return new RequestFailedError({
          operation,
          requestId,
          category: reply.category,
          description: reply.description
        })
    }
  }

  private decoded(
    response: TinkerHttpClient.Response,
    misfit: typeof malformed,
    decode: (origin: Origin) => Effect.Effect<A, TinkerError>
  ): Effect.Effect<Result<A>, TinkerError> {
    const { operation, requestId, track } = this.submitted
    const origin: Origin = { operation, requestId, response }
    track?.arrived()
    try {
      const decoded = this.trouble === undefined ? decode(origin) : Effect.zipLeft(decode(origin), this.trouble.finish)
      return Effect.map(decoded, (value) => {
        if (track?.isPart === true) track.partRead()
        return { _tag: "Result", value }
      })
    } catch (cause) {
      return misfit(origin, cause instanceof Error ? cause.message : "it is damaged", cause)
    }
  }

  /** The result is there and large: its bytes are reserved until it is decoded. */
  private askForLarge(size: number): Effect.Effect<A, TinkerError> {
    this.allowMetadataOnly = false
    return this.waiting.responseBudget.withPermits(size)(this.ask)
  }

  private notePending(reply: FuturesApi.Pending, now: number): Effect.Effect<void> {
    if (reply.isTimeout === true) this.troubled()?.timedOut(this.iteration - 1)
    if (reply.queueState !== this.said || reply.reason !== this.saidWhy) {
      this.said = reply.queueState
      this.saidWhy = reply.reason
      this.progress.at = now
      this.progress.isActive = reply.queueState === "active"
      this.stuck = false
    }
    if (reply.queueState === "active") {
      this.trouble?.resumed(reply.reason)
      this.submitted.track?.enter("running")
      if (!this.stuck) this.report({ _tag: "running", reason: reply.reason })
      return Effect.void
    }
    if (reply.queueState !== undefined || reply.reason !== undefined) {
      const { reason, queueState = "unknown" } = reply
      this.troubled()?.paused(reply)
      this.submitted.track?.enter("queued", { queueState })
      return Effect.zipRight(
        this.waiting.warnOfQueue(queueWarning(this.waiting.label, reply)),
        Effect.clockWith((clock) => {
          const since = DateTime.unsafeMake(clock.unsafeCurrentTimeMillis())
          if (!this.stuck) this.report({ _tag: "queued", queueState, reason, since })
          return Effect.void
        })
      )
    }
    // The server is back, and says nothing of the queue.
    if (this.isRetrying && !this.stuck) this.report({ _tag: "submitted" })
    return Effect.void
  }

  private readonly onBillingPause = (since: DateTime.Utc): void => {
    const paused: State = { _tag: "paused", reason: "billing", since }
    if (this.state !== describe(paused)) this.waiting.observers?.metrics?.queuePaused("billing")
    this.report(paused)
  }

  private readonly onRetry = (attempt: number, error: TinkerError): Effect.Effect<void, TinkerError> => {
    this.troubled()?.failed(error, this.iteration - 1, true, this.inProtobuf)
    if (!this.stuck) this.report({ _tag: "retrying", attempt, error })
    return Effect.flatMap(Monotonic.now, (now) => this.checkStuck(now))
  }

  stuckAt(): number {
    return stuckAt(this.progress, this.waiting.progress.at, this.policy)
  }

  readonly failAsStuck = (): Effect.Effect<never, ApiTimeoutError> => {
    this.troubled()?.stuck()
    return Effect.fail(this.timeout("stuck", patienceFor(this.progress, this.policy)))
  }

  /** One that fails when it is stuck is ended from outside, at the very moment. */
  private checkStuck(now: number): Effect.Effect<void, TinkerError> {
    if (this.stuck || this.policy.failsWhenStuck || now < this.stuckAt()) return Effect.void
    this.stuck = true
    this.troubled()?.stuck()
    const before = this.state
    const stuckAfter = patienceFor(this.progress, this.policy)
    const { operation, requestId } = this.submitted
    return Effect.clockWith((clock) => {
      const standing = Monotonic.unsafeNow(clock) - Math.max(this.progress.at, this.waiting.progress.at)
      this.report({ _tag: "stuck", since: DateTime.unsafeMake(Math.round(clock.unsafeCurrentTimeMillis() - standing)) })
      return this.waiting.warn(
        stuckWarning({ operation, requestId, label: this.waiting.label, stuckAfter, state: before })
      )
    })
  }
}

/** What is no result yet, or never will be. */
type Unfinished = FuturesApi.Pending | FuturesApi.MetadataOnly | FuturesApi.Failed

interface Result<A> {
  readonly _tag: "Result"
  readonly value: A
}

/**
 * The shortest time between two questions, in milliseconds: the server is to hold the question; one that answers at once is not asked as
 * fast as it answers.
 */
const shortestInterval = 100

const pace = (asked: number, now: number): Effect.Effect<void> =>
  now >= asked + shortestInterval ? Effect.void : Effect.sleep(Math.ceil(asked + shortestInterval - now))

/**
 * A state in words, for errors.
 *
 * @internal
 */
export const describe = (state: State): string => {
  switch (state._tag) {
    case "queued":
      return `${state.queueState}${state.reason === undefined ? "" : `: ${state.reason}`}`
    case "running":
      return `active${state.reason === undefined ? "" : `: ${state.reason}`}`
    case "paused":
      return "no credit"
    case "retrying":
      return `asking for it failed: ${state.error.message}`
    default:
      return state._tag
  }
}

const sameState = (a: State, b: State): boolean => {
  if (a._tag === "queued" && b._tag === "queued") return a.queueState === b.queueState && a.reason === b.reason
  if (a._tag === "running" && b._tag === "running") return a.reason === b.reason
  return a._tag === b._tag && a._tag !== "retrying"
}
