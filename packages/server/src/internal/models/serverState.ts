/** What a running server knows: models, samplers and the requests on their way. Shared by the handlers. */
import * as Engine from "@effect-tinker/engine/Engine"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as CheckpointStore from "../../CheckpointStore.js"
import * as Faults from "../../Faults.js"
import * as Futures from "../../Futures.js"
import type * as RequestQueue from "../../RequestQueue.js"
import * as ServerJournal from "../../ServerJournal.js"
import * as Sessions from "../../Sessions.js"
import * as WatchedStore from "../records/auditedStore.js"
import * as JournalWrites from "../records/journalWrites.js"
import type * as LiveModel from "../records/liveModel.js"
import * as Records from "../records/records.js"
import * as Audit from "../resources/audit.js"
import * as Usage from "../resources/usage.js"
import type * as Completions from "./completions.js"
import * as EnginePresence from "./enginePresence.js"
import * as KeyedMutex from "./keyedMutex.js"
import * as Limits from "./limits.js"
import type * as Work from "./work.js"

export interface Model {
  readonly id: string
  readonly session: Sessions.Session
  readonly scope: Scope.CloseableScope
  readonly baseModel: Engine.BaseModel
  readonly lora: Engine.LoraSpec
  readonly userMetadata: Readonly<Record<string, unknown>> | undefined
  /** The fingerprint of the request that made it. */
  readonly fingerprint: string
  readonly queue: RequestQueue.Service
  /** Milliseconds since the epoch. */
  readonly createdAt: number
  /** The time of its last request, in milliseconds since the epoch. */
  lastRequestAt: number
  unloaded: boolean
  /** Why it is not there any more, although it was not unloaded. */
  readonly lost: string | undefined
  /** Has it not be there any more. */
  readonly lose: (why: string) => void
  /** Gives it back to the engine where that does not have it. */
  readonly ready: Effect.Effect<void, Work.WorkError>
  /** Whether the engine has it. */
  readonly isLoaded: boolean
  readonly journaled: LiveModel.Journaled
}

export interface Sampler {
  readonly id: string
  readonly session: Sessions.Session
  readonly baseModel: Engine.BaseModel
  readonly modelPath: string | undefined
  /** The checkpoint that was under that path when the sampler was made. */
  readonly checkpoint: Records.Sampler["checkpoint"]
  /** The requests by their sequence numbers. */
  readonly requests: Map<string, SampleTicket>
  readonly completions: Completions.Completions
  /** Clients that have joined the one which made it. */
  joinedClients: number
  readonly lost: string | undefined
  readonly ready: Effect.Effect<void, Work.WorkError>
  /** Whether it has weights that have no path. */
  readonly hasOwnWeights: boolean
  /** Where those are kept. */
  adapter: Records.Sampler["adapter"]
}

export interface SampleTicket {
  readonly fingerprint: string
  readonly requestId: string
  /** How many are asked for. */
  readonly sequences: number
}

export interface ServerState {
  readonly engine: Engine.Service
  readonly store: CheckpointStore.Service
  /** The stays of checkpoints, removed ones too. */
  readonly lifetimes: ReadonlyArray<WatchedStore.Lifetime>
  readonly usage: Usage.Usage
  readonly audit: Audit.Audit
  readonly sessions: Sessions.Service
  readonly futures: Futures.Service
  readonly models: Map<string, Model>
  readonly samplers: Map<string, Sampler>
  /** Why sessions, models and samplers of an earlier server are not there any more, by their ids. */
  readonly lost: Map<string, string>
  /** Makes one sampler of an id at a time: of two with one id, the second finds the first. */
  readonly creating: KeyedMutex.KeyedMutex
  /** The projects of the runs that copies of checkpoints have made. */
  readonly projectsOfCopies: Map<string, string>
  /** Copies by the keys of the requests for them. */
  readonly copies: Map<string, { readonly body: string; readonly path: string }>
  /** Samples that are being computed, by request; the end of their session ends them. */
  readonly sampling: Map<string, Fiber.RuntimeFiber<void>>
  readonly gate: (id: string) => RequestQueue.Gate
  readonly limits: Limits.Limits
  /** The server ends: what is not done then was not refused to anybody. */
  hasEnded: boolean
  readonly journal: ServerJournal.Service
}

export const make = (
  options: Futures.Options & Sessions.Options & Limits.Options
): Effect.Effect<
  { readonly state: ServerState; readonly records: Records.Records },
  never,
  Engine.Engine | CheckpointStore.CheckpointStore | Scope.Scope
> =>
  Effect.gen(function*() {
    const faults = yield* Effect.serviceOption(Faults.Faults)
    const journal = Option.getOrElse(
      yield* Effect.serviceOption(ServerJournal.ServerJournal),
      () => ServerJournal.none
    )
    const records = yield* Effect.flatMap(journal.take, Records.read)
    const audit = Audit.make(records.audit, JournalWrites.auditWriter(journal))
    const { lifetimes, store } = yield* WatchedStore.make(
      yield* CheckpointStore.CheckpointStore,
      audit,
      records.removed.flatMap(JournalWrites.lifetimeOf),
      JournalWrites.noteRemoved(journal)
    )
    const models = new Map<string, Model>()
    const samplers = new Map<string, Sampler>()
    const state: ServerState = {
      engine: yield* Engine.Engine,
      store,
      lifetimes,
      usage: Usage.make(records.usage),
      audit,
      sessions: yield* Sessions.make({
        ...options,
        onExpired: (session) => audit.note("session_expire", { session_id: session.id }),
        onChange: (persisted) => JournalWrites.sessionChanged(state, journal, persisted),
        isEmpty: (session) => {
          for (const model of models.values()) if (model.session === session && !model.unloaded) return false
          for (const sampler of samplers.values()) if (sampler.session === session) return false
          return true
        },
        restored: records.sessions
      }),
      futures: Futures.make({
        ...options,
        onForgotten: (requestId) => {
          const end = requestId.lastIndexOf(":")
          samplers.get(requestId.slice(0, end))?.requests.delete(requestId.slice(end + 1))
          if (journal.isPersistent) void journal.unsafeCommit([Records.withoutResult(requestId)])
        }
      }),
      models,
      samplers,
      lost: new Map(records.lost),
      creating: KeyedMutex.make(),
      projectsOfCopies: new Map(
        records.copies.flatMap(({ projectId, runId }) => projectId === undefined ? [] : [[runId, projectId] as const])
      ),
      copies: new Map(
        records.copies.flatMap(({ request }) => request === undefined ? [] : [[request.key, request] as const])
      ),
      sampling: new Map<string, Fiber.RuntimeFiber<void>>(),
      gate: Option.match(faults, { onNone: () => () => openGate, onSome: (faults) => faults.gate }),
      limits: Limits.make(options),
      hasEnded: false,
      journal
    }
    yield* Effect.forkScoped(EnginePresence.closeLost(state.engine, models))
    return { state, records }
  })

const openGate: RequestQueue.Gate = { open: Effect.void, state: Effect.succeed(undefined) }
