/**
 * What a pass over training data gives back.
 */
import type { TensorData } from "./TensorData.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface ForwardBackwardOutput {
  /** The kind of record, named by the server; nothing depends on it. */
  readonly lossFnOutputType: string
  /** One a datum, in order. `logprobs` `[tokens] float32` are those of the targets, in nats. */
  readonly lossFnOutputs: ReadonlyArray<Readonly<Record<string, TensorData>>>
  /** Named `name:reduction`, e.g. `loss:sum`. */
  readonly metrics: Readonly<Record<string, number>>
}
