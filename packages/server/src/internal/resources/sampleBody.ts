/** The bodies of sample requests. */
import * as ModelInput from "@effect-tinker/protocol/ModelInput"
import * as SamplingMessages from "@effect-tinker/protocol/SamplingMessages"
import * as Either from "effect/Either"
import * as Predicate from "effect/Predicate"
import * as PromptTokens from "../fast/promptTokens.js"
import * as Http from "../http/http.js"
import * as JsonNumbers from "./jsonNumbers.js"

/** What is asked of which sampler, under which number. */
export interface Submission {
  readonly samplerId: string
  /** Its digits, as a number can be larger than JavaScript's. */
  readonly seqId: string
  readonly wanted: SamplingMessages.SampleRequest
}

export const read = (body: Uint8Array): Either.Either<Submission, Http.Refusal> => {
  const extracted = PromptTokens.extract(body)
  const excess = extracted && Http.tooManyNumbers(extracted.tokens.length, body.length)
  if (excess !== undefined) return Either.left(Http.refuse(422, excess))
  const submission = extracted && Either.getOrUndefined(readAll(extracted.rest))
  const chunks = submission?.wanted.prompt.chunks
  // The one list of tokens in the request is that of this text.
  return extracted !== undefined && submission !== undefined && chunks?.length === 1 &&
      chunks[0]!.type === "encoded_text"
    ? Either.right({ ...submission, wanted: { ...submission.wanted, prompt: ModelInput.fromTokens(extracted.tokens) } })
    : readAll(body)
}

const readAll = (body: Uint8Array): Either.Either<Submission, Http.Refusal> =>
  Either.flatMap(Http.parseJson(body, JsonNumbers.sampleBounds), (value) => {
    const excess = excessOf(value)
    if (excess !== undefined) return Either.left(Http.refuse(422, excess))
    const seqId = Predicate.hasProperty(value, "seq_id") ? String(value.seq_id) : undefined
    // What a number cannot hold is a string here, and only its text matters.
    const decoded = Http.decode(SamplingMessages.SampleRequest, { ...(value as object), seq_id: undefined })
    return Either.flatMap(decoded, (wanted) => {
      const { numSamples, samplingSessionId: samplerId } = wanted
      if (samplerId === undefined || seqId === undefined || !/^\d+$/.test(seqId)) {
        return Either.left(Http.refuse(422, "sampling_session_id and seq_id are needed"))
      }
      return numSamples < 1 || numSamples > maxSamples
        ? Either.left(Http.refuse(400, `num_samples is ${numSamples}; it must be from 1 to ${maxSamples}`))
        : Either.right({ samplerId, seqId, wanted })
    })
  })

/** Lists that are looked at part by part, each of which takes long. */
const excessOf = (value: unknown): string | undefined => {
  const stop = at(at(value, "sampling_params"), "stop")
  if (Array.isArray(stop) && stop.length > maxStops) {
    return `sampling_params.stop has ${stop.length} texts and tokens; it may have ${maxStops}`
  }
  const chunks = at(at(value, "prompt"), "chunks")
  return Array.isArray(chunks) && chunks.length > maxChunks
    ? `the prompt has ${chunks.length} chunks; it may have ${maxChunks}`
    : undefined
}

const at = (value: unknown, name: string): unknown => Predicate.hasProperty(value, name) ? value[name] : undefined

const maxStops = 1024

const maxChunks = 4096

/** Each has an id in the answer to the submission, so there must be a bound. */
const maxSamples = 10_000
