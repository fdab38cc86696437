/** Models and the requests in their queues. */
import type { HttpServerResponse } from "@effect/platform/HttpServerResponse"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as FiberRef from "effect/FiberRef"
import * as Scope from "effect/Scope"
import type * as Engine from "../Engine.js"
import type * as Futures from "../Futures.js"
import * as RequestQueue from "../RequestQueue.js"
import type * as ServerJournal from "../ServerJournal.js"
import type * as Sessions from "../Sessions.js"
import { after } from "./after.js"
import * as Audit from "./audit.js"
import * as Failures from "./failures.js"
import * as Http from "./http.js"
import * as Keeping from "./keeping.js"
import * as Limits from "./limits.js"
import * as LiveModel from "./liveModel.js"
import * as Presence from "./presence.js"
import * as Records from "./records.js"
import * as Results from "./results.js"
import type * as State from "./serverState.js"
import * as Work from "./work.js"

/**
 * Makes the model with the number `modelSeqId` of its session. `work` is its request 0; later ones begin with 1. The same
 * request again gets the same answer.
 */
export const create = (
  state: State.ServerState,
  options: {
    readonly session: Sessions.Session
    readonly modelSeqId: number
    readonly baseModel: Engine.BaseModel
    readonly lora: Engine.LoraSpec
    readonly userMetadata: Readonly<Record<string, unknown>> | undefined
    readonly request: Http.Received
    readonly work: (modelId: string) => Work.Work
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
        ? Work.accepted(`${id}:0`, id)
        : yield* Http.refuse(400, `the model number ${options.modelSeqId} of this session was made by another request`)
    }
    const createdAt = yield* Clock.currentTimeMillis
    const model = yield* open(state, {
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
export const open = (
  state: State.ServerState,
  options:
    & Pick<
      State.Model,
      "id" | "session" | "baseModel" | "lora" | "userMetadata" | "fingerprint" | "createdAt" | "lastRequestAt"
    >
    & {
      readonly isLoaded?: boolean
      readonly unloaded?: boolean
      readonly lost?: string | undefined
      readonly progress?: Records.Progress | undefined
      readonly done?: ReadonlyMap<number, string>
    }
): Effect.Effect<State.Model> =>
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
    const model: State.Model = {
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

/** `result` is what the one who asked for it will be told. */
export const unload = (
  state: State.ServerState,
  model: State.Model,
  result: Futures.Completed
): Effect.Effect<void, Http.Refusal> =>
  Effect.gen(function*() {
    model.unloaded = true
    yield* Scope.close(model.scope, Exit.void)
    if (state.journal === undefined) return
    const at = yield* Clock.currentTimeMillis
    yield* Keeping.commit(state, [
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

/** Puts a request into its model's queue, if it is one that is there already or `admit` has nothing against it. */
export const submit = (
  state: State.ServerState,
  model: State.Model,
  options: {
    readonly seqId: number
    readonly request: Http.Received
    readonly work: Work.Work
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
    const fingerprint = Http.fingerprintOf(request)
    const { length } = request.body
    const free = Effect.sync(() => state.limits.free(length))
    const register = state.futures.submit(requestId, model.queue.state)
    const keyName = yield* FiberRef.get(Audit.currentKey)
    const { journal } = state
    const result = Work.outcomeOf(
      requestId,
      Effect.suspend(() => after(model.ready, () => Work.planned(request, work)))
    )
    const submission = yield* model.queue.submit({
      seqId,
      fingerprint,
      accept: journal &&
        (() => LiveModel.noteAccepted(journal, model, { seqId, fingerprint, request, keyName, first })),
      run: register.pipe(
        Effect.zipRight(
          journal === undefined
            ? Effect.zipWith(result, Clock.currentTimeMillis, (outcome, now) => {
              Work.countUsage(state, model, outcome, now)
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
      yield* Keeping.orUnavailable(written)
      model.kept.accepting.delete(seqId)
    }
    switch (submission) {
      case "Accepted":
        yield* register
        return Work.accepted(requestId, model.id)
      case "Duplicate":
        return Work.accepted(requestId, model.id)
      case "Conflict":
        return yield* Http.refuse(400, `request ${seqId} of this model was another one`)
      case "Passed":
        return yield* Http.refuse(400, `request ${seqId} of this model was left out, and later ones have run`)
      case "Closed":
        return yield* Http.refuse(410, `the model ${model.id} is closed`)
    }
  })

/** Notes that the request with this number was refused. */
export const rejectNumber = (state: State.ServerState, model: State.Model, seqId: number): Effect.Effect<void> =>
  Effect.zipRight(model.queue.reject(seqId), LiveModel.noteRejected(state.journal, model, seqId))

/** Writes down what has come of a request, and gives what its client may be told then. */
const keepResult = (
  state: State.ServerState,
  journal: ServerJournal.Service,
  model: State.Model,
  request: { readonly seqId: number; readonly fingerprint: string },
  outcome: Futures.Outcome | Work.Finished
): Effect.Effect<Futures.Outcome> =>
  Effect.gen(function*() {
    const at = yield* Clock.currentTimeMillis
    const sampler = "sampler" in outcome && outcome.sampler !== undefined
      ? yield* Keeping.keepSampler(state, journal, model, outcome.sampler)
      : undefined
    const usage = Work.countUsage(state, model, outcome, at)
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
