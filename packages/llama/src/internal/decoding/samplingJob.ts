/** A request for samples as a promise: it resolves when the last of its sequences is done, and rejects at once. */
import type * as Engine from "@effect-tinker/engine/Engine"
import * as PromptScores from "@effect-tinker/engine/PromptScores"
import type * as DecodingBatch from "../../DecodingBatch.js"
import * as Sequence from "../../Sequence.js"

/** The job of a request, and those of its sequences that are to be computed. */
export const make = (options: {
  readonly request: Engine.SampleRequest
  readonly decode: (tokens: ReadonlyArray<number>) => string
  /** The most tokens that prompt and answer may have. */
  readonly maxLength: number
  readonly signal: AbortSignal | undefined
  /** Called when the signal ends the request, before it fails. */
  readonly onCancel: () => void
  readonly resolve: (result: Engine.SampleResult) => void
  readonly reject: (cause: unknown) => void
}): { readonly job: DecodingBatch.Job; readonly growing: ReadonlyArray<Sequence.Sequence> } => {
  const { decode, maxLength, onCancel, reject, request, resolve, signal } = options
  const sequences = Array.from(
    { length: request.numSamples },
    (_, index) => Sequence.make({ request, index, maxLength, decode })
  )
  // Where nothing may be added to the prompt, one sequence computes what is asked of it.
  const growing = maxLength > request.prompt.length ? sequences : sequences.slice(0, 1)
  let unfinished = growing.length
  const abort = (): void => {
    onCancel()
    job.fail(signal?.reason)
  }
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
  return { job, growing }
}
