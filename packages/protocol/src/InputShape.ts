/** Whether data and model inputs are made of what they should be, so that all else about them can be told. */
import * as Predicate from "effect/Predicate"
import { inherited, isObject, isOwn, kindOf, lostFields, named, nearest, notOne } from "./CallOptions.js"
import {
  type Check,
  checkFields,
  type Fields,
  fitting,
  looked,
  none,
  oneOf,
  optional,
  text,
  wholeFrom
} from "./Checks.js"
import type { ModelInputChunk } from "./ModelInput.js"

/** The check of a model input. What people pass for it most often is text, or tokens as they are. */
export const modelInput: Check = (value, field) => {
  const fault = inputFault(value)
  if (fault !== undefined) return [{ field, description: fault }]
  const { chunks } = value as { readonly chunks: ReadonlyArray<unknown> }
  let issues = none
  for (let i = 0; i < chunks.length && issues.length === 0; i++) {
    issues = looked(chunkOfInput, chunks[i], `${field}.chunks[${i}]`)
  }
  return issues
}

const inputFault = (value: unknown): string | undefined => {
  if (typeof value === "string") return `is a text${encodeIt}`
  if (Array.isArray(value) || ArrayBuffer.isView(value)) {
    return `is ${kindOf(value)}; if it has tokens, pass ModelInput.fromTokens(tokens).`
  }
  return Predicate.hasProperty(value, "chunks") && Array.isArray(value.chunks)
    ? undefined
    : `is ${kindOf(value)}; pass a ModelInput, as ModelInput.fromTokens(tokens) makes it.`
}

const encodeIt =
  ", and models read tokens: encode it with the model's tokenizer, then pass ModelInput.fromTokens(tokens)."

const chunkOfInput: Check = (chunk, field) => {
  if (!isObject(chunk)) {
    return [{ field, description: `is ${kindOf(chunk)}; a chunk is an object with a type, one of ${types}.` }]
  }
  const { type } = chunk
  return typeof type === "string" && Object.hasOwn(chunkFields, type)
    ? checkFields(chunk, chunkFields[type as ModelInputChunk["type"]], "field of such a chunk", `${field}.`)
    : [{ field: `${field}.type`, description: `is ${named(type)}; it must be one of ${types}.` }]
}

/** Looked at before. */
const type: Check = () => none

const bytes = fitting(
  (value) => value instanceof Uint8Array,
  "pass the bytes of the file, as a Uint8Array"
)

const image: Fields = { format: oneOf("png", "jpeg"), expectedTokens: optional(wholeFrom(0)) }

const chunkFields: Readonly<Record<ModelInputChunk["type"], Fields>> = {
  encoded_text: {
    type,
    tokens: (value, field) =>
      value instanceof Int32Array ? none : [{
        field,
        description: typeof value === "string"
          ? `is a text${encodeIt}`
          : `is ${kindOf(value)}; it must be an Int32Array, as ModelInput.fromTokens(tokens) makes it.`
      }]
  },
  image: { type, data: bytes, ...image },
  image_asset_pointer: { type, location: text, ...image },
  dmel: { type, dmel: bytes }
}

const types = Object.keys(chunkFields).join(", ")

/** The check of a list of data, which tells what is wrong with the first that is none. */
export const data: Check = (value, field) => {
  if (!Array.isArray(value)) return [{ field, description: `is ${kindOf(value)}; pass a list of Datum.` }]
  let issues = none
  for (let i = 0; i < value.length && issues.length === 0; i++) issues = looked(datum, value[i], `${field}[${i}]`)
  return issues
}

const datum: Check = (value, field) => {
  if (!isObject(value)) {
    return [{ field, description: `is ${kindOf(value)}; pass what Datum.make or Datum.fromTokens makes.` }]
  }
  const lost = names.find((name) => !isOwn(value, name))
  if (lost !== undefined) return [{ field: `${field}.${lost}`, description: inherited }]
  const fields = Object.keys(value)
  // Fields of the caller's own pass, unless they look like one of these.
  const misnamed = fields.find((name) => !names.includes(name) && nearest(name, names) !== undefined)
  if (misnamed !== undefined) {
    return [{ field: `${field}.${misnamed}`, description: notOne("field of a datum", misnamed, names) }]
  }
  const input = modelInput(value.modelInput, `${field}.modelInput`)
  if (input.length > 0) {
    return "modelInput" in value
      ? input
      : [{ field, description: "is an object; pass what Datum.make or Datum.fromTokens makes." }]
  }
  return [
    ...looked(lossInputs, value.lossFnInputs, `${field}.lossFnInputs`),
    ...optional(spans)(value.modelInputSpans, `${field}.modelInputSpans`),
    ...optional(spans)(value.lossFnInputSpans, `${field}.lossFnInputSpans`)
  ]
}

const names = ["modelInput", "lossFnInputs", "modelInputSpans", "lossFnInputSpans"]

const lossInputs: Check = (value, field) =>
  isObject(value)
    ? [
      ...lostFields(value, `${field}.`),
      ...Object.entries(value).flatMap(([name, item]) => tensor(item, `${field}.${name}`))
    ]
    : [{ field, description: `is ${kindOf(value)}; it must be an object of tensors.` }]

/** The check of a tensor; its shape and its indices may still contradict its elements. */
export const tensor: Check = (value, field) => {
  const fault = tensorFault(value)
  return fault === undefined ? none : [{ field, description: `is no tensor${fault}; make one with TensorData.` }]
}

const tensorFault = (value: unknown): string | undefined => {
  if (!isObject(value)) return `, but ${kindOf(value)}`
  const { data, dtype, shape, sparse } = value
  if (dtype !== "float32" && dtype !== "int64") return `: its dtype is ${named(dtype)}`
  if (!(dtype === "float32" ? data instanceof Float32Array : data instanceof BigInt64Array)) {
    return `: its data are ${kindOf(data)}, and those of ${dtype} a ${
      dtype === "float32" ? "Float32Array" : "BigInt64Array"
    }`
  }
  if (!Array.isArray(shape) || !shape.every((dimension) => typeof dimension === "number")) {
    return `: its shape is ${Array.isArray(shape) ? "no list of numbers" : kindOf(shape)}`
  }
  return sparse === undefined || (isObject(sparse) && sparse.crowIndices instanceof BigInt64Array
      && sparse.colIndices instanceof BigInt64Array)
    ? undefined
    : ": its sparse indices are no BigInt64Arrays"
}

/** The check of the runs of tokens that a list stands for. */
export const spans: Check = (value, field) =>
  Array.isArray(value)
    ? value.flatMap((span, i) =>
      isObject(span)
        ? checkFields(span, spanFields, "field of a span", `${field}[${i}].`)
        : [{ field: `${field}[${i}]`, description: `is ${kindOf(span)}; it must be a span.` }]
    )
    : [{ field, description: `is ${kindOf(value)}; it must be a list of spans.` }]

const count = fitting((value) => typeof value === "number", "it must be a number")

const spanFields: Fields = {
  kind: oneOf("prompt", "sampled"),
  sequenceId: fitting((value) => typeof value === "string", "it must be a text"),
  offset: count,
  length: count
}
