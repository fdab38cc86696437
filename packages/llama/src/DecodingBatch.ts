/** The answers of one sampler that grow together: rows of one cache, which they join and leave at any step. */
import type * as Engine from "@effect-tinker/engine/Engine"
import type * as PromptScores from "@effect-tinker/engine/PromptScores"
import type * as DecodingPass from "./DecodingPass.js"
import { isFinite, nonFinite } from "./internal/finite.js"
import * as KeyValueCache from "./KeyValueCache.js"
import type * as Llama from "./Llama.js"
import * as PrefixCache from "./PrefixCache.js"
import type * as Sequence from "./Sequence.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface DecodingBatch {
  readonly members: ReadonlyArray<Member>
  /** Whether one member's prompt is not computed yet. It is one at a time, so that the next can build on it. */
  readonly isPrefilling: boolean
  readonly size: Size
  /** What the cache takes once this one has joined, at the least. */
  readonly sizeWith: (member: Member) => Size
  /** What it takes for the next step, at the least. */
  readonly sizeAfterStep: () => Size
  /** Takes over what a member or the prefix cache has in common with this one. */
  readonly join: (member: Member) => void
  /** Forgets what was computed of this one. */
  readonly leave: (member: Member) => void
  /** Computes at most this many tokens of the prompt that is not computed yet, and says how many. */
  readonly prefill: (room: number) => Promise<number>
  /** Computes a token of each of the others. */
  readonly decode: () => Promise<void>
  /** Lets go of members whose request was settled. */
  readonly dropSettled: () => void
  /** Fails the requests of all members. */
  readonly fail: (cause: unknown) => void
  /** Keeps no prefixes from now on. */
  readonly release: () => void
}

/**
 * Of a cache.
 *
 * @since 0.1.0
 * @category models
 */
export interface Size {
  readonly rows: number
  readonly capacity: number
}

/**
 * A request and what it waits for.
 *
 * @since 0.1.0
 * @category models
 */
export interface Job {
  readonly request: Engine.SampleRequest
  readonly sequences: ReadonlyArray<Sequence.Sequence>
  readonly scores: PromptScores.PromptScores
  /** The last position of the prompt that was scored. */
  scored: number
  /** Prompt tokens that the first sequence found computed. */
  hits: number | undefined
  isSettled: boolean
  readonly settle: (settle: () => void) => void
  /** One of the sequences is done; resolves with the last. */
  readonly finish: () => void
  readonly fail: (cause: unknown) => void
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Member {
  readonly job: Job
  readonly sequence: Sequence.Sequence
  /** Among all that came. */
  readonly order: number
  /** Positions that are in the cache. */
  cached: number
}

/**
 * @since 0.1.0
 * @category constructors
 */
export const member = (job: Job, sequence: Sequence.Sequence, order: number): Member => ({
  job,
  sequence,
  order,
  cached: 0
})

/**
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: {
  /** Called once, when there is work. */
  readonly compile: () => Promise<DecodingPass.Compiled>
  readonly config: Llama.Config
  readonly prefixes: PrefixCache.PrefixCache
  /** Whether the cache may have this size. */
  readonly fits: (size: Size) => boolean
}): DecodingBatch => {
  const { config, prefixes } = options
  const owner = {}
  const cache = KeyValueCache.make(config)
  // In the order of the rows; the one whose prompt is not computed yet is the last.
  const members: Array<Member> = []
  let compiled: Promise<DecodingPass.Compiled> | undefined
  let isReleased = false

  const isWhole = ({ cached, sequence }: Member): boolean => sequence.tokens.length - cached === 1
  const prefilling = (): Member | undefined => {
    const last = members.at(-1)
    return last === undefined || isWhole(last) ? undefined : last
  }

  /** Room for the sequence and some more, but not for more than it may have. */
  const capacityFor = ({ sequence }: Member): number => {
    const { length } = sequence.tokens
    const ahead = 64 * Math.ceil((length + Math.max(64, length / 4)) / 64)
    return Math.min(ahead, Math.max(sequence.maxLength, length))
  }
  const sizeOf = (all: ReadonlyArray<Member>): Size => {
    const longest = Math.max(0, ...all.map(({ sequence }) => sequence.tokens.length))
    const capacity = Math.max(0, ...all.map(capacityFor))
    const isRoomy = longest <= cache.capacity && cache.capacity <= 2 * capacity
    return { rows: all.length, capacity: isRoomy ? cache.capacity : capacity }
  }
  const resize = (all: ReadonlyArray<Member>): void => {
    const { capacity, rows } = sizeOf(all)
    // Rows are kept or doubled, as long as there is room, since each change copies the whole cache.
    const ample = rows > cache.rows ? Math.max(rows, 2 * cache.rows) : rows * 4 <= cache.rows ? rows : cache.rows
    cache.resize(options.fits({ rows: ample, capacity }) ? ample : rows, capacity)
  }

  const remove = (gone: Member): void => {
    const row = members.indexOf(gone)
    const move = (from: number, to: number): void => {
      if (from === to) return
      cache.copy(from, to, members[from]!.cached)
      members[to] = members[from]!
    }
    // The last takes its place, but the one that is being prefilled stays behind the others.
    const others = prefilling() === undefined ? members.length : members.length - 1
    if (row < others) {
      move(others - 1, row)
      if (others < members.length) move(others, others - 1)
    }
    members.pop()
  }

  const refuse = (refused: Member, cause: unknown): void => {
    remove(refused)
    refused.job.fail(cause)
  }
  /** Clears its row at once, whether it is done or was cancelled meanwhile: from here on all that the cache has is finite. */
  const refuseBroken = (broken: Member): void => {
    cache.clear(members.indexOf(broken))
    refuse(broken, nonFinite("the keys and values of a token are not finite numbers"))
  }

  const take = (grown: Member, { logits, probabilities }: DecodingPass.Logits, index: number): void => {
    const { job, sequence } = grown
    const size = config.vocabularySize
    const part = (all: Float32Array) => all.subarray(index * size, (index + 1) * size)
    try {
      if (!sequence.isDone) sequence.take(part(logits), part(probabilities))
    } catch (cause) {
      return refuse(grown, cause)
    }
    if (!sequence.isDone) return
    const { cached } = grown
    if (!isReleased) {
      const row = members.indexOf(grown)
      prefixes.add(owner, Int32Array.from(sequence.tokens.slice(0, cached)), () => cache.extract(row, cached))
    }
    remove(grown)
    job.finish()
  }

  /** Where the longest beginning in common with `tokens` is computed. */
  const adopt = (joined: Member, row: number): void => {
    const { tokens } = joined.sequence
    // One token is always computed, for its logits.
    const useful = tokens.length - 1
    let best: Member | undefined
    let length = 0
    for (const other of members) {
      if (length === useful) break
      const common = Math.min(PrefixCache.commonLength(other.sequence.tokens, tokens), other.cached, useful)
      if (common > length) [best, length] = [other, common]
    }
    const found = length === useful ? undefined : prefixes.find(owner, tokens)
    const kept = Math.min(found?.length ?? 0, useful)
    if (found !== undefined && kept > length) cache.insert(row, found.arrays, found.of, kept)
    else if (best !== undefined) cache.copy(members.indexOf(best), row, length)
    joined.cached = Math.max(kept, length)
  }

  return {
    members,
    get isPrefilling() {
      return prefilling() !== undefined
    },
    get size() {
      return { rows: cache.rows, capacity: cache.capacity }
    },
    sizeWith: (joining) => sizeOf([...members, joining]),
    sizeAfterStep: () => sizeOf(members),

    join: (joined) => {
      const { job, sequence } = joined
      resize([...members, joined])
      joined.cached = 0
      const isScoring = job.scores.isWanted && job.scored < sequence.promptLength - 1
      if (!isScoring) adopt(joined, members.length)
      job.hits ??= Math.min(joined.cached, sequence.promptLength)
      members.push(joined)
    },

    leave: remove,

    prefill: async (room) => {
      const joined = prefilling()
      if (joined === undefined) return 0
      const { job, sequence } = joined
      const start = joined.cached
      const isScoring = job.scores.isWanted && job.scored < sequence.promptLength - 1
      // Logits of every token take the most memory of all.
      const most = isScoring ? Math.max(16, Math.floor(maxScoredLogits / config.vocabularySize)) : room
      const tokens = sequence.tokens.slice(start, start + Math.min(room, most))
      compiled ??= options.compile()
      const logits = await (await compiled).advance(cache, {
        first: members.indexOf(joined),
        starts: [start],
        tokens,
        chosen: isScoring ? tokens.map((_, i) => i) : [tokens.length - 1]
      })
      joined.cached += tokens.length
      if (logits.brokenRows.size > 0) {
        refuseBroken(joined)
        return tokens.length
      }
      if (isScoring) {
        for (let position = job.scored + 1; position < sequence.promptLength && position <= joined.cached; position++) {
          const from = (position - 1 - start) * config.vocabularySize
          const scored = logits.logits.subarray(from, from + config.vocabularySize)
          if (!isFinite(scored)) {
            refuse(joined, nonFinite("the log-probabilities of a prompt are not finite numbers"))
            return tokens.length
          }
          job.scores.add(position, scored)
          job.scored = position
        }
      }
      if (joined.cached === sequence.tokens.length) take(joined, logits, isScoring ? tokens.length - 1 : 0)
      return tokens.length
    },

    decode: async () => {
      resize(members)
      const rows = prefilling() === undefined ? members.slice() : members.slice(0, -1)
      if (rows.length === 0) return
      compiled ??= options.compile()
      const logits = await (await compiled).advance(cache, {
        first: 0,
        starts: rows.map(({ cached }) => cached),
        tokens: rows.map(({ cached, sequence }) => sequence.tokens[cached]!),
        chosen: rows.map((_, i) => i)
      })
      for (const row of rows) row.cached += 1
      // From the last on, so that of those that leave together none is moved.
      for (let i = rows.length - 1; i >= 0; i--) {
        if (logits.brokenRows.has(i)) refuseBroken(rows[i]!)
        else take(rows[i]!, logits, i)
      }
    },

    dropSettled: () => {
      for (const each of members.slice()) if (each.job.isSettled) remove(each)
      if (members.length === 0) cache.resize(0, 0)
    },

    fail: (cause) => {
      const failed = members.splice(0)
      cache.resize(0, 0)
      for (const { job } of failed) job.fail(cause)
    },

    release: () => {
      isReleased = true
      prefixes.remove(owner)
    }
  }
}

/** Logits of a chunk whose every position is scored. */
const maxScoredLogits = 2 ** 22
