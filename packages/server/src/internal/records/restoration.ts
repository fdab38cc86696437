/** How a server takes over what an earlier one has written down. */
import type * as Engine from "@effect-tinker/engine/Engine"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Futures from "../../Futures.js"
import type { Change, Service as Journal } from "../../ServerJournal.js"
import type * as Sessions from "../../Sessions.js"
import type * as Http from "../http/http.js"
import * as Completions from "../models/completions.js"
import * as EnginePresence from "../models/enginePresence.js"
import * as Models from "../models/models.js"
import * as Samplers from "../models/samplers.js"
import type * as State from "../models/serverState.js"
import * as Audit from "../resources/audit.js"
import * as Results from "../resources/results.js"
import * as Damage from "./damage.js"
import * as JournalWrites from "./journalWrites.js"
import * as LiveModel from "./liveModel.js"
import * as LiveSampler from "./liveSampler.js"
import * as Records from "./records.js"

/**
 * What a server has found of an earlier one, in numbers.
 *
 * @since 0.1.0
 * @category models
 */
export interface Restored {
  /** The number of sessions that have not ended. */
  readonly sessions: number
  /** The number of models with which training goes on. */
  readonly liveModels: number
  /** The number of models whose state is not there any more. */
  readonly lostModels: number
  readonly samplers: number
  readonly results: number
  /** The number of requests that were accepted before, and are done now. */
  readonly requests: number
}

/** Makes known what there was, and gives what was accepted and is to be done again, in order. */
export const restore = (
  state: State.ServerState,
  journal: Journal,
  records: Records.Records,
  options: Futures.Options
): Effect.Effect<{ readonly restored: Restored; readonly unfinished: Records.Records["arrivals"] }> =>
  Effect.gen(function*() {
    const now = yield* Clock.currentTimeMillis
    const oldest = now - Duration.toMillis(options.retention ?? "1 hour")
    const results = records.results.filter(({ at }) => at > oldest)
    const changes: Array<Change> = records.results
      .filter(({ at }) => at <= oldest)
      .map(({ ownerId, seqId }) => Records.withoutResult(Records.requestIdOf(ownerId, seqId)))

    const unfinished: Array<Records.Records["arrivals"][number]> = []
    const begun = new Set<string>()
    for (const arrival of records.arrivals) {
      if (arrival._tag === "Request" && arrival.request.seqId === 0) begun.add(arrival.request.modelId)
    }

    changes.push(...yield* noteLosses(state, journal, records, now))

    for (const record of records.models) {
      const session = state.sessions.get(record.sessionId)
      if (session === undefined) continue
      const progress = records.progress.get(record.id)
      // The request that made it is done again, and makes it anew.
      if (journal.liveModels && progress === undefined && begun.has(record.id) && !state.lost.has(record.id)) continue
      const isOver = record.unloaded || session.status._tag !== "Active"
      const lost = isOver ? undefined : state.lost.get(record.id) ?? (yield* whyLost(state, journal, record, progress))
      if (!journal.liveModels && progress?.weights !== undefined) {
        changes.push(Records.progress({ ...progress, weights: undefined, gradient: undefined }))
      }
      yield* Models.open(state, {
        id: record.id,
        session,
        baseModel: state.engine.baseModels.find(({ name }) => name === record.baseModel) ??
          unknownBaseModel(record.baseModel),
        lora: record.lora,
        userMetadata: record.userMetadata,
        fingerprint: record.fingerprint,
        createdAt: record.createdAt,
        lastRequestAt: progress?.lastRequestAt ?? record.createdAt,
        unloaded: record.unloaded,
        lost,
        progress,
        done: fingerprintsOf(record.id, results)
      })
    }

    for (const record of records.samplers) {
      const session = state.sessions.get(record.sessionId)
      if (session === undefined) continue
      const sampler = yield* restoreSampler(state, journal, record, session, now)
      if (record.checkpoint === undefined && record.modelPath !== undefined) {
        changes.push(Records.sampler(JournalWrites.samplerRecord(sampler)))
      }
    }

    for (const result of results) yield* restoreResult(state, journal, result)
    const known = new Set(results.map(({ ownerId, seqId }) => Records.requestIdOf(ownerId, seqId)))
    for (const { samplerId, seqId } of records.asked) {
      if (known.has(Records.requestIdOf(samplerId, seqId))) {
        changes.push(Records.removeSampleRequest(Records.requestIdOf(samplerId, seqId)))
        continue
      }
      const lost: Records.Result = {
        ownerId: samplerId,
        seqId,
        fingerprint: "",
        at: now,
        outcome: { _tag: "Lost" },
        sequences: undefined
      }
      changes.push(Records.removeSampleRequest(Records.requestIdOf(samplerId, seqId)), Records.result(lost, undefined))
      yield* restoreResult(state, journal, lost)
    }

    for (const arrival of records.arrivals) {
      const { modelId, seqId } = arrival._tag === "Request" ? arrival.request : arrival.rejected
      const model = state.models.get(modelId)
      if (seqId < (model?.journaled.progress?.next ?? 0)) {
        changes.push(Records.withoutRequest(modelId, seqId), Records.withoutRejected(modelId, seqId))
        continue
      }
      const goesOn = journal.liveModels && (model === undefined ? begun.has(modelId) : model.lost === undefined)
      if (goesOn) unfinished.push(arrival)
      else if (arrival._tag === "Request") {
        changes.push(Records.withoutRequest(modelId, seqId))
        yield* state.futures.restore(Records.requestIdOf(modelId, seqId), { _tag: "Lost" })
      } else changes.push(Records.withoutRejected(modelId, seqId))
    }

    yield* removeStaleStates(state, journal, records)
    if (changes.length > 0) yield* Effect.ignore(journal.unsafeCommit(changes))

    const { liveModels, lostModels, samplers, sessions } = counts(state)
    return {
      unfinished,
      restored: {
        sessions,
        liveModels,
        lostModels,
        samplers,
        results: results.length,
        requests: unfinished.filter(({ _tag }) => _tag === "Request").length
      }
    }
  })

/**
 * Finds out what is lost with pieces of the journal that are damaged or not there, so that clients are told so, in this life
 * of the server and in later ones, rather than gone on with what is older than they know, or told that it never was.
 */
const noteLosses = (
  state: State.ServerState,
  journal: Journal,
  records: Records.Records,
  now: number
): Effect.Effect<ReadonlyArray<Change>> =>
  Effect.gen(function*() {
    const damage = Damage.read(journal.damage)
    const changes: Array<Change> = []
    const lose = (what: "session" | "model" | "sampler", id: string) =>
      Effect.suspend(() => {
        if (state.lost.has(id)) return Effect.void
        const reason = EnginePresence.damaged(what)
        state.lost.set(id, reason)
        changes.push(Records.lost({ id, reason }))
        return Effect.logError(`the ${what} ${id} is lost, as pieces of the journal are damaged or gone`)
      })

    const models = new Map(records.models.map((model) => [model.id, model]))
    const samplers = new Set(records.samplers.map(({ id }) => id))
    const isOver = (id: string): boolean => {
      const model = models.get(id)
      return model !== undefined
        && (model.unloaded || (state.sessions.get(model.sessionId)?.status._tag ?? "Active") !== "Active")
    }
    /** What is said of a request of a model is out of date once later ones are done. */
    const loseModel = (id: string, seqId: number) =>
      isOver(id) || (models.has(id) && seqId < (records.progress.get(id)?.next ?? 0)) ? Effect.void : lose("model", id)

    for (const id of damage.sessions) if (state.sessions.get(id) === undefined) yield* lose("session", id)
    for (const { id, sessionId } of [...records.models, ...records.samplers]) {
      if (state.sessions.get(sessionId) !== undefined) continue
      yield* lose("session", sessionId)
      yield* lose(models.has(id) ? "model" : "sampler", id)
    }
    for (const [id, seqId] of damage.owners) {
      if (isSamplerId(id)) {
        if (!samplers.has(id)) yield* lose("sampler", id)
      } else yield* loseModel(id, seqId)
    }
    for (const id of records.progress.keys()) if (!models.has(id)) yield* lose("model", id)
    const taken = new Set(
      records.arrivals.flatMap((arrival) =>
        arrival._tag === "Request" ? [Records.requestIdOf(arrival.request.modelId, arrival.request.seqId)] : []
      )
    )
    for (const name of yield* journal.states) {
      const owner = LiveModel.ownerOf(name)
      if (owner === undefined) continue
      const session = owner.id.slice(0, owner.id.indexOf(":"))
      if (state.sessions.get(session) === undefined) yield* lose("session", session)
      if (isSamplerId(owner.id)) {
        // One that a request was about to make is made by that request, which is done again.
        if (!samplers.has(owner.id) && !makesSamplers(records, session)) yield* lose("sampler", owner.id)
        continue
      }
      // The state of a request is written once it is written down that the request was taken, and all before it were done.
      const next = records.progress.get(owner.id)?.next ?? 0
      const isNext = owner.seqId === next && taken.has(Records.requestIdOf(owner.id, next))
      if (!models.has(owner.id) || !isNext) yield* loseModel(owner.id, owner.seqId)
    }

    const known = new Set([
      ...records.results.map(({ ownerId, seqId }) => Records.requestIdOf(ownerId, seqId)),
      ...records.asked.map(({ samplerId, seqId }) => Records.requestIdOf(samplerId, seqId))
    ])
    for (const { ownerId, seqId } of damage.requests) {
      const requestId = Records.requestIdOf(ownerId, seqId)
      if (known.has(requestId) || !samplers.has(ownerId)) continue
      known.add(requestId)
      const lost = {
        ownerId,
        seqId,
        fingerprint: "",
        at: now,
        outcome: { _tag: "Lost" },
        sequences: undefined
      } as const
      changes.push(Records.result(lost, undefined))
      yield* restoreResult(state, journal, lost)
    }
    return changes
  })

/** Whether a request is to be done again that makes a sampler of this session. */
const makesSamplers = ({ arrivals }: Records.Records, sessionId: string): boolean =>
  arrivals.some((arrival) =>
    arrival._tag === "Request" && arrival.request.route === "saveWeightsForSampler"
    && arrival.request.modelId.startsWith(`${sessionId}:`)
  )

const isSamplerId = (id: string): boolean => id.includes(":sample:")

/**
 * Removes state that is out of date: of what is known, and not lost. That of what is lost stays where it is, and that of what
 * nothing is known of is put aside.
 */
const removeStaleStates = (
  state: State.ServerState,
  journal: Journal,
  records: Records.Records
): Effect.Effect<void> =>
  Effect.gen(function*() {
    // Those that are about to be made again are not there yet.
    const known = new Set(
      records.models.filter(({ id }) => state.models.has(id) || !state.lost.has(id)).map(({ id }) => id)
    )
    const isMade = (id: string) => isSamplerId(id) && makesSamplers(records, id.slice(0, id.indexOf(":")))
    const inForce = new Set<string>()
    const spared = new Set<string>()
    for (const { id, journaled, lost, session, unloaded } of state.models.values()) {
      if (unloaded || session.status._tag !== "Active" || (lost !== undefined && !journal.liveModels)) continue
      if (lost !== undefined) spared.add(id)
      for (const { name } of LiveModel.filesOf(journaled.progress)) inForce.add(name)
    }
    for (const { adapter, id, lost } of state.samplers.values()) {
      if (lost !== undefined) spared.add(id)
      if (adapter !== undefined) inForce.add(adapter.file.name)
    }
    for (const name of yield* journal.states) {
      const owner = LiveModel.ownerOf(name)?.id
      const isKnown = owner !== undefined && (known.has(owner) || state.samplers.has(owner))
      const isNeeded = inForce.has(name) || (owner !== undefined && (spared.has(owner) || isMade(owner)))
      if (isNeeded) continue
      yield* isKnown ? journal.removeState(name) : journal.setStateAside(name)
    }
  })

/** Does again what an earlier server has accepted and not done. */
export const replay = (
  state: State.ServerState,
  journal: Journal,
  handlers: Readonly<Record<string, Http.Handler<unknown>>>,
  unfinished: Records.Records["arrivals"]
): Effect.Effect<void> =>
  Effect.forEach(unfinished, (arrival) => {
    if (arrival._tag === "Rejected") {
      const { modelId, seqId } = arrival.rejected
      const model = state.models.get(modelId)
      return model === undefined ? Effect.void : Models.rejectNumber(state, model, seqId)
    }
    const { contentType, fingerprint, keyName, modelId, route, seed, seqId } = arrival.request
    return Effect.gen(function*() {
      const body = yield* journal.payload(arrival.key)
      const handler = handlers[route]
      if (handler === undefined) return yield* Effect.fail({ detail: `there is no route ${route}` })
      yield* Effect.asVoid(handler({
        method: "POST",
        headers: { "content-type": contentType },
        body,
        params: {},
        url: "/",
        origin: () => "",
        fault: undefined,
        route,
        replayed: { fingerprint, seed }
      }))
    }).pipe(
      Audit.underKey(keyName),
      Effect.catchAll((error) => {
        const requestId = Records.requestIdOf(modelId, seqId)
        const why = "detail" in error ? error.detail : error.description
        return Effect.all([
          Effect.logWarning(`the request ${requestId}, which was accepted before, cannot be done any more`, why),
          state.futures.restore(requestId, { _tag: "Lost" }),
          Effect.ignore(journal.unsafeCommit([Records.withoutRequest(modelId, seqId)]))
        ])
      })
    )
  }, { discard: true })

/** Why a model cannot be gone on with; nothing if it can. */
const whyLost = (
  state: State.ServerState,
  journal: Journal,
  { baseModel }: Records.Model,
  progress: Records.Progress | undefined
): Effect.Effect<string | undefined> =>
  Effect.gen(function*() {
    if (!journal.liveModels || progress?.weights === undefined) {
      return "the server was started anew, and had not kept it. Go on from its last checkpoint"
    }
    if (!state.engine.baseModels.some(({ name }) => name === baseModel)) {
      return `the server was started anew, without its base model ${baseModel}`
    }
    for (const file of LiveModel.filesOf(progress)) {
      if (!(yield* journal.hasState(file))) {
        yield* Effect.logError(
          `the model ${progress.modelId} is lost: ${journal.statePath(file.name)} is not as it was written`
        )
        return EnginePresence.damaged("model")
      }
    }
    return undefined
  })

/** Stands for a base model that the engine does not have any more. */
const unknownBaseModel = (name: string): Engine.BaseModel => ({
  name,
  maxContextLength: 0,
  vocabularySize: 0,
  maxRank: 0,
  eosTokens: [],
  architecture: "unknown",
  tokenizerId: name
})

const fingerprintsOf = (modelId: string, results: ReadonlyArray<Records.Result>): ReadonlyMap<number, string> =>
  new Map(
    results.flatMap(({ fingerprint, outcome, ownerId, seqId }) =>
      ownerId === modelId && outcome._tag !== "Lost" && Number.isInteger(Number(seqId))
        ? [[Number(seqId), fingerprint] as const]
        : []
    )
  )

const restoreSampler = (
  state: State.ServerState,
  journal: Journal,
  record: Records.Sampler,
  session: Sessions.Session,
  now: number
): Effect.Effect<State.Sampler> =>
  Effect.gen(function*() {
    const { adapter, id, joinedClients, modelPath } = record
    // Of a server that did not write down which checkpoint it was, what is there now is taken for it, from now on.
    const checkpoint = modelPath === undefined || record.checkpoint !== undefined
      ? record.checkpoint
      : yield* LiveSampler.checkpointAt(state.store, modelPath)
    const baseModel = state.engine.baseModels.find(({ name }) => name === record.baseModel)
    const isGone = adapter === undefined ? false : !(yield* journal.hasState(adapter.file))
    if (isGone) yield* Effect.logError(`the sampler ${id} is lost: ${adapter?.file.name} is not as it was written`)
    return yield* Samplers.open(state, {
      id,
      session,
      baseModel: baseModel ?? unknownBaseModel(record.baseModel),
      modelPath,
      // Cursors of the earlier server are smaller than any time.
      completions: Completions.make(now),
      joinedClients,
      lost: baseModel === undefined
        ? `the server was started anew, without its base model ${record.baseModel}`
        : isGone
        ? EnginePresence.damaged("sampler")
        : undefined,
      isLoaded: false,
      hasOwnWeights: adapter !== undefined,
      adapter,
      checkpoint
    })
  })

const restoreResult = (
  state: State.ServerState,
  journal: Journal,
  { at, fingerprint, outcome, ownerId, seqId, sequences }: Records.Result
): Effect.Effect<void> =>
  Effect.gen(function*() {
    const requestId = Records.requestIdOf(ownerId, seqId)
    const sampler = state.samplers.get(ownerId)
    yield* state.futures.restore(
      requestId,
      outcome._tag === "Lost" ? outcome : {
        _tag: "Result",
        at,
        read: Effect.match(journal.payload(Records.resultKey(requestId)), {
          onSuccess: (bytes) => Results.fromRecord(outcome, bytes),
          // Not a failure: it was done.
          onFailure: () => undefined
        })
      }
    )
    if (sampler === undefined || sampler.session.status._tag !== "Active") return
    if (outcome._tag !== "Lost") {
      sampler.requests.set(seqId, { fingerprint, requestId, sequences: sequences ?? 0 })
    }
    yield* sampler.completions.add(Completions.cloneOf(seqId), {
      requestId,
      isFailed: outcome._tag !== "Bytes",
      size: undefined
    })
  })

const counts = (state: State.ServerState) => {
  const isActive = (session: Sessions.Session) => session.status._tag === "Active"
  const models = Array.from(state.models.values()).filter(({ session, unloaded }) => !unloaded && isActive(session))
  const samplers = Array.from(state.samplers.values()).filter(({ session }) => isActive(session))
  return {
    sessions: state.sessions.list().filter(isActive).length,
    liveModels: models.filter(({ lost }) => lost === undefined).length,
    lostModels: models.filter(({ lost }) => lost !== undefined).length,
    samplers: samplers.filter(({ lost }) => lost === undefined).length
  }
}
