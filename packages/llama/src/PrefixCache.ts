/**
 * Keys and values of sequences that have ended, for prompts that begin as they did: the next turn of a conversation, or
 * the same question again. Those used longest ago go first.
 */

/**
 * Keys and values kept for later prompts, each sequence's under the owner that computed it.
 *
 * @since 0.1.0
 * @category models
 */
export interface PrefixCache {
  /** The bytes of what is held. */
  readonly bytes: number
  /** The entry of this owner that shares the longest beginning with `tokens`, if any shares one. */
  readonly find: (owner: object, tokens: ArrayLike<number>) => Found | undefined
  /**
   * Keeps a sequence's arrays. One that another continues is dropped, or not kept at all. The newest stays even if it is
   * larger than the bound: samples of one prompt that do not fit together find it here.
   */
  readonly add: (owner: object, tokens: Int32Array, arrays: () => ReadonlyArray<Float32Array>) => void
  /** Forgets all of an owner. */
  readonly remove: (owner: object) => void
}

/**
 * An entry that begins as a prompt does.
 *
 * @since 0.1.0
 * @category models
 */
export interface Found {
  /** The number of positions in common. */
  readonly length: number
  /** The number of positions in the arrays. */
  readonly of: number
  readonly arrays: ReadonlyArray<Float32Array>
}

/**
 * Makes an empty cache, which holds `maxBytes` bytes at most, or the newest entry alone.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: { readonly maxBytes: number }): PrefixCache => {
  // The longest unused first.
  let entries: ReadonlyArray<Entry> = []
  let bytes = 0
  const drop = (isDropped: (entry: Entry) => boolean): void => {
    for (const entry of entries) if (isDropped(entry)) bytes -= entry.bytes
    entries = entries.filter((entry) => !isDropped(entry))
  }
  const touch = (entry: Entry): void => {
    entries = [...entries.filter((other) => other !== entry), entry]
  }

  return {
    get bytes() {
      return bytes
    },

    find: (owner, tokens) => {
      let longest: Entry | undefined
      let length = 0
      for (const entry of entries) {
        if (entry.owner !== owner) continue
        const common = commonLength(entry.tokens, tokens)
        if (common > length) [longest, length] = [entry, common]
      }
      if (longest === undefined) return undefined
      touch(longest)
      return { length, of: longest.tokens.length, arrays: longest.arrays }
    },

    add: (owner, tokens, arrays) => {
      if (tokens.length === 0) return
      const mine = entries.filter((entry) => entry.owner === owner)
      const longer = mine.find((entry) => commonLength(entry.tokens, tokens) === tokens.length)
      if (longer !== undefined) return touch(longer)
      drop((entry) => entry.owner === owner && commonLength(entry.tokens, tokens) === entry.tokens.length)
      const kept = arrays()
      const size = kept.reduce((sum, array) => sum + array.byteLength, 0)
      entries = [...entries, { owner, tokens, arrays: kept, bytes: size }]
      bytes += size
      while (bytes > options.maxBytes && entries.length > 1) {
        const oldest = entries[0]
        drop((entry) => entry === oldest)
      }
    },

    remove: (owner) => drop((entry) => entry.owner === owner)
  }
}

/**
 * How many tokens two sequences begin with alike.
 *
 * @since 0.1.0
 * @category utils
 */
export const commonLength = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  const end = Math.min(a.length, b.length)
  let length = 0
  while (length < end && a[length] === b[length]) length++
  return length
}

interface Entry extends Pick<Found, "arrays"> {
  readonly owner: object
  readonly tokens: Int32Array
  readonly bytes: number
}
