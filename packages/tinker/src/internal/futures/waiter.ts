/** The wait for one result: what is asked, what the answers say, and what is told of them meanwhile. */
import {
  ApiResponseValidationError,
  ApiTimeoutError,
  RequestFailedError,
  type TinkerError
} from "@effect-tinker/protocol/TinkerError"
import * as DateTime from "effect/DateTime"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { State } from "../../ApiFuture.js"
import type * as FuturesApi from "../../FuturesApi.js"
import * as RetryPolicy from "../../RetryPolicy.js"
import type * as TinkerHttpClient from "../../TinkerHttpClient.js"
import type * as WaitingPolicy from "../../WaitingPolicy.js"
import { type Progress, progressTimeout, stuckAt } from "../call/progress.js"
import { queueWarning } from "../call/queueWarning.js"
import { stuckWarning } from "../call/stuckWarning.js"
import * as Monotonic from "../monotonic.js"
import type { Attempts } from "../transport/attempts.js"
import { malformed, type Origin, unreadable } from "../transport/decodeJson.js"
import { FutureTrouble } from "./futureTrouble.js"
import { inWords } from "./stateWords.js"
import type { Submitted, Waiting } from "./submitted.js"

/** A class, because thousands of them wait at once and each is stepped many times. */
export class Waiter<A> {
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
    this.state = inWords(state)
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
    attempts: Attempts
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
    if (this.state !== inWords(paused)) this.waiting.observers?.metrics?.queuePaused("billing")
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
    return Effect.fail(this.timeout("stuck", progressTimeout(this.progress, this.policy)))
  }

  /** One that fails when it is stuck is ended from outside, at the very moment. */
  private checkStuck(now: number): Effect.Effect<void, TinkerError> {
    if (this.stuck || this.policy.failsWhenStuck || now < this.stuckAt()) return Effect.void
    this.stuck = true
    this.troubled()?.stuck()
    const before = this.state
    const stuckAfter = progressTimeout(this.progress, this.policy)
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

const pace = (asked: number, now: number): Effect.Effect<void> => Monotonic.sleep(asked + shortestInterval - now)
