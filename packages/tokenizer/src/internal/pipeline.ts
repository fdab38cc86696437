/**
 * A tokenizer as its file describes it: added tokens are found, the text between them is normalized, cut into pieces, and made into
 * tokens by the model.
 *
 * Source: the Rust library `tokenizers`, on which that of Python stands.
 */
import { type AddedToken, checkIds, splitterOf } from "./addedTokens.js"
import { bpe, type Model } from "./bpe.js"
import { decoderOf } from "./decoder.js"
import { isObscureAtFront, type Normalizer, normalizerOf } from "./normalizer.js"
import { type Part, partOf, partsOf, unsupported } from "./part.js"
import { prependSchemeOf, preTokenizerOf } from "./preTokenizer.js"
import type { TokenizerFile } from "./tokenizerFile.js"
import { unigram } from "./unigram.js"
import { wordPiece } from "./wordPiece.js"

export interface Pipeline {
  readonly encode: (text: string, parsesSpecialTokens: boolean) => Int32Array
  readonly decode: (tokens: ArrayLike<number>, skipsSpecialTokens: boolean) => string
  readonly tokenId: (name: string) => number | undefined
  /** The number of tokens: one more than the highest. */
  readonly size: number
}

/** Throws a `Refusal` where a part of `file` is not implemented. */
export const pipeline = (file: TokenizerFile): Pipeline => {
  const ids = idsOf(file.model["vocab"])
  let size = 0
  const names = new Map<number, string>()
  const record = (name: string, id: number) => {
    names.set(id, name)
    if (id >= size) size = id + 1
  }
  if (Array.isArray(file.model["vocab"])) file.model["vocab"].forEach(([name], id) => record(name, id))
  else for (const [name, id] of ids) record(name, id)
  const model = modelOf(file.model, ids, size)

  const added = file.added_tokens.filter(({ content }) => content !== "")
  checkIds(added, ids, names.size)
  const addedIds = new Map(added.map(({ content, id }) => [content, id]))
  const special = new Set(added.filter((token) => token.special).map((token) => token.content))

  const normalizerPart = partOf(file.normalizer, "normalizer")
  const normalize = normalizerOf(normalizerPart)
  const preTokenizerPart = partOf(file.pre_tokenizer, "pre_tokenizer")
  const preTokenize = preTokenizerOf(preTokenizerPart)
  const looksAtFront = checkFront(preTokenizerPart, normalizerPart)
  const decode = decoderOf(partOf(file.decoder, "decoder"))

  const isNormalized = ({ normalized, special }: AddedToken) => normalized ?? !special
  // A token that is looked for in normalized text has that text for its name.
  for (const token of added) record(isNormalized(token) ? normalize(token.content) : token.content, token.id)

  // Special tokens come first where two have one name.
  const inOrder = [...added.filter((token) => token.special), ...added.filter((token) => !token.special)]
  const raw = splitterOf(
    inOrder.filter((token) => !isNormalized(token)).map((token) => ({ name: token.content, token }))
  )
  const normalized = splitterOf(normalizedNames(inOrder.filter(isNormalized), normalize))

  const encode = (text: string, parsesSpecialTokens: boolean): Int32Array => {
    const tokens: Array<number> = []
    const sound = text.replace(/[\ud800-\udfff]/gu, "\ufffd")
    for (const stretch of raw.split(sound, !parsesSpecialTokens)) {
      if (stretch.token !== undefined) {
        tokens.push(stretch.token)
        continue
      }
      const stretchText = sound.slice(stretch.start, stretch.end)
      const inner = normalize(stretchText)
      const isFront = stretch.start === 0 && (!looksAtFront || keepsFront(normalize, stretchText))
      for (const part of normalized.split(inner, !parsesSpecialTokens)) {
        if (part.token !== undefined) {
          tokens.push(part.token)
          continue
        }
        const piece = { text: inner.slice(part.start, part.end), isFirst: isFront && part.start === 0 }
        for (const { text } of preTokenize(piece)) for (const token of model(text)) tokens.push(token)
      }
    }
    return Int32Array.from(tokens)
  }

  return {
    encode,
    decode: (tokens, skipsSpecialTokens) => {
      const known: Array<string> = []
      for (let i = 0; i < tokens.length; i++) {
        const name = names.get(tokens[i]!)
        if (name !== undefined && !(skipsSpecialTokens && special.has(name))) known.push(name)
      }
      return known.length === 0 ? "" : decode(known).join("")
    },
    tokenId: (name) => addedIds.get(name) ?? ids.get(name),
    size
  }
}

/**
 * Added tokens by the texts that they are looked for by. Where two have the same, or one has none, no one can tell which
 * counts, so that is refused.
 */
const normalizedNames = (tokens: ReadonlyArray<AddedToken>, normalize: Normalizer) => {
  const byName = new Map<string, AddedToken>()
  for (const token of tokens) {
    const name = normalize(token.content)
    const other = byName.get(name)
    if (name === "" || other !== undefined) {
      const what = name === "" ? "empty" : `the same as ${JSON.stringify(other!.content)}`
      throw unsupported(`a normalizer that makes the added token ${JSON.stringify(token.content)} ${what}`)
    }
    byName.set(name, token)
  }
  return Array.from(byName, ([name, token]) => ({ name, token }))
}

/** Whether the first character is not normalized away. */
const keepsFront = (normalize: Normalizer, text: string): boolean =>
  normalize(String.fromCodePoint(text.codePointAt(0)!)) !== ""

const idsOf = (vocab: unknown): ReadonlyMap<string, number> =>
  Array.isArray(vocab)
    ? new Map(vocab.map(([name], id) => [name as string, id]))
    : new Map(Object.entries(vocab as Record<string, number>))

const modelOf = (part: TokenizerFile["model"], ids: ReadonlyMap<string, number>, size: number): Model => {
  switch (part["type"]) {
    case "BPE":
      return bpe(part, ids, size)
    case "WordPiece":
      return wordPiece(part, ids)
    case "Unigram":
      return unigram(part, ids)
    default:
      // Older files name no type, but have what belongs to one alone.
      if (Array.isArray(part["merges"])) return bpe(part, ids, size)
      return Array.isArray(part["vocab"]) ? unigram(part, ids) : wordPiece(part, ids)
  }
}

/** Whether it matters what begins where the text does. Refused where parts before have moved that about. */
const checkFront = (preTokenizer: Part | undefined, normalizer: Part | undefined): boolean => {
  const steps = stepsIn(preTokenizer)
  const looking = steps.findLastIndex((step) => step["type"] === "Metaspace" && prependSchemeOf(step) === "first")
  if (looking < 0) return false
  const adds = steps.slice(0, looking).some((step) => ["ByteLevel", "Metaspace"].includes(String(step["type"])))
  if (adds || looking > 0 && normalizer !== undefined || isObscureAtFront(normalizer)) {
    throw unsupported("a Metaspace of the prepend_scheme first behind parts that may move what a text begins with")
  }
  return true
}

const stepsIn = (part: Part | undefined): ReadonlyArray<Part> => {
  if (part === undefined) return []
  return part["type"] === "Sequence" ? partsOf(part, "pretokenizers").flatMap(stepsIn) : [part]
}
