/** Handlers of sampling. */
import type * as Engine from "@effect-tinker/engine/Engine"
import type { SamplingSessionId } from "@effect-tinker/protocol/Identifiers"
import type * as SampleResponse from "@effect-tinker/protocol/SampleResponse"
import * as SamplingMessages from "@effect-tinker/protocol/SamplingMessages"
import * as SamplingParams from "@effect-tinker/protocol/SamplingParams"
import * as ServiceMessages from "@effect-tinker/protocol/ServiceMessages"
import type { HttpServerResponse } from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import type { Completed, Failed } from "../../Futures.js"
import type * as RequestQueue from "../../RequestQueue.js"
import { after } from "../fast/after.js"
import { withNow } from "../fast/now.js"
import { start } from "../fast/start.js"
import * as Failures from "../http/failures.js"
import * as Http from "../http/http.js"
import { wireName } from "../http/wording.js"
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
import * as SampleScores from "./sampleScores.js"
import * as TrainingData from "./trainingData.js"
import * as Users from "./users.js"

export const make = (
  state: State.ServerState,
  options: { readonly logprobs: Engine.SampleRequest["logprobs"] }
) => {
  const { engine, futures, store } = state

  const createSamplingSession: Http.Handler = (request) =>
    Effect.gen(function*() {
      const wanted = yield* Http.decodeBody(ServiceMessages.CreateSamplingSessionRequest, request)
      const session = yield* Lookups.requireSession(state, wanted.sessionId)
      yield* Http.requireNumber("sampling_session_seq_id", wanted.samplingSessionSeqId)
      const id = Samplers.idOf(session, wanted.samplingSessionSeqId)
      const { modelPath } = wanted
      if (!state.samplers.has(id)) {
        const loaded = modelPath === undefined ? undefined : yield* load(modelPath)
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
      yield* keep(sampler)
      return createSamplingSessionResponse({ samplingSessionId: id as SamplingSessionId })
    })

  const keep = (sampler: State.Sampler): Effect.Effect<void, Http.Refusal> =>
    state.journal === undefined
      ? Effect.void
      : JournalWrites.commit(state, [Records.sampler(JournalWrites.samplerRecord(sampler))])

  const load = (modelPath: string) =>
    Effect.gen(function*() {
      const path = yield* Http.tinkerPath(modelPath)
      const info = yield* Http.known(store.info(path))
      yield* Users.requireReadable(modelPath, info, undefined)
      // If it is overwritten now, the sampler has the new weights, and at its next start it counts as lost.
      const snapshot = yield* Http.known(store.load(path))
      return { snapshot, checkpoint: { path: modelPath, identity: LiveSampler.identityOf(info) } }
    })

  const getSampler: Http.Handler = (request) =>
    Effect.map(
      Lookups.requireKnownSampler(state, request.params.id ?? ""),
      ({ baseModel, id, modelPath }) => getSamplerResponse({ samplerId: id, baseModel: baseModel.name, modelPath })
    )

  const joinSamplingSession: Http.Handler = (request) =>
    Effect.gen(function*() {
      const wanted = yield* Http.decodeBody(ServiceMessages.JoinSamplingSessionRequest, request)
      const sampler = yield* Lookups.requireSampler(state, wanted.samplingSessionId)
      const clientCounter = sampler.joinedClients += 1
      yield* keep(sampler)
      return joinSamplingSessionResponse({ clientCounter })
    })

  const asample: Http.Handler = (request) =>
    Effect.flatMap(
      SampleBody.read(request.body),
      ({ samplerId, seqId, wanted }) =>
        Effect.flatMap(Lookups.requireSampler(state, samplerId), (sampler) => {
          const fingerprint = Http.fingerprint(request.body)
          const existing = sampler.requests.get(seqId)
          if (existing !== undefined) {
            return existing.fingerprint === fingerprint
              ? Effect.succeed(acceptedSample(existing))
              : Http.refuse(400, `request ${seqId} of this sampler was another one`)
          }
          return after(state.limits.requireRoom(), () => begin(request, sampler, { seqId, fingerprint, wanted }))
        })
    )

  /** Has a sample computed beside whoever asked for it. */
  const begin = (
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
    const bytes = request.body.length + scoreBytes(request, sampler.baseModel, wanted)
    state.limits.occupy(bytes)
    const gate = state.gate(sampler.id)
    const turn = state.limits.sample(sampler.session.id)
    const submitted = futures.submit(
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
    const note = [Records.asked({ samplerId: sampler.id, seqId })]
    // Where it cannot be written now, the sample is computed all the same, and found by whoever asks again.
    const asked = state.journal &&
      Effect.tapError(state.journal.unsafeCommit(note), () => Effect.sync(() => state.journal?.unsafeOwe(note)))
    const finish = (outcome: Work.Outcome) =>
      withNow((at) => {
        count(sampler, { seqId, fingerprint, sequences: wanted.numSamples, at }, outcome)
        return futures.complete(requestId, outcome)
      })
    let isOver = false
    const settled = Effect.flatMap(Effect.exit(computed(request, sampler, wanted, { gate, turn })), (exit) => {
      isOver = true
      turn.end()
      state.sampling.delete(requestId)
      state.limits.free(bytes)
      if (Exit.isSuccess(exit)) return finish(exit.value)
      if (Exit.isInterrupted(exit)) return state.hasEnded ? Effect.void : futures.complete(requestId, cancelled)
      return Effect.flatMap(Work.outcomeOf(requestId, exit), finish)
    })
    const begun = start(settled, (fiber) => {
      if (!isOver) state.sampling.set(requestId, fiber)
      const answer = acceptedSample(ticket)
      return asked === undefined ? Effect.succeed(answer) : Effect.as(JournalWrites.orUnavailable(asked), answer)
    })
    return Effect.zipRight(submitted, begun)
  }

  /** A turn that is free is taken at once; to give it back, whatever comes, is left to the caller. */
  const computed = (
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
  const count = (
    sampler: State.Sampler,
    request: { readonly seqId: string; readonly fingerprint: string; readonly sequences: number; readonly at: number },
    outcome: Work.Outcome
  ): void => {
    const usage = Work.countUsage(state, sampler, outcome, request.at)
    if (state.journal === undefined) return
    void state.journal.unsafeCommit([
      Records.result({ ...request, ownerId: sampler.id, outcome: Results.toRecord(outcome) }, Results.bytesOf(outcome)),
      Records.withoutAsked(Records.requestIdOf(sampler.id, request.seqId)),
      ...usage.map(Records.usage)
    ])
  }

  const sample = (sampler: State.Sampler, wanted: SamplingMessages.SampleRequest): Work.Work =>
    Effect.flatMap(seedOf(wanted), (seed) =>
      Effect.flatMap(
        engineRequest(wanted, sampler.baseModel, { seed, logprobs: options.logprobs }),
        (request) =>
          Effect.flatMap(
            engine.sample(sampler.id, request),
            (result) => finished(wanted, request.prompt.length, result)
          )
      ))

  return {
    createSamplingSession,
    joinSamplingSession,
    getSampler,
    asample
  }
}

const joinSamplingSessionResponse = Http.encode(ServiceMessages.JoinSamplingSessionResponse)

const createSamplingSessionResponse = Http.encode(ServiceMessages.CreateSamplingSessionResponse)

const getSamplerResponse = Http.encode(ServiceMessages.GetSamplerResponse)

const acceptedSample = ({ requestId, sequences }: State.SampleTicket): HttpServerResponse => {
  const sequenceIds: Array<string> = []
  for (let i = 0; i < sequences; i++) sequenceIds.push(`${requestId}:${i}`)
  return Work.accepted(requestId, undefined, sequenceIds)
}

/** Seeds of samples are this and the numbers after it. */
const seedOf = ({ samplingParams: { seed } }: SamplingMessages.SampleRequest): Effect.Effect<number> =>
  seed === undefined ? Work.randomSeed : Effect.succeed(Work.seedFrom(seed))

const cancelled: Failed = { _tag: "Failed", error: "the sample was cancelled", category: "user" }

const userError = (detail: string) => new Work.UserError({ detail })

/** What the log-probabilities of an answer may take. A token of the prompt takes a digit and a comma or more. */
const scoreBytes = (
  request: Http.Received,
  { maxContextLength }: Engine.BaseModel,
  wanted: SamplingMessages.SampleRequest
): number => {
  const promptTokens = Math.min(maxContextLength, request.body.length / 2)
  const answerTokens = Math.min(maxContextLength, wanted.samplingParams.maxTokens ?? Infinity) * wanted.numSamples
  return 8 * Math.min(SampleScores.count(wanted, promptTokens, answerTokens), SampleScores.mostScores)
}

/** What an engine is asked for. Left: what is wrong, for the user to read. */
const engineRequest = (
  wanted: SamplingMessages.SampleRequest,
  baseModel: Engine.BaseModel,
  { logprobs, seed }: Pick<Engine.SampleRequest, "seed" | "logprobs">
): Either.Either<Engine.SampleRequest, Work.UserError> => {
  const params = wanted.samplingParams
  // Clients in other languages have seeds of 64 bits.
  const isLargeSeed = Number.isInteger(params.seed) && !Number.isSafeInteger(params.seed)
  const invalid = isLargeSeed
    ? SamplingParams.issues(params).find(({ field }) => field !== "seed")
    : SamplingParams.firstInvalid(params)
  if (invalid !== undefined) {
    return Either.left(userError(`sampling_params: ${wireName(invalid.field)} ${invalid.description}`))
  }
  const request = Either.flatMap(TrainingData.tokensOf(wanted.prompt, baseModel), (prompt) => {
    const room = baseModel.maxContextLength - prompt.length
    if (room < 1) {
      return Either.left(`the prompt has ${prompt.length} tokens and fills the context of ${baseModel.name}`)
    }
    const maxTokens = Math.min(params.maxTokens ?? room, room)
    const answerTokens = maxTokens * wanted.numSamples
    return Either.map(SampleScores.forEngine(wanted, prompt, answerTokens, baseModel), (scores) => {
      const stop = typeof params.stop === "string" ? [params.stop] : params.stop
      // No word about stops means the model's own end; an empty list means no end but the length.
      const eosTokens = stop === undefined || stop.length > 0 ? baseModel.eosTokens : []
      // Written out, here and below: to spread one object into another that has more costs what a hundred fields cost.
      return {
        promptLogprobs: scores.promptLogprobs,
        topkPromptLogprobs: scores.topkPromptLogprobs,
        topkSampleLogprobs: scores.topkSampleLogprobs,
        targetPromptLogprobs: scores.targetPromptLogprobs,
        promptAltTokensK: scores.promptAltTokensK,
        prompt,
        seed,
        logprobs,
        numSamples: wanted.numSamples,
        maxTokens,
        temperature: params.temperature,
        topK: params.topK,
        topP: params.topP,
        stopTokens: [...(stop ?? []).filter((stop) => typeof stop === "number"), ...eosTokens],
        stopStrings: (stop ?? []).filter((stop) => typeof stop === "string")
      }
    })
  })
  return Either.mapLeft(request, userError)
}

const finished = (
  wanted: SamplingMessages.SampleRequest,
  promptLength: number,
  result: Engine.SampleResult
): Either.Either<Work.Finished, Work.UserError> => {
  const missing = SampleScores.missing(wanted, result)
  if (missing !== undefined) return Either.left(userError(`the engine of this server does not compute ${missing}`))
  const sampled = result.sequences.reduce((sum, { tokens }) => sum + tokens.length, 0)
  const { _tag, bytes, form, json } = sampleResult(result, SampleScores.answerOf(wanted, promptLength, result))
  return Either.right({
    _tag,
    bytes,
    form,
    json,
    usage: [["sampling_prefill", promptLength], ["sampling_sample", sampled]]
  })
}

const sampleResult = (result: Engine.SampleResult, prompt: SampleScores.PromptAnswer): Completed => {
  const response: SampleResponse.SampleResponse = {
    sequences: result.sequences.map(({ logprobs, stopReason, tokens, topkLogprobs }) => ({
      // Clients have it from the answer to the submission.
      sequenceId: "",
      tokens,
      logprobs,
      topkLogprobs,
      stopReason
    })),
    promptLogprobs: prompt.promptLogprobs,
    topkPromptLogprobs: prompt.topkPromptLogprobs,
    targetPromptLogprobs: prompt.targetPromptLogprobs,
    promptAltTokens: prompt.promptAltTokens,
    promptCacheHitTokens: result.promptCacheHitTokens ?? 0
  }
  return Results.ofBytes("sample", SamplingMessages.encodeSampleResponse(response))
}
