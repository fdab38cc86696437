/**
 * Bytes as letters: each byte has one that can be seen, so that any text can be written as a token's name.
 *
 * Source: `bytes_to_unicode` of GPT-2's encoder.py.
 */
const letters: ReadonlyArray<string> = (() => {
  let next = 256
  return Array.from({ length: 256 }, (_, byte) => {
    const isSeen = byte >= 0x21 && byte <= 0x7e || byte >= 0xa1 && byte <= 0xac || byte >= 0xae
    return String.fromCodePoint(isSeen ? byte : next++)
  })
})()

const bytes: ReadonlyMap<string, number> = new Map(letters.map((letter, byte) => [letter, byte]))

const encoder = new TextEncoder()
const decoder = new TextDecoder("utf-8", { ignoreBOM: true })

const codes = Uint16Array.from(letters, (letter) => letter.charCodeAt(0))
const utf16 = new TextDecoder("utf-16le", { ignoreBOM: true })

/** The bytes of a text, each as its letter. */
export const toByteLevel = (text: string): string => spelled(encoder.encode(text))

/** Bytes, each as its letter. */
export const spelled = (bytes: Uint8Array): string => {
  if (bytes.length > 64) {
    const all = new DataView(new ArrayBuffer(2 * bytes.length))
    for (let i = 0; i < bytes.length; i++) all.setUint16(2 * i, codes[bytes[i]!]!, true)
    return utf16.decode(all)
  }
  let result = ""
  for (let i = 0; i < bytes.length; i++) result += letters[bytes[i]!]!
  return result
}

/** The text of tokens whose names are letters of bytes. One that has another letter in it stands for itself. */
export const fromByteLevel = (tokens: ReadonlyArray<string>): string => {
  const all: Array<number> = []
  for (const token of tokens) {
    const own = Array.from(token, (letter) => bytes.get(letter))
    for (const byte of own.includes(undefined) ? encoder.encode(token) : own as Array<number>) all.push(byte)
  }
  return decoder.decode(Uint8Array.from(all))
}
