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
import * as FuturesApi from "../../FuturesApi.js"
import * as RetryPolicy from "../../RetryPolicy.js"
import type { SessionLife } from "../../TinkerHttpClient.js"
import * as Monotonic from "../monotonic.js"
import * as PolicyRun from "../transport/policyRun.js"

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
const flushDeadline = Duration.seconds(2)

/** A sample that takes longer is asked for by itself, as the common poll tells nothing of queues. */
const slow = Duration.toMillis("30 seconds")

const betweenPeeks = Duration.toMillis("1 minute")

/** Completions of samples that nobody waits for yet. The oldest make room: many are of samples that were given up. */
const mostEarly = 10_000

/** Polls while something waits, in the scope; the question ends with the last that waits. Closing the scope sends the last acknowledgements. */
export const make = (options: Options): Effect.Effect<CompletionPoller> => {
  const poll: Poll = {
    ...options,
    waiting: new Map(),
    early: new Map(),
    read: new Set(),
    cursor: 0,
    isRunning: false,
    isOver: false,
    failures: undefined,
    peekedAt: -Infinity,
    stopAsking: () => {}
  }
  const poller: CompletionPoller = {
    finished: (requestId, peek) =>
      Effect.flatMap(Monotonic.now, (since) => {
        if (poll.isOver) return Effect.succeed(undefined)
        const size = poll.early.get(requestId)
        if (size !== undefined) {
          poll.early.delete(requestId)
          return Effect.succeed(size)
        }
        // Registered before the poll starts: its answer may come at once.
        const result = Deferred.unsafeMake<number | undefined>(FiberId.none)
        const entry: Entry = { result, since, peek, peeking: undefined }
        poll.waiting.set(requestId, entry)
        return Effect.onInterrupt(
          Effect.zipRight(start(poll), Deferred.await(result)),
          () => giveUp(poll, requestId, entry)
        )
      }),
    acknowledge: (requestId) =>
      Effect.suspend(() => {
        poll.read.add(requestId)
        return start(poll)
      })
  }
  return Effect.as(Scope.addFinalizer(options.scope, end(poll)), poller)
}

interface Options {
  readonly futures: FuturesApi.Service
  readonly samplingSessionId: SamplingSessionId
  readonly session: SessionLife
  /** 0 for the original client of the sampling session. */
  readonly clonedSamplerId: number
  readonly scope: Scope.Scope
}

/** What is known of the samples of one sampling session. */
interface Poll extends Options {
  readonly waiting: Map<RequestId, Entry>
  /** The samples that are finished and that nobody waits for yet, with the sizes of their results. */
  readonly early: Map<RequestId, number>
  /** The samples whose results have been read, which the server does not know yet. */
  readonly read: Set<RequestId>
  /** Up to where the server has told of completions. */
  cursor: number
  isRunning: boolean
  isOver: boolean
  /** The policy after failures in a row. */
  failures: PolicyRun.PolicyRun | undefined
  /** When one was last asked for by itself, in milliseconds of the monotonic clock. */
  peekedAt: number
  /** Ends the question that is under way. */
  stopAsking: () => void
}

const start = (poll: Poll): Effect.Effect<void> =>
  Effect.suspend(() => {
    if (poll.isRunning) return Effect.void
    poll.isRunning = true
    return Effect.asVoid(Effect.forkIn(Effect.interruptible(run(poll)), poll.scope))
  })

const run = (poll: Poll): Effect.Effect<void> =>
  Effect.gen(function*() {
    let goesOn = true
    while (goesOn && (poll.waiting.size > 0 || poll.read.size > 0)) {
      const idle = poll.waiting.size === 0
      const asked = ask(poll, idle ? 0 : undefined, idle ? acknowledgeTimeout : FuturesApi.pollTimeout)
      goesOn = yield* whileWanted(
        poll,
        Effect.matchEffect(asked, {
          onSuccess: (reply) =>
            Effect.sync(() => {
              deliver(poll, reply)
              return true
            }),
          onFailure: (error) => afterFailure(poll, error)
        })
      )
      yield* peekAtOldest(poll)
    }
    poll.isRunning = false
  })

const ask = (poll: Poll, timeout: number | undefined, limit: Duration.Duration) =>
  Effect.suspend(() => {
    const { clonedSamplerId, cursor, futures, read, samplingSessionId, session } = poll
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

/** A question that nobody wants answered any more ends, and frees what the server holds for it. */
const whileWanted = (poll: Poll, question: Effect.Effect<boolean>) =>
  Effect.raceFirst(
    question,
    Effect.async<boolean>((resume) => {
      poll.stopAsking = () => resume(Effect.succeed(true))
    })
  )

const deliver = (poll: Poll, { completions, cursor }: FuturesMessages.FuturesRetrieveResponse): void => {
  const { early, waiting } = poll
  poll.cursor = cursor
  poll.failures = undefined
  for (const { requestId, size = 0 } of completions) {
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

/** Has those who wait ask singly. */
const release = ({ waiting }: Poll): void => {
  for (const entry of waiting.values()) Deferred.unsafeDone(entry.result, Effect.succeed(undefined))
  waiting.clear()
}

/**
 * Waits after a failure by the policy `completions`, and says whether to ask again. When that is over, or the failure is final, those
 * who wait ask singly.
 */
const afterFailure = (poll: Poll, error: TinkerError): Effect.Effect<boolean> =>
  Effect.gen(function*() {
    // A poll without an answer is one that the server held for too long.
    if (error._tag === "ApiTimeoutError") return true
    const { completions, retryable } = yield* RetryPolicy.CurrentPolicies
    poll.failures ??= PolicyRun.begin(completions)
    const wait = yield* poll.failures.next(error)
    if (wait === undefined || !retryable(error)) {
      release(poll)
      yield* Effect.logDebug("finished samples cannot be asked for together now", error.message)
    }
    if (wait === undefined) {
      poll.failures = undefined
      return false
    }
    yield* Monotonic.sleep(wait)
    return true
  })

const peekAtOldest = (poll: Poll): Effect.Effect<void> =>
  Effect.flatMap(Monotonic.now, (now) => {
    const [oldest] = poll.waiting
    if (oldest === undefined || now - poll.peekedAt < betweenPeeks) return Effect.void
    const [requestId, entry] = oldest
    const waited = now - entry.since
    if (waited < slow) return Effect.void
    poll.peekedAt = now
    const peek = Effect.map(entry.peek(waited), (isThere) => {
      if (isThere && poll.waiting.delete(requestId)) Deferred.unsafeDone(entry.result, Effect.succeed(undefined))
    })
    return Effect.map(Effect.forkIn(Effect.interruptible(peek), poll.scope), (fiber) => {
      entry.peeking = fiber
    })
  })

const giveUp = (poll: Poll, requestId: RequestId, { peeking }: Entry): Effect.Effect<void> =>
  Effect.suspend(() => {
    if (poll.waiting.delete(requestId) && poll.waiting.size === 0) poll.stopAsking()
    return peeking === undefined ? Effect.void : Effect.asVoid(Fiber.interrupt(peeking))
  })

const end = (poll: Poll): Effect.Effect<void> =>
  Effect.suspend(() => {
    poll.isOver = true
    release(poll)
    return poll.read.size === 0
      ? Effect.void
      : Effect.ignore(Effect.timeout(Effect.interruptible(ask(poll, 0, acknowledgeTimeout)), flushDeadline))
  })

interface Entry {
  readonly result: Deferred.Deferred<number | undefined>
  readonly since: number
  readonly peek: (waited: number) => Effect.Effect<boolean>
  /** Asks for it alone at the moment, or did. */
  peeking: Fiber.Fiber<void> | undefined
}
