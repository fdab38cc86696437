/**
 * Writes protobuf fields into memory of a size computed before. Field numbers are below 16, so that a tag is one byte.
 */

/** Bytes of a number that is not negative, seven bits a byte. */
export const varintSize = (value: number): number => {
  let size = 1
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) size++
  return size
}

/** Bytes of a field that holds so many bytes, with its tag and length. */
export const fieldSize = (byteLength: number): number => 1 + varintSize(byteLength) + byteLength

/** Bytes of a text in UTF-8. */
export const textSize = (text: string): number => {
  let size = text.length
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    if (unit < 0x80) continue
    if (unit < 0x800) size += 1
    else {
      size += 2
      // Two units of a pair are four bytes; one alone is replaced by a character of three.
      if (unit >= 0xd800 && unit < 0xdc00) {
        const next = text.charCodeAt(i + 1)
        if (next >= 0xdc00 && next < 0xe000) i++
      }
    }
  }
  return size
}

const encoder = new TextEncoder()

const wireTypes = { varint: 0, fixed64: 1, lengthDelimited: 2 } as const

export class ProtobufWriter {
  readonly memory: Uint8Array
  position: number
  constructor(memory: Uint8Array, position: number) {
    this.memory = memory
    this.position = position
  }

  private number(value: number): void {
    let rest = value
    while (rest >= 0x80) {
      this.memory[this.position++] = (rest % 0x80) | 0x80
      rest = Math.floor(rest / 0x80)
    }
    this.memory[this.position++] = rest
  }

  private tag(field: number, wireType: number): void {
    this.memory[this.position++] = (field << 3) | wireType
  }

  varint(field: number, value: number): void {
    this.tag(field, wireTypes.varint)
    this.number(value)
  }

  double(field: number, value: number): void {
    this.tag(field, wireTypes.fixed64)
    new DataView(this.memory.buffer, this.memory.byteOffset).setFloat64(this.position, value, true)
    this.position += 8
  }

  /** The fields of a message come next; they take `byteLength` bytes. */
  message(field: number, byteLength: number): void {
    this.tag(field, wireTypes.lengthDelimited)
    this.number(byteLength)
  }

  bytes(field: number, bytes: Uint8Array): void {
    this.message(field, bytes.byteLength)
    this.memory.set(bytes, this.position)
    this.position += bytes.byteLength
  }

  text(field: number, text: string): void {
    const size = textSize(text)
    this.message(field, size)
    encoder.encodeInto(text, this.memory.subarray(this.position, this.position + size))
    this.position += size
  }

  packed(field: number, values: ReadonlyArray<number>): void {
    this.message(field, packedSize(values))
    for (const value of values) this.number(value)
  }
}

/** Bytes of numbers in a row, without tag and length. */
export const packedSize = (values: ReadonlyArray<number>): number => {
  let size = 0
  for (const value of values) size += varintSize(value)
  return size
}
