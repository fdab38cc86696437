import type { Tensor } from "onnxruntime-node"
import * as Llama from "../Llama.js"
import type { OnnxRuntime } from "../OnnxRuntime.js"

/** A model's weights as inputs of a graph, over the arrays themselves: all graphs share one copy. */
export const weightFeeds = (
  runtime: OnnxRuntime,
  config: Llama.Config,
  weights: ReadonlyMap<string, Float32Array>
): Readonly<Record<string, Tensor>> =>
  Object.fromEntries(
    Array.from(Llama.weightShapes(config), ([name, shape]) => {
      const data = weights.get(name)
      if (data === undefined) throw new Error(`weight ${name} is missing`)
      return [name, runtime.float32(data, shape)]
    })
  )
