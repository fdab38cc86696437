/**
 * One long poll that tells which samples of a sampling session are finished, instead of one for each sample.
 *
 * When the server refuses it, the samples that wait are asked for singly, and the poll is tried again with the next ones.
 * When the client is closed they are too, by which they learn of it.
 */
import * as FuturesMessages from "@effect-tinker/protocol/FuturesMessages"
import type { RequestId, SamplingSessionId } from "@effect-tinker/protocol/Identifiers"
import type { TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Scope from "effect/Scope"
import * as FuturesApi from "./FuturesApi.js"
import * as Monotonic from "./internal/monotonic.js"
import * as PolicyRun from "./internal/transport/policyRun.js"
import * as RetryPolicy from "./RetryPolicy.js"
import type { SessionLife } from "./TinkerHttpClient.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface CompletionPoller {
  /**
   * Waits until the server has finished a request. The size of its result in bytes, 0 when unknown; `undefined` when the
   * result has to be asked for singly. `peek` asks for this request alone, and says whether its result is there; it runs
   * once a minute while the request is the one that waits longest. It is given how long that is, in milliseconds.
   */
  readonly finished: (
    requestId: RequestId,
    peek: (waited: number) => Effect.Effect<boolean>
  ) => Effect.Effect<number | undefined>
  /** The result has been read, so that the server may throw it away. */
  readonly acknowledge: (requestId: RequestId) => Effect.Effect<void>
}

/** The time limit of a poll that only acknowledges. Source: the Python SDK 0.38.0. */
const acknowledgeTimeout = Duration.seconds(5)

/** The end of a program does not wait longer than this for the last acknowledgement. */
const goodbye = Duration.seconds(2)

/** A sample that takes longer is asked for by itself, as the common poll tells nothing of queues. */
const slow = Duration.toMillis("30 seconds")

const betweenPeeks = Duration.toMillis("1 minute")

/** Completions of samples that nobody waits for yet. The oldest make room: many are of samples that were given up. */
const mostEarly = 10_000

/**
 * Polls while something waits, in the scope; the question ends with the last that waits. Closing the scope sends the last acknowledgements.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: {
  readonly futures: FuturesApi.Service
  readonly samplingSessionId: SamplingSessionId
  readonly session: SessionLife
  /** 0 for the original client of the sampling session. */
  readonly clonedSamplerId: number
  readonly scope: Scope.Scope
}): Effect.Effect<CompletionPoller> =>
  Effect.gen(function*() {
    const { clonedSamplerId, futures, samplingSessionId, scope, session } = options
    const waiting = new Map<RequestId, Entry>()
    const early = new Map<RequestId, number>()
    const read = new Set<RequestId>()
    let cursor = 0
    let running = false
    let ended = false
    let failures: PolicyRun.PolicyRun | undefined
    let peekedAt = -Infinity
    let unwanted = () => {}

    const ask = (timeout: number | undefined, limit: Duration.Duration) =>
      Effect.suspend(() => {
        const acknowledged = Array.from(read).sort()
        for (const id of acknowledged) read.delete(id)
        return futures.retrieveMany(
          {
            target: { type: "sampling_session", samplingSessionId, clonedSamplerId },
            prevCursor: cursor,
            timeout,
            retrievedRequestIds: acknowledged
          },
          limit,
          { session }
        ).pipe(
          Effect.onError(() =>
            Effect.sync(() => {
              for (const id of acknowledged) read.add(id)
            })
          )
        )
      })

    const tell = (reply: FuturesMessages.FuturesRetrieveResponse) => {
      cursor = reply.cursor
      failures = undefined
      for (const { requestId, size = 0 } of reply.completions) {
        const entry = waiting.get(requestId)
        if (entry === undefined) {
          early.set(requestId, size)
          if (early.size > mostEarly) early.delete(early.keys().next().value!)
        } else {
          waiting.delete(requestId)
          Deferred.unsafeDone(entry.result, Effect.succeed(size))
        }
      }
    }

    const release = () => {
      for (const entry of waiting.values()) Deferred.unsafeDone(entry.result, Effect.succeed(undefined))
      waiting.clear()
    }

    /**
     * Waits after a failure by the policy `completions`, and says whether to ask again. When that is over, or the failure is final, those
     * who wait ask singly.
     */
    const afterFailure = (error: TinkerError) =>
      Effect.gen(function*() {
        // A poll without an answer is one that the server held for too long.
        if (error._tag === "ApiTimeoutError") return true
        const { completions, retryable } = yield* RetryPolicy.CurrentPolicies
        failures ??= PolicyRun.begin(completions)
        const wait = yield* failures.next(error)
        if (wait === undefined || !retryable(error)) {
          release()
          yield* Effect.logDebug("finished samples cannot be asked for together now", error.message)
        }
        if (wait === undefined) {
          failures = undefined
          return false
        }
        yield* PolicyRun.sleep(wait)
        return true
      })

    const peekAtOldest = Effect.flatMap(Monotonic.now, (now) => {
      const [oldest] = waiting
      if (oldest === undefined || now - peekedAt < betweenPeeks) return Effect.void
      const [requestId, entry] = oldest
      const waited = now - entry.since
      if (waited < slow) return Effect.void
      peekedAt = now
      const peek = Effect.map(entry.peek(waited), (isThere) => {
        if (isThere && waiting.delete(requestId)) Deferred.unsafeDone(entry.result, Effect.succeed(undefined))
      })
      return Effect.map(Effect.forkIn(Effect.interruptible(peek), scope), (fiber) => {
        entry.peeking = fiber
      })
    })

    /** A question that nobody wants answered any more ends, and frees what the server holds for it. */
    const whileWanted = (question: Effect.Effect<boolean>) =>
      Effect.raceFirst(
        question,
        Effect.async<boolean>((resume) => {
          unwanted = () => resume(Effect.succeed(true))
        })
      )

    const loop = Effect.gen(function*() {
      let goesOn = true
      while (goesOn && (waiting.size > 0 || read.size > 0)) {
        const idle = waiting.size === 0
        goesOn = yield* whileWanted(
          Effect.matchEffect(ask(idle ? 0 : undefined, idle ? acknowledgeTimeout : FuturesApi.pollTimeout), {
            onSuccess: (reply) =>
              Effect.sync(() => {
                tell(reply)
                return true
              }),
            onFailure: afterFailure
          })
        )
        yield* peekAtOldest
      }
      running = false
    })

    const giveUp = (requestId: RequestId, { peeking }: Entry) =>
      Effect.suspend(() => {
        if (waiting.delete(requestId) && waiting.size === 0) unwanted()
        return peeking === undefined ? Effect.void : Fiber.interrupt(peeking)
      })

    const start = Effect.suspend(() => {
      if (running) return Effect.void
      running = true
      return Effect.asVoid(Effect.forkIn(Effect.interruptible(loop), scope))
    })

    yield* Scope.addFinalizer(
      scope,
      Effect.suspend(() => {
        ended = true
        release()
        return read.size === 0
          ? Effect.void
          : Effect.ignore(Effect.timeout(Effect.interruptible(ask(0, acknowledgeTimeout)), goodbye))
      })
    )

    return {
      finished: (requestId, peek) =>
        Effect.flatMap(Monotonic.now, (since) => {
          if (ended) return Effect.succeed(undefined)
          const size = early.get(requestId)
          if (size !== undefined) {
            early.delete(requestId)
            return Effect.succeed(size)
          }
          // Registered before the poll starts: its answer may come at once.
          const result = Deferred.unsafeMake<number | undefined>(FiberId.none)
          const entry: Entry = { result, since, peek, peeking: undefined }
          waiting.set(requestId, entry)
          return Effect.onInterrupt(Effect.zipRight(start, Deferred.await(result)), () => giveUp(requestId, entry))
        }),
      acknowledge: (requestId) =>
        Effect.suspend(() => {
          read.add(requestId)
          return start
        })
    }
  })

interface Entry {
  readonly result: Deferred.Deferred<number | undefined>
  readonly since: number
  readonly peek: (waited: number) => Effect.Effect<boolean>
  /** Asks for it alone at the moment, or did. */
  peeking: Fiber.Fiber<void> | undefined
}
