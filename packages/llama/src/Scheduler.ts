/** Who computes next: training and sampling share the machine, one run of a graph at a time. */
import type * as OnnxRuntime from "./OnnxRuntime.js"

/**
 * What decides whose turn it is.
 *
 * @since 0.1.0
 * @category models
 */
export interface Scheduler {
  /** Runs jobs one after another, in the order of the calls, also after one has failed. */
  readonly inOrder: <A>(job: () => Promise<A>) => Promise<A>
  /**
   * Runs this when no other turn is being taken. Of those that wait, one of training is followed by
   * {@link samplingTurns} of sampling; within a kind, the first come goes first.
   */
  readonly turn: <A>(kind: Kind, work: () => Promise<A>) => Promise<A>
}

/**
 * The kinds of work that share the machine.
 *
 * @since 0.1.0
 * @category models
 */
export type Kind = "training" | "sampling"

/**
 * Turns of sampling between two of training, if that many are wanted: a turn of sampling is a token of each answer, which
 * takes far less time than a batch of sequences.
 *
 * @since 0.1.0
 * @category config
 */
export const samplingTurns = 8

/**
 * Makes a scheduler for which nothing waits.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (): Scheduler => {
  const waiting: Readonly<Record<Kind, Array<() => Promise<unknown>>>> = { training: [], sampling: [] }
  let isBusy = false
  let sampled = 0
  let last: Promise<unknown> = Promise.resolve()

  const next = (): void => {
    const { sampling, training } = waiting
    const isTraining = training.length > 0 && (sampling.length === 0 || sampled >= samplingTurns)
    const work = isTraining ? training.shift() : sampling.shift()
    isBusy = work !== undefined
    if (work === undefined) return
    sampled = isTraining ? 0 : sampled + 1
    // Who has just had a turn may want another: a moment, so that both kinds have said what they want.
    void work().then(() => setImmediate(next))
  }

  return {
    inOrder: (job) => {
      const done = last.then(job)
      last = done.catch(() => {})
      return done
    },
    turn: (kind, work) =>
      new Promise((resolve, reject) => {
        waiting[kind].push(async () => {
          await work().then(resolve, reject)
        })
        if (!isBusy) next()
      })
  }
}

/**
 * The runtime with every run of its graphs taking a turn.
 *
 * @since 0.1.0
 * @category combinators
 */
export const scheduled = (
  runtime: OnnxRuntime.OnnxRuntime,
  scheduler: Scheduler,
  kind: Kind
): OnnxRuntime.OnnxRuntime => ({
  ...runtime,
  session: async (model, apart) => {
    const session = await runtime.session(model, apart)
    return { ...session, run: (feeds, fetches) => scheduler.turn(kind, () => session.run(feeds, fetches)) }
  }
})
