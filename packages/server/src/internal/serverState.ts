/** What a running server knows: models, samplers and the requests on their way. Shared by the handlers. */
import type { HttpServerResponse } from "@effect/platform/HttpServerResponse"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Scope from "effect/Scope"
import * as CheckpointStore from "../CheckpointStore.js"
import * as Engine from "../Engine.js"
import * as Faults from "../Faults.js"
import * as Futures from "../Futures.js"
import * as RequestQueue from "../RequestQueue.js"
import type { ServerError } from "../ServerError.js"
import * as ServerJournal from "../ServerJournal.js"
import * as Sessions from "../Sessions.js"
import { after } from "./after.js"
import * as Audit from "./audit.js"
import * as Completions from "./completions.js"
import * as Failures from "./failures.js"
import * as Http from "./http.js"
import * as Keeping from "./keeping.js"
import * as Limits from "./limits.js"
import * as LiveModel from "./liveModel.js"
import * as LiveSampler from "./liveSampler.js"
import * as Presence from "./presence.js"
import * as Records from "./records.js"
import * as Results from "./results.js"
import * as Usage from "./usage.js"
import * as Users from "./users.js"
import * as WatchedStore from "./watchedStore.js"

export interface Model {
  readonly id: string
  readonly session: Sessions.Session
  readonly scope: Scope.CloseableScope
  readonly baseModel: Engine.BaseModel
  readonly lora: Engine.LoraSpec
  readonly userMetadata: Readonly<Record<string, unknown>> | undefined
  /** Of the request that made it. */
  readonly fingerprint: string
  readonly queue: RequestQueue.Service
  /** Milliseconds since the epoch. */
  readonly createdAt: number
  /** Likewise. */
  lastRequestAt: number
  unloaded: boolean
  /** Why it is not there any more, although it was not unloaded. */
  readonly lost: string | undefined
  /** Gives it back to the engine where that does not have it. */
  readonly ready: Effect.Effect<void, WorkError>
  /** Whether the engine has it. */
  readonly isLoaded: boolean
  readonly kept: LiveModel.Kept
}

export interface Sampler {
  readonly id: string
  readonly session: Sessions.Session
  readonly baseModel: Engine.BaseModel
  readonly modelPath: string | undefined
  /** By sequence number. */
  readonly requests: Map<string, SampleTicket>
  readonly completions: Completions.Completions
  /** Clients that have joined the one which made it. */
  joinedClients: number
  readonly lost: string | undefined
  readonly ready: Effect.Effect<void, WorkError>
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

/** A request that was accepted turns out to be one that cannot be done. */
export class UserError extends Data.TaggedError("UserError")<{ readonly detail: string }> {}

export type WorkError = UserError | Engine.EngineError | ServerError

export type Work = Effect.Effect<Finished, WorkError>

/** A result, and what else came of the request. */
export interface Finished extends Futures.Completed {
  /** What is not any more as it was. */
  readonly changed?: "weights" | "gradient" | undefined
  readonly usage?: ReadonlyArray<Usage.Used> | undefined
  /** A sampler whose weights have no path. */
  readonly sampler?: { readonly id: string; readonly snapshot: Engine.Snapshot } | undefined
}

export interface ServerState {
  readonly engine: Engine.Service
  readonly store: CheckpointStore.Service
  /** Of checkpoints, removed ones too. */
  readonly stays: ReadonlyArray<WatchedStore.Stay>
  readonly usage: Usage.Usage
  readonly audit: Audit.Audit
  readonly sessions: Sessions.Service
  readonly futures: Futures.Service
  readonly models: Map<string, Model>
  readonly samplers: Map<string, Sampler>
  /** Of the runs that copies of checkpoints have made. */
  readonly projectsOfCopies: Map<string, string>
  /** Copies by the keys of the requests for them. */
  readonly copies: Map<string, { readonly body: string; readonly path: string }>
  /** Samples that are being computed, by request; the end of their session ends them. */
  readonly sampling: Map<string, Fiber.RuntimeFiber<void>>
  readonly gate: (id: string) => RequestQueue.Gate
  readonly limits: Limits.Limits
  /** The server ends: what is not done then was not refused to anybody. */
  hasEnded: boolean
  readonly journal: ServerJournal.Service | undefined
}

export const make = (
  options: Futures.Options & Sessions.Options & Limits.Options
): Effect.Effect<
  { readonly state: ServerState; readonly records: Records.Records | undefined },
  never,
  Engine.Engine | CheckpointStore.CheckpointStore | Scope.Scope
> =>
  Effect.gen(function*() {
    const faults = yield* Effect.serviceOption(Faults.Faults)
    const journal = Option.getOrUndefined(yield* Effect.serviceOption(ServerJournal.ServerJournal))
    const records = journal === undefined ? undefined : yield* Effect.flatMap(journal.take, Records.read)
    const audit = Audit.make(records?.audit, journal && Keeping.auditKeeper(journal))
    const { stays, store } = yield* WatchedStore.make(
      yield* CheckpointStore.CheckpointStore,
      audit,
      records?.removed.flatMap(Keeping.stayOf),
      journal && Keeping.noteRemoved(journal)
    )
    const models = new Map<string, Model>()
    const samplers = new Map<string, Sampler>()
    const state: ServerState = {
      engine: yield* Engine.Engine,
      store,
      stays,
      usage: Usage.make(records?.usage),
      audit,
      sessions: yield* Sessions.make({
        ...options,
        onExpired: (session) => audit.note("session_expire", { session_id: session.id }),
        onChange: journal && ((kept) => Keeping.sessionChanged(state, journal, kept)),
        restored: records?.sessions
      }),
      futures: Futures.make({
        ...options,
        onForgotten: (requestId) => {
          const end = requestId.lastIndexOf(":")
          samplers.get(requestId.slice(0, end))?.requests.delete(requestId.slice(end + 1))
          if (journal !== undefined) void journal.unsafeCommit([Records.withoutResult(requestId)])
        }
      }),
      models,
      samplers,
      projectsOfCopies: new Map(
        records?.copies.flatMap(({ projectId, runId }) => projectId === undefined ? [] : [[runId, projectId] as const])
      ),
      copies: new Map(
        records?.copies.flatMap(({ request }) => request === undefined ? [] : [[request.key, request] as const])
      ),
      sampling: new Map<string, Fiber.RuntimeFiber<void>>(),
      gate: Option.match(faults, { onNone: () => () => openGate, onSome: (faults) => faults.gate }),
      limits: Limits.make(options),
      hasEnded: false,
      journal
    }
    yield* Effect.forkScoped(Presence.closeLost(state.engine, models))
    return { state, records }
  })

const openGate: RequestQueue.Gate = { open: Effect.void, state: Effect.succeed(undefined) }

/** Finished ones too. */
export const requireKnownSession = (
  state: ServerState,
  sessionId: string
): Effect.Effect<Sessions.Session, Http.Refusal> =>
  Effect.suspend(() => {
    const session = state.sessions.get(sessionId)
    return session === undefined
      ? Http.refuse(404, `there is no session ${sessionId}`)
      : Effect.as(Users.requireMine(`the session ${sessionId}`, session.owner), session)
  })

export const requireSession = (
  state: ServerState,
  sessionId: string
): Effect.Effect<Sessions.Session, Http.Refusal> => Effect.tap(requireKnownSession(state, sessionId), requireActive)

const requireActive = ({ id, status }: Sessions.Session): Effect.Effect<void, Http.Refusal> => {
  switch (status._tag) {
    case "Active":
      return Effect.void
    case "Expired":
      return Http.refuse(410, `the session ${id} has ended, as its client was not heard of for too long`)
    case "Finished":
      return Http.refuse(410, `the session ${id} is finished (${status.reason})`)
  }
}

export const requireModel = (state: ServerState, modelId: string): Effect.Effect<Model, Http.Refusal> =>
  Effect.gen(function*() {
    const model = state.models.get(modelId)
    if (model === undefined) return yield* Http.refuse(404, `there is no model ${modelId}`)
    yield* Users.requireMine(`the model ${modelId}`, model.session.owner)
    yield* requireActive(model.session)
    if (model.unloaded) return yield* Http.refuse(404, `the model ${modelId} was unloaded`)
    if (model.lost !== undefined) return yield* Http.refuse(410, `the model ${modelId} is lost: ${model.lost}`)
    return model
  })

export const requireSampler = (state: ServerState, samplerId: string): Effect.Effect<Sampler, Http.Refusal> => {
  const sampler = state.samplers.get(samplerId)
  if (sampler === undefined) return Http.refuse(404, `there is no sampler ${samplerId}`)
  return after(
    Users.requireMine(`the sampler ${samplerId}`, sampler.session.owner),
    () =>
      after(
        requireActive(sampler.session),
        () =>
          sampler.lost === undefined
            ? Effect.succeed(sampler)
            : Http.refuse(410, `the sampler ${samplerId} is lost: ${sampler.lost}`)
      )
  )
}

/** The result of a request is told to whoever may have asked for it. */
export const requireRequest = (state: ServerState, requestId: string): Effect.Effect<void, Http.Refusal> =>
  Users.requireMine(
    `the request ${requestId}`,
    state.sessions.get(requestId.slice(0, requestId.indexOf(":")))?.owner
  )

export const requireBaseModel = (
  state: ServerState,
  name: string
): Effect.Effect<Engine.BaseModel, Http.Refusal> => {
  const baseModel = state.engine.baseModels.find((model) => model.name === name)
  if (baseModel !== undefined) return Effect.succeed(baseModel)
  const names = state.engine.baseModels.map((model) => model.name).join(", ")
  return Http.refuse(400, `there is no base model ${name} on this server; it has ${names}`)
}

/**
 * Makes the model with the number `modelSeqId` of its session. `work` is its request 0; later ones begin with 1. The same
 * request again gets the same answer.
 */
export const createModel = (
  state: ServerState,
  options: {
    readonly session: Sessions.Session
    readonly modelSeqId: number
    readonly baseModel: Engine.BaseModel
    readonly lora: Engine.LoraSpec
    readonly userMetadata: Readonly<Record<string, unknown>> | undefined
    readonly request: Http.Received
    readonly work: (modelId: string) => Work
  }
): Effect.Effect<HttpServerResponse, Http.Refusal> =>
  Effect.gen(function*() {
    const { baseModel, lora, request, session, userMetadata } = options
    yield* Http.requireNumber("model_seq_id", options.modelSeqId)
    const id = `${session.id}:train:${options.modelSeqId}`
    const fingerprint = Http.fingerprint(request.body)
    const existing = state.models.get(id)
    if (existing !== undefined) {
      return existing.fingerprint === fingerprint
        ? accepted(`${id}:0`, id)
        : yield* Http.refuse(400, `the model number ${options.modelSeqId} of this session was made by another request`)
    }
    const createdAt = yield* Clock.currentTimeMillis
    const model = yield* openModel(state, {
      id,
      session,
      baseModel,
      lora,
      userMetadata,
      fingerprint,
      createdAt,
      lastRequestAt: createdAt,
      isLoaded: true
    })
    return yield* submit(state, model, {
      seqId: 0,
      request,
      work: options.work(id),
      first: { record: Keeping.modelRecord(model), seed: lora.seed }
    })
  })

/** A model with its queue, which begins where an earlier server has left off. */
export const openModel = (
  state: ServerState,
  options:
    & Pick<
      Model,
      "id" | "session" | "baseModel" | "lora" | "userMetadata" | "fingerprint" | "createdAt" | "lastRequestAt"
    >
    & {
      readonly isLoaded?: boolean
      readonly unloaded?: boolean
      readonly lost?: string | undefined
      readonly progress?: Records.Progress | undefined
      readonly done?: ReadonlyMap<number, string>
    }
): Effect.Effect<Model> =>
  Effect.gen(function*() {
    const { done, lost, progress, isLoaded = false, unloaded = false, ...rest } = options
    const { id, session } = options
    const scope = yield* Scope.fork(session.scope, ExecutionStrategy.sequential)
    yield* Scope.addFinalizer(scope, Effect.ignoreLogged(state.engine.unloadModel(id)))
    const gate = Limits.both(yield* state.limits.modelGate(session.id, scope), state.gate(id))
    const queue = yield* Scope.extend(
      RequestQueue.make({ first: progress?.next ?? 0, gate, ...(done === undefined ? {} : { done }) }),
      scope
    )
    if (unloaded || lost !== undefined) yield* Scope.close(scope, Exit.void)
    const kept = LiveModel.emptyKept(progress)
    const presence = Presence.make(state.engine, "model", id, {
      isLoaded,
      lost,
      isKept: () => kept.progress?.weights !== undefined,
      giveBack: Effect.suspend(() =>
        kept.progress === undefined || state.journal === undefined
          ? Effect.void
          : LiveModel.restore(state.engine, state.journal, options, kept.progress)
      )
    })
    const model: Model = {
      ...rest,
      scope,
      queue,
      unloaded,
      kept,
      get lost() {
        return presence.lost()
      },
      get ready() {
        return presence.ready()
      },
      get isLoaded() {
        return presence.isThere()
      }
    }
    state.models.set(id, model)
    return model
  })

/** The id of the sampling session with this number in its session. */
export const samplerId = (session: Sessions.Session, seqId: number): string => `${session.id}:sample:${seqId}`

/** Makes a sampler; one that is there already stays as it is. */
export const createSampler = (
  state: ServerState,
  options: Pick<Sampler, "id" | "session" | "baseModel" | "modelPath"> & {
    readonly snapshot: Engine.Snapshot | undefined
  }
): Effect.Effect<void, Engine.EngineError> =>
  Effect.gen(function*() {
    const { snapshot, ...sampler } = options
    if (state.samplers.has(options.id)) return
    yield* state.engine.createSampler(options.id, { baseModel: options.baseModel.name, snapshot })
    yield* openSampler(state, {
      ...sampler,
      completions: Completions.make(),
      joinedClients: 0,
      isLoaded: true,
      lost: undefined,
      hasOwnWeights: options.modelPath === undefined && snapshot !== undefined,
      adapter: undefined
    })
  })

/** Makes a sampler known, which the engine has or is given back. */
export const openSampler = (
  state: ServerState,
  options: Omit<Sampler, "requests" | "ready"> & { readonly isLoaded: boolean }
): Effect.Effect<Sampler> =>
  Effect.gen(function*() {
    const requests = new Map<string, SampleTicket>()
    const { id, isLoaded, lost, ...rest } = options
    const presence = Presence.make(state.engine, "sampler", id, {
      isLoaded,
      lost,
      isKept: () => !sampler.hasOwnWeights || sampler.adapter !== undefined,
      giveBack: Effect.suspend(() => LiveSampler.restore(state, sampler))
    })
    const sampler: Sampler = {
      ...rest,
      id,
      requests,
      get lost() {
        return presence.lost()
      },
      get ready() {
        return presence.ready()
      }
    }
    state.samplers.set(sampler.id, sampler)
    yield* Scope.addFinalizer(
      sampler.session.scope,
      interruptSamples(state, sampler).pipe(
        Effect.zipRight(Effect.sync(() => requests.clear())),
        Effect.zipRight(Effect.ignoreLogged(state.engine.unloadSampler(sampler.id)))
      )
    )
    return sampler
  })

const interruptSamples = (state: ServerState, { id }: Sampler): Effect.Effect<void> =>
  Effect.suspend(() => {
    const ofSampler = Array.from(state.sampling).filter(([requestId]) => requestId.startsWith(`${id}:`))
    return Fiber.interruptAll(ofSampler.map(([, fiber]) => fiber))
  })

/** `result` is what the one who asked for it will be told. */
export const unloadModel = (
  state: ServerState,
  model: Model,
  result: Futures.Completed
): Effect.Effect<void, Http.Refusal> =>
  Effect.gen(function*() {
    model.unloaded = true
    yield* Scope.close(model.scope, Exit.void)
    if (state.journal === undefined) return
    const at = yield* Clock.currentTimeMillis
    yield* commit(state, [
      Records.model(Keeping.modelRecord(model)),
      Records.result(
        {
          ownerId: model.id,
          seqId: "unload",
          fingerprint: "",
          at,
          outcome: Results.toRecord(result),
          sequences: undefined
        },
        undefined
      ),
      ...LiveModel.given(model)
    ])
    yield* LiveModel.removeFiles(state.journal, model.kept)
  })

/** Notes that the request with this number was refused. */
export const rejectNumber = (state: ServerState, model: Model, seqId: number): Effect.Effect<void> =>
  Effect.zipRight(model.queue.reject(seqId), LiveModel.noteRejected(state.journal, model, seqId))

/** Equal for equal requests, also for one that an earlier server has taken. */
export const fingerprintOf = (request: Http.Received): string =>
  request.replayed?.fingerprint ?? Http.fingerprint(request.body)

/** Waits until the changes are kept; what cannot be kept is not begun. */
export const commit = (
  state: ServerState,
  changes: ReadonlyArray<ServerJournal.Change>
): Effect.Effect<void, Http.Refusal> =>
  state.journal === undefined ? Effect.void : orUnavailable(state.journal.unsafeCommit(changes))

export const orUnavailable = (written: Effect.Effect<void, ServerError>): Effect.Effect<void, Http.Refusal> =>
  Effect.mapError(written, () => Http.refuse(503, "the server cannot write down what it must keep; see its log"))

/** Puts a request into its model's queue, if it is one that is there already or `admit` has nothing against it. */
export const submit = (
  state: ServerState,
  model: Model,
  options: {
    readonly seqId: number
    readonly request: Http.Received
    readonly work: Work
    readonly admit?: Effect.Effect<void, Http.Refusal> | undefined
    /** Of the request that makes the model. */
    readonly first?: { readonly record: Records.Model; readonly seed: number } | undefined
  }
): Effect.Effect<HttpServerResponse, Http.Refusal> =>
  Effect.gen(function*() {
    const { admit, first, request, seqId, work } = options
    model.lastRequestAt = yield* Clock.currentTimeMillis
    if (admit !== undefined && !(yield* model.queue.knows(seqId))) {
      yield* Effect.tapError(admit, () => rejectNumber(state, model, seqId))
    }
    // The one that the others wait for is let in, or they would wait for ever.
    if (!(yield* model.queue.knows(seqId)) && seqId > (yield* model.queue.next)) yield* state.limits.requireRoom()
    const requestId = `${model.id}:${seqId}`
    const fingerprint = fingerprintOf(request)
    const { length } = request.body
    const free = Effect.sync(() => state.limits.free(length))
    const register = state.futures.submit(requestId, model.queue.state)
    const keyName = yield* FiberRef.get(Audit.currentKey)
    const { journal } = state
    const result = outcomeOf(requestId, Effect.suspend(() => after(model.ready, () => planned(request, work))))
    const submission = yield* model.queue.submit({
      seqId,
      fingerprint,
      accept: journal &&
        (() => LiveModel.noteAccepted(journal, model, { seqId, fingerprint, request, keyName, first })),
      run: register.pipe(
        Effect.zipRight(
          journal === undefined
            ? Effect.zipWith(result, Clock.currentTimeMillis, (outcome, now) => {
              countUsage(state, model, outcome, now)
              return outcome
            })
            : Effect.flatMap(result, (outcome) => keepResult(state, journal, model, { seqId, fingerprint }, outcome))
        ),
        Effect.flatMap((outcome) => state.futures.complete(requestId, outcome)),
        Effect.locally(Audit.currentKey, keyName)
      ),
      abandon: Effect.suspend(() =>
        state.hasEnded
          ? Effect.void
          : Effect.zipRight(register, state.futures.complete(requestId, Failures.ofAbandoned(model)))
      ),
      end: free
    })
    if (submission === "Accepted") state.limits.occupy(length)
    const written = model.kept.accepting.get(seqId)
    if (written !== undefined) {
      yield* orUnavailable(written)
      model.kept.accepting.delete(seqId)
    }
    switch (submission) {
      case "Accepted":
        yield* register
        return accepted(requestId, model.id)
      case "Duplicate":
        return accepted(requestId, model.id)
      case "Conflict":
        return yield* Http.refuse(400, `request ${seqId} of this model was another one`)
      case "Passed":
        return yield* Http.refuse(400, `request ${seqId} of this model was left out, and later ones have run`)
      case "Closed":
        return yield* Http.refuse(410, `the model ${model.id} is closed`)
    }
  })

export type Outcome = Futures.Outcome | Finished

export const accepted = (requestId: string, modelId?: string, sequenceIds?: ReadonlyArray<string>) =>
  Http.json({ request_id: requestId, model_id: modelId, sample_sequence_ids: sequenceIds })

/** The work itself, or the failure that a test has planned instead. */
export const planned = (request: Http.Received, work: Work): Effect.Effect<Futures.Outcome | Finished, WorkError> =>
  request.fault?._tag === "FailFuture" ? Effect.succeed(request.fault.outcome) : work

/** Counts what a request has used, and gives the counts as they are now. */
export const countUsage = (
  state: ServerState,
  { baseModel, session }: Pick<Model, "baseModel" | "session">,
  outcome: Futures.Outcome | Finished,
  now: number
): ReadonlyArray<Usage.Count> =>
  "usage" in outcome && outcome.usage !== undefined
    ? state.usage.add(outcome.usage, { at: now, sessionId: session.id, baseModel: baseModel.name })
    : []

/** Writes down what has come of a request, and gives what its client may be told then. */
const keepResult = (
  state: ServerState,
  journal: ServerJournal.Service,
  model: Model,
  request: { readonly seqId: number; readonly fingerprint: string },
  outcome: Futures.Outcome | Finished
): Effect.Effect<Futures.Outcome> =>
  Effect.gen(function*() {
    const at = yield* Clock.currentTimeMillis
    const sampler = "sampler" in outcome && outcome.sampler !== undefined
      ? yield* Keeping.keepSampler(state, journal, model, outcome.sampler)
      : undefined
    const usage = countUsage(state, model, outcome, at)
    const changed = "changed" in outcome ? outcome.changed : undefined
    yield* LiveModel.keep(state.engine, journal, model, { ...request, at, changed }, [
      Records.result(
        {
          ...request,
          ownerId: model.id,
          seqId: String(request.seqId),
          at,
          outcome: Results.toRecord(outcome),
          sequences: undefined
        },
        Results.bytesOf(outcome)
      ),
      ...usage.map(Records.usage),
      ...sampler === undefined ? [] : [Records.sampler(sampler)]
    ])
    return outcome
  }).pipe(
    // What the engine did is gone with it, so that the request has failed, and changed nothing.
    Effect.catchIf(
      (error) => error._tag === "EngineError" && !model.isLoaded,
      (error) => keepResult(state, journal, model, request, Failures.of(error))
    ),
    Effect.catchAll((error) => Effect.succeed(Failures.of(error)))
  )

/** What comes of the work; it may also be that it fails or breaks. */
export const outcomeOf = (
  requestId: string,
  work: Effect.Effect<Futures.Outcome | Finished, WorkError>
): Effect.Effect<Futures.Outcome | Finished> =>
  work.pipe(
    Effect.catchAll((error) => Effect.succeed(Failures.of(error))),
    Effect.catchAllDefect((defect) =>
      Effect.as(
        Effect.logError(`request ${requestId} broke`, Cause.die(defect)),
        { _tag: "Failed", error: "an error of the server itself; see its log", category: "server" } as const
      )
    )
  )

/** A seed for a request that has none. */
export const randomSeed: Effect.Effect<number> = Random.nextIntBetween(0, 2 ** 31)
