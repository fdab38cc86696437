/** What a request whose result is waited for is known by, and what those who wait have in common. */
import type * as FuturesMessages from "@effect-tinker/protocol/FuturesMessages"
import type { RequestId } from "@effect-tinker/protocol/Identifiers"
import type { TinkerError } from "@effect-tinker/protocol/TinkerError"
import type * as Effect from "effect/Effect"
import type * as FuturesApi from "../../FuturesApi.js"
import type * as TinkerHttpClient from "../../TinkerHttpClient.js"
import type { Track } from "../call/callTrace.js"
import type { Observers } from "../call/observers.js"
import type { Progress } from "../call/progress.js"
import type { Budget } from "../dispatch/budget.js"
import type { Origin } from "../transport/decodeJson.js"

/** One submitted request, and how its result is read. */
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

/** Reads a result. Protobuf decoders throw an `Error` that names the field, and so may JSON decoders. */
export interface Decoder<A> {
  /** Absent where results have no such form. */
  readonly protobuf?: ((bytes: Uint8Array) => A) | undefined
  readonly json: (value: unknown, origin: Origin) => Effect.Effect<A, TinkerError>
}

/** What waiting for results has in common within a client. */
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
