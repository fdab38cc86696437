/**
 * The requests of one model, run one after another in the order of their numbers, whatever the order in which they
 * arrive.
 *
 * - A number that is missing holds those after it.
 * - The same request again, which is what a client sends when an answer was lost, is recognized and not run twice.
 * - A number that was refused may be sent again. It holds nothing once a later number arrives after the refusal, because
 *   some clients skip it.
 * - A request that fails lets the next one run.
 */
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import type { QueueState } from "./Futures.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface Job {
  readonly seqId: number
  /** Equal for equal requests. */
  readonly fingerprint: string
  readonly run: Effect.Effect<void>
  /** Called when it is taken, before it can run. */
  readonly accept?: (() => void) | undefined
  /** Called instead of `run`, or when it is interrupted, because the queue is closed. */
  readonly abandon: Effect.Effect<void>
  /** Called after either. */
  readonly end?: Effect.Effect<void> | undefined
}

/**
 * What happened to a job that was handed in:
 *
 * - `Accepted`: it will run
 * - `Duplicate`: it is here already, and may have run
 * - `Conflict`: another request has its number
 * - `Passed`: its number was skipped, and later ones have run
 * - `Closed`: nothing runs here any more
 *
 * @since 0.1.0
 * @category models
 */
export type Submission = "Accepted" | "Duplicate" | "Conflict" | "Passed" | "Closed"

/**
 * @since 0.1.0
 * @category models
 */
export interface Service {
  readonly submit: (job: Job) => Effect.Effect<Submission>
  /** Whether a request with this number is here or was. */
  readonly knows: (seqId: number) => Effect.Effect<boolean>
  /** The lowest number that has not run. */
  readonly next: Effect.Effect<number>
  /** Notes that the request with this number was refused. */
  readonly reject: (seqId: number) => Effect.Effect<void>
  /** How many jobs wait or run. */
  readonly length: Effect.Effect<number>
  /** Whether a job runs, or will without another being handed in. */
  readonly isBusy: Effect.Effect<boolean>
  /** What jobs that have not run are waiting for. */
  readonly state: Effect.Effect<QueueState>
}

/**
 * Something that may hold a queue, such as a fault in a test.
 *
 * @since 0.1.0
 * @category models
 */
export interface Gate {
  /** Waits until jobs may run. */
  readonly open: Effect.Effect<void>
  /** What the queue says of itself while it is held; nothing when it is not. */
  readonly state: Effect.Effect<QueueState | undefined>
}

/**
 * A queue that begins with the number `first`, and knows requests that were done before by their numbers and fingerprints.
 * When its scope closes, the running job is interrupted and the waiting ones
 * are abandoned.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: {
  readonly first: number
  readonly gate: Gate
  readonly done?: ReadonlyMap<number, string> | undefined
}): Effect.Effect<Service, never, Scope.Scope> =>
  Effect.gen(function*() {
    const scope = yield* Scope.Scope
    const records = new Map<number, Record>(
      Array.from(options.done ?? [], ([seqId, fingerprint]) => [seqId, { status: "over", fingerprint }])
    )
    const rejected = new Set<number>()
    let next = options.first
    let running = false
    let closed = false

    /** Passes over the numbers that need not be waited for any more. */
    const advance = () => {
      while (records.get(next)?.status === "over") next += 1
    }
    const isReady = () => records.get(next)?.status === "waiting"

    const drain: Effect.Effect<void> = Effect.gen(function*() {
      while (true) {
        yield* options.gate.open
        const record = records.get(next)
        if (record?.status !== "waiting") {
          running = false
          return
        }
        const { job } = record
        records.set(job.seqId, { status: "running", fingerprint: job.fingerprint })
        yield* Effect.onInterrupt(job.run, () => job.abandon).pipe(Effect.ensuring(job.end ?? Effect.void))
        records.set(job.seqId, { status: "over", fingerprint: job.fingerprint })
        advance()
      }
    })

    // A handler may be uninterruptible; what it starts must not be, or the queue could not be closed.
    const start = Effect.suspend(() => {
      if (running || closed || !isReady()) return Effect.void
      running = true
      return Effect.asVoid(Effect.forkIn(Effect.interruptible(drain), scope))
    })

    yield* Effect.addFinalizer(() =>
      Effect.suspend(() => {
        closed = true
        const waiting = Array.from(records.values()).filter((record) => record.status === "waiting")
        records.clear()
        return Effect.forEach(waiting, ({ job }) => Effect.zipRight(job.abandon, job.end ?? Effect.void), {
          discard: true
        })
      })
    )

    return {
      submit: (job) =>
        Effect.suspend(() => {
          if (closed) return Effect.succeed<Submission>("Closed")
          const record = records.get(job.seqId)
          if (record !== undefined && record.fingerprint !== undefined) {
            return Effect.succeed<Submission>(record.fingerprint === job.fingerprint ? "Duplicate" : "Conflict")
          }
          if (job.seqId < next) return Effect.succeed<Submission>("Passed")
          rejected.delete(job.seqId)
          for (const seqId of rejected) {
            if (seqId < job.seqId) {
              rejected.delete(seqId)
              records.set(seqId, { status: "over", fingerprint: undefined })
            }
          }
          job.accept?.()
          records.set(job.seqId, { status: "waiting", fingerprint: job.fingerprint, job })
          advance()
          return Effect.as(start, "Accepted" as const)
        }),
      knows: (seqId) => Effect.sync(() => records.get(seqId)?.fingerprint !== undefined),
      next: Effect.sync(() => next),
      reject: (seqId) =>
        Effect.sync(() => {
          if (seqId >= next && !records.has(seqId)) rejected.add(seqId)
        }),
      length: Effect.sync(() => Array.from(records.values()).filter(({ status }) => status !== "over").length),
      isBusy: Effect.sync(() => !closed && (running || isReady())),
      state: Effect.map(options.gate.state, (state) => {
        if (state !== undefined) return state
        return running || !Array.from(records.values()).some((record) => record.status === "waiting")
          ? { state: "active" }
          : { state: "active", reason: `waiting for request ${next} of this model` }
      })
    }
  })

/** A number without a fingerprint was refused and never sent again. */
type Record =
  | { readonly status: "waiting"; readonly fingerprint: string; readonly job: Job }
  | { readonly status: "running"; readonly fingerprint: string }
  | { readonly status: "over"; readonly fingerprint: string | undefined }
