import * as Either from "effect/Either"
import * as Encoding from "effect/Encoding"
import { malformed, type Part, textOf } from "./part.js"

/**
 * The replacements that SentencePiece compiles into a `precompiled_charsmap`: a number of bytes, a double-array trie of so many, and the
 * texts it points into, each with a zero behind it.
 *
 * Source: the library Darts-clone, and the crate spm_precompiled, which takes the shortest entry that a part begins with.
 */
export const precompiled = (part: Part): (text: string) => string => {
  const data = Either.getOrUndefined(Encoding.decodeBase64(textOf(part, "precompiled_charsmap")))
  const view = data === undefined ? undefined : new DataView(data.buffer, data.byteOffset, data.byteLength)
  const trieBytes = view !== undefined && view.byteLength >= 4 ? view.getUint32(0, true) : NaN
  if (view === undefined || !(trieBytes % 4 === 0 && 4 + trieBytes <= view.byteLength)) {
    throw malformed("has a precompiled_charsmap that is cut short")
  }
  const units = Uint32Array.from({ length: trieBytes / 4 }, (_, i) => view.getUint32(4 + 4 * i, true))
  const texts = data!.subarray(4 + trieBytes)
  const encoder = new TextEncoder()
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true })

  const offset = (unit: number) => (unit >>> 10) << ((unit & 0x200) >>> 6)

  const entry = (piece: string): string | undefined => {
    let position = offset(units[0] ?? 0)
    for (const byte of encoder.encode(piece)) {
      if (byte === 0) return undefined
      position ^= byte
      const unit = units[position] ?? 0
      if ((unit & 0x800000ff) >>> 0 !== byte) return undefined
      position ^= offset(unit)
      if ((unit >>> 8 & 1) === 0) continue
      const start = (units[position] ?? 0) & 0x7fffffff
      const end = texts.indexOf(0, start)
      return decoder.decode(texts.subarray(start, end < 0 ? texts.length : end))
    }
    return undefined
  }

  const graphemes = new Intl.Segmenter("en", { granularity: "grapheme" })
  return (text) => {
    let result = ""
    for (const { segment } of graphemes.segment(text)) {
      const whole = encoder.encode(segment).length < 6 ? entry(segment) : undefined
      if (whole !== undefined) result += whole
      else for (const character of segment) result += entry(character) ?? character
    }
    return result
  }
}
