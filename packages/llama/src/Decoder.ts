/**
 * Generation by continuous batching: the answers of a sampler grow together, a token at a time, whatever request they
 * belong to. New ones join at the next step, finished ones leave at once, and prompts are computed in chunks between the
 * steps. What a request gets does not depend on its company, beyond rounding.
 */
import type * as Engine from "@effect-tinker/engine/Engine"
import * as MutableList from "effect/MutableList"
import * as DecodingBatch from "./DecodingBatch.js"
import * as DecodingPass from "./DecodingPass.js"
import { Admission, type SamplerQueue } from "./internal/decoding/admission.js"
import * as SamplingJob from "./internal/decoding/samplingJob.js"
import * as KeyValueCache from "./KeyValueCache.js"
import type * as Llama from "./Llama.js"
import type * as OnnxRuntime from "./OnnxRuntime.js"
import * as PrefixCache from "./PrefixCache.js"

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
 * A model to draw answers from, with its adapter as it was when the sampler was made.
 *
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
 * Makes the decoder of a base model over its weights, which are read and not changed.
 *
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
  const admission = new Admission(0.75 * options.maxCacheBytes / KeyValueCache.bytesPerPosition(config))
  let isRunning = false
  let isAnyCancelled = false
  let count = 0

  const step = async (queue: SamplerQueue): Promise<void> => {
    const { batch } = queue
    for (let room = promptChunk; room > 0;) {
      admission.admit(queue)
      if (!batch.isPrefilling) break
      room -= await batch.prefill(room)
    }
    admission.preempt(queue)
    await batch.decode()
  }

  const run = async (): Promise<void> => {
    for (;;) {
      if (isAnyCancelled) {
        isAnyCancelled = false
        admission.dropCancelled()
      }
      for (const { batch } of admission.queues) batch.dropSettled()
      admission.dropIdle()
      if (admission.queues.length === 0) {
        isRunning = false
        return
      }
      for (const queue of admission.queues) {
        try {
          await step(queue)
        } catch (cause) {
          queue.batch.fail(cause)
        }
      }
    }
  }

  const submit = (
    queue: SamplerQueue,
    { decode, request, signal }: Parameters<Sampler["sample"]>[0]
  ): Promise<Engine.SampleResult> =>
    new Promise((resolve, reject) => {
      if (signal?.aborted === true) return reject(signal.reason)
      const { growing, job } = SamplingJob.make({
        request,
        decode,
        maxLength: Math.min(request.prompt.length + request.maxTokens, maxContextLength),
        signal,
        onCancel: () => {
          isAnyCancelled = true
        },
        resolve,
        reject
      })
      for (const sequence of growing) MutableList.append(queue.waiting, DecodingBatch.member(job, sequence, count++))
      admission.enter(queue)
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
        fits: (size) => admission.fits(batch, size)
      })
      const queue: SamplerQueue = { batch, waiting: MutableList.empty() }
      return { sample: (options) => submit(queue, options), release: batch.release }
    }
  }
}

/** Prompt tokens that are computed between two steps of those that grow. */
const promptChunk = 256
