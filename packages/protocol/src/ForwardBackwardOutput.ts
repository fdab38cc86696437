/**
 * What a pass over training data gives back.
 */
import * as Schema from "effect/Schema"
import { NamedTensors } from "./internal/namedTensors.js"
import type { TensorData } from "./TensorData.js"
import { field } from "./WireField.js"

/**
 * The schema of what a pass gives back, whose JSON is the service's: `{ loss_fn_output_type, loss_fn_outputs, metrics }`.
 *
 * @since 0.1.0
 * @category schemas
 */
export const ForwardBackwardOutput = Schema.Struct({
  lossFnOutputType: field(Schema.String, "loss_fn_output_type"),
  lossFnOutputs: field(Schema.Array(NamedTensors), "loss_fn_outputs"),
  metrics: Schema.Record({ key: Schema.String, value: Schema.JsonNumber })
})

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
