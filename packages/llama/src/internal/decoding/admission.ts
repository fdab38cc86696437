/**
 * Decides which sequences grow and which wait, so that the caches of all samplers together stay within what they may take: the
 * first to come joins first, and the last to come goes back to waiting when those that grow no longer fit.
 */
import * as MutableList from "effect/MutableList"
import type * as DecodingBatch from "../../DecodingBatch.js"

/** A sampler's sequences that grow, and those that wait for a place among them, in the order of their coming. */
export interface SamplerQueue {
  readonly batch: DecodingBatch.DecodingBatch
  readonly waiting: MutableList.MutableList<DecodingBatch.Member>
}

/** The most sequences of a sampler that grow together: more of them take longer for a step than they save. */
const maxRows = 256

export class Admission {
  private readonly maxPositions: number
  /** Queues in which some grow or wait. */
  private busy: ReadonlyArray<SamplerQueue> = []

  /** The caches have room for `maxPositions` positions of one sequence, or for a single sequence whatever its length. */
  constructor(maxPositions: number) {
    this.maxPositions = maxPositions
  }

  get queues(): ReadonlyArray<SamplerQueue> {
    return this.busy
  }

  /** Lets a queue take part until nothing grows or waits in it. */
  enter(queue: SamplerQueue): void {
    if (!this.busy.includes(queue)) this.busy = [...this.busy, queue]
  }

  /** Forgets queues in which nothing grows or waits. */
  dropIdle(): void {
    this.busy = this.busy.filter(({ batch, waiting }) => batch.members.length > 0 || !MutableList.isEmpty(waiting))
  }

  /** Whether the cache of `batch` may have this size beside those of the others. */
  fits(batch: DecodingBatch.DecodingBatch, size: DecodingBatch.Size): boolean {
    const others = this.busy.flatMap((other) => other.batch === batch ? [] : [other.batch])
    const used = others.reduce((sum, { size }) => sum + size.rows * size.capacity, 0)
    const rows = others.reduce((sum, { members }) => sum + members.length, 0)
    return rows + size.rows <= 1 || (size.rows <= maxRows && used + size.rows * size.capacity <= this.maxPositions)
  }

  /**
   * Lets those that wait for this batch join it, in order, until one has to be prefilled or does not fit. The next of
   * another batch that came before and does not fit is not passed by, except for a batch's first.
   */
  admit(queue: SamplerQueue): void {
    const { batch, waiting } = queue
    const others = this.busy.filter((other) => other !== queue)
    if (batch.members.length > 0 && others.some((other) => this.isStarving(other))) return
    for (;;) {
      const next = MutableList.head(waiting)
      if (next === undefined || batch.isPrefilling) return
      if (!next.job.isSettled) {
        if (!this.fitsNext(queue)) return
        if (batch.members.length > 0 && others.some((other) => this.goesBefore(other, next))) return
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

  /** Puts the latest to come back to waiting, until the batch fits for its next step. */
  preempt({ batch, waiting }: SamplerQueue): void {
    while (batch.members.length > 0 && !this.fits(batch, batch.sizeAfterStep())) {
      const latest = batch.members.reduce((a, b) => b.order > a.order ? b : a)
      batch.leave(latest)
      // All that wait came after those that joined.
      MutableList.prepend(waiting, latest)
    }
  }

  /** Removes those whose request was cancelled at once: those before them may take long, and they hold their prompts. */
  dropCancelled(): void {
    for (const { waiting } of this.busy) {
      const kept = Array.from(waiting).filter(({ job }) => !job.isSettled)
      MutableList.reset(waiting)
      for (const member of kept) MutableList.append(waiting, member)
    }
  }

  private fitsNext({ batch, waiting }: SamplerQueue): boolean {
    const next = MutableList.head(waiting)
    return next === undefined || this.fits(batch, batch.sizeWith(next))
  }

  /** Whether a sampler waits for its first place, which has to be made for it. */
  private isStarving(queue: SamplerQueue): boolean {
    return queue.batch.members.length === 0 && !this.fitsNext(queue)
  }

  /** Whether the next of `queue` came before this one and waits for room. */
  private goesBefore(queue: SamplerQueue, member: DecodingBatch.Member): boolean {
    return queue.batch.members.length < maxRows &&
      (MutableList.head(queue.waiting)?.order ?? Infinity) < member.order &&
      !this.fitsNext(queue)
  }
}
