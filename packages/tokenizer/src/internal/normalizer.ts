import * as Predicate from "effect/Predicate"
import { toByteLevel } from "./byteLevel.js"
import { space } from "./oniguruma/characterSets.js"
import { booleanOf, type Part, partsOf, textOf, unsupported } from "./part.js"
import { patternOf, replaced } from "./pattern.js"
import { precompiled } from "./precompiled.js"

export type Normalizer = (text: string) => string

export const normalizerOf = (part: Part | undefined): Normalizer => {
  if (part === undefined) return (text) => text
  switch (part["type"]) {
    case "Sequence": {
      const steps = partsOf(part, "normalizers").map(normalizerOf)
      return (text) => steps.reduce((text, step) => step(text), text)
    }
    case "NFC":
    case "NFD":
    case "NFKC":
    case "NFKD": {
      const form = part["type"]
      return (text) => text.normalize(form)
    }
    case "Lowercase":
      return lowercase
    case "StripAccents":
      return (text) => text.replace(marks, "")
    case "Strip": {
      const left = booleanOf(part, "strip_left", true)
      const right = booleanOf(part, "strip_right", true)
      return (text) => {
        const rest = left ? text.replace(spaceBefore, "") : text
        return right ? withoutSpaceBehind(rest) : rest
      }
    }
    case "Prepend": {
      const prefix = textOf(part, "prepend")
      return (text) => text === "" ? "" : prefix + text
    }
    case "Replace": {
      const pattern = patternOf(part)
      const content = textOf(part, "content")
      return (text) => replaced(pattern, text, content)
    }
    case "ByteLevel":
      return toByteLevel
    case "Precompiled":
      return precompiled(part)
    case "BertNormalizer":
      return bert(part)
    default:
      throw unsupported(`a normalizer of the type ${String(part["type"])}`)
  }
}

const marks = /\p{M}/gu
const spaceBefore = new RegExp(`^${space}+`, "v")
const isSpace = new RegExp(`^${space}$`, "v")

/** The text without white space at its end. An expression that looks for an end would try every place before it. */
export const withoutSpaceBehind = (text: string): string => {
  let end = text.length
  while (end > 0 && isSpace.test(text[end - 1]!)) end -= 1
  return text.slice(0, end)
}

/** The text in lower case, each character by itself, so that a sigma at the end of a word is as any other. */
const lowercase = (text: string): string => {
  let result = ""
  for (const character of text) result += character.toLowerCase()
  return result
}

const bert = (part: Part): Normalizer => {
  const cleans = booleanOf(part, "clean_text", true)
  const spacesChinese = booleanOf(part, "handle_chinese_chars", true)
  const lowers = booleanOf(part, "lowercase", true)
  const strips = booleanOf(part, "strip_accents", lowers)
  return (text) => {
    let result = text
    if (cleans) result = result.replace(notText, "").replace(spaces, " ")
    if (spacesChinese) result = result.replace(chinese, " $& ")
    if (strips) result = result.normalize("NFD").replace(accents, "")
    return lowers ? lowercase(result) : result
  }
}

const notText = new RegExp("[[\\ufffd\\p{Cc}\\p{Cf}\\p{Co}]--[\\t\\n\\r]]", "gv")
const spaces = new RegExp(space, "gv")
const accents = /\p{Mn}/gu
/** The Chinese characters of the reference, down to a gap of its own. */
const chinese =
  /[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u{20000}-\u{2a6df}\u{2a700}-\u{2b81f}\u{2b920}-\u{2ceaf}\u{2f800}-\u{2fa1f}]/gu

/** Whether it may put something else, from further behind, at the place of a text's first character. */
export const isObscureAtFront = (part: Part | undefined): boolean => {
  if (part === undefined) return false
  if (part["type"] === "Sequence") return partsOf(part, "normalizers").some(isObscureAtFront)
  if (part["type"] === "Replace") {
    const pattern = Predicate.hasProperty(part["pattern"], "String") ? String(part["pattern"].String) : ""
    return Array.from(pattern).length !== 1 || part["content"] === ""
  }
  return part["type"] === "Strip" || part["type"] === "BertNormalizer" && part["clean_text"] !== false
}
