import type { Service } from "../Tokenizer.js"
import type { Pipeline } from "./pipeline.js"
import { withoutStops } from "./steps.js"

/** What a tokenizer can do, by its parts. The tokens that a sequence begins and ends with are given by their names. */
export const serviceOf = (
  read: Pipeline,
  names: { readonly bosToken?: string | undefined; readonly eosToken?: string | undefined }
): Service => {
  const named = (name: string | undefined) => name === undefined ? undefined : read.tokenId(name)
  return {
    vocabularySize: read.size,
    bosToken: named(names.bosToken),
    eosToken: named(names.eosToken),
    tokenId: read.tokenId,
    encode: (text, options) => withoutStops(read.encode(text, options?.parseSpecialTokens === true)),
    encodeSteps: (text, options) => read.encode(text, options?.parseSpecialTokens === true),
    decode: (tokens, options) => read.decode(tokens, options?.skipSpecialTokens === true)
  }
}
