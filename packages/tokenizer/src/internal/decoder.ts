import { fromByteLevel } from "./byteLevel.js"
import { booleanOf, characterOf, countOf, type Part, partsOf, textOf, unsupported } from "./part.js"
import { patternOf, replaced } from "./pattern.js"
import { metaspaceMark, prependSchemeOf } from "./preTokenizer.js"

/** Makes of the names of tokens the pieces of their text. */
export type Decoder = (tokens: ReadonlyArray<string>) => ReadonlyArray<string>

/** The decoder that a file names; where it names none, there are spaces between tokens. */
export const decoderOf = (part: Part | undefined): Decoder => {
  if (part === undefined) return (tokens) => [tokens.join(" ")]
  switch (part["type"]) {
    case "Sequence": {
      const steps = partsOf(part, "decoders").map(decoderOf)
      return (tokens) => steps.reduce((tokens, step) => step(tokens), tokens)
    }
    case "ByteLevel":
      return (tokens) => [fromByteLevel(tokens)]
    case "ByteFallback":
      return withBytes
    case "Fuse":
      return (tokens) => [tokens.join("")]
    case "Metaspace": {
      const mark = metaspaceMark(part)
      const first = prependSchemeOf(part) === "never" ? " " : ""
      return (tokens) => tokens.map((token, i) => token.replaceAll(mark, i === 0 ? first : " "))
    }
    case "Replace": {
      const pattern = patternOf(part)
      const content = textOf(part, "content")
      return (tokens) => tokens.map((token) => replaced(pattern, token, content))
    }
    case "Strip":
      return strip(part)
    case "WordPiece": {
      const prefix = textOf(part, "prefix", "##")
      const cleans = booleanOf(part, "cleanup", true)
      return (tokens) =>
        tokens.map((token, i) => {
          const word = i === 0 ? token : token.startsWith(prefix) ? token.slice(prefix.length) : ` ${token}`
          return cleans ? cleaned(word) : word
        })
    }
    case "BPEDecoder": {
      const suffix = textOf(part, "suffix", "</w>")
      return (tokens) => tokens.map((token, i) => token.replaceAll(suffix, i === tokens.length - 1 ? "" : " "))
    }
    default:
      throw unsupported(`a decoder of the type ${String(part["type"])}`)
  }
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

/** The tokens `<0x00>` to `<0xFF>` as the text that their bytes are. Where they are none, each byte is one U+FFFD. */
const withBytes: Decoder = (tokens) => {
  const result: Array<string> = []
  let bytes: Array<number> = []
  const flush = () => {
    if (bytes.length === 0) return
    try {
      result.push(utf8.decode(Uint8Array.from(bytes)))
    } catch {
      for (const _ of bytes) result.push("\ufffd")
    }
    bytes = []
  }
  for (const token of tokens) {
    const byte = /^<0x([0-9A-Fa-f]{2})>$/.exec(token)
    if (byte !== null) bytes.push(Number.parseInt(byte[1]!, 16))
    else {
      flush()
      result.push(token)
    }
  }
  flush()
  return result
}

const strip = (part: Part): Decoder => {
  const content = characterOf(part, "content")
  const most = { start: countOf(part, "start"), end: countOf(part, "stop") }
  return (tokens) =>
    tokens.map((token) => {
      const characters = Array.from(token)
      let start = 0
      while (start < most.start && characters[start] === content) start += 1
      let end = characters.length
      while (characters.length - end < most.end && end > start && characters[end - 1] === content) end -= 1
      return characters.slice(start, end).join("")
    })
}

/** Source: `cleanup` of the reference's WordPiece decoder. */
const cleaned = (text: string): string =>
  [
    [" .", "."],
    [" ?", "?"],
    [" !", "!"],
    [" ,", ","],
    [" ' ", "'"],
    [" n't", "n't"],
    [" 'm", "'m"],
    [" do not", " don't"],
    [" 's", "'s"],
    [" 've", "'ve"],
    [" 're", "'re"]
  ].reduce((text, [from, to]) => text.replaceAll(from!, to!), text)
