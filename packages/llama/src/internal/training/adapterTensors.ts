/** An adapter's arrays as the tensors of a checkpoint, and back. */
import type * as Engine from "@effect-tinker/engine/Engine"
import type * as Llama from "../../Llama.js"
import * as Lora from "../../Lora.js"
import { invalid } from "../requestChecks.js"

type Arrays = ReadonlyMap<string, Float32Array>

type Tensors = ReadonlyMap<string, Engine.Tensor>

/** The arrays with their shapes, not copied. */
export const shaped = (config: Llama.Config, lora: Engine.LoraSpec, arrays: Arrays): Map<string, Engine.Tensor> => {
  const shapes = Lora.shapes(config, lora, lora.rank)
  return new Map(Array.from(arrays, ([name, data]) => [name, { shape: shapes.get(name)!, data }]))
}

/** Copies of the arrays, with their shapes. */
export const copied = (config: Llama.Config, lora: Engine.LoraSpec, arrays: Arrays): Map<string, Engine.Tensor> =>
  shaped(config, lora, new Map(Array.from(arrays, ([name, array]) => [name, array.slice()])))

/** Copies of a snapshot's tensors, which must have the adapter's names and shapes; all of them, where it is `complete`. */
export const adopt = (
  config: Llama.Config,
  lora: Engine.LoraSpec,
  tensors: Tensors,
  { complete }: { readonly complete: boolean }
): Map<string, Float32Array> => {
  const copies = new Map<string, Float32Array>()
  for (const [name, shape] of Lora.shapes(config, lora, lora.rank)) {
    const tensor = tensors.get(name)
    if (tensor === undefined && !complete) continue
    if (tensor === undefined || tensor.shape.join() !== shape.join()) {
      throw invalid(`the checkpoint has no tensor ${name} of shape [${shape}]`)
    }
    copies.set(name, tensor.data.slice())
  }
  return copies
}

/** Copies of a gradient's tensors in the order in which they are given, as their norm is summed in it. */
export const adoptGradient = (
  config: Llama.Config,
  lora: Engine.LoraSpec,
  tensors: Tensors
): Map<string, Float32Array> => {
  const copies = adopt(config, lora, tensors, { complete: false })
  return new Map(
    Array.from(tensors.keys()).flatMap((name) => {
      const copy = copies.get(name)
      return copy === undefined ? [] : [[name, copy] as const]
    })
  )
}
