/** Cuts bytes that come in parts of any size into lines, and holds no more than one line and one part. */
export interface Lines {
  /** The lines that end in `part`, without their ends. */
  readonly add: (part: Uint8Array) => ReadonlyArray<Uint8Array>
  /** The line that no end follows; empty if there is none. */
  readonly last: () => Uint8Array
  /** Bytes of the line that has not ended yet. */
  readonly pendingBytes: () => number
}

const lineFeed = 0x0a

export const make = (): Lines => {
  let pending: Array<Uint8Array> = []
  let pendingBytes = 0
  const finish = (end: Uint8Array): Uint8Array => {
    if (pendingBytes === 0) return end
    const line = new Uint8Array(pendingBytes + end.length)
    let offset = 0
    for (const part of pending) {
      line.set(part, offset)
      offset += part.length
    }
    line.set(end, offset)
    pending = []
    pendingBytes = 0
    return line
  }
  return {
    add: (part) => {
      const lines: Array<Uint8Array> = []
      let from = 0
      for (let at = part.indexOf(lineFeed); at >= 0; at = part.indexOf(lineFeed, from)) {
        lines.push(finish(part.subarray(from, at)))
        from = at + 1
      }
      if (from < part.length) {
        pending.push(part.subarray(from))
        pendingBytes += part.length - from
      }
      return lines
    },
    last: () => finish(new Uint8Array(0)),
    pendingBytes: () => pendingBytes
  }
}
