/** Handlers of sampling. */
import type * as Engine from "@effect-tinker/engine/Engine"
import type { Answer } from "@effect-tinker/protocol/Endpoint"
import * as Endpoints from "@effect-tinker/protocol/Endpoints"
import type { SamplingSessionId } from "@effect-tinker/protocol/Identifiers"
import type * as SamplingMessages from "@effect-tinker/protocol/SamplingMessages"
import * as ServiceMessages from "@effect-tinker/protocol/ServiceMessages"
import type { HttpServerResponse } from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Failed } from "../../Futures.js"
import type * as RequestQueue from "../../RequestQueue.js"
import * as Eithers from "../effect/eithers.js"
import { after } from "../fast/after.js"
import { withNow } from "../fast/now.js"
import { start } from "../fast/start.js"
import * as Failures from "../http/failures.js"
import * as Http from "../http/http.js"
import * as Completions from "../models/completions.js"
import * as Samplers from "../models/samplers.js"
import type * as State from "../models/serverState.js"
import type * as Slots from "../models/slots.js"
import * as Work from "../models/work.js"
import * as JournalWrites from "../records/journalWrites.js"
import * as LiveSampler from "../records/liveSampler.js"
import * as Records from "../records/records.js"
import * as Lookups from "./lookups.js"
import * as Results from "./results.js"
import * as SampleBody from "./sampleBody.js"
import * as SampleWork from "./sampleWork.js"
import * as Users from "./users.js"

export const make = (
  state: State.ServerState,
  options: { readonly logprobs: Engine.SampleRequest["logprobs"] }
) => ({
  createSamplingSession: createSamplingSession(state),
  joinSamplingSession: joinSamplingSession(state),
  getSampler: getSampler(state),
  asample: asample(state, SampleWork.make(state.engine, options.logprobs))
})

const createSamplingSession =
  (state: State.ServerState): Http.Handler<Answer<typeof Endpoints.createSamplingSession>> => (request) =>
    Effect.gen(function*() {
      const wanted = yield* Http.decodeBody(ServiceMessages.CreateSamplingSessionRequest, request)
      const session = yield* Lookups.requireSession(state, wanted.sessionId)
      yield* Http.requireNumber("sampling_session_seq_id", wanted.samplingSessionSeqId)
      const id = Samplers.idOf(session, wanted.samplingSessionSeqId)
      const { modelPath } = wanted
      if (!state.samplers.has(id)) {
        const loaded = modelPath === undefined ? undefined : yield* loadSnapshot(state, modelPath)
        const name = loaded?.snapshot.baseModel ?? wanted.baseModel
        if (name === undefined) return yield* Http.refuse(400, "base_model or model_path is needed")
        if (wanted.baseModel !== undefined && wanted.baseModel !== name) {
          return yield* Http.refuse(400, `the checkpoint is of ${name}, not of ${wanted.baseModel}`)
        }
        const baseModel = yield* Lookups.requireBaseModel(state, name)
        yield* Effect.mapError(
          Samplers.create(state, {
            id,
            session,
            baseModel,
            snapshot: loaded?.snapshot,
            checkpoint: loaded?.checkpoint
          }),
          Failures.refusal
        )
      }
      const sampler = yield* Lookups.requireSampler(state, id)
      const isSame = !sampler.hasOwnWeights && sampler.modelPath === modelPath
        && (wanted.baseModel === undefined || wanted.baseModel === sampler.baseModel.name)
      if (!isSame) {
        const { samplingSessionSeqId: number } = wanted
        return yield* Http.refuse(400, `the sampler number ${number} of this session was made by another request`)
      }
      yield* commitSampler(state, sampler)
      return Http.answer(Endpoints.createSamplingSession, { samplingSessionId: id as SamplingSessionId })
    })

const commitSampler = (state: State.ServerState, sampler: State.Sampler): Effect.Effect<void, Http.Refusal> =>
  JournalWrites.commit(state, [Records.sampler(JournalWrites.samplerRecord(sampler))])

const loadSnapshot = (state: State.ServerState, modelPath: string) =>
  Effect.gen(function*() {
    const path = yield* Http.tinkerPath(modelPath)
    const info = yield* Http.known(state.store.info(path))
    yield* Users.requireReadable(modelPath, info, undefined)
    // If it is overwritten now, the sampler has the new weights, and at its next start it counts as lost.
    const snapshot = yield* Http.known(state.store.load(path))
    return { snapshot, checkpoint: { path: modelPath, identity: LiveSampler.identityOf(info) } }
  })

const getSampler = (state: State.ServerState): Http.Handler<Answer<typeof Endpoints.getSampler>> => (request) =>
  Effect.map(
    Lookups.requireKnownSampler(state, request.params.id ?? ""),
    ({ baseModel, id, modelPath }) =>
      Http.answer(Endpoints.getSampler, { samplerId: id, baseModel: baseModel.name, modelPath })
  )

const joinSamplingSession =
  (state: State.ServerState): Http.Handler<Answer<typeof Endpoints.joinSamplingSession>> => (request) =>
    Effect.gen(function*() {
      const wanted = yield* Http.decodeBody(ServiceMessages.JoinSamplingSessionRequest, request)
      const sampler = yield* Lookups.requireSampler(state, wanted.samplingSessionId)
      const clientCounter = sampler.joinedClients += 1
      yield* commitSampler(state, sampler)
      return Http.answer(Endpoints.joinSamplingSession, { clientCounter })
    })

const asample =
  (state: State.ServerState, sample: SampleWork.SampleWork): Http.Handler<Answer<typeof Endpoints.asample>> =>
  (request) =>
    Effect.flatMap(
      Eithers.toEffect(SampleBody.read(request.body)),
      ({ samplerId, seqId, wanted }) =>
        Effect.flatMap(Lookups.requireSampler(state, samplerId), (sampler) => {
          const fingerprint = Http.fingerprint(request.body)
          const existing = sampler.requests.get(seqId)
          if (existing !== undefined) {
            return existing.fingerprint === fingerprint
              ? Effect.succeed(acceptedSample(existing))
              : Http.refuse(400, `request ${seqId} of this sampler was another one`)
          }
          return after(
            state.limits.requireRoom(),
            () => begin(state, sample, request, sampler, { seqId, fingerprint, wanted })
          )
        })
    )

/** Has a sample computed beside whoever asked for it. */
const begin = (
  state: State.ServerState,
  sample: SampleWork.SampleWork,
  request: Http.Received,
  sampler: State.Sampler,
  { fingerprint, seqId, wanted }: {
    readonly seqId: string
    readonly fingerprint: string
    readonly wanted: SamplingMessages.SampleRequest
  }
): Effect.Effect<HttpServerResponse, Http.Refusal> => {
  const requestId = `${sampler.id}:${seqId}`
  const ticket = { fingerprint, requestId, sequences: wanted.numSamples }
  sampler.requests.set(seqId, ticket)
  const bytes = request.body.length + SampleWork.scoreBytes(request, sampler.baseModel, wanted)
  state.limits.occupy(bytes)
  const gate = state.gate(sampler.id)
  const turn = state.limits.sample(sampler.session.id)
  const submitted = state.futures.submit(
    requestId,
    Effect.map(gate.state, (queue) => queue ?? state.limits.sampleState(turn)),
    {
      isRepeatable: true,
      announce: (outcome) =>
        sampler.completions.add(Completions.cloneOf(seqId), {
          requestId,
          isFailed: outcome._tag === "Failed",
          size: outcome._tag === "Completed" ? outcome.bytes?.byteLength : undefined
        })
    }
  )
  const noted = JournalWrites.recordSampleRequest(state.journal, { samplerId: sampler.id, seqId })
  const finish = (outcome: Work.Outcome) =>
    withNow((at) => {
      recordOutcome(state, sampler, { seqId, fingerprint, sequences: wanted.numSamples, at }, outcome)
      return state.futures.complete(requestId, outcome)
    })
  let isOver = false
  const settled = Effect.flatMap(Effect.exit(compute(sample, request, sampler, wanted, { gate, turn })), (exit) => {
    isOver = true
    turn.end()
    state.sampling.delete(requestId)
    state.limits.free(bytes)
    if (Exit.isSuccess(exit)) return finish(exit.value)
    if (Exit.isInterrupted(exit)) return state.hasEnded ? Effect.void : state.futures.complete(requestId, cancelled)
    return Effect.flatMap(Work.outcomeOf(requestId, exit), finish)
  })
  const begun = start(settled, (fiber) => {
    if (!isOver) state.sampling.set(requestId, fiber)
    return after(noted, () => Effect.succeed(acceptedSample(ticket)))
  })
  return Effect.zipRight(submitted, begun)
}

/** A turn that is free is taken at once; to give it back, whatever comes, is left to the caller. */
const compute = (
  sample: SampleWork.SampleWork,
  request: Http.Received,
  sampler: State.Sampler,
  wanted: SamplingMessages.SampleRequest,
  { gate, turn }: { readonly gate: RequestQueue.Gate; readonly turn: Slots.Slot }
): Effect.Effect<Work.Outcome, Work.WorkError> =>
  Effect.interruptible(
    after(
      gate.open,
      () =>
        Work.planned(
          request,
          after(turn.begin(), () => after(sampler.ready, () => Effect.suspend(() => sample(sampler, wanted))))
        )
    )
  )

/**
 * Counts what a sample has used, and has it written down with the result. Nobody waits for that: a sample that is lost is
 * asked for again.
 */
const recordOutcome = (
  state: State.ServerState,
  sampler: State.Sampler,
  request: { readonly seqId: string; readonly fingerprint: string; readonly sequences: number; readonly at: number },
  outcome: Work.Outcome
): void => {
  const usage = Work.countUsage(state, sampler, outcome, request.at)
  if (!state.journal.isPersistent) return
  void state.journal.unsafeCommit([
    Records.result({ ...request, ownerId: sampler.id, outcome: Results.toRecord(outcome) }, Results.bytesOf(outcome)),
    Records.removeSampleRequest(Records.requestIdOf(sampler.id, request.seqId)),
    ...usage.map(Records.usage)
  ])
}

const acceptedSample = ({ requestId, sequences }: State.SampleTicket): HttpServerResponse => {
  const sequenceIds: Array<string> = []
  for (let i = 0; i < sequences; i++) sequenceIds.push(`${requestId}:${i}`)
  return Work.accepted(requestId, undefined, sequenceIds)
}

const cancelled: Failed = { _tag: "Failed", error: "the sample was cancelled", category: "user" }
