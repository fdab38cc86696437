/** What SkyRL knows, and the server behind it does not. */
import * as Effect from "effect/Effect"
import type { Answer } from "../../../Dialect.js"
import { answer, detail, type Received, text } from "../foreignServer.js"
import type * as Foreign from "../foreignServer.js"

export interface State {
  readonly sessions: Map<string, Session>
  readonly models: Map<string, Model>
  readonly samplers: Map<string, Sampler>
  readonly futures: Map<string, Future>
  /** The last number that was given to an id, or to what this server numbers by session or sampler. */
  lastNumber: number
}

export interface Session {
  /** The session's id on this server; made anew when that has lost it. */
  localId: string | undefined
}

export interface Model {
  readonly id: string
  readonly session: Session
  readonly baseModel: string
  readonly rank: number
  readonly createdAt: number
  /** The model's id on this server, unless it did not make one. */
  localId: string | undefined
  /** The number of its requests, all but the one that made it. */
  requests: number
  readonly numbers: Foreign.SequenceNumbers
  /** Passes and steps by the numbers that their client gave them. */
  readonly numbered: Map<number, { readonly type: string; readonly payload: string; readonly requestId: string }>
  readonly checkpoints: Map<string, Checkpoint>
}

export interface Checkpoint {
  failure: string | undefined
}

export type CheckpointKind = "weights" | "sampler_weights"

export interface Sampler {
  readonly session: Session
  readonly baseModel: string | undefined
  readonly modelPath: string | undefined
  localId: string | undefined
}

export interface Future {
  /** The request on this server whose result is asked for; a text is what the request failed with. */
  readonly result: { readonly requestId: string } | { readonly failure: string }
  /** The result as SkyRL has it. */
  readonly toResult: (body: unknown) => unknown
  /** What is told where this server has lost the result. */
  readonly onLost: (received: Received) => Effect.Effect<Answer>
  readonly onFailure?: (failure: string) => void
}

export const make = (): State => ({
  sessions: new Map(),
  models: new Map(),
  samplers: new Map(),
  futures: new Map(),
  lastNumber: 0
})

export const newId = (state: State, kind: string): string =>
  `${kind}_${(state.lastNumber += 1).toString(16).padStart(8, "0")}`

/** Makes a future known, and gives its id. */
export const addFuture = ({ futures }: State, future: Future): string => {
  const id = String(futures.size + 1)
  futures.set(id, future)
  return id
}

export const failed = (failure: string): Future => ({
  result: { failure },
  toResult: (body) => body,
  onLost: () => Effect.succeed(detail(400, failure))
})

export const accepted = (requestId: string): Answer =>
  answer({ future_id: requestId, status: "pending", request_id: requestId })

/** The model that a call names. */
export const modelOf = ({ models }: State, received: Received): Model | undefined =>
  models.get(text(received.call.json, "model_id") ?? "")

export const noModel = detail(404, "Model not found")
