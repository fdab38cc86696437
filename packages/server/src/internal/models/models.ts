/** Models and the requests in their queues. */
import type * as Engine from "@effect-tinker/engine/Engine"
import type { HttpServerResponse } from "@effect/platform/HttpServerResponse"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import type * as Futures from "../../Futures.js"
import * as RequestQueue from "../../RequestQueue.js"
import type { ServerError } from "../../ServerError.js"
import type * as ServerJournal from "../../ServerJournal.js"
import type * as Sessions from "../../Sessions.js"
import { after } from "../fast/after.js"
import * as Failures from "../http/failures.js"
import * as Http from "../http/http.js"
import * as JournalWrites from "../records/journalWrites.js"
import * as LiveModel from "../records/liveModel.js"
import * as Records from "../records/records.js"
import * as Audit from "../resources/audit.js"
import * as Results from "../resources/results.js"
import * as EnginePresence from "./enginePresence.js"
import * as Limits from "./limits.js"
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
      first: { record: JournalWrites.modelRecord(model), seed: lora.seed }
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
    const journaled = LiveModel.makeJournaled(progress)
    const presence = EnginePresence.make(state.engine, "model", id, {
      isLoaded,
      lost,
      isSaved: () => journaled.progress?.weights !== undefined,
      reload: Effect.suspend(() =>
        journaled.progress === undefined
          ? Effect.void
          : LiveModel.restore(state.engine, state.journal, options, journaled.progress)
      )
    })
    const model: State.Model = {
      ...rest,
      scope,
      queue,
      unloaded,
      journaled,
      get lost() {
        return presence.lost()
      },
      lose: presence.lose,
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
    const at = yield* Clock.currentTimeMillis
    yield* JournalWrites.commit(state, [
      Records.model(JournalWrites.modelRecord(model)),
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
      ...LiveModel.changesAtEnd(model)
    ])
    yield* LiveModel.removeFiles(state.journal, model.journaled)
  }).pipe(
    // Closed it is, and stays so; but as long as that is not kept, it can be unloaded again.
    Effect.tapError(() =>
      Effect.sync(() => {
        model.unloaded = false
      })
    )
  )

/** Puts a request into its model's queue, if it is one that is there already or `admit` has nothing against it. */
export const submit = (
  state: State.ServerState,
  model: State.Model,
  options: {
    readonly seqId: number
    readonly request: Http.Received
    readonly work: Work.Work
    readonly admit?: Effect.Effect<void, Http.Refusal> | undefined
    /** The model's record and its seed, for the request that makes the model. */
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
    const keyName = yield* Audit.currentKey
    const result = Work.outcomeOf(
      requestId,
      Effect.suspend(() => after(model.ready, () => Work.planned(request, work)))
    )
    const submission = yield* model.queue.submit({
      seqId,
      fingerprint,
      accept: () => LiveModel.noteAccepted(state.journal, model, { seqId, fingerprint, request, keyName, first }),
      run: register.pipe(
        Effect.zipRight(Effect.flatMap(result, (outcome) => saveResult(state, model, { seqId, fingerprint }, outcome))),
        Effect.flatMap((outcome) =>
          outcome === undefined ? state.futures.lose(requestId) : state.futures.complete(requestId, outcome)
        ),
        Audit.underKey(keyName)
      ),
      abandon: Effect.suspend(() =>
        state.hasEnded
          ? Effect.void
          : Effect.zipRight(
            register,
            model.journaled.isGivenUp
              ? state.futures.lose(requestId)
              : state.futures.complete(requestId, Failures.ofAbandoned(model))
          )
      ),
      end: free
    })
    if (submission === "Accepted") state.limits.occupy(length)
    yield* JournalWrites.orUnavailable(LiveModel.accepted(state.journal, model, seqId))
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

/** Writes down what has come of a request, and gives what its client may be told then: nothing if the model is given up. */
const saveResult = (
  state: State.ServerState,
  model: State.Model,
  request: { readonly seqId: number; readonly fingerprint: string },
  outcome: Work.Outcome
): Effect.Effect<Futures.Outcome | undefined> =>
  Effect.gen(function*() {
    const { journal } = state
    const at = yield* Clock.currentTimeMillis
    const usage = Work.countUsage(state, model, outcome, at)
    if (!journal.isPersistent) return outcome
    const made = "sampler" in outcome ? outcome.sampler : undefined
    const sampler = made && (yield* JournalWrites.saveSampler(state, journal, model, made))
    yield* LiveModel.save(state.engine, journal, model, { ...request, at, changed: outcome.changed }, [
      resultOf(model, request, at, Results.toRecord(outcome), Results.bytesOf(outcome)),
      ...usage.map(Records.usage),
      ...sampler === undefined ? [] : [Records.sampler(sampler)]
    ])
    return outcome
  }).pipe(Effect.catchAll((error) => undoUnsaved(state, model, request, outcome, error)))

/**
 * Brings the engine and the journal to agree again when what has come of a request could not be written down. What changed
 * nothing holds in any case, for a later server would come to it again. What changed something is undone; where that
 * cannot be, or cannot be written down either, nobody could tell later what was done, and the model is given up.
 */
const undoUnsaved = (
  state: State.ServerState,
  model: State.Model,
  request: { readonly seqId: number; readonly fingerprint: string },
  outcome: Work.Outcome,
  error: Engine.EngineError | ServerError
): Effect.Effect<Futures.Outcome | undefined> =>
  Effect.gen(function*() {
    const { journal } = state
    const requestId = Records.requestIdOf(model.id, request.seqId)
    yield* Effect.logError(`what has come of the request ${requestId} could not be kept`, error)
    const { id, journaled } = model
    const at = yield* Clock.currentTimeMillis
    const made = "sampler" in outcome ? outcome.sampler : undefined
    const { changed } = outcome
    if (made !== undefined) yield* JournalWrites.removeSampler(state, journal, made.id)
    else if (!journal.liveModels || (outcome._tag === "Completed" && changed === undefined)) {
      const small = Results.bytesOf(outcome) === undefined ? Results.toRecord(outcome) : { _tag: "Lost" } as const
      LiveModel.saveLater(journal, model, { seqId: request.seqId, at }, [
        resultOf(model, request, at, small, undefined)
      ])
      return outcome
    }
    // Where the engine has ended, what it did is gone with it.
    const isGone = !model.isLoaded
    if (!isGone && changed !== undefined) {
      if (journaled.progress?.weights === undefined) return yield* error
      yield* LiveModel.restore(state.engine, journal, model, journaled.progress)
    }
    const failed: Futures.Outcome = outcome._tag === "Failed" && changed === undefined
      ? outcome
      : isGone && error._tag === "EngineError"
      ? Failures.of(error)
      : Failures.notPersisted(error)
    const done = { seqId: request.seqId, at, changed: undefined }
    yield* LiveModel.save(state.engine, journal, model, done, [
      resultOf(model, request, at, Results.toRecord(failed), undefined)
    ])
    yield* LiveModel.removeUnsaved(journal, id, { ...done, changed })
    return failed
  }).pipe(
    Effect.catchAll((error) =>
      Effect.as(giveUp(state, model, { seqId: request.seqId, changed: outcome.changed }, error), undefined)
    )
  )

const giveUp = (
  state: State.ServerState,
  model: State.Model,
  last: { readonly seqId: number; readonly changed: Work.Outcome["changed"] },
  error: Engine.EngineError | ServerError
): Effect.Effect<void> =>
  Effect.gen(function*() {
    const { journal } = state
    const { id, journaled } = model
    const reason = `the server could not keep what was done with it, nor undo it (${error.description}). `
      + "Go on from its last checkpoint"
    yield* Effect.logError(`the model ${id} is given up: ${reason}`, error)
    journaled.isGivenUp = true
    model.lose(reason)
    journal.unsafeDefer([
      Records.lost({ id, reason }),
      ...Array.from(journaled.accepted, (seqId) => Records.withoutRequest(id, seqId))
    ])
    // Of no use any more, and there may be no room for anything else.
    yield* LiveModel.removeUnsaved(journal, id, { ...last, at: 0 })
    yield* LiveModel.removeFiles(journal, journaled)
    yield* Scope.close(model.scope, Exit.void)
  })

const resultOf = (
  { id }: State.Model,
  { fingerprint, seqId }: { readonly seqId: number; readonly fingerprint: string },
  at: number,
  outcome: Records.Result["outcome"],
  bytes: Uint8Array | undefined
): ServerJournal.Change =>
  Records.result({ ownerId: id, seqId: String(seqId), fingerprint, at, outcome, sequences: undefined }, bytes)
