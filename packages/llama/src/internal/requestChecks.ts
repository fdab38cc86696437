/** What an engine refuses before it computes anything: data and requests that its model cannot be run on. */
import { EngineError } from "@effect-tinker/engine/Engine"
import type * as Engine from "@effect-tinker/engine/Engine"
import * as PromptScores from "@effect-tinker/engine/PromptScores"
import * as Sampler from "@effect-tinker/engine/Sampler"
import type * as ModelFolder from "../ModelFolder.js"

export const checkLora = (lora: Engine.LoraSpec, maxRank: number): void => {
  if (!Number.isInteger(lora.rank) || lora.rank < 1 || lora.rank > maxRank) {
    throw invalid(`rank ${lora.rank} is not between 1 and ${maxRank}`)
  }
  if (!lora.trainAttn && !lora.trainMlp && !lora.trainUnembed) throw invalid("nothing would be trained")
}

export const checkDatum = (
  datum: Engine.TrainingDatum,
  index: number,
  { config, maxContextLength }: ModelFolder.Description
): void => {
  const { length } = datum.tokens
  if (length === 0) throw invalid(`datum ${index} has no tokens`)
  if (length > maxContextLength) {
    throw invalid(`datum ${index} has ${length} tokens, and the context of the model is ${maxContextLength}`)
  }
  const perToken = datum.targetsPerToken ?? 1
  for (const name of ["targetTokens", "weights", "logprobs", "advantages"] as const) {
    const input = datum[name]
    if (input !== undefined && input.length !== length * perToken) {
      const wanted = perToken === 1 ? `${length} tokens` : `${length} tokens with ${perToken} targets each`
      throw invalid(`datum ${index}: ${name} has ${input.length} elements for ${wanted}`)
    }
  }
  checkTokens(datum.tokens, config.vocabularySize, `datum ${index}: tokens`)
  checkTokens(datum.targetTokens, config.vocabularySize, `datum ${index}: targetTokens`)
}

export const checkRequest = (
  request: Engine.SampleRequest,
  { config, maxContextLength }: ModelFolder.Description
): void => {
  const { length } = request.prompt
  if (length === 0) throw invalid("the prompt is empty")
  if (length > maxContextLength || (length === maxContextLength && request.maxTokens > 0)) {
    throw invalid(`the prompt has ${length} tokens, and the context of the model is ${maxContextLength}`)
  }
  checkTokens(request.prompt, config.vocabularySize, "the prompt")
  const wrong = Sampler.firstInvalid(request) ?? PromptScores.firstInvalid(request, config.vocabularySize)
  if (wrong !== undefined) throw invalid(wrong)
}

const checkTokens = (tokens: Int32Array, vocabulary: number, what: string): void => {
  for (let t = 0; t < tokens.length; t++) {
    const token = tokens[t]!
    if (token < 0 || token >= vocabulary) throw invalid(`${what}: ${token} at ${t} is not among ${vocabulary} tokens`)
  }
}

export const invalid = (description: string): EngineError => new EngineError({ reason: "InvalidRequest", description })

export const unknown = (description: string): EngineError => new EngineError({ reason: "UnknownModel", description })
