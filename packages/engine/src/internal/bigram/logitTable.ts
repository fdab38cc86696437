/** Tables of logits: what a bigram model is made of. */
import * as Engine from "../../Engine.js"
import * as Sampler from "../../Sampler.js"

/** A base model, with its logits `[vocabulary, vocabulary] float32`, a row for each previous token. */
export interface Base {
  readonly model: Engine.BaseModel
  readonly table: Float32Array
}

/** The one tensor of a model's snapshot. */
export const tensorName = "base_model.model.bigram.delta.weight"

/** Logits uniform in [-2, 2): some continuations are likelier than others, none is excluded. */
export const initialTable = (vocabulary: number, seed: number): Float32Array => {
  const random = Sampler.makeRandom(seed)
  const table = new Float32Array(vocabulary * vocabulary)
  for (let i = 0; i < table.length; i++) table[i] = 4 * random() - 2
  return table
}

/** The logits of a base model with an adapter, which is a table of the same shape. */
export const withAdapter = ({ table: base }: Base, adapter: Float32Array): Float32Array => {
  const table = new Float32Array(base.length)
  for (let i = 0; i < table.length; i++) table[i] = base[i]! + adapter[i]!
  return table
}

/** The logits of what follows a token, a view of `table`. */
export const row = (table: Float32Array, vocabulary: number, token: number): Float32Array =>
  table.subarray(token * vocabulary, (token + 1) * vocabulary)

/** The numbers of a checkpoint's tensor, which must be a table of this vocabulary. */
export const tensor = (
  tensors: ReadonlyMap<string, Engine.Tensor>,
  name: string,
  vocabulary: number
): Float32Array => {
  const found = tensors.get(name)
  if (found === undefined || found.data.length !== vocabulary * vocabulary) {
    throw failure("InvalidRequest", `the checkpoint has no tensor ${name} of shape [${vocabulary}, ${vocabulary}]`)
  }
  return found.data
}

export const failure = (reason: Engine.EngineError["reason"], description: string): Engine.EngineError =>
  new Engine.EngineError({ reason, description })
