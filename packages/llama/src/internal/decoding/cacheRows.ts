/** The rows of a sampler's cache and whose they are: how large the cache must be, who joins it, who leaves it. */
import type { Member, Size } from "../../DecodingBatch.js"
import * as KeyValueCache from "../../KeyValueCache.js"
import type * as Llama from "../../Llama.js"
import * as PrefixCache from "../../PrefixCache.js"

export class CacheRows {
  readonly cache: KeyValueCache.KeyValueCache
  /** Members in the order of the rows; the one whose prompt is not computed yet is the last. */
  readonly members: Array<Member> = []
  private readonly prefixes: PrefixCache.PrefixCache
  private readonly fits: (size: Size) => boolean
  /** What stands for the sampler in the prefix cache. */
  private readonly owner = {}
  private isReleased = false

  constructor(options: {
    readonly config: Llama.Config
    readonly prefixes: PrefixCache.PrefixCache
    /** Whether the cache may have this size. */
    readonly fits: (size: Size) => boolean
  }) {
    this.cache = KeyValueCache.make(options.config)
    this.prefixes = options.prefixes
    this.fits = options.fits
  }

  /** The member whose prompt is not computed yet. */
  get prefilling(): Member | undefined {
    const last = this.members.at(-1)
    return last === undefined || isPrefilled(last) ? undefined : last
  }

  /** The size that the cache takes for these members, at the least. */
  sizeOf(members: ReadonlyArray<Member>): Size {
    const longest = Math.max(0, ...members.map(({ sequence }) => sequence.tokens.length))
    const capacity = Math.max(0, ...members.map(capacityFor))
    const isRoomy = longest <= this.cache.capacity && this.cache.capacity <= 2 * capacity
    return { rows: members.length, capacity: isRoomy ? this.cache.capacity : capacity }
  }

  /** Makes the cache as large as these members need. */
  resizeFor(members: ReadonlyArray<Member>): void {
    const { cache } = this
    const { capacity, rows } = this.sizeOf(members)
    // Rows are kept or doubled, as long as there is room, since each change copies the whole cache.
    const ample = rows > cache.rows ? Math.max(rows, 2 * cache.rows) : rows * 4 <= cache.rows ? rows : cache.rows
    cache.resize(this.fits({ rows: ample, capacity }) ? ample : rows, capacity)
  }

  /** Gives a member the next row, which is in the cache already. */
  add(member: Member): void {
    this.members.push(member)
  }

  /** Takes a member's row away. The last member gets it, but the one that is being prefilled stays behind the others. */
  remove(gone: Member): void {
    const { members } = this
    const row = members.indexOf(gone)
    const others = this.prefilling === undefined ? members.length : members.length - 1
    if (row < others) {
      this.move(others - 1, row)
      if (others < members.length) this.move(others, others - 1)
    }
    members.pop()
  }

  /** Takes every row away, and tells whose they were. */
  removeAll(): ReadonlyArray<Member> {
    const removed = this.members.splice(0)
    this.cache.resize(0, 0)
    return removed
  }

  /** Writes zeros into a member's row. */
  clear(member: Member): void {
    this.cache.clear(this.members.indexOf(member))
  }

  /** Copies into the next row what a member or the prefix cache has of the beginning of this one's tokens. */
  reuse(joined: Member): void {
    const { cache, members } = this
    const { tokens } = joined.sequence
    const row = members.length
    // One token is always computed, for its logits.
    const useful = tokens.length - 1
    let best: Member | undefined
    let length = 0
    for (const other of members) {
      if (length === useful) break
      const common = Math.min(PrefixCache.commonLength(other.sequence.tokens, tokens), other.cached, useful)
      if (common > length) [best, length] = [other, common]
    }
    const found = length === useful ? undefined : this.prefixes.find(this.owner, tokens)
    const kept = Math.min(found?.length ?? 0, useful)
    if (found !== undefined && kept > length) cache.insert(row, found.arrays, found.of, kept)
    else if (best !== undefined) cache.copy(members.indexOf(best), row, length)
    joined.cached = Math.max(kept, length)
  }

  /** Keeps what was computed of a member for later prompts. */
  keep(member: Member): void {
    if (this.isReleased) return
    const { cached, sequence } = member
    const row = this.members.indexOf(member)
    this.prefixes.add(
      this.owner,
      Int32Array.from(sequence.tokens.slice(0, cached)),
      () => this.cache.extract(row, cached)
    )
  }

  /** Keeps nothing for later prompts from now on. */
  release(): void {
    this.isReleased = true
    this.prefixes.remove(this.owner)
  }

  private move(from: number, to: number): void {
    if (from === to) return
    this.cache.copy(from, to, this.members[from]!.cached)
    this.members[to] = this.members[from]!
  }
}

const isPrefilled = ({ cached, sequence }: Member): boolean => sequence.tokens.length - cached === 1

/** Room for the sequence and some more, but not for more than it may have. */
const capacityFor = ({ sequence }: Member): number => {
  const { length } = sequence.tokens
  const ahead = 64 * Math.ceil((length + Math.max(64, length / 4)) / 64)
  return Math.min(ahead, Math.max(sequence.maxLength, length))
}
