/** A line that holds something, without its end. */
export interface Line {
  /** Counted from 1, blank ones too. */
  readonly number: number
  /** Where it begins, in bytes of all parts. */
  readonly offset: number
  readonly content: Uint8Array
}

/** Cuts bytes that come in parts of any size into lines, one when it is asked for, and holds no more than one line and one part. */
export interface Lines {
  /** The lines that end in `part` and are not blank. All are taken before more is added. */
  readonly add: (part: Uint8Array) => Iterable<Line>
  /** The line that no end follows, if it holds anything. */
  readonly last: () => Line | undefined
  /** The line that has not ended yet. */
  readonly pending: () => { readonly number: number; readonly bytes: number }
}

const lineFeed = 0x0a

/** Space, tab and carriage return. */
const isBlank = (byte: number | undefined): boolean => byte === 0x20 || byte === 0x09 || byte === 0x0d

export const make = (): Lines => {
  let pending: Array<Uint8Array> = []
  let pendingBytes = 0
  let number = 1
  let added = 0
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
    add: function*(part) {
      let from = 0
      while (true) {
        // Blank lines take no search and no view of their own.
        for (let at = from; pendingBytes === 0 && (part[at] === lineFeed || isBlank(part[at])); at++) {
          if (part[at] !== lineFeed) continue
          number += 1
          from = at + 1
        }
        const at = part.indexOf(lineFeed, from)
        if (at < 0) break
        const offset = added + from - pendingBytes
        const content = finish(part.subarray(from, at))
        if (!content.every(isBlank)) yield { number, offset, content }
        number += 1
        from = at + 1
      }
      if (from < part.length) {
        pending.push(part.subarray(from))
        pendingBytes += part.length - from
      }
      added += part.length
    },
    last: () => {
      const offset = added - pendingBytes
      const content = finish(new Uint8Array(0))
      return content.every(isBlank) ? undefined : { number, offset, content }
    },
    pending: () => ({ number, bytes: pendingBytes })
  }
}
