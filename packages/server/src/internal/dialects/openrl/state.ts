/** What Open-RL knows, and the server behind it does not. */
import * as Effect from "effect/Effect"
import type { Answer } from "../../../Dialect.js"
import { uuid } from "../../resources/uuid.js"
import { answer } from "../foreignServer.js"
import type * as Foreign from "../foreignServer.js"

export interface State {
  /** Where it keeps what it saves, as paths tell. */
  readonly root: string
  readonly models: Map<string, Model>
  readonly futures: Map<string, Future>
  readonly folders: Map<string, Folder>
  /** Saves that are not known to be over, by their paths. */
  readonly saving: Map<string, { readonly requestId: string; readonly folder: Folder }>
  /** The id on this server of the one session that there is for all. */
  sessionId: string | undefined
  /** The last number that was given to what this server numbers by session or sampler. */
  lastNumber: number
}

export interface Model {
  readonly id: string
  readonly sessionId: string
  /** The model's id on this server. A load puts another model in its place. */
  localId: string
  numbers: Foreign.SequenceNumbers
}

export interface Future {
  /** The request on this server whose result is asked for; a text is what the request failed with. */
  readonly result: { readonly requestId: string } | { readonly failure: string }
  /** The result as Open-RL has it. */
  readonly toResult: (body: unknown) => unknown
}

/** A folder that a save has made. */
export interface Folder {
  /** The path of this server's checkpoint. */
  readonly path: string
  readonly baseModel: string
  readonly hasOptimizer: boolean
}

export const make = (folder: string): State => ({
  root: `${folder}/checkpoints`,
  models: new Map(),
  futures: new Map(),
  folders: new Map(),
  saving: new Map(),
  sessionId: undefined,
  lastNumber: 0
})

/** Makes a future known, and answers that it was accepted. */
export const accepted = ({ futures }: State, future: Future, requestId?: string): Effect.Effect<Answer> =>
  Effect.map(requestId === undefined ? uuid : Effect.succeed(requestId), (id) => {
    futures.set(id, future)
    return answer({ request_id: id })
  })

export const failed = (why: string): Future => ({ result: { failure: why }, toResult: (body) => body })

export const noAdapter = (modelId: unknown) => `Adapter ${modelId} not found.`
