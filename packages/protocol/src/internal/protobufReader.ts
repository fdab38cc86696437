/**
 * Reads protobuf fields. Every method names what it reads, for the error of a message that ends early or makes no sense.
 * Fields of other numbers or types than expected are skipped, as the format asks.
 */

const decoder = new TextDecoder()

/** Longer texts are worth the call of the decoder. */
const shortText = 32

const mostVarintBytes = 10

export class ProtobufReader {
  readonly memory: Uint8Array
  position = 0
  /** The end of the message being read. */
  end: number
  constructor(memory: Uint8Array) {
    this.memory = memory
    this.end = memory.length
  }

  hasMore(): boolean {
    return this.position < this.end
  }

  /** Field number times eight plus wire type. */
  tag(name: string): number {
    const tag = this.uint(name)
    if (tag < 8) throw new Error(`${name} has a field without a number`)
    return tag
  }

  /** A whole number from 0 to 2^53 - 1. */
  uint(name: string): number {
    let value = 0
    let scale = 1
    for (let i = 0; i < mostVarintBytes; i++) {
      if (this.position >= this.end) throw endsEarly(name)
      const byte = this.memory[this.position++]!
      value += (byte & 0x7f) * scale
      if (byte < 0x80) {
        if (value > Number.MAX_SAFE_INTEGER) throw new Error(`${name} has a number out of range`)
        return value
      }
      scale *= 0x80
    }
    throw new Error(`${name} has a number of more than ${mostVarintBytes} bytes`)
  }

  double(name: string): number {
    const start = this.take(8, name)
    return new DataView(this.memory.buffer, this.memory.byteOffset).getFloat64(start, true)
  }

  /** Begins a message inside this one; gives the end of this one, for {@link leave}. */
  enter(name: string): number {
    const outer = this.end
    const length = this.uint(name)
    if (length > outer - this.position) throw endsEarly(name)
    this.end = this.position + length
    return outer
  }

  leave(outer: number): void {
    this.end = outer
  }

  /** A view, which is valid as long as the message. */
  bytes(name: string): Uint8Array {
    const length = this.uint(name)
    const start = this.take(length, name)
    return this.memory.subarray(start, start + length)
  }

  text(name: string): string {
    const length = this.uint(name)
    const start = this.take(length, name)
    if (length <= shortText) {
      let text = ""
      let i = start
      for (; i < start + length && this.memory[i]! < 0x80; i++) text += String.fromCharCode(this.memory[i]!)
      if (i === start + length) return text
    }
    return decoder.decode(this.memory.subarray(start, start + length))
  }

  /** Numbers in a row. */
  packed(name: string, into: Array<number>): void {
    const outer = this.enter(name)
    while (this.hasMore()) into.push(this.uint(name))
    this.leave(outer)
  }

  skip(tag: number, name: string): void {
    switch (tag % 8) {
      case 0:
        for (let i = 0; i < mostVarintBytes; i++) if (this.memory[this.take(1, name)]! < 0x80) return
        throw new Error(`${name} has a number of more than ${mostVarintBytes} bytes`)
      case 1:
        this.take(8, name)
        return
      case 2:
        this.take(this.uint(name), name)
        return
      case 5:
        this.take(4, name)
        return
      default:
        throw new Error(`${name} has a field of the unknown wire type ${tag % 8}`)
    }
  }

  private take(length: number, name: string): number {
    const start = this.position
    if (length > this.end - start) throw endsEarly(name)
    this.position = start + length
    return start
  }
}

const endsEarly = (name: string) => new Error(`${name} ends early`)

/** Tags of fields by their type. */
export const varintTag = (field: number): number => 8 * field
export const doubleTag = (field: number): number => 8 * field + 1
export const lengthTag = (field: number): number => 8 * field + 2
