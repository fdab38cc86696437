/**
 * The state of a live model as a file: safetensors, with their length and checksum before them, as `ServerJournal` keeps
 * it. For engines that write it where the numbers are.
 */
import type { Snapshot, Tensor } from "./Engine.js"
import * as CheckpointFiles from "./internal/checkpointFiles.js"
import * as Frames from "./internal/frames.js"
import * as Safetensors from "./Safetensors.js"

/**
 * Weights and moments.
 *
 * @since 0.1.0
 * @category encoding
 */
export const encodeSnapshot = (snapshot: Pick<Snapshot, "weights" | "expAvg" | "expAvgSq">): Uint8Array =>
  Frames.encode("", [Safetensors.encode(CheckpointFiles.stateTensors(snapshot))])

/**
 * A gradient, in the order of its tensors.
 *
 * @since 0.1.0
 * @category encoding
 */
export const encodeGradient = (gradient: ReadonlyMap<string, Tensor>): Uint8Array =>
  Frames.encode("", [Safetensors.encode(gradient)])
