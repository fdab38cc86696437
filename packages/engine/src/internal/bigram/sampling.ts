/** Answers of a bigram model, with its adapter as it was when the sampler was made. */
import * as Engine from "../../Engine.js"
import * as PromptScores from "../../PromptScores.js"
import * as Sampler from "../../Sampler.js"
import { type Base, failure, row, tensor, tensorName, withAdapter } from "./logitTable.js"
import { Transitions } from "./transitions.js"

/** A sampler of a base model, alone or with the adapter of a snapshot. */
export const create = (base: Base, snapshot: Engine.Snapshot | undefined): Base =>
  snapshot === undefined
    ? base
    : {
      model: base.model,
      table: withAdapter(base, tensor(snapshot.weights, tensorName, base.model.vocabularySize))
    }

/** What may follow each token: with one setting of one table always the same. */
export interface Continuations {
  readonly transitions: Transitions
  /** The logits whose log-probabilities were asked for, of what follows a token. */
  readonly logits: (token: number) => Float32Array
}

/** Keeps those of the settings that were asked for last, as samples with the same one come by the hundreds. */
export const makeContinuations = (vocabulary: number, settingsKept: number) => {
  const kept: Array<{ readonly key: string; readonly table: Float32Array; readonly continuations: Continuations }> = []
  return (table: Float32Array, request: Engine.SampleRequest): Continuations => {
    const { logprobs: kind, temperature, topK, topP } = request
    const options = { temperature, topK, topP }
    const key = [kind, temperature, topK, topP].join()
    for (const one of kept) if (one.table === table && one.key === key) return one.continuations
    const distribution = (token: number) => Sampler.distribution(row(table, vocabulary, token), options)
    const logits = (token: number) => {
      const raw = row(table, vocabulary, token)
      return kind === "processed" ? Sampler.processed(raw, distribution(token), options) : raw
    }
    const transitions = new Transitions(vocabulary, (token) => ({
      distribution: distribution(token),
      logits: logits(token)
    }))
    const continuations = { transitions, logits }
    kept.push({ key, table, continuations })
    if (kept.length > settingsKept) kept.shift()
    return continuations
  }
}

export const sample = (
  { model, table }: Base,
  continuations: (table: Float32Array, request: Engine.SampleRequest) => Continuations,
  request: Engine.SampleRequest
): Engine.SampleResult => {
  checkPrompt(request, model)
  const { logits, transitions } = continuations(table, request)
  const { prompt } = request
  const sequences: Array<Engine.SampledSequence> = []
  const stopBytes = request.stopStrings.map((stop) => new TextEncoder().encode(stop))
  const mayStop = request.stopTokens.length + stopBytes.length > 0
  const k = request.topkSampleLogprobs ?? 0
  for (let i = 0; i < request.numSamples; i++) {
    const random = Sampler.makeRandom(request.seed + i)
    const tokens = new Int32Array(request.maxTokens)
    const logprobs = new Float32Array(request.maxTokens)
    const best: Array<ReturnType<typeof Sampler.topk>> = []
    let last = prompt[prompt.length - 1]!
    let length = 0
    let stopped = false
    while (!stopped && length < request.maxTokens) {
      if (k > 0) best.push(Sampler.topk(logits(last), k))
      const place = transitions.draw(last, random())
      last = transitions.tokenAt(place)
      tokens[length] = last
      logprobs[length] = transitions.logprobAt(place)
      length += 1
      stopped = mayStop &&
        (request.stopTokens.includes(last) || stopBytes.some((stop) => endsWith(tokens, length, stop)))
    }
    sequences.push({
      tokens: stopped ? tokens.slice(0, length) : tokens,
      logprobs: stopped ? logprobs.slice(0, length) : logprobs,
      topkLogprobs: k > 0 ? Sampler.joinTopk(k, best) : undefined,
      stopReason: stopped ? "stop" : "length"
    })
  }
  const scores = PromptScores.make(request)
  if (scores.isWanted) {
    for (let t = 1; t < prompt.length; t++) scores.add(t, row(table, model.vocabularySize, prompt[t - 1]!))
  }
  const { promptAltTokens, promptLogprobs, targetPromptLogprobs, topkPromptLogprobs } = scores.result
  return { sequences, promptLogprobs, topkPromptLogprobs, targetPromptLogprobs, promptAltTokens }
}

const checkPrompt = (request: Engine.SampleRequest, baseModel: Engine.BaseModel): void => {
  const { maxContextLength, vocabularySize } = baseModel
  if (request.prompt.length === 0) throw failure("InvalidRequest", "the prompt is empty")
  if (request.prompt.length + request.maxTokens > maxContextLength) {
    throw failure(
      "InvalidRequest",
      `a prompt of ${request.prompt.length} and an answer of ${request.maxTokens} tokens exceed ${maxContextLength}`
    )
  }
  const outside = Engine.firstOutside(request.prompt, vocabularySize)
  if (outside !== undefined) {
    throw failure("InvalidRequest", `the prompt has token ${outside}, and the vocabulary ${vocabularySize}`)
  }
  const wrong = Sampler.firstInvalid(request) ?? PromptScores.firstInvalid(request, vocabularySize)
  if (wrong !== undefined) throw failure("InvalidRequest", wrong)
}

const endsWith = (tokens: Int32Array, length: number, bytes: Uint8Array): boolean =>
  bytes.length > 0 && bytes.length <= length && bytes.every((byte, i) => tokens[length - bytes.length + i] === byte)
