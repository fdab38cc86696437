/** How much a server does at a time, and what waits meanwhile. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type { QueueState } from "../../Futures.js"
import type * as RequestQueue from "../../RequestQueue.js"
import * as Http from "../http/http.js"
import * as Slots from "./slots.js"

export interface Options {
  /** Samples that are computed at a time; those of different sessions then take turns. Default 256. */
  readonly maxConcurrentSamples?: number | undefined
  /** Models that are trained at a time; later ones wait until one is unloaded. Default: as many as there are. */
  readonly maxModels?: number | undefined
  /** Bytes of the requests that wait, run or arrive; what comes beyond is to be sent again later. Default 1 GiB. */
  readonly maxWaitingBytes?: number | undefined
}

export interface Limits {
  /** `Effect.void`, or 429 with these headers when too much waits already. */
  readonly requireRoom: (headers?: Readonly<Record<string, string>>) => Effect.Effect<void, Http.Refusal>
  /** Counts a request until `free` is called with as many bytes. */
  readonly occupy: (bytes: number) => void
  readonly free: (bytes: number) => void
  readonly sample: (sessionId: string) => Slots.Slot
  /** What a sample with this turn is waiting for. */
  readonly sampleState: (turn: Slots.Slot) => QueueState
  /** Opens when the model may begin, whose place is free again when its scope closes. */
  readonly modelGate: (sessionId: string, scope: Scope.Scope) => Effect.Effect<RequestQueue.Gate>
  /** Samples that wait, without those that are computed. */
  readonly waitingSamples: () => number
  readonly waitingBytes: () => number
}

const open: RequestQueue.Gate = { open: Effect.void, state: Effect.succeed(undefined) }

const active: QueueState = { state: "active" }

const paused = (reason: string): QueueState => ({ state: "paused_capacity", reason })

export const make = (options: Options): Limits => {
  const samples = Slots.make(options.maxConcurrentSamples ?? 256)
  const models = options.maxModels === undefined ? undefined : Slots.make(options.maxModels)
  const maxBytes = options.maxWaitingBytes ?? 2 ** 30
  let bytes = 0

  const full = (headers: Readonly<Record<string, string>> | undefined) =>
    Http.refuse(
      429,
      `requests of ${bytes} bytes wait here already, which is enough: send this one again a little later`,
      { "retry-after": "1", ...headers }
    )

  return {
    requireRoom: (headers) => bytes >= maxBytes ? full(headers) : Effect.void,
    occupy: (added) => {
      bytes += added
    },
    free: (removed) => {
      bytes -= removed
    },
    sample: samples.slot,
    sampleState: (turn) =>
      turn.hasBegun()
        ? active
        : paused(`${samples.limit} samples are computed at a time here, and ${samples.waiting()} wait`),
    modelGate: (sessionId, scope) =>
      models === undefined ? Effect.succeed(open) : Effect.gen(function*() {
        const begins = yield* Deferred.make<void>()
        const held = models.within(sessionId, Effect.zipRight(Deferred.succeed(begins, undefined), Effect.never))
        yield* Effect.forkIn(Effect.interruptible(held), scope)
        const waiting = Effect.sync(() =>
          paused(
            `${models.limit} models are trained at a time here, and ${models.waiting()} wait until one is unloaded `
              + "or its session ends"
          )
        )
        return {
          open: Deferred.await(begins),
          state: Effect.flatMap(
            Deferred.poll(begins),
            Option.match({
              onNone: () => waiting,
              onSome: () => Effect.succeed(undefined)
            })
          )
        }
      }),
    waitingSamples: samples.waiting,
    waitingBytes: () => bytes
  }
}

/** Both have to be open; the first that is not says why. */
export const both = (first: RequestQueue.Gate, second: RequestQueue.Gate): RequestQueue.Gate =>
  first === open ? second : {
    open: Effect.zipRight(first.open, second.open),
    state: Effect.flatMap(first.state, (state) => state === undefined ? second.state : Effect.succeed(state))
  }
