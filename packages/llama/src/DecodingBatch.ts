/** The answers of one sampler that grow together: rows of one cache, which they join and leave at any step. */
import type * as Engine from "@effect-tinker/engine/Engine"
import type * as PromptScores from "@effect-tinker/engine/PromptScores"
import type * as DecodingPass from "./DecodingPass.js"
import { CacheRows } from "./internal/decoding/cacheRows.js"
import { isFinite, nonFinite } from "./internal/finite.js"
import type * as Llama from "./Llama.js"
import type * as PrefixCache from "./PrefixCache.js"
import type * as Sequence from "./Sequence.js"

/**
 * The answers of one sampler that grow together.
 *
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
 * The size of a cache: its rows, and the positions of each.
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
 * A sequence of a request among those that grow together.
 *
 * @since 0.1.0
 * @category models
 */
export interface Member {
  readonly job: Job
  readonly sequence: Sequence.Sequence
  /** The place of this one among all that came. */
  readonly order: number
  /** Positions that are in the cache. */
  cached: number
}

/**
 * A member of which nothing is computed yet.
 *
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
 * Makes a batch without members.
 *
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
  const { config } = options
  const rows = new CacheRows(options)
  const { cache, members } = rows
  let compiled: Promise<DecodingPass.Compiled> | undefined

  const refuse = (refused: Member, cause: unknown): void => {
    rows.remove(refused)
    refused.job.fail(cause)
  }
  /** Clears its row at once, whether it is done or was cancelled meanwhile: from here on all that the cache has is finite. */
  const refuseBroken = (broken: Member): void => {
    rows.clear(broken)
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
    rows.keep(grown)
    rows.remove(grown)
    job.finish()
  }

  const prefill = async (room: number): Promise<number> => {
    const joined = rows.prefilling
    if (joined === undefined) return 0
    const { sequence } = joined
    const start = joined.cached
    const isScored = isToBeScored(joined)
    // Logits of every token take the most memory of all.
    const most = isScored ? Math.max(16, Math.floor(maxScoredLogits / config.vocabularySize)) : room
    const tokens = sequence.tokens.slice(start, start + Math.min(room, most))
    compiled ??= options.compile()
    const logits = await (await compiled).advance(cache, {
      first: members.indexOf(joined),
      starts: [start],
      tokens,
      chosen: isScored ? tokens.map((_, i) => i) : [tokens.length - 1]
    })
    joined.cached += tokens.length
    if (logits.brokenRows.size > 0) refuseBroken(joined)
    else if (isScored && !score(joined, logits.logits, start, config.vocabularySize)) {
      refuse(joined, nonFinite("the log-probabilities of a prompt are not finite numbers"))
    } else if (joined.cached === sequence.tokens.length) take(joined, logits, isScored ? tokens.length - 1 : 0)
    return tokens.length
  }

  const decode = async (): Promise<void> => {
    rows.resizeFor(members)
    const grown = rows.prefilling === undefined ? members.slice() : members.slice(0, -1)
    if (grown.length === 0) return
    compiled ??= options.compile()
    const logits = await (await compiled).advance(cache, {
      first: 0,
      starts: grown.map(({ cached }) => cached),
      tokens: grown.map(({ cached, sequence }) => sequence.tokens[cached]!),
      chosen: grown.map((_, i) => i)
    })
    for (const each of grown) each.cached += 1
    // From the last on, so that of those that leave together none is moved.
    for (let i = grown.length - 1; i >= 0; i--) {
      if (logits.brokenRows.has(i)) refuseBroken(grown[i]!)
      else take(grown[i]!, logits, i)
    }
  }

  return {
    members,
    get isPrefilling() {
      return rows.prefilling !== undefined
    },
    get size() {
      return { rows: cache.rows, capacity: cache.capacity }
    },
    sizeWith: (joining) => rows.sizeOf([...members, joining]),
    sizeAfterStep: () => rows.sizeOf(members),

    join: (joined) => {
      const { job, sequence } = joined
      rows.resizeFor([...members, joined])
      joined.cached = 0
      if (!isToBeScored(joined)) rows.reuse(joined)
      job.hits ??= Math.min(joined.cached, sequence.promptLength)
      rows.add(joined)
    },

    leave: (gone) => rows.remove(gone),

    prefill,

    decode,

    dropSettled: () => {
      for (const each of members.slice()) if (each.job.isSettled) rows.remove(each)
      if (members.length === 0) cache.resize(0, 0)
    },

    fail: (cause) => {
      for (const { job } of rows.removeAll()) job.fail(cause)
    },

    release: () => rows.release()
  }
}

/** Whether log-probabilities of the prompt were asked for, and some are not there yet. */
const isToBeScored = ({ job, sequence }: Member): boolean =>
  job.scores.isWanted && job.scored < sequence.promptLength - 1

/** Scores the prompt tokens that logits from position `start` on predict; false where these are not finite. */
const score = ({ cached, job, sequence }: Member, logits: Float32Array, start: number, vocabulary: number): boolean => {
  for (let position = job.scored + 1; position < sequence.promptLength && position <= cached; position++) {
    const from = (position - 1 - start) * vocabulary
    const scored = logits.subarray(from, from + vocabulary)
    if (!isFinite(scored)) return false
    job.scores.add(position, scored)
    job.scored = position
  }
  return true
}

/** The most logits of a chunk whose every position is scored. */
const maxScoredLogits = 2 ** 22
