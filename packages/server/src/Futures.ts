/**
 * Results of submitted requests. They are kept for a while after they are there, so that a client may ask again when an
 * answer was lost.
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import { withNow } from "./internal/now.js"
import { OldestFirst } from "./internal/oldestFirst.js"

/**
 * What became of a request. `json` is made when asked for; `bytes` are the same result as protobuf, where it has such a
 * form.
 *
 * @since 0.1.0
 * @category models
 */
export type Outcome = Completed | Failed

/**
 * @since 0.1.0
 * @category models
 */
export interface Completed {
  readonly _tag: "Completed"
  readonly json: () => unknown
  readonly bytes?: Uint8Array | undefined
  /** What the bytes are: the result of a pass over data, or a sample. */
  readonly form?: "pass" | "sample" | undefined
}

/**
 * Category `user` means that the request is at fault.
 *
 * @since 0.1.0
 * @category models
 */
export interface Failed {
  readonly _tag: "Failed"
  readonly error: string
  readonly category: "unknown" | "server" | "user"
}

/**
 * What the queue that a request waits in is doing, and why, for people to read.
 *
 * @since 0.1.0
 * @category models
 */
export interface QueueState {
  readonly state: "active" | "paused_capacity" | "paused_rate_limit"
  readonly reason?: string | undefined
}

/**
 * The answer to one question for a result.
 *
 * - `Pending`: not there yet
 * - `Large`: there, and larger than the questioner may want at once; `size` in bytes
 * - `Expired`: forgotten, because it has been there for too long
 * - `Lost`: the server was restarted before it was there
 *
 * @since 0.1.0
 * @category models
 */
export type Reply =
  | Outcome
  | { readonly _tag: "Pending"; readonly queue: QueueState }
  | { readonly _tag: "Large"; readonly size: number }
  | { readonly _tag: "Expired" }
  | { readonly _tag: "Lost" }

/**
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** How long a question is held. */
  readonly holdTime: Duration.Duration
  /** Notes that a request was accepted. `queue` says what it waits for. */
  readonly submit: (
    requestId: string,
    queue: Effect.Effect<QueueState>,
    options?: SubmitOptions
  ) => Effect.Effect<void>
  /** Gives a request its outcome. Only the first one counts. */
  readonly complete: (requestId: string, outcome: Outcome) => Effect.Effect<void>
  /** Waits for the outcome of a request, not longer than the hold time. None when there is no such request. */
  readonly retrieve: (
    requestId: string,
    options: { readonly allowMetadataOnly: boolean }
  ) => Effect.Effect<Option.Option<Reply>>
  /** Lets go of an outcome that its owner has received. */
  readonly forget: (requestId: string) => Effect.Effect<void>
  /** Takes over what an earlier server knew of a request; the oldest results first. */
  readonly restore: (requestId: string, restored: Restored) => Effect.Effect<void>
  /** Tells those who wait that it is not there yet; no outcome is taken any more. For a server that ends. */
  readonly release: Effect.Effect<void>
  /** Whether every outcome was asked for by now. */
  readonly areFetched: Effect.Effect<boolean>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface SubmitOptions {
  /** Is told the outcome when it is there. */
  readonly announce?: ((outcome: Outcome) => Effect.Effect<void>) | undefined
  /** True: the request could be done again, so its outcome may be forgotten early once it was fetched. Default false. */
  readonly isRepeatable?: boolean | undefined
}

/**
 * A result of an earlier server, read whenever it is asked for; or a request that it did not come to the end of.
 *
 * @since 0.1.0
 * @category models
 */
export type Restored =
  | { readonly _tag: "Result"; readonly at: number; readonly read: Effect.Effect<Outcome> }
  | { readonly _tag: "Lost" }

/**
 * @since 0.1.0
 * @category config
 */
export interface Options {
  /**
   * How long a question for a result is held before the answer is "not yet". Default 20 seconds: well below the 45 after
   * which the Python SDK 0.38.0 hangs up.
   */
  readonly holdTime?: Duration.DurationInput | undefined
  /** How long a result is kept. Default one hour. */
  readonly retention?: Duration.DurationInput | undefined
  /** A result with more bytes is announced by its size to those who allow that. Default 1 MiB. */
  readonly maxUnannouncedBytes?: number | undefined
  /**
   * Bytes of outcomes of repeatable requests that are kept after they were fetched, in case an answer was lost; beyond it the
   * oldest are forgotten. Default 64 MiB.
   */
  readonly maxFetchedBytes?: number | undefined
  /** Called when an outcome is forgotten. */
  readonly onForgotten?: ((requestId: string) => void) | undefined
}

interface Entry {
  readonly _tag: "Submitted"
  outcome: Outcome | undefined
  /** Of those who wait for the outcome. */
  settled: Deferred.Deferred<Outcome> | undefined
  queue: Effect.Effect<QueueState>
  options: SubmitOptions
}

const over: Effect.Effect<QueueState> = Effect.succeed({ state: "active" })
/** Stands for an outcome that this server does not live to see. */
const released: Outcome = { _tag: "Failed", error: "the server has ended", category: "server" }

const repeatable: SubmitOptions = { isRepeatable: true }
const unrepeatable: SubmitOptions = {}

/** How many requests are remembered of which nothing else is known than that they were there. */
const maxExpired = 16_384

/** What an outcome takes beside its bytes, at a guess. */
const entryBytes = 4096

/**
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options = {}): Service => {
  const holdTime = Duration.decode(options.holdTime ?? "20 seconds")
  const retention = Duration.toMillis(options.retention ?? "1 hour")
  const maxUnannouncedBytes = options.maxUnannouncedBytes ?? 1_048_576
  const maxFetchedBytes = options.maxFetchedBytes ?? 64 * 2 ** 20
  const entries = new Map<string, Entry | Restored>()
  const expired = new OldestFirst<string, true>()
  const unfetched = new Set<string>()
  // When each was completed, and what each takes.
  const completed = new OldestFirst<string, number>()
  const fetched = new OldestFirst<string, number>()
  let fetchedBytes = 0

  const replyOf = (outcome: Outcome, allowMetadataOnly: boolean): Reply => {
    const size = outcome._tag === "Completed" ? outcome.bytes?.byteLength ?? 0 : 0
    return allowMetadataOnly && size > maxUnannouncedBytes ? { _tag: "Large", size } : outcome
  }

  const forgetOld = (now: number) => {
    for (;;) {
      const requestId = completed.oldest()
      if (requestId === undefined || now - completed.get(requestId)! < retention) return
      expire(requestId)
    }
  }
  const expire = (requestId: string) => {
    entries.delete(requestId)
    completed.delete(requestId)
    unfetched.delete(requestId)
    fetchedBytes -= fetched.get(requestId) ?? 0
    fetched.delete(requestId)
    expired.set(requestId, true)
    if (expired.size > maxExpired) expired.delete(expired.oldest()!)
    options.onForgotten?.(requestId)
  }
  const noteFetched = (requestId: string, { options }: Entry, outcome: Outcome) => {
    unfetched.delete(requestId)
    if (options.isRepeatable !== true || fetched.has(requestId)) return
    const bytes = entryBytes + (outcome._tag === "Completed" ? outcome.bytes?.byteLength ?? 0 : 0)
    fetched.set(requestId, bytes)
    fetchedBytes += bytes
    while (fetchedBytes > maxFetchedBytes) expire(fetched.oldest()!)
  }
  /** Waits for an outcome that is not there, but not longer than the hold time. */
  const wait = (entry: Entry): Effect.Effect<Outcome | undefined> => {
    entry.settled ??= Deferred.unsafeMake<Outcome>(FiberId.none)
    return Effect.map(Effect.timeoutOption(Deferred.await(entry.settled), holdTime), Option.getOrUndefined)
  }
  const settle = (entry: Entry, outcome: Outcome) => {
    const { settled } = entry
    entry.settled = undefined
    if (settled !== undefined) Deferred.unsafeDone(settled, Effect.succeed(outcome))
  }
  const replyFrom = (
    requestId: string,
    entry: Entry,
    outcome: Outcome | undefined,
    allowMetadataOnly: boolean
  ): Effect.Effect<Option.Option<Reply>> => {
    if (outcome === undefined || outcome === released) {
      return Effect.map(entry.queue, (queue) => Option.some<Reply>({ _tag: "Pending", queue }))
    }
    const reply = replyOf(outcome, allowMetadataOnly)
    if (reply._tag !== "Large") noteFetched(requestId, entry, outcome)
    return Effect.succeedSome(reply)
  }

  return {
    holdTime,
    submit: (requestId, queue, options = {}) =>
      withNow((now) => {
        forgetOld(now)
        // Registered again when it runs, perhaps at the same moment: whoever waits already must not be left with an
        // outcome that never comes.
        const entry = entries.get(requestId)
        if (entry !== undefined && entry._tag !== "Lost") return Effect.void
        if (expired.has(requestId) && options.isRepeatable !== true) return Effect.void
        expired.delete(requestId)
        entries.set(requestId, { _tag: "Submitted", outcome: undefined, settled: undefined, queue, options })
        return Effect.void
      }),
    complete: (requestId, outcome) =>
      withNow((now) => {
        const entry = entries.get(requestId)
        if (entry?._tag !== "Submitted" || entry.outcome !== undefined) return Effect.void
        entry.outcome = outcome
        unfetched.add(requestId)
        completed.set(requestId, now)
        const { announce, isRepeatable } = entry.options
        // What they were made from, the request with its body, is not to be kept as long as its outcome.
        entry.queue = over
        entry.options = isRepeatable === true ? repeatable : unrepeatable
        settle(entry, outcome)
        return announce === undefined ? Effect.void : announce(outcome)
      }),
    retrieve: (requestId, { allowMetadataOnly }) =>
      withNow((now): Effect.Effect<Option.Option<Reply>> => {
        forgetOld(now)
        const entry = entries.get(requestId)
        switch (entry?._tag) {
          case undefined:
            return Effect.succeed(expired.has(requestId) ? Option.some<Reply>({ _tag: "Expired" }) : Option.none())
          case "Lost":
            return Effect.succeedSome(entry)
          case "Result":
            return Effect.map(entry.read, (outcome) => Option.some(replyOf(outcome, allowMetadataOnly)))
          case "Submitted":
            return entry.outcome === undefined
              ? Effect.flatMap(wait(entry), (outcome) => replyFrom(requestId, entry, outcome, allowMetadataOnly))
              : replyFrom(requestId, entry, entry.outcome, allowMetadataOnly)
        }
      }),
    forget: (requestId) =>
      Effect.sync(() => {
        const entry = entries.get(requestId)
        if (entry?._tag === "Submitted" ? entry.outcome !== undefined : entry?._tag === "Result") expire(requestId)
      }),
    restore: (requestId, restored) =>
      Effect.sync(() => {
        entries.set(requestId, restored)
        if (restored._tag === "Result") completed.set(requestId, restored.at)
      }),
    release: Effect.sync(() => {
      for (const entry of entries.values()) {
        if (entry._tag !== "Submitted" || entry.outcome !== undefined) continue
        entry.outcome = released
        settle(entry, released)
      }
    }),
    areFetched: Effect.sync(() => unfetched.size === 0)
  }
}
