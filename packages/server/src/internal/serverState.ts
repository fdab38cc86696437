/** What a running server knows: models, samplers and the requests on their way. Shared by the handlers. */
import type { HttpServerResponse } from "@effect/platform/HttpServerResponse"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Scope from "effect/Scope"
import * as CheckpointStore from "../CheckpointStore.js"
import * as Engine from "../Engine.js"
import * as Faults from "../Faults.js"
import * as Futures from "../Futures.js"
import * as RequestQueue from "../RequestQueue.js"
import type { ServerError } from "../ServerError.js"
import * as Sessions from "../Sessions.js"
import * as Audit from "./audit.js"
import * as Completions from "./completions.js"
import * as Http from "./http.js"
import * as Usage from "./usage.js"
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
}

export interface SampleTicket {
  readonly fingerprint: string
  readonly requestId: string
  readonly sequenceIds: ReadonlyArray<string>
}

/** A request that was accepted turns out to be one that cannot be done. */
export class UserError extends Data.TaggedError("UserError")<{ readonly detail: string }> {}

export type WorkError = UserError | Engine.EngineError | ServerError

export type Work = Effect.Effect<Futures.Completed, WorkError>

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
  /** Samples that are being computed, by request. */
  readonly sampling: Map<string, Fiber.RuntimeFiber<void>>
  readonly gate: (id: string) => RequestQueue.Gate
}

export const make = (
  options: Futures.Options & Sessions.Options
): Effect.Effect<ServerState, never, Engine.Engine | CheckpointStore.CheckpointStore | Scope.Scope> =>
  Effect.gen(function*() {
    const faults = yield* Effect.serviceOption(Faults.Faults)
    const audit = Audit.make()
    const { stays, store } = yield* WatchedStore.make(yield* CheckpointStore.CheckpointStore, audit)
    return {
      engine: yield* Engine.Engine,
      store,
      stays,
      usage: Usage.make(),
      audit,
      sessions: yield* Sessions.make({
        ...options,
        onExpired: (session) => audit.note("session_expire", { session_id: session.id })
      }),
      futures: Futures.make(options),
      models: new Map<string, Model>(),
      samplers: new Map<string, Sampler>(),
      projectsOfCopies: new Map<string, string>(),
      sampling: new Map<string, Fiber.RuntimeFiber<void>>(),
      gate: Option.match(faults, { onNone: () => () => openGate, onSome: (faults) => faults.gate })
    }
  })

const openGate: RequestQueue.Gate = { open: Effect.void, state: Effect.succeed(undefined) }

export const requireSession = (
  state: ServerState,
  sessionId: string
): Effect.Effect<Sessions.Session, Http.Refusal> =>
  Effect.gen(function*() {
    const session = yield* state.sessions.get(sessionId)
    if (session === undefined) return yield* Http.refuse(404, `there is no session ${sessionId}`)
    yield* requireActive(session)
    return session
  })

const requireActive = (session: Sessions.Session): Effect.Effect<void, Http.Refusal> =>
  Effect.flatMap(session.status, (status) =>
    status._tag === "Active"
      ? Effect.void
      : Http.refuse(
        410,
        status._tag === "Expired"
          ? `the session ${session.id} has ended, as its client was not heard of for too long`
          : `the session ${session.id} is finished (${status.reason})`
      ))

export const requireModel = (state: ServerState, modelId: string): Effect.Effect<Model, Http.Refusal> =>
  Effect.gen(function*() {
    const model = state.models.get(modelId)
    if (model === undefined) return yield* Http.refuse(404, `there is no model ${modelId}`)
    yield* requireActive(model.session)
    if (model.unloaded) return yield* Http.refuse(404, `the model ${modelId} was unloaded`)
    return model
  })

export const requireSampler = (state: ServerState, samplerId: string): Effect.Effect<Sampler, Http.Refusal> =>
  Effect.gen(function*() {
    const sampler = state.samplers.get(samplerId)
    if (sampler === undefined) return yield* Http.refuse(404, `there is no sampler ${samplerId}`)
    yield* requireActive(sampler.session)
    return sampler
  })

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
    const scope = yield* Scope.fork(session.scope, ExecutionStrategy.sequential)
    yield* Scope.addFinalizer(scope, Effect.ignoreLogged(state.engine.unloadModel(id)))
    const queue = yield* Scope.extend(RequestQueue.make({ first: 0, gate: state.gate(id) }), scope)
    const createdAt = yield* Clock.currentTimeMillis
    const model: Model = {
      id,
      session,
      scope,
      baseModel,
      lora,
      userMetadata,
      fingerprint,
      queue,
      createdAt,
      lastRequestAt: createdAt,
      unloaded: false
    }
    state.models.set(id, model)
    return yield* submit(state, model, { seqId: 0, request, work: options.work(id) })
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
    const { baseModel, id, modelPath, session, snapshot } = options
    if (state.samplers.has(id)) return
    yield* state.engine.createSampler(id, { baseModel: baseModel.name, snapshot })
    const requests = new Map<string, SampleTicket>()
    state.samplers.set(id, {
      id,
      session,
      baseModel,
      modelPath,
      requests,
      completions: Completions.make(),
      joinedClients: 0
    })
    yield* Scope.addFinalizer(
      session.scope,
      Effect.zipRight(Effect.sync(() => requests.clear()), Effect.ignoreLogged(state.engine.unloadSampler(id)))
    )
  })

export const unloadModel = (model: Model): Effect.Effect<void> =>
  Effect.suspend(() => {
    model.unloaded = true
    return Scope.close(model.scope, Exit.void)
  })

/** Puts a request into its model's queue, if it is one that is there already or `admit` has nothing against it. */
export const submit = (
  state: ServerState,
  model: Model,
  options: {
    readonly seqId: number
    readonly request: Http.Received
    readonly work: Work
    readonly admit?: Effect.Effect<void, Http.Refusal> | undefined
  }
): Effect.Effect<HttpServerResponse, Http.Refusal> =>
  Effect.gen(function*() {
    const { admit, request, seqId, work } = options
    model.lastRequestAt = yield* Clock.currentTimeMillis
    if (admit !== undefined && !(yield* model.queue.knows(seqId))) {
      yield* Effect.tapError(admit, () => model.queue.reject(seqId))
    }
    const requestId = `${model.id}:${seqId}`
    const register = state.futures.submit(requestId, model.queue.state)
    const submission = yield* model.queue.submit({
      seqId,
      fingerprint: Http.fingerprint(request.body),
      run: Effect.zipRight(register, settle(state, requestId, planned(request, work))),
      abandon: Effect.zipRight(register, state.futures.complete(requestId, abandoned))
    })
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

const abandoned: Futures.Failed = {
  _tag: "Failed",
  error: "the model was unloaded or its session finished before the request was done",
  category: "user"
}

export const accepted = (requestId: string, modelId?: string, sequenceIds?: ReadonlyArray<string>) =>
  Http.json({ request_id: requestId, model_id: modelId, sample_sequence_ids: sequenceIds })

/** The work itself, or the failure that a test has planned instead. */
export const planned = (request: Http.Received, work: Work): Effect.Effect<Futures.Outcome, WorkError> =>
  request.fault?._tag === "FailFuture" ? Effect.succeed(request.fault.outcome) : work

/** Does the work and keeps what comes of it. */
export const settle = (
  state: ServerState,
  requestId: string,
  work: Effect.Effect<Futures.Outcome, WorkError>
): Effect.Effect<void> =>
  work.pipe(
    Effect.catchAll((error) => Effect.succeed(failureOf(error))),
    Effect.catchAllDefect((defect) =>
      Effect.as(
        Effect.logError(`request ${requestId} broke`, Cause.die(defect)),
        { _tag: "Failed", error: "an error of the server itself; see its log", category: "server" } as const
      )
    ),
    Effect.flatMap((outcome) => state.futures.complete(requestId, outcome))
  )

const failureOf = (error: WorkError): Futures.Failed => {
  switch (error._tag) {
    case "UserError":
      return { _tag: "Failed", error: Http.brief(error.detail), category: "user" }
    case "EngineError":
      return {
        _tag: "Failed",
        error: Http.brief(error.description),
        category: error.reason === "Unavailable" || error.reason === "UnsupportedModel" ? "server" : "user"
      }
    case "ServerError":
      return {
        _tag: "Failed",
        error: Http.brief(error.description),
        category: error.reason === "DamagedFile" || error.reason === "FileSystem" ? "server" : "user"
      }
  }
}

/** A seed for a request that has none. */
export const randomSeed: Effect.Effect<number> = Random.nextIntBetween(0, 2 ** 31)
