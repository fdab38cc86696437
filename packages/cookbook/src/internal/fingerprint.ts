/**
 * 64 bits, in hexadecimal, that are the same for the same value and almost surely others for another: of plain objects, lists,
 * typed arrays, texts and numbers, whatever the order of an object's keys. By two hashes as FNV-1a.
 *
 * Source: the FNV draft, http://www.isthe.com/chongo/tech/comp/fnv.
 */
export const fingerprint = (value: unknown): string => {
  let a = 0x811c9dc5
  let b = 0x9e3779b9
  const add = (byte: number): void => {
    a = Math.imul(a ^ byte, 0x01000193)
    b = Math.imul(b ^ byte, 0x5bd1e995)
  }
  const addBytes = (bytes: Uint8Array): void => {
    for (let i = 0; i < bytes.length; i++) add(bytes[i]!)
  }
  /** Adds a text with its length, so that one that follows cannot be taken for its end. */
  const addText = (kind: string, text: string): void => addBytes(encoder.encode(`${kind}${text.length}:${text}`))
  const walk = (value: unknown): void => {
    if (ArrayBuffer.isView(value)) {
      addText(value.constructor.name, String(value.byteLength))
      addBytes(new Uint8Array(value.buffer, value.byteOffset, value.byteLength))
    } else if (Array.isArray(value)) {
      addText("list", String(value.length))
      for (const inner of value) walk(inner)
    } else if (typeof value === "object" && value !== null) {
      const entries = Object.entries(value).filter(([, inner]) => inner !== undefined).sort(([a], [b]) =>
        a < b ? -1 : 1
      )
      addText("object", String(entries.length))
      for (const [key, inner] of entries) {
        addText("key", key)
        walk(inner)
      }
    } else addText(typeof value, String(value))
  }
  walk(value)
  return hex(a) + hex(b)
}

/** Whether fingerprints can be compared: those of data, and those of what else is named at their beginning, as in `texts:0a…`. */
export const isOfOneKind = (a: string | undefined, b: string | undefined): boolean =>
  a === undefined || b === undefined || kindOf(a) === kindOf(b)

const kindOf = (fingerprint: string): string => fingerprint.slice(0, fingerprint.indexOf(":") + 1)

/** The same as {@link fingerprint} of a text, of its UTF-16 units and as two numbers: for many texts. */
export const textHash = (text: string): readonly [number, number] => {
  let a = 0x811c9dc5
  let b = 0x9e3779b9
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    a = Math.imul(a ^ unit, 0x01000193)
    b = Math.imul(b ^ unit, 0x5bd1e995)
    // Its low bits would never reach the others.
    b ^= b >>> 15
  }
  return [a >>> 0, b >>> 0]
}

const encoder = new TextEncoder()

const hex = (bits: number): string => (bits >>> 0).toString(16).padStart(8, "0")
