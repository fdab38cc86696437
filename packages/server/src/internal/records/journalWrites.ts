/** How changes are written down, and what is of things that are neither models nor results. */
import type * as Engine from "@effect-tinker/engine/Engine"
import * as Safetensors from "@effect-tinker/engine/Safetensors"
import * as TinkerPath from "@effect-tinker/protocol/TinkerPath"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as CheckpointStore from "../../CheckpointStore.js"
import type { ServerError } from "../../ServerError.js"
import type { Change, Service as Journal } from "../../ServerJournal.js"
import type * as Sessions from "../../Sessions.js"
import * as Http from "../http/http.js"
import * as Samplers from "../models/samplers.js"
import type * as State from "../models/serverState.js"
import type * as Audit from "../resources/audit.js"
import type * as WatchedStore from "./auditedStore.js"
import * as LiveModel from "./liveModel.js"
import * as Records from "./records.js"

export const auditWriter = (journal: Journal): Audit.Writer => ({
  write: (number, { at, details, event }) =>
    Effect.ignore(journal.unsafeCommit([Records.audit({ number, at, event, details })])),
  remove: (from, before) =>
    Effect.ignore(
      journal.unsafeCommit(Array.from({ length: before - from }, (_, i) => Records.withoutAudit(from + i)))
    )
})

export const noteRemoved = (journal: Journal) => (info: CheckpointStore.Info, removedAt: number) => {
  const { baseModel, createdAt, expiresAt, lora, owner, path, sizeBytes, step } = info
  const at = { createdAt, expiresAt, removedAt }
  const removed = { ...at, path: TinkerPath.format(path), baseModel, lora, step, sizeBytes, owner }
  return Effect.ignore(journal.unsafeCommit([Records.removed(removed)]))
}

export const lifetimeOf = ({ path, removedAt, ...info }: Records.Removed): ReadonlyArray<WatchedStore.Lifetime> =>
  Either.match(TinkerPath.parse(path), {
    onLeft: () => [],
    onRight: (path) => [{ removedAt, info: { ...info, path, public: false, userMetadata: {} } }]
  })

export const modelRecord = (model: State.Model): Records.Model => {
  const { baseModel, createdAt, fingerprint, id, lora, session, unloaded, userMetadata } = model
  return { id, sessionId: session.id, baseModel: baseModel.name, lora, userMetadata, fingerprint, createdAt, unloaded }
}

export const samplerRecord = (sampler: State.Sampler): Records.Sampler => {
  const { adapter, baseModel, checkpoint, id, joinedClients, modelPath, session } = sampler
  return { id, sessionId: session.id, baseModel: baseModel.name, modelPath, adapter, checkpoint, joinedClients }
}

/** Keeps the weights of a sampler that have no path. */
export const saveSampler = (
  state: State.ServerState,
  journal: Journal,
  { baseModel, session }: State.Model,
  { id, snapshot }: { readonly id: string; readonly snapshot: Engine.Snapshot }
): Effect.Effect<Records.Sampler, ServerError> =>
  Effect.gen(function*() {
    const name = adapterName(id)
    const file = yield* journal.writeState(name, Safetensors.encode(snapshot.weights))
    const adapter = { lora: snapshot.lora, file }
    const sampler = state.samplers.get(id)
    if (sampler !== undefined) sampler.adapter = adapter
    return { id, sessionId: session.id, baseModel: baseModel.name, modelPath: undefined, adapter, joinedClients: 0 }
  })

/** Takes back that a sampler is there whose weights could not be kept. */
export const removeSampler = (state: State.ServerState, journal: Journal, id: string): Effect.Effect<void> =>
  Effect.zipRight(Samplers.remove(state, id), journal.removeState(adapterName(id)))

const adapterName = (samplerId: string): string => `${encodeURIComponent(samplerId)}.adapter`

/**
 * Writes down that a session has changed. Of one that has ended nothing is kept but that it was there, and its results for as long as all
 * are kept.
 */
export const sessionChanged = (
  state: State.ServerState,
  journal: Journal,
  persisted: Sessions.Persisted
): Effect.Effect<void, ServerError> =>
  Effect.gen(function*() {
    const changes: Array<Change> = [Records.session(persisted)]
    if (persisted.status._tag === "Active") return yield* journal.unsafeCommit(changes)
    const models = Array.from(state.models.values()).filter(({ session }) => session.id === persisted.id)
    const samplers = Array.from(state.samplers.values()).filter(({ session }) => session.id === persisted.id)
    for (const model of models) changes.push(...LiveModel.changesAtEnd(model))
    for (const sampler of samplers) {
      if (sampler.adapter !== undefined) {
        changes.push(Records.sampler({ ...samplerRecord(sampler), adapter: undefined }))
      }
    }
    yield* journal.unsafeCommit(changes)
    for (const model of models) yield* LiveModel.removeFiles(journal, model.journaled)
    for (const { adapter } of samplers) if (adapter !== undefined) yield* journal.removeState(adapter.file.name)
  })

/**
 * Has it written down that a sample was asked for, and waits until it is. Where it cannot be written now, the sample is computed
 * all the same, and found by whoever asks again.
 */
export const recordSampleRequest = (journal: Journal, asked: Records.Asked): Effect.Effect<void, Http.Refusal> => {
  if (!journal.isPersistent) return Effect.void
  const note = [Records.asked(asked)]
  return orUnavailable(
    Effect.tapError(journal.unsafeCommit(note), () => Effect.sync(() => journal.unsafeDefer(note)))
  )
}

/** Waits until the changes are kept; what cannot be kept is not begun. */
export const commit = (
  state: State.ServerState,
  changes: ReadonlyArray<Change>
): Effect.Effect<void, Http.Refusal> => orUnavailable(state.journal.unsafeCommit(changes))

export const orUnavailable = <A>(written: Effect.Effect<A, ServerError>): Effect.Effect<A, Http.Refusal> =>
  Effect.mapError(
    written,
    ({ description }) => Http.refuse(503, `the server cannot write down what it must keep: ${description}`)
  )
