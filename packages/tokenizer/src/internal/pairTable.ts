/** A whole number for each of many pairs of tokens. A `Map` would need a key of both, which is slow beyond 31 bits. */
export class PairTable {
  private readonly mask: number
  /** Three numbers a pair: left, right, and what belongs to them. */
  private readonly slots: Int32Array

  /** `most` is the number of pairs that there will be. */
  constructor(most: number) {
    const places = 2 ** Math.ceil(Math.log2(2 * most + 2))
    this.mask = places - 1
    this.slots = new Int32Array(3 * places).fill(-1)
  }

  set(left: number, right: number, value: number): void {
    const slot = this.slotOf(left, right)
    this.slots[slot] = left
    this.slots[slot + 1] = right
    this.slots[slot + 2] = value
  }

  /** What was set last, or -1. */
  get(left: number, right: number): number {
    return this.slots[this.slotOf(left, right) + 2]!
  }

  /** Where the pair is, or the free place where it would be. */
  private slotOf(left: number, right: number): number {
    const { mask, slots } = this
    let place = (Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca6b)) >>> 0
    place = (place ^ (place >>> 15)) & mask
    for (;; place = (place + 1) & mask) {
      const slot = 3 * place
      const found = slots[slot]!
      if (found === -1 || found === left && slots[slot + 1] === right) return slot
    }
  }
}
