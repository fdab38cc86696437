/**
 * Results of submitted requests. They are kept for a while after they are there, so that a client may ask again when an
 * answer was lost.
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import * as LinkedQueue from "./internal/fast/linkedQueue.js"
import { withNow } from "./internal/fast/now.js"

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
 * - `Lost`: the server was restarted before it was there, or could not keep what was done
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
  /** Gives up a request of which nobody can tell what became of it. */
  readonly lose: (requestId: string) => Effect.Effect<void>
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
 * A result of an earlier server, read whenever it is asked for, and lost where it cannot be; or a request that it did not come
 * to the end of.
 *
 * @since 0.1.0
 * @category models
 */
export type Restored =
  | { readonly _tag: "Result"; readonly at: number; readonly read: Effect.Effect<Outcome | undefined> }
  | { readonly _tag: "Lost" }

/**
 * @since 0.1.0
 * @category config
 */
export interface Options {
  /**
   * How long a question for a result is held before the answer is "not yet". Default 40 seconds: the Python SDK 0.38.0 warns
   * of each such answer, and hangs up after 45.
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

/** One object through all of its life, as requests come by the thousands a second. */
interface Entry {
  readonly requestId: string
  status: "Waiting" | "Done" | "Stored" | "Lost" | "GivenUp" | "Expired"
  /** The outcome of a request that is done. */
  outcome: Outcome | undefined
  /** Reads the outcome of a request that is stored. */
  read: Effect.Effect<Outcome | undefined>
  /** What those who wait for the outcome wait for. */
  settled: Deferred.Deferred<Outcome> | undefined
  queue: Effect.Effect<QueueState>
  options: SubmitOptions
  isFetched: boolean
  completedAt: number
  /** The place among those that have an outcome, or that had one. */
  age: LinkedQueue.Place<Entry> | undefined
  /** The place among those that were fetched and could be done again. */
  fetchedAge: LinkedQueue.Place<Entry> | undefined
  /** The bytes that it takes among those that were fetched and could be done again. */
  fetchedBytes: number
}

/** The requests of a server and what became of them. */
interface Table {
  readonly holdTime: Duration.Duration
  readonly retentionMillis: number
  readonly maxUnannouncedBytes: number
  readonly maxFetchedBytes: number
  readonly onForgotten: ((requestId: string) => void) | undefined
  /** The entries by the ids of the requests. */
  readonly entries: Map<string, Entry>
  /** The entries that have an outcome. */
  readonly completed: LinkedQueue.LinkedQueue<Entry>
  /** The entries that were fetched and could be done again. */
  readonly fetched: LinkedQueue.LinkedQueue<Entry>
  /** The bytes that these take. */
  fetchedBytes: number
  /** How many have an outcome that nobody has asked for. */
  unfetched: number
  /** The entries that had an outcome. */
  readonly expired: LinkedQueue.LinkedQueue<Entry>
}

/**
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options = {}): Service => {
  const table: Table = {
    holdTime: Duration.decode(options.holdTime ?? "40 seconds"),
    retentionMillis: Duration.toMillis(options.retention ?? "1 hour"),
    maxUnannouncedBytes: options.maxUnannouncedBytes ?? 1_048_576,
    maxFetchedBytes: options.maxFetchedBytes ?? 64 * 2 ** 20,
    onForgotten: options.onForgotten,
    entries: new Map(),
    completed: new LinkedQueue.LinkedQueue(),
    fetched: new LinkedQueue.LinkedQueue(),
    fetchedBytes: 0,
    unfetched: 0,
    expired: new LinkedQueue.LinkedQueue()
  }
  return {
    holdTime: table.holdTime,
    submit: (requestId, queue, options = {}) => submit(table, requestId, queue, options),
    complete: (requestId, outcome) => complete(table, requestId, outcome),
    lose: (requestId) => lose(table, requestId),
    retrieve: (requestId, { allowMetadataOnly }) => retrieve(table, requestId, allowMetadataOnly),
    forget: (requestId) => forget(table, requestId),
    restore: (requestId, restored) => restore(table, requestId, restored),
    release: release(table),
    areFetched: Effect.sync(() => table.unfetched === 0)
  }
}

const submit = (
  table: Table,
  requestId: string,
  queue: Effect.Effect<QueueState>,
  options: SubmitOptions
): Effect.Effect<void> =>
  withNow((now) => {
    expireOld(table, now)
    let entry = table.entries.get(requestId)
    if (entry === undefined) entry = add(table, requestId, "Waiting")
    else if (entry.status === "Lost") entry.status = "Waiting"
    else if (entry.status === "Expired" && options.isRepeatable === true) {
      table.expired.remove(entry.age!)
      entry = add(table, requestId, "Waiting")
    } else {
      // Registered again when it runs, perhaps at the same moment: whoever waits already must not be left with an
      // outcome that never comes.
      return Effect.void
    }
    entry.queue = queue
    entry.options = options
    return Effect.void
  })

const complete = (table: Table, requestId: string, outcome: Outcome): Effect.Effect<void> =>
  withNow((now) => {
    const entry = table.entries.get(requestId)
    if (entry?.status !== "Waiting") return Effect.void
    entry.status = "Done"
    entry.outcome = outcome
    table.unfetched += 1
    entry.completedAt = now
    entry.age = table.completed.add(entry)
    const { announce, isRepeatable } = entry.options
    // What they were made from, the request with its body, is not to be kept as long as its outcome.
    entry.queue = noQueue
    entry.options = isRepeatable === true ? repeatable : unrepeatable
    settle(entry, outcome)
    return announce === undefined ? Effect.void : announce(outcome)
  })

const lose = (table: Table, requestId: string): Effect.Effect<void> =>
  Effect.sync(() => {
    const entry = table.entries.get(requestId)
    if (entry?.status !== "Waiting") return
    entry.status = "GivenUp"
    entry.queue = noQueue
    entry.options = unrepeatable
    settle(entry, givenUp)
  })

const retrieve = (
  table: Table,
  requestId: string,
  allowMetadataOnly: boolean
): Effect.Effect<Option.Option<Reply>> =>
  withNow((now): Effect.Effect<Option.Option<Reply>> => {
    expireOld(table, now)
    const entry = table.entries.get(requestId)
    switch (entry?.status) {
      case undefined:
        return Effect.succeedNone
      case "GivenUp":
        return Effect.succeedSome({ _tag: "Lost" })
      case "Expired":
      case "Lost":
        return Effect.succeedSome({ _tag: entry.status })
      case "Stored":
        return Effect.map(
          entry.read,
          (outcome) =>
            Option.some(outcome === undefined ? { _tag: "Lost" } : replyOf(table, outcome, allowMetadataOnly))
        )
      case "Waiting":
        return Effect.flatMap(wait(table, entry), (outcome) => replyFrom(table, entry, outcome, allowMetadataOnly))
      case "Done":
        return replyFrom(table, entry, entry.outcome, allowMetadataOnly)
    }
  })

const forget = (table: Table, requestId: string): Effect.Effect<void> =>
  Effect.sync(() => {
    const entry = table.entries.get(requestId)
    if (entry?.status === "Done" || entry?.status === "Stored") expire(table, entry)
  })

const restore = (table: Table, requestId: string, restored: Restored): Effect.Effect<void> =>
  Effect.sync(() => {
    if (restored._tag === "Lost") return void add(table, requestId, "Lost")
    const entry = add(table, requestId, "Stored")
    entry.read = restored.read
    entry.completedAt = restored.at
    entry.age = table.completed.add(entry)
  })

const release = ({ entries }: Table): Effect.Effect<void> =>
  Effect.sync(() => {
    for (const entry of entries.values()) {
      if (entry.status !== "Waiting") continue
      entry.status = "Done"
      entry.outcome = released
      entry.isFetched = true
      settle(entry, released)
    }
  })

const add = ({ entries }: Table, requestId: string, status: Entry["status"]): Entry => {
  const entry: Entry = {
    requestId,
    status,
    outcome: undefined,
    read: Effect.never,
    settled: undefined,
    queue: noQueue,
    options: unrepeatable,
    isFetched: false,
    completedAt: 0,
    age: undefined,
    fetchedAge: undefined,
    fetchedBytes: 0
  }
  entries.set(requestId, entry)
  return entry
}

/** Waits for an outcome that is not there, but not longer than the hold time. */
const wait = ({ holdTime }: Table, entry: Entry): Effect.Effect<Outcome | undefined> => {
  entry.settled ??= Deferred.unsafeMake<Outcome>(FiberId.none)
  return Effect.map(Effect.timeoutOption(Deferred.await(entry.settled), holdTime), Option.getOrUndefined)
}

const settle = (entry: Entry, outcome: Outcome): void => {
  const { settled } = entry
  entry.settled = undefined
  if (settled !== undefined) Deferred.unsafeDone(settled, Effect.succeed(outcome))
}

const replyFrom = (
  table: Table,
  entry: Entry,
  outcome: Outcome | undefined,
  allowMetadataOnly: boolean
): Effect.Effect<Option.Option<Reply>> => {
  if (outcome === undefined || outcome === released) {
    return Effect.map(entry.queue, (queue) => Option.some<Reply>({ _tag: "Pending", queue }))
  }
  if (outcome === givenUp) return Effect.succeedSome({ _tag: "Lost" })
  const reply = replyOf(table, outcome, allowMetadataOnly)
  if (reply._tag !== "Large") noteFetched(table, entry, outcome)
  return Effect.succeedSome(reply)
}

const replyOf = ({ maxUnannouncedBytes }: Table, outcome: Outcome, allowMetadataOnly: boolean): Reply => {
  const size = outcome._tag === "Completed" ? outcome.bytes?.byteLength ?? 0 : 0
  return allowMetadataOnly && size > maxUnannouncedBytes ? { _tag: "Large", size } : outcome
}

/** Beyond the most bytes of those that could be done again, the outcomes of the oldest are forgotten. */
const noteFetched = (table: Table, entry: Entry, outcome: Outcome): void => {
  if (entry.isFetched || entry.status !== "Done") return
  entry.isFetched = true
  table.unfetched -= 1
  if (entry.options.isRepeatable !== true) return
  entry.fetchedAge = table.fetched.add(entry)
  entry.fetchedBytes = entryBytes + (outcome._tag === "Completed" ? outcome.bytes?.byteLength ?? 0 : 0)
  table.fetchedBytes += entry.fetchedBytes
  while (table.fetchedBytes > table.maxFetchedBytes) expire(table, table.fetched.oldest()!)
}

const expireOld = (table: Table, now: number): void => {
  for (;;) {
    const entry = table.completed.oldest()
    if (entry === undefined || now - entry.completedAt < table.retentionMillis) return
    expire(table, entry)
  }
}

/** Forgets an outcome, but not at once that it was there. */
const expire = (table: Table, entry: Entry): void => {
  const { completed, entries, expired, fetched, onForgotten } = table
  if (entry.age !== undefined) completed.remove(entry.age)
  if (entry.fetchedAge !== undefined) fetched.remove(entry.fetchedAge)
  table.fetchedBytes -= entry.fetchedBytes
  if (entry.status === "Done" && !entry.isFetched) table.unfetched -= 1
  entry.status = "Expired"
  entry.outcome = undefined
  entry.read = Effect.never
  entry.fetchedAge = undefined
  entry.fetchedBytes = 0
  entry.age = expired.add(entry)
  if (expired.size > maxExpired) entries.delete(expired.shift()!.requestId)
  onForgotten?.(entry.requestId)
}

/** Stands for the queue of a request that waits for nothing. */
const noQueue: Effect.Effect<QueueState> = Effect.succeed({ state: "active" })

/** Stands for an outcome that this server does not live to see. */
const released: Outcome = { _tag: "Failed", error: "the server has ended", category: "server" }

/** Stands for one that was given up. */
const givenUp: Outcome = { _tag: "Failed", error: "the request was given up", category: "server" }

const repeatable: SubmitOptions = { isRepeatable: true }
const unrepeatable: SubmitOptions = {}

/** How many requests are remembered of which nothing else is known than that they were there. */
const maxExpired = 16_384

/** What an outcome takes beside its bytes, at a guess. */
const entryBytes = 4096
