/**
 * Generation by continuous batching: the answers of a sampler grow together, a token at a time, whatever request they
 * belong to. New ones join at the next step, finished ones leave at once, and prompts are computed in chunks between the
 * steps. What a request gets does not depend on its company, beyond rounding.
 */
import type * as Engine from "@effect-tinker/server/Engine"
import * as PromptScores from "@effect-tinker/server/PromptScores"
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
  let batches: ReadonlyArray<DecodingBatch.DecodingBatch> = []
  // In the order of their coming.
  let waiting: ReadonlyArray<Waiting> = []
  let isRunning = false
  let count = 0

  const fits = (batch: DecodingBatch.DecodingBatch, size: DecodingBatch.Size): boolean => {
    const others = batches.filter((other) => other !== batch)
    const used = others.reduce((sum, { size }) => sum + size.rows * size.capacity, 0)
    const rows = others.reduce((sum, { members }) => sum + members.length, 0)
    return rows + size.rows <= 1 || (size.rows <= maxRows && used + size.rows * size.capacity <= positions)
  }

  const fitsWith = ({ batch, member }: Waiting): boolean => fits(batch, batch.sizeWith(member))
  /** Whether a sampler waits for its first place, which has to be made for it. */
  const isStarving = (batch: DecodingBatch.DecodingBatch): boolean => {
    const first = batch.members.length === 0 ? waiting.find((next) => next.batch === batch) : undefined
    return first !== undefined && !fitsWith(first)
  }

  /**
   * Lets those that wait for this batch join it, in order, until one has to be prefilled or does not fit. One that came
   * before for another batch and does not fit is not passed by, except for a batch's first.
   */
  const admit = (batch: DecodingBatch.DecodingBatch): void => {
    const left: Array<Waiting> = []
    let isOpen = !batches.some((other) => other !== batch && isStarving(other)) || batch.members.length === 0
    for (const next of waiting) {
      const isMine = next.batch === batch
      if (isOpen && (isMine || (batch.members.length > 0 && next.batch.members.length < maxRows))) {
        isOpen = !batch.isPrefilling && fitsWith(next)
      }
      if (!isOpen || !isMine) {
        left.push(next)
        continue
      }
      try {
        batch.join(next.member)
      } catch (cause) {
        // There is no memory for it, whatever the bound says.
        next.member.job.fail(cause)
      }
    }
    waiting = left
  }

  const makeRoom = (batch: DecodingBatch.DecodingBatch): void => {
    while (batch.members.length > 0 && !fits(batch, batch.sizeAfterStep())) {
      const latest = batch.members.reduce((a, b) => b.order > a.order ? b : a)
      batch.leave(latest)
      waiting = [...waiting, { batch, member: latest }].sort((a, b) => a.member.order - b.member.order)
    }
  }

  const step = async (batch: DecodingBatch.DecodingBatch): Promise<void> => {
    for (let room = promptChunk; room > 0;) {
      admit(batch)
      if (!batch.isPrefilling) break
      room -= await batch.prefill(room)
    }
    makeRoom(batch)
    await batch.decode()
  }

  const run = async (): Promise<void> => {
    for (;;) {
      waiting = waiting.filter(({ member }) => !member.job.isSettled)
      for (const batch of batches) batch.dropSettled()
      batches = batches.filter((batch) => batch.members.length > 0 || waiting.some((other) => other.batch === batch))
      if (batches.length === 0) {
        isRunning = false
        return
      }
      for (const batch of batches) {
        try {
          await step(batch)
        } catch (cause) {
          batch.fail(cause)
        }
      }
    }
  }

  const submit = (
    batch: DecodingBatch.DecodingBatch,
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
        job.settle(() => reject(signal?.reason))
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
      const members = growing.map((sequence) => DecodingBatch.member(job, sequence, count++))
      if (!batches.includes(batch)) batches = [...batches, batch]
      waiting = [...waiting, ...members.map((member) => ({ batch, member }))]
      if (members.length === 0) job.finish()
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
      return { sample: (options) => submit(batch, options), release: batch.release }
    }
  }
}

/** Answers of a sampler that grow together: more of them take longer for a step than they save. */
const maxRows = 256

/** Prompt tokens that are computed between two steps of those that grow. */
const promptChunk = 256

interface Waiting {
  readonly batch: DecodingBatch.DecodingBatch
  readonly member: DecodingBatch.Member
}
