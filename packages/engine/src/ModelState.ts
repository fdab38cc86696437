/**
 * The state of a live model as tensors, and as a file: safetensors, with their length and checksum before them, as a server
 * keeps it. Engines that write such files themselves write them where the numbers are.
 */
import type { Snapshot, Tensor } from "./Engine.js"
import * as Frames from "./Frames.js"
import * as Safetensors from "./Safetensors.js"

/**
 * The file of weights and moments.
 *
 * @since 0.1.0
 * @category encoding
 */
export const encodeSnapshot = (snapshot: Pick<Snapshot, "weights" | "expAvg" | "expAvgSq">): Uint8Array =>
  Frames.encode("", [Safetensors.encode(tensorsOf(snapshot))])

/**
 * The file of a gradient, in the order of its tensors.
 *
 * @since 0.1.0
 * @category encoding
 */
export const encodeGradient = (gradient: ReadonlyMap<string, Tensor>): Uint8Array =>
  Frames.encode("", [Safetensors.encode(gradient)])

/**
 * Weights and moments in one map, each tensor under a name of its own: the moments have the name of their weights with
 * `.exp_avg` and `.exp_avg_sq` behind it.
 *
 * @since 0.1.0
 * @category utils
 */
export const tensorsOf = (
  snapshot: Pick<Snapshot, "weights" | "expAvg" | "expAvgSq">
): ReadonlyMap<string, Tensor> => {
  const tensors = new Map(snapshot.weights)
  for (const [name, tensor] of snapshot.expAvg) tensors.set(name + expAvgSuffix, tensor)
  for (const [name, tensor] of snapshot.expAvgSq) tensors.set(name + expAvgSqSuffix, tensor)
  return tensors
}

/**
 * The snapshot that {@link tensorsOf} has laid out, from the tensors of a file.
 *
 * @since 0.1.0
 * @category utils
 */
export const snapshotOf = (
  model: Pick<Snapshot, "baseModel" | "lora" | "step">,
  tensors: ReadonlyMap<string, Safetensors.RawTensor>
): Snapshot => {
  const weights = new Map<string, Tensor>()
  const expAvg = new Map<string, Tensor>()
  const expAvgSq = new Map<string, Tensor>()
  for (const [name, tensor] of toTensors(tensors)) {
    if (name.endsWith(expAvgSuffix)) expAvg.set(name.slice(0, -expAvgSuffix.length), tensor)
    else if (name.endsWith(expAvgSqSuffix)) expAvgSq.set(name.slice(0, -expAvgSqSuffix.length), tensor)
    else weights.set(name, tensor)
  }
  return { baseModel: model.baseModel, lora: model.lora, step: model.step, weights, expAvg, expAvgSq }
}

/**
 * The tensors of a file as numbers, in the order of the file.
 *
 * @since 0.1.0
 * @category utils
 */
export const toTensors = (raw: ReadonlyMap<string, Safetensors.RawTensor>): ReadonlyMap<string, Tensor> =>
  new Map(Array.from(raw, ([name, tensor]) => [name, { shape: tensor.shape, data: Safetensors.toFloat32(tensor) }]))

const expAvgSuffix = ".exp_avg"
const expAvgSqSuffix = ".exp_avg_sq"
