/**
 * One training example: what the model reads, and what its loss needs, aligned position by position.
 */
import * as Either from "effect/Either"
import { dual } from "effect/Function"
import * as Schema from "effect/Schema"
import { type Check, none, object, optional, optionsOf, record, text } from "./Checks.js"
import { data, modelInput, spans, tensor } from "./InputShape.js"
import { isNumbers } from "./internal/isNumbers.js"
import { inputDtypes } from "./internal/lossInputs.js"
import { NamedTensors } from "./internal/namedTensors.js"
import { provenanceIssues } from "./internal/provenance.js"
import { toTokens } from "./internal/tokens.js"
import type { ModelInput } from "./ModelInput.js"
import * as ModelInputs from "./ModelInput.js"
import * as TensorData from "./TensorData.js"
import { InvalidInputError } from "./TinkerError.js"
import type { Issue } from "./TinkerError.js"
import { field, missable } from "./WireField.js"

/**
 * The schema of a run of tokens.
 *
 * @since 0.1.0
 * @category schemas
 */
export const ProvenanceSpan = Schema.Struct({
  kind: Schema.Literal("prompt", "sampled"),
  sequenceId: field(Schema.String, "sequence_id"),
  offset: Schema.Number,
  length: Schema.Number
})

/**
 * The schema of a datum, whose JSON is the service's: `{ model_input, loss_fn_inputs }`, and `model_input_spans` and `loss_fn_input_spans`
 * where there are such. Inputs of a loss have the wire's names there, as `target_tokens`.
 *
 * @example
 * ```ts
 * import { Schema } from "effect"
 * import { Datum } from "effect-tinker"
 *
 * // A line of a file that a Python program has written.
 * const line = "{\"model_input\":{\"chunks\":[{\"tokens\":[1,2]}]},\"loss_fn_inputs\":{\"target_tokens\":{\"data\":[2,3],\"dtype\":\"int64\"}}}"
 * const { lossFnInputs } = Schema.decodeSync(Schema.parseJson(Datum.Datum))(line)
 * console.log(lossFnInputs.targetTokens?.data)
 * ```
 *
 * @since 0.1.0
 * @category schemas
 */
export const Datum = Schema.Struct({
  modelInput: field(ModelInputs.ModelInput, "model_input"),
  lossFnInputs: field(NamedTensors, "loss_fn_inputs"),
  modelInputSpans: missable(Schema.Array(ProvenanceSpan), "model_input_spans"),
  lossFnInputSpans: missable(Schema.Array(ProvenanceSpan), "loss_fn_input_spans")
})

/**
 * @since 0.1.0
 * @category models
 */
export interface Datum {
  readonly modelInput: ModelInput
  /** Tensors by name, as the loss wants them; see `LossFn`. */
  readonly lossFnInputs: Readonly<Record<string, TensorData.TensorData>>
  /** Where the model input comes from, if it was sampled: spans that tile its tokens. Both span lists, or neither. */
  readonly modelInputSpans?: ReadonlyArray<ProvenanceSpan> | undefined
  /** Where the targets come from: spans that tile them. */
  readonly lossFnInputSpans?: ReadonlyArray<ProvenanceSpan> | undefined
}

/**
 * A run of tokens of a sampled sequence: of its prompt, or of what was sampled.
 *
 * @since 0.1.0
 * @category models
 */
export interface ProvenanceSpan {
  readonly kind: "prompt" | "sampled"
  readonly sequenceId: string
  readonly offset: number
  readonly length: number
}

/**
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Datum): Datum => options

/**
 * A datum of cross entropy from a whole sequence: each token but the last is read, and each but the first is a target.
 *
 * - `tokens`: `[tokens] int32`, two at least
 * - `weights`: `[tokens] float32`, the factor of each token as a target; that of the first is not used
 *
 * Nothing is checked here, so that nothing throws: what is no list of numbers is kept, and refused by name where the datum is used.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromTokens = (
  tokens: Int32Array | ReadonlyArray<number>,
  weights: Float32Array | ReadonlyArray<number>
): Datum => {
  const sequence = isNumbers(tokens) && !(tokens instanceof Int32Array) ? toTokens(tokens) : tokens
  const factors = TensorData.float32(weights)
  return {
    modelInput: ModelInputs.fromTokens(sequence instanceof Int32Array ? sequence.subarray(0, -1) : sequence),
    lossFnInputs: {
      targetTokens: TensorData.int64(sequence instanceof Int32Array ? sequence.subarray(1) : sequence),
      weights: factors.data instanceof Float32Array ? TensorData.float32(factors.data.subarray(1)) : factors
    }
  }
}

/**
 * A datum whose loss inputs are numbers of any kind. The name of an input decides its dtype: `targetTokens` is int64;
 * `weights`, `advantages`, `logprobs`, `clipLowThreshold`, `clipHighThreshold` and `sequenceRatioMask` are float32. Under
 * any other name a typed array keeps its own kind, and a plain list is refused. A tensor stays as it is, a list in lists
 * keeps its shape.
 *
 * Left, with everything that does not fit.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromInputs = (options: {
  readonly modelInput: ModelInput
  readonly lossFnInputs: Readonly<
    Record<string, TensorData.TensorData | TensorData.TypedArray | TensorData.NestedNumbers>
  >
  /** What the error calls the datum, e.g. `data[3]`. Default `datum`. */
  readonly name?: string | undefined
}): Either.Either<Datum, InvalidInputError> => {
  const wrong = inputsShape(options, "options")
  if (wrong.length > 0) return invalid("Datum.fromInputs", wrong)
  const lossFnInputs: Record<string, TensorData.TensorData> = {}
  const name = options.name ?? "datum"
  const issues: Array<Issue> = [...modelInput(options.modelInput, `${name}.modelInput`)]
  for (const [key, value] of Object.entries(options.lossFnInputs)) {
    const field = `${name}.lossFnInputs.${key}`
    const tensor = toTensor(value, key, field)
    if (Either.isLeft(tensor)) issues.push(tensor.left)
    else lossFnInputs[key] = tensor.right
  }
  return issues.length === 0
    ? Either.right({ modelInput: options.modelInput, lossFnInputs })
    : invalid("Datum.fromInputs", issues)
}

const inputsShape = optionsOf({
  modelInput: () => none,
  lossFnInputs: record(() => none),
  name: optional(text)
})

const toTensor = (
  value: TensorData.TensorData | TensorData.TypedArray | TensorData.NestedNumbers,
  key: string,
  field: string
): Either.Either<TensorData.TensorData, Issue> => {
  if (!ArrayBuffer.isView(value) && !Array.isArray(value)) {
    if (typeof value !== "object" || value === null || !("dtype" in value)) {
      return Either.left({ field, description: "is neither a tensor nor an array." })
    }
    const [issue] = tensor(value, field)
    return issue === undefined ? Either.right(value) : Either.left(issue)
  }
  const dtype = inputDtypes.get(key)
  return dtype === undefined && Array.isArray(value)
    ? Either.left({
      field,
      description: `is a plain list under a name that is not known (${
        Array.from(inputDtypes.keys()).join(", ")
      }); pass a tensor.`
    })
    : TensorData.fromArray(value, { dtype, field })
}

const invalid = (operation: string, issues: ReadonlyArray<Issue>): Either.Either<never, InvalidInputError> =>
  Either.left(new InvalidInputError({ operation, ...issues[0]!, others: issues.slice(1) }))

/**
 * The same datum with where its tokens come from. The spans of `modelInput` stand for its tokens in order, those of
 * `lossFnInputs` for the targets, `[targets]`: their lengths add up to exactly that many. Left, when they do not, or when a
 * sequence has no id.
 *
 * @since 0.1.0
 * @category combinators
 */
export const withProvenance: {
  (spans: Provenance): (self: Datum) => Either.Either<Datum, InvalidInputError>
  (self: Datum, spans: Provenance): Either.Either<Datum, InvalidInputError>
} = dual(2, (self: Datum, spans: Provenance): Either.Either<Datum, InvalidInputError> => {
  const wrong = [...datumIssues(self, "datum"), ...provenance(spans, "spans")]
  if (wrong.length > 0) return invalid("Datum.withProvenance", wrong)
  const made: Datum = { ...self, modelInputSpans: spans.modelInput, lossFnInputSpans: spans.lossFnInputs }
  const issues = provenanceIssues(made, "datum")
  return issues.length === 0 ? Either.right(made) : invalid("Datum.withProvenance", issues)
})

const datumIssues: Check = (value, field) => data([value], field)

const provenance = object({ modelInput: optional(spans), lossFnInputs: optional(spans) }, "list of spans")

/**
 * @since 0.1.0
 * @category models
 */
export interface Provenance {
  readonly modelInput: ReadonlyArray<ProvenanceSpan>
  readonly lossFnInputs: ReadonlyArray<ProvenanceSpan>
}

/**
 * Bytes of the datum in a training request, by which calls are split into chunks.
 *
 * @since 0.1.0
 * @category utils
 */
export const byteLength = (datum: Datum): number => {
  let bytes = ModelInputs.byteLength(datum.modelInput)
  for (const tensor of Object.values(datum.lossFnInputs)) bytes += TensorData.byteLength(tensor)
  return bytes
}
