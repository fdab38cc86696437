/**
 * Generation by continuous batching: the answers of a sampler grow together, a token at a time, whatever request they
 * belong to. New ones join at the next step, finished ones leave at once, and prompts are computed in chunks between the
 * steps. What a request gets does not depend on its company, beyond rounding.
 */
import type * as Engine from "@effect-tinker/engine/Engine"
import * as PromptScores from "@effect-tinker/engine/PromptScores"
import * as MutableList from "effect/MutableList"
import * as DecodingBatch from "./DecodingBatch.js"
import * as DecodingPass from "./DecodingPass.js"
import * as KeyValueCache from "./KeyValueCache.js"
import type * as Llama from "./Llama.js"
import type * as OnnxRuntime from "./OnnxRuntime.js"
import * as PrefixCache from "./PrefixCache.js"
import * as Sequence from "./Sequence.js"

/**
 * A base model that generates.
 *
 * @since 0.1.0
 * @category models
 */
export interface Decoder {
  /** A sampler of the base model with this adapter, or alone. Steps of samplers that have work take turns. */
  readonly sampler: (adapter: DecodingPass.Adapter | undefined) => Sampler
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Sampler {
  readonly sample: (options: {
    readonly request: Engine.SampleRequest
    /** The text of tokens, for stop strings; special tokens included. */
    readonly decode: (tokens: ReadonlyArray<number>) => string
    /** Rejects at once; what was being computed ends before the next step. */
    readonly signal?: AbortSignal | undefined
  }) => Promise<Engine.SampleResult>
  /** Forgets what was kept for later prompts. Requests go on to their end. */
  readonly release: () => void
}

/**
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: {
  readonly runtime: OnnxRuntime.OnnxRuntime
  readonly config: Llama.Config
  readonly weights: ReadonlyMap<string, Float32Array>
  readonly maxContextLength: number
  /**
   * What keys and values may take, in bytes: three quarters for sequences that grow, the rest for the prefixes of later
   * ones. Sequences that do not fit wait, and the latest to come goes back to waiting when those that grow no longer fit.
   * One always fits.
   */
  readonly maxCacheBytes: number
  /** What weights may take to be laid out anew for sampling, in bytes. Default: `DecodingPass.maxConstantBytes`. */
  readonly maxConstantBytes?: number | undefined
}): Decoder => {
  const { config, maxContextLength, runtime, weights } = options
  const pass = DecodingPass.make({ runtime, config, weights, maxConstantBytes: options.maxConstantBytes })
  const prefixes = PrefixCache.make({ maxBytes: options.maxCacheBytes / 4 })
  const positions = 0.75 * options.maxCacheBytes / KeyValueCache.bytesPerPosition(config)
  // Those that have members, or for which some wait.
  let lines: ReadonlyArray<Line> = []
  let isRunning = false
  let isAnyCancelled = false
  let count = 0

  const fits = (batch: DecodingBatch.DecodingBatch, size: DecodingBatch.Size): boolean => {
    const others = lines.flatMap((other) => other.batch === batch ? [] : [other.batch])
    const used = others.reduce((sum, { size }) => sum + size.rows * size.capacity, 0)
    const rows = others.reduce((sum, { members }) => sum + members.length, 0)
    return rows + size.rows <= 1 || (size.rows <= maxRows && used + size.rows * size.capacity <= positions)
  }

  const fitsNext = ({ batch, waiting }: Line): boolean => {
    const next = MutableList.head(waiting)
    return next === undefined || fits(batch, batch.sizeWith(next))
  }
  /** Whether a sampler waits for its first place, which has to be made for it. */
  const isStarving = (line: Line): boolean => line.batch.members.length === 0 && !fitsNext(line)
  /** Whether the next of `line` came before this one and waits for room. */
  const goesBefore = (line: Line, member: DecodingBatch.Member): boolean =>
    line.batch.members.length < maxRows && (MutableList.head(line.waiting)?.order ?? Infinity) < member.order &&
    !fitsNext(line)

  /**
   * Lets those that wait for this batch join it, in order, until one has to be prefilled or does not fit. The next of
   * another batch that came before and does not fit is not passed by, except for a batch's first.
   */
  const admit = (line: Line): void => {
    const { batch, waiting } = line
    const others = lines.filter((other) => other !== line)
    if (batch.members.length > 0 && others.some(isStarving)) return
    for (;;) {
      const next = MutableList.head(waiting)
      if (next === undefined || batch.isPrefilling) return
      if (!next.job.isSettled) {
        if (!fitsNext(line)) return
        if (batch.members.length > 0 && others.some((other) => goesBefore(other, next))) return
        try {
          batch.join(next)
        } catch (cause) {
          // There is no memory for it, whatever the bound says.
          next.job.fail(cause)
        }
      }
      MutableList.shift(waiting)
    }
  }

  const makeRoom = ({ batch, waiting }: Line): void => {
    while (batch.members.length > 0 && !fits(batch, batch.sizeAfterStep())) {
      const latest = batch.members.reduce((a, b) => b.order > a.order ? b : a)
      batch.leave(latest)
      // All that wait came after those that joined.
      MutableList.prepend(waiting, latest)
    }
  }

  const step = async (line: Line): Promise<void> => {
    const { batch } = line
    for (let room = promptChunk; room > 0;) {
      admit(line)
      if (!batch.isPrefilling) break
      room -= await batch.prefill(room)
    }
    makeRoom(line)
    await batch.decode()
  }

  const run = async (): Promise<void> => {
    for (;;) {
      if (isAnyCancelled) {
        isAnyCancelled = false
        for (const { waiting } of lines) dropCancelled(waiting)
      }
      for (const { batch } of lines) batch.dropSettled()
      lines = lines.filter(({ batch, waiting }) => batch.members.length > 0 || !MutableList.isEmpty(waiting))
      if (lines.length === 0) {
        isRunning = false
        return
      }
      for (const line of lines) {
        try {
          await step(line)
        } catch (cause) {
          line.batch.fail(cause)
        }
      }
    }
  }

  const cancel = (job: DecodingBatch.Job, reason: unknown): void => {
    isAnyCancelled = true
    job.fail(reason)
  }

  const submit = (
    line: Line,
    { decode, request, signal }: Parameters<Sampler["sample"]>[0]
  ): Promise<Engine.SampleResult> =>
    new Promise((resolve, reject) => {
      if (signal?.aborted === true) return reject(signal.reason)
      const maxLength = Math.min(request.prompt.length + request.maxTokens, maxContextLength)
      const sequences = Array.from({ length: request.numSamples }, (_, index) =>
        Sequence.make({ request, index, maxLength, decode }))
      // Where nothing may be added to the prompt, one sequence computes what is asked of it.
      const growing = maxLength > request.prompt.length ? sequences : sequences.slice(0, 1)
      let unfinished = growing.length
      const abort = (): void =>
        cancel(job, signal?.reason)
      const job: DecodingBatch.Job = {
        request,
        sequences,
        scores: PromptScores.make(request),
        scored: 0,
        hits: undefined,
        isSettled: false,
        settle: (settle) => {
          if (job.isSettled) return
          job.isSettled = true
          signal?.removeEventListener("abort", abort)
          settle()
        },
        finish: () => {
          unfinished -= 1
          if (unfinished > 0) return
          job.settle(() =>
            resolve({
              sequences: sequences.map((sequence) => sequence.result()),
              ...job.scores.result,
              promptCacheHitTokens: job.hits ?? 0
            })
          )
        },
        fail: (cause) => job.settle(() => reject(cause))
      }
      signal?.addEventListener("abort", abort, { once: true })
      for (const sequence of growing) MutableList.append(line.waiting, DecodingBatch.member(job, sequence, count++))
      if (!lines.includes(line)) lines = [...lines, line]
      if (growing.length === 0) job.finish()
      if (!isRunning) {
        isRunning = true
        void run()
      }
    })

  return {
    sampler: (adapter) => {
      const batch: DecodingBatch.DecodingBatch = DecodingBatch.make({
        compile: () => pass.compile(adapter),
        config,
        prefixes,
        fits: (size) => fits(batch, size)
      })
      const line: Line = { batch, waiting: MutableList.empty() }
      return { sample: (options) => submit(line, options), release: batch.release }
    }
  }
}

/** Answers of a sampler that grow together: more of them take longer for a step than they save. */
const maxRows = 256

/** Prompt tokens that are computed between two steps of those that grow. */
const promptChunk = 256

/** Not left for when their turn comes: those before them may take long, and they hold their prompts. */
const dropCancelled = (waiting: Line["waiting"]): void => {
  const kept = Array.from(waiting).filter(({ job }) => !job.isSettled)
  MutableList.reset(waiting)
  for (const member of kept) MutableList.append(waiting, member)
}

/** A sampler's answers that grow, and those that wait for a place among them, in the order of their coming. */
interface Line {
  readonly batch: DecodingBatch.DecodingBatch
  readonly waiting: MutableList.MutableList<DecodingBatch.Member>
}
