/**
 * A tokenizer as its file describes it: added tokens are found, the text between them is normalized, cut into pieces, and made into
 * tokens by the model.
 *
 * Source: the Rust library `tokenizers`, on which that of Python stands.
 */
import { type AddedToken, checkIds, splitterOf } from "./addedTokens.js"
import { bpe } from "./bpe.js"
import { toByteLevel } from "./byteLevel.js"
import { type Decoder, decoderOf } from "./decoder.js"
import type { Model } from "./model.js"
import { isObscureAtFront, type Normalizer, normalizerOf } from "./normalizer.js"
import { type Part, partOf, partsOf, unsupported } from "./part.js"
import { prependSchemeOf, type PreTokenizer, preTokenizerOf, unspelledOf } from "./preTokenizer.js"
import { type Steps, withoutStops } from "./steps.js"
import type { TokenizerFile } from "./tokenizerFile.js"
import { TokenList } from "./tokenList.js"
import { unigram } from "./unigram.js"
import { wordPiece } from "./wordPiece.js"

export interface Pipeline {
  readonly encode: (text: string, parsesSpecialTokens: boolean) => Steps<Int32Array>
  readonly decode: (tokens: ArrayLike<number>, skipsSpecialTokens: boolean) => string
  readonly tokenId: (name: string) => number | undefined
  /** The number of tokens: one more than the highest. */
  readonly size: number
}

/** So much of a text is read between two stops. */
const between = 1024

/** The text with half characters as U+FFFD. */
const wellFormed = (text: string): string => text.replace(/[\ud800-\udfff]/gu, "\ufffd")

/** What a tokenizer is made of. */
interface Parts {
  /** The tokens of the model. */
  readonly ids: ReadonlyMap<string, number>
  readonly names: ReadonlyMap<number, string>
  readonly added: ReadonlyArray<AddedToken>
  readonly model: Model
  /** What is done to a piece before the model has it. */
  readonly spell?: ((text: string) => string) | undefined
  readonly normalize?: Normalizer | undefined
  readonly preTokenize: PreTokenizer
  readonly decode: Decoder
  /** Whether it matters what begins where the text does. */
  readonly looksAtFront?: boolean | undefined
  /** The parts of a text that are as if each were alone. */
  readonly cut?: ((text: string) => Iterable<string>) | undefined
}

/** Throws a `Refusal` where a part of `file` is not implemented. */
export const pipeline = (file: TokenizerFile): Pipeline => {
  const ids = idsOf(file.model["vocab"])
  const names = Array.isArray(file.model["vocab"])
    ? new Map(file.model["vocab"].map(([name], id) => [id, name as string]))
    : new Map(Array.from(ids, ([name, id]) => [id, name]))
  const added = file.added_tokens.filter(({ content }) => content !== "")
  const model = modelOf(file.model, ids)
  checkIds(added, ids, names.size)
  const normalizer = partOf(file.normalizer, "normalizer")
  const preTokenizer = partOf(file.pre_tokenizer, "pre_tokenizer")
  const unspelled = unspelledOf(preTokenizer)
  return pipelineOf({
    ids,
    names,
    added,
    model,
    spell: unspelled === undefined ? undefined : toByteLevel,
    normalize: normalizerOf(normalizer),
    preTokenize: unspelled ?? preTokenizerOf(preTokenizer),
    decode: decoderOf(partOf(file.decoder, "decoder")),
    looksAtFront: checkFront(preTokenizer, normalizer)
  })
}

/** Puts the parts together. */
export const pipelineOf = (parts: Parts): Pipeline => {
  const { added, cut, decode, ids, looksAtFront, model, normalize = (text) => text, preTokenize, spell } = parts
  const names = new Map(parts.names)
  const addedIds = new Map(added.map(({ content, id }) => [content, id]))
  const special = new Set(added.filter((token) => token.special).map((token) => token.content))
  const tokensOf = remembering(spell === undefined ? model : (text) => model(spell(text)))

  const isNormalized = ({ normalized, special }: AddedToken) => normalized ?? !special
  // A token that is looked for in normalized text has that text for its name.
  for (const token of added) names.set(token.id, isNormalized(token) ? normalize(token.content) : token.content)
  let size = 0
  for (const id of names.keys()) if (id >= size) size = id + 1

  // Special tokens come first where two have one name.
  const inOrder = [...added.filter((token) => token.special), ...added.filter((token) => !token.special)]
  const splitRaw = splitterOf(
    inOrder.filter((token) => !isNormalized(token)).map((token) => ({ name: token.content, token }))
  )
  const splitNormalized = splitterOf(normalizedNames(inOrder.filter(isNormalized), normalize))

  function* encode(text: string, parsesSpecialTokens: boolean): Steps<Int32Array> {
    const tokens = new TokenList()
    const whole = wellFormed(text)
    for (const sound of cut?.(whole) ?? [whole]) yield* encodePart(sound, parsesSpecialTokens, tokens)
    return tokens.toArray()
  }

  function* encodePart(sound: string, parsesSpecialTokens: boolean, tokens: TokenList): Steps<void> {
    let read = 0
    const stretches = splitRaw(sound, !parsesSpecialTokens)
    for (let stretch = stretches(); stretch !== undefined; stretch = stretches()) {
      if (stretch.token !== undefined) {
        tokens.push(stretch.token)
        continue
      }
      const stretchText = sound.slice(stretch.start, stretch.end)
      const inner = normalize(stretchText)
      const isFront = stretch.start === 0 && (looksAtFront !== true || keepsFront(normalize, stretchText))
      const parts = splitNormalized(inner, !parsesSpecialTokens)
      for (let part = parts(); part !== undefined; part = parts()) {
        if (part.token !== undefined) {
          tokens.push(part.token)
          continue
        }
        const pieces = preTokenize({ text: inner.slice(part.start, part.end), isFirst: isFront && part.start === 0 })
        for (let piece = pieces(); piece !== undefined; piece = pieces()) {
          tokens.pushAll(tokensOf.known(piece.text) ?? (yield* tokensOf.new(piece.text)))
          read += piece.text.length
          if (read > between) {
            read = 0
            yield
          }
        }
      }
    }
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

/** Pieces of more characters than these are not remembered, as they are seldom the same again. */
const mostRemembered = 256
const memorySize = 32_768

interface Remembering {
  /** The tokens of a piece that has come before. */
  readonly known: (text: string) => ArrayLike<number> | undefined
  readonly new: Model
}

const remembering = (model: Model): Remembering => {
  const memory = new Map<string, ArrayLike<number>>()
  return {
    known: (text) => text.length > mostRemembered ? undefined : memory.get(text),
    *new(text) {
      if (text.length > mostRemembered) return yield* model(text)
      const tokens = withoutStops(model(text))
      if (memory.size >= memorySize) memory.clear()
      memory.set(text, tokens)
      return tokens
    }
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

const modelOf = (part: TokenizerFile["model"], ids: ReadonlyMap<string, number>): Model => {
  switch (part["type"]) {
    case "BPE":
      return bpe(part, ids)
    case "WordPiece":
      return wordPiece(part, ids)
    case "Unigram":
      return unigram(part, ids)
    default:
      // Older files name no type, but have what belongs to one alone.
      if (Array.isArray(part["merges"])) return bpe(part, ids)
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
