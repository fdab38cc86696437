/**
 * The losses that the service computes, and what each needs of a datum. Every loss is a sum over tokens, in nats.
 */
import * as Either from "effect/Either"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import { kindOf, nearest } from "./CallOptions.js"
import { type Check, fitting, looked, none, optional, record } from "./Checks.js"
import type { Datum } from "./Datum.js"
import { data as shapeOf } from "./InputShape.js"
import { attempt } from "./internal/attempt.js"
import { inputDtypes } from "./internal/lossInputs.js"
import { renamed } from "./internal/namedTensors.js"
import { provenanceIssues } from "./internal/provenance.js"
import { firstNonFinite, firstOutside, firstOutsideInt64 } from "./internal/scan.js"
import { sparseFault } from "./internal/sparse.js"
import { fromRequestName, toWireName } from "./internal/wireNames.js"
import * as ModelInput from "./ModelInput.js"
import { quoted } from "./Prose.js"
import type { TensorData } from "./TensorData.js"
import { elementCount } from "./TensorData.js"
import type { Issue } from "./TinkerError.js"

const Settings = Schema.Record({ key: Schema.String, value: Schema.Union(Schema.JsonNumber, Schema.String) })

/**
 * The schema of a loss: its name on the wire. A name that this version does not know is decoded to that of {@link other}.
 *
 * @since 0.1.0
 * @category schemas
 */
export const LossFn: Schema.Schema<LossFn, string> = Schema.transform(
  Schema.String,
  Schema.declare((u): u is LossFn => lossNameFault(u) === undefined, { identifier: "LossFn" }),
  { strict: true, decode: (name) => isKnown(name) ? name : other(name), encode: (lossFn) => nameOf(lossFn) }
)

/**
 * The schema of settings of a loss, which have the wire's names in JSON, as `clip_low_threshold`.
 *
 * @since 0.1.0
 * @category schemas
 */
export const LossFnConfig: Schema.Schema<LossFnConfig> = Schema.transformOrFail(Settings, Settings, {
  strict: true,
  decode: (config, _, ast) => attempt(ast, config, () => renamed(config, fromRequestName)),
  encode: (config, _, ast) => attempt(ast, config, () => renamed(config, toWireName))
})

/**
 * The losses, with `p` the log-probability of the target, `q` the `logprobs` input, `A` the advantage, `w` the weight, `r = exp(p - q)`:
 *
 * | loss | inputs | per token |
 * | --- | --- | --- |
 * | `cross_entropy` | `targetTokens`, `weights` (default 1) | `-w p` |
 * | `importance_sampling` | `targetTokens`, `logprobs`, `advantages` | `-r A` |
 * | `ppo` | the same | `-min(r A, clip(r, clipLowThreshold, clipHighThreshold) A)` |
 * | `cispo` | the same | `-clip(r, clipLowThreshold, clipHighThreshold) p A`, the clipped ratio being a constant |
 * | `dro` | the same | `-(p A - ½ beta (p - q)²)` |
 * | `gspo` | the same, `sequenceRatioMask` | `-min(s A, clip(s, clipLowThreshold, clipHighThreshold) A)`, with `log s` the mean of `p - q` over the tokens that the mask marks |
 *
 * In `gspo` the ratio `s` is one for the sequence; its gradient at a token is that of `p` there.
 *
 * `stable_reinforce` is computed by the hosted service alone; its formula is its own. A name that is not listed here goes
 * through {@link other}.
 *
 * Source: the losses pages of the Tinker documentation; PPO: Schulman et al. 2017, eq. 7; GSPO: Zheng et al. 2025.
 *
 * @since 0.1.0
 * @category models
 */
export type LossFn = KnownLossFn | OtherLossFn

/**
 * @since 0.1.0
 * @category models
 */
export type KnownLossFn =
  | "cross_entropy"
  | "importance_sampling"
  | "ppo"
  | "cispo"
  | "dro"
  | "gspo"
  | "stable_reinforce"

/**
 * A loss that this version does not know. Its inputs are checked as far as every loss agrees.
 *
 * @since 0.1.0
 * @category models
 */
export interface OtherLossFn {
  readonly _tag: "OtherLossFn"
  readonly name: string
}

/**
 * Settings of a loss, e.g. `{ clipLowThreshold: 0.8, clipHighThreshold: 1.2 }` of `ppo`, which are its defaults.
 *
 * @since 0.1.0
 * @category models
 */
export type LossFnConfig = Readonly<Record<string, number | string>>

/**
 * A loss by a name that the service knows and this version does not.
 *
 * @example
 * ```ts
 * import { LossFn } from "effect-tinker"
 *
 * // What a newer server has, and this version does not know: its inputs are not checked.
 * console.log(LossFn.nameOf(LossFn.other("future_loss")))
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const other = (name: string): OtherLossFn => ({ _tag: "OtherLossFn", name })

/**
 * The name on the wire.
 *
 * @since 0.1.0
 * @category utils
 */
export const nameOf = (lossFn: LossFn): string => typeof lossFn === "string" ? lossFn : lossFn.name

/** What every datum must have. The service alone knows what the last one needs besides. */
const required: Readonly<Record<KnownLossFn, ReadonlyArray<string>>> = {
  cross_entropy: ["targetTokens"],
  importance_sampling: ["targetTokens", "logprobs", "advantages"],
  ppo: ["targetTokens", "logprobs", "advantages"],
  cispo: ["targetTokens", "logprobs", "advantages"],
  dro: ["targetTokens", "logprobs", "advantages"],
  gspo: ["targetTokens", "logprobs", "advantages"],
  stable_reinforce: ["targetTokens"]
}

const knownNames = Object.keys(required)

const isKnown = (name: string): name is KnownLossFn => Object.hasOwn(required, name)

/** Its formula is the service's own, and so are the names of its inputs. */
const openInputs: ReadonlySet<string> = new Set(["stable_reinforce"])

const mostTokens = 2 ** 31

/**
 * Everything that keeps the data of a pass from being sent, each with its place, e.g. `data[3].lossFnInputs.weights` or
 * `lossFnConfig.klCoeff`; none when it can be sent. Looks at each number once, and at none where the data are no data at all.
 *
 * @since 0.1.0
 * @category utils
 */
export const issues = (options: {
  readonly lossFn: LossFn
  readonly lossFnConfig?: LossFnConfig | undefined
  readonly data: ReadonlyArray<Datum>
  /** Every token must be less, if it is known. */
  readonly vocabularySize?: number | undefined
  /** Longest model input in tokens, if it is known. */
  readonly maxContextLength?: number | undefined
}): ReadonlyArray<Issue> => {
  const found = [
    ...looked(optional(lossFnConfig), options.lossFnConfig, "lossFnConfig"),
    ...looked(lossName, options.lossFn, "lossFn")
  ]
  const add: Add = (field, description) => {
    found.push({ field, description })
  }
  const shape = looked(shapeOf, options.data, "data")
  // All else is about what is not there.
  if (shape.length > 0) return [...found, ...shape]
  if (options.data.length === 0) add("data", "there is no datum; pass at least one.")
  const limits: Limits = {
    tokens: Math.min(options.vocabularySize ?? mostTokens, mostTokens),
    context: options.maxContextLength ?? Infinity
  }
  for (let i = 0; i < options.data.length; i++) {
    const datum = options.data[i]!
    const length = checkModelInput(datum, `data[${i}].modelInput`, limits, add)
    checkInputs(datum, `data[${i}]`, options.lossFn, length, limits, add)
    found.push(...provenanceIssues(datum, `data[${i}]`))
  }
  return found
}

type Add = (field: string, description: string) => void

interface Limits {
  readonly tokens: number
  readonly context: number
}

const lossName: Check = (lossFn, field) => {
  const description = lossNameFault(lossFn)
  return description === undefined ? none : [{ field, description }]
}

const lossNameFault = (lossFn: unknown): string | undefined => {
  const name = Predicate.isRecord(lossFn) ? lossFn.name : lossFn
  if (name === "custom") return "custom names no loss by itself; pass the loss to forwardBackwardCustom."
  if (typeof lossFn === "function") return "is a function; pass a loss of your own to forwardBackwardCustom."
  if (Predicate.isRecord(lossFn) && lossFn._tag !== "OtherLossFn") {
    return "is an object; pass the name of a loss, or what LossFn.other makes of one that is not known here."
  }
  if (typeof name !== "string" || name === "") return `is ${kindOf(lossFn)}; pass one of ${knownNames.join(", ")}.`
  if (name !== lossFn || isKnown(name)) return undefined
  const near = nearest(name, knownNames)
  const meant = near === undefined ? "" : ` Was ${near} meant?`
  return `${name.length > 100 ? quoted(name) : name} is not known. Known are ${
    knownNames.join(", ")
  }; LossFn.other passes another name.${meant}`
}

const lossFnConfig = record(
  fitting(
    (value) => typeof value === "string" || (typeof value === "number" && !Number.isNaN(value)),
    "it must be a number or a text"
  )
)

/** Its length, or nothing when only the server can tell. */
const checkModelInput = (datum: Datum, field: string, limits: Limits, add: Add): number | undefined => {
  const { chunks } = datum.modelInput
  const length = Either.getOrUndefined(ModelInput.length(datum.modelInput))
  if (length === 0) add(field, "has no tokens.")
  for (let i = 0; i < chunks.length; i++) {
    const chunk = chunks[i]!
    const place = `${field}.chunks[${i}]`
    switch (chunk.type) {
      case "encoded_text": {
        if (chunk.tokens.length === 0 && length !== 0) add(place, "has no tokens.")
        const outside = firstOutside(chunk.tokens, limits.tokens)
        if (outside >= 0) add(`${place}.tokens`, tokenRange(chunk.tokens[outside]!, outside, limits))
        break
      }
      case "image_asset_pointer":
        add(place, "is an image asset pointer, which cannot be trained on; send the image itself.")
        break
      case "dmel": {
        const counted = ModelInput.length({ chunks: [chunk] })
        if (Either.isLeft(counted)) add(place, counted.left.description)
        break
      }
    }
  }
  if (length !== undefined && length > limits.context) {
    add(field, `has ${length} tokens, and the context has ${limits.context}.`)
  }
  return length
}

const tokenRange = (token: number | bigint, position: number, limits: Limits): string =>
  token < 0
    ? `is ${token} at ${position}; a token is not negative.`
    : `is ${token} at ${position}; the vocabulary has ${limits.tokens} tokens.`

const checkInputs = (
  datum: Datum,
  name: string,
  lossFn: LossFn,
  length: number | undefined,
  limits: Limits,
  add: Add
): void => {
  const inputs = datum.lossFnInputs
  const known = typeof lossFn === "string" && isKnown(lossFn) ? lossFn : undefined
  for (const key of known === undefined ? [] : required[known]) {
    if (inputs[key] === undefined) add(`${name}.lossFnInputs.${key}`, `is missing, and the loss ${known} needs it.`)
  }
  for (const [key, tensor] of Object.entries(inputs)) {
    const field = `${name}.lossFnInputs.${key}`
    const dtype = inputDtypes.get(key)
    if (dtype === undefined && known !== undefined && !openInputs.has(known)) {
      add(field, `is not read by the loss ${known}; it reads ${Array.from(inputDtypes.keys()).join(", ")}.`)
    }
    if (dtype !== undefined && tensor.dtype !== dtype) add(field, `is ${tensor.dtype}; it must be ${dtype}.`)
    const fault = shapeFault(tensor)
      ?? (known === undefined || dtype === undefined ? undefined : alignmentFault(key, tensor, inputs, length))
    if (fault !== undefined) add(field, fault)
    if (known === "gspo" && key === "sequenceRatioMask" && marksNone(tensor)) {
      add(field, "marks no token, so there is no ratio; mark the sampled ones.")
    }
    if (tensor.dtype === "float32") {
      const position = firstNonFinite(tensor.data)
      if (position >= 0) add(field, `is ${tensor.data[position]} at ${position}; it must be finite.`)
    } else if (key === "targetTokens") {
      const position = firstOutsideInt64(tensor.data, limits.tokens)
      if (position >= 0) add(field, tokenRange(tensor.data[position]!, position, limits))
    }
  }
}

const marksNone = ({ data }: TensorData): boolean => data.length > 0 && !data.some((mark) => Number(mark) !== 0)

const shapeFault = (tensor: TensorData): string | undefined => {
  if (tensor.shape.some((dimension) => !Number.isSafeInteger(dimension) || dimension < 0)) {
    return `has shape [${tensor.shape}]; its dimensions must be whole numbers.`
  }
  if (tensor.sparse !== undefined) return sparseFault(tensor)
  const size = elementCount(tensor.shape)
  return size === tensor.data.length
    ? undefined
    : `has ${tensor.data.length} elements, and its shape [${tensor.shape}] says ${size}.`
}

/** One row for each position of the model input; weights are shaped as the targets, which may have several a position. */
const alignmentFault = (
  key: string,
  tensor: TensorData,
  inputs: Datum["lossFnInputs"],
  length: number | undefined
): string | undefined => {
  const { shape } = tensor
  if (shape.length !== 1 && shape.length !== 2) return `has shape [${shape}]; it must be [tokens] or [tokens, k].`
  if (length !== undefined && shape[0] !== length) {
    return `has shape [${shape}], and the model input has ${length} tokens.`
  }
  const targets = inputs.targetTokens?.shape
  if (key === "weights" && targets !== undefined && String(targets) !== String(shape)) {
    return `has shape [${shape}], and targetTokens [${targets}].`
  }
  return undefined
}
