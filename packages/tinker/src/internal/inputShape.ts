import * as Predicate from "effect/Predicate"
import { kindOf, optionIssues } from "./callOptions.js"

/** Why a value is no model input, if it is none: what people pass for it most often is text, or tokens as they are. */
export const inputFault = (value: unknown): string | undefined => {
  if (typeof value === "string") {
    return "is a text, and models read tokens: encode it with the model's tokenizer, then pass ModelInput.fromTokens(tokens)."
  }
  if (Array.isArray(value) || ArrayBuffer.isView(value)) {
    return `is ${kindOf(value)}; if it has tokens, pass ModelInput.fromTokens(tokens).`
  }
  if (!Predicate.hasProperty(value, "chunks") || !Array.isArray(value.chunks)) {
    return `is ${kindOf(value)}; pass a ModelInput, as ModelInput.fromTokens(tokens) makes it.`
  }
  return chunksFault(value.chunks)
}

const chunksFault = (chunks: ReadonlyArray<unknown>): string | undefined => {
  for (let i = 0; i < chunks.length; i++) {
    const chunk = chunks[i]
    if (!Predicate.hasProperty(chunk, "type")) return `has no chunk at ${i}, but ${kindOf(chunk)}.`
    if (
      chunk.type === "encoded_text" && !(Predicate.hasProperty(chunk, "tokens") && chunk.tokens instanceof Int32Array)
    ) {
      return `has no Int32Array of tokens in chunk ${i}; ModelInput.fromTokens(tokens) makes one.`
    }
  }
  return undefined
}

/** Why a value is no list of data, or which of them is none, if so. */
export const dataFault = (value: unknown): { readonly field: string; readonly description: string } | undefined => {
  if (!Array.isArray(value)) return { field: "data", description: `is ${kindOf(value)}; pass a list of Datum.` }
  for (let i = 0; i < value.length; i++) {
    const datum: unknown = value[i]
    const field = `data[${i}]`
    if (!Predicate.hasProperty(datum, "modelInput") || !Predicate.isRecord(lossInputsOf(datum))) {
      const [misnamed] = Predicate.isRecord(datum) ? optionIssues(datum, ["modelInput", "lossFnInputs"]) : []
      return misnamed === undefined
        ? { field, description: `is ${kindOf(datum)}; pass what Datum.make or Datum.fromTokens makes.` }
        : { ...misnamed, field: `${field}.${misnamed.field}` }
    }
    const fault = inputFault(datum.modelInput)
    if (fault !== undefined) return { field: `${field}.modelInput`, description: fault }
  }
  return undefined
}

const lossInputsOf = (datum: object): unknown =>
  Predicate.hasProperty(datum, "lossFnInputs") ? datum.lossFnInputs : undefined
