/**
 * Requests as a server reads them, where that is not what the messages say: what older clients and those of other languages send, and what
 * a request needs that a client sends in one of several ways.
 */
import * as Schema from "effect/Schema"
import { isNumbers } from "./internal/isNumbers.js"
import { ModelInput } from "./ModelInput.js"
import { CreateModelRequest } from "./ModelsMessages.js"
import * as SamplingMessages from "./SamplingMessages.js"
import * as SessionsMessages from "./SessionsMessages.js"
import * as TelemetryMessages from "./TelemetryMessages.js"
import { LoadWeightsRequest, SaveWeightsRequest } from "./WeightsMessages.js"
import { defaulted, field, fieldDefaulted, missable, nullish, optional } from "./WireField.js"

const Numbers: Schema.Schema<ArrayLike<unknown>> = Schema.declare((u): u is ArrayLike<unknown> => isNumbers(u), {
  identifier: "Numbers",
  jsonSchema: { type: "array", items: { type: "number" } }
})

/**
 * A tensor in JSON. Its lists may be arrays of numbers that a reader of JSON has made of them; whoever wants the elements looks at them.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Tensor = Schema.Struct({
  data: Numbers,
  dtype: Schema.Literal("int64", "float32"),
  shape: nullish(Schema.Array(Schema.NonNegativeInt)),
  crowIndices: optional(Numbers, "sparse_crow_indices"),
  colIndices: optional(Numbers, "sparse_col_indices")
})

/**
 * @since 0.1.0
 * @category models
 */
export type Tensor = typeof Tensor.Type

/**
 * The data of a training request in JSON, and the loss.
 *
 * @since 0.1.0
 * @category schemas
 */
export const TrainingInput = Schema.Struct({
  data: Schema.Array(Schema.Struct({
    modelInput: field(ModelInput, "model_input"),
    lossFnInputs: fieldDefaulted(Schema.Record({ key: Schema.String, value: Tensor }), "loss_fn_inputs", () => ({}))
  })),
  lossFn: field(Schema.String, "loss_fn"),
  lossFnConfig: optional(
    Schema.Record({ key: Schema.String, value: Schema.Union(Schema.Number, Schema.String) }),
    "loss_fn_config"
  )
})

/**
 * @since 0.1.0
 * @category models
 */
export type TrainingInput = typeof TrainingInput.Type

const modelId = field(Schema.String, "model_id")

const seqId = field(Schema.Int, "seq_id")

/**
 * A request of `forward_backward` in JSON, as clients wrote it before protobuf: the Python SDK up to 0.24.1.
 *
 * @since 0.1.0
 * @category schemas
 */
export const ForwardBackwardRequest = Schema.Struct({
  modelId,
  seqId,
  input: field(TrainingInput, "forward_backward_input")
})

/**
 * A request of `forward`, by the same clients.
 *
 * @since 0.1.0
 * @category schemas
 */
export const ForwardRequest = Schema.Struct({ modelId, seqId, input: field(TrainingInput, "forward_input") })

/**
 * A sample, whose number a server needs. Numbers that JavaScript cannot hold are read as they are written.
 *
 * @since 0.1.0
 * @category schemas
 */
export const SampleRequest = Schema.Struct({
  ...SamplingMessages.SampleRequest.fields,
  seqId: field(Schema.NonNegativeInt, "seq_id")
})

/**
 * Weights for a model that exists.
 *
 * @since 0.1.0
 * @category schemas
 */
export const LoadIntoModelRequest = Schema.Struct({
  ...LoadWeightsRequest.fields,
  modelId: SaveWeightsRequest.fields.modelId,
  seqId: SaveWeightsRequest.fields.seqId
})

/**
 * Weights for a model that the same request makes.
 *
 * @since 0.1.0
 * @category schemas
 */
export const CreateByLoadingRequest = Schema.Struct({
  ...LoadWeightsRequest.fields,
  sessionId: CreateModelRequest.fields.sessionId,
  modelSeqId: CreateModelRequest.fields.modelSeqId
})

/**
 * @since 0.1.0
 * @category models
 */
export type CreateByLoadingRequest = typeof CreateByLoadingRequest.Type

/**
 * A search, whose bounds a server holds, and whose cursor it has made itself: it names the last session of the page before.
 *
 * @since 0.1.0
 * @category schemas
 */
export const SessionSearchRequest = Schema.Struct({
  ...SessionsMessages.SessionSearchRequest.fields,
  limit: defaulted(Schema.Int.pipe(Schema.between(1, 200)), () => 50),
  cursor: nullish(Schema.Struct({
    lastCreatedAt: field(Schema.String, "last_created_at"),
    lastSessionId: field(Schema.String, "last_session_id")
  }))
})

/**
 * @since 0.1.0
 * @category models
 */
export type SessionSearchRequest = typeof SessionSearchRequest.Type

const knownEvents: ReadonlyArray<string> = TelemetryMessages.TelemetryEvent.members.map(
  ({ fields }) => fields.event.literals[0]
)

/** An event of a kind that later clients may have. */
const NewerEvent = Schema.Struct({
  event: Schema.String.pipe(Schema.filter((event) => !knownEvents.includes(event), { jsonSchema: {} }))
})

/**
 * A report of older clients, which do not name their process before 0.24, or of newer ones, whose events are of more kinds.
 *
 * @since 0.1.0
 * @category schemas
 */
export const TelemetrySendRequest = Schema.Struct({
  ...TelemetryMessages.TelemetrySendRequest.fields,
  events: Schema.Array(Schema.Union(TelemetryMessages.TelemetryEvent, NewerEvent)),
  processUuid: missable(Schema.String, "process_uuid")
})
