/**
 * Reads tar archives as they arrive: the formats ustar and pax, of which names and sizes are read, and long names as GNU
 * tar writes them. Source: POSIX.1-2017, "pax", and the manual of GNU tar.
 */

/** Files and directories; everything else, links and devices above all, is `other`. */
export interface Entry {
  readonly name: string
  readonly kind: "file" | "directory" | "other"
  readonly size: number
}

export type Event =
  | { readonly _tag: "Entry"; readonly entry: Entry }
  /** Of the file begun last. */
  | { readonly _tag: "Data"; readonly bytes: Uint8Array }
  | { readonly _tag: "EndOfFile" }

/** The archive is none, or damaged. */
export class TarError extends Error {
  override readonly name = "TarError"
}

const blockBytes = 512

/** Names and pax headers are short; more is an attack or damage. */
const mostMetadataBytes = 64 * 1024

export class TarReader {
  private readonly block = new Uint8Array(blockBytes)
  private filled = 0
  /** Of the present entry's content, and of what fills its last block. */
  private remaining = 0
  private padding = 0
  private mode: "header" | "file" | "metadata" | "skip" | "end" = "header"
  private metadata: Uint8Array = new Uint8Array(0)
  private metadataType = ""
  private metadataFilled = 0
  private readonly global = new Map<string, string>()
  private local = new Map<string, string>()

  /** Whether the archive has come to its end, by its own mark. */
  get ended(): boolean {
    return this.mode === "end"
  }

  /** What the bytes bring; throws {@link TarError}. Parts of them are handed out, not copied. */
  *push(bytes: Uint8Array): Generator<Event> {
    let at = 0
    while (at < bytes.length && this.mode !== "end") {
      if (this.mode === "header") {
        const size = Math.min(blockBytes - this.filled, bytes.length - at)
        this.block.set(bytes.subarray(at, at + size), this.filled)
        this.filled += size
        at += size
        if (this.filled < blockBytes) return
        this.filled = 0
        const entry = this.header()
        if (entry !== undefined) yield { _tag: "Entry", entry }
        if (entry?.kind === "file" && entry.size === 0) yield this.endOfFile()
        continue
      }
      if (this.remaining > 0) {
        const size = Math.min(this.remaining, bytes.length - at)
        const part = bytes.subarray(at, at + size)
        at += size
        this.remaining -= size
        if (this.mode === "file") yield { _tag: "Data", bytes: part }
        if (this.mode === "metadata") {
          this.metadata.set(part, this.metadataFilled)
          this.metadataFilled += size
        }
        if (this.remaining > 0) return
        if (this.mode === "metadata") this.readMetadata()
        if (this.mode === "file") {
          yield this.endOfFile()
          continue
        }
        this.mode = "skip"
      }
      const size = Math.min(this.padding, bytes.length - at)
      at += size
      this.padding -= size
      if (this.padding === 0) this.mode = "header"
    }
  }

  private endOfFile(): Event {
    this.mode = this.padding > 0 ? "skip" : "header"
    return { _tag: "EndOfFile" }
  }

  private header(): Entry | undefined {
    const { block } = this
    if (block.every((byte) => byte === 0)) {
      this.mode = "end"
      return undefined
    }
    if (checksum(block) !== octal(block.subarray(148, 156))) throw new TarError("a header has a wrong checksum")
    const type = String.fromCharCode(block[156]!)
    const isUstar = text(block.subarray(257, 262)) === "ustar"
    const prefix = isUstar ? text(block.subarray(345, 500)) : ""
    const own = text(block.subarray(0, 100))
    const told = (key: string) => this.local.get(key) ?? this.global.get(key)
    const isMetadata = type === "x" || type === "g" || type === "L" || type === "K"
    const size = isMetadata ? sizeOf(block) : Number(told("size") ?? sizeOf(block))
    if (!Number.isSafeInteger(size) || size < 0) throw new TarError("a header has no size")
    if (isMetadata) {
      if (size > mostMetadataBytes) throw new TarError("a header is too long")
      this.metadata = new Uint8Array(size)
      this.metadataType = type
      this.metadataFilled = 0
      this.begin("metadata", size)
      return undefined
    }
    const name = told("path") ?? (prefix === "" ? own : `${prefix}/${own}`)
    this.local = new Map()
    const kind = type === "5" || (type === "0" && name.endsWith("/") && size === 0)
      ? "directory"
      : type === "0" || type === "\0" || type === "7"
      ? "file"
      : "other"
    this.begin(kind === "file" ? "file" : "skip", size)
    return { name, kind, size: kind === "file" ? size : 0 }
  }

  private begin(mode: "file" | "metadata" | "skip", size: number): void {
    this.remaining = size
    this.padding = (blockBytes - size % blockBytes) % blockBytes
    this.mode = mode === "skip" && size === 0 ? "header" : mode
    if (mode === "metadata" && size === 0) this.mode = "header"
  }

  private readMetadata(): void {
    switch (this.metadataType) {
      case "L":
        this.local.set("path", text(this.metadata))
        return
      case "x":
        for (const [key, value] of records(this.metadata)) this.local.set(key, value)
        return
      case "g":
        for (const [key, value] of records(this.metadata)) this.global.set(key, value)
        return
    }
  }
}

const decoder = new TextDecoder()

/** Up to the first zero byte. */
const text = (bytes: Uint8Array): string => {
  const end = bytes.indexOf(0)
  return decoder.decode(end < 0 ? bytes : bytes.subarray(0, end))
}

const octal = (bytes: Uint8Array): number => {
  const digits = text(bytes).trim()
  return /^[0-7]+$/.test(digits) ? parseInt(digits, 8) : NaN
}

/** GNU tar writes large sizes in base 256, marked by the highest bit. */
const sizeOf = (block: Uint8Array): number => {
  const field = block.subarray(124, 136)
  if ((field[0]! & 0x80) === 0) return octal(field)
  let size = field[0]! & 0x7f
  for (let i = 1; i < field.length; i++) size = size * 256 + field[i]!
  return size
}

/** The sum of all bytes, with the sum's own field as blanks. */
const checksum = (block: Uint8Array): number => {
  let sum = 0
  for (let i = 0; i < block.length; i++) sum += i >= 148 && i < 156 ? 32 : block[i]!
  return sum
}

/** Lines of the form `<length> <key>=<value>`, the length being that of the whole line in bytes. */
const records = (bytes: Uint8Array): ReadonlyArray<readonly [string, string]> => {
  const found: Array<readonly [string, string]> = []
  for (let at = 0; at < bytes.length && bytes[at] !== 0;) {
    const blank = bytes.indexOf(32, at)
    const length = blank < 0 ? NaN : Number(decoder.decode(bytes.subarray(at, blank)))
    if (!Number.isInteger(length) || length <= blank - at || at + length > bytes.length) {
      throw new TarError("a pax header cannot be read")
    }
    const record = decoder.decode(bytes.subarray(blank + 1, at + length - 1))
    const equals = record.indexOf("=")
    if (equals < 1) throw new TarError("a pax header cannot be read")
    found.push([record.slice(0, equals), record.slice(equals + 1)])
    at += length
  }
  return found
}
