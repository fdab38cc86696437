/**
 * The samples of a sampling session that are done, in the order in which that happened, for clients that ask for many at once. Each copy of
 * a client has an order of its own.
 */
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"

export interface Completion {
  readonly requestId: string
  readonly isFailed: boolean
  /** The size of the result, in bytes, where it is known. */
  readonly size: number | undefined
}

export interface Completions {
  readonly add: (clone: number, completion: Completion) => Effect.Effect<void>
  /** What was completed after the cursor; waits, but not longer than the time, while that is nothing. */
  readonly after: (
    clone: number,
    cursor: number,
    holdTime: Duration.DurationInput
  ) => Effect.Effect<{ readonly cursor: number; readonly completions: ReadonlyArray<Completion> }>
}

interface Channel {
  readonly completions: Array<Completion>
  /** The number of the first of them: those before have been told, or are too many to keep. */
  first: number
  /** Whoever waits for the next completion. */
  next: Deferred.Deferred<void> | undefined
}

/** Nobody has so many samples open at once; most clients ask for each by itself, and never for these. */
const maxCompletions = 20_000

/**
 * Numbers them from `first` on. A cursor before it is one of an earlier server, whoever has it gets everything.
 */
export const make = (first = 0): Completions => {
  const channels = new Map<number, Channel>()
  const drop = (channel: Channel, count: number): void => {
    channel.completions.splice(0, count)
    channel.first += count
  }
  const channelOf = (clone: number): Channel => {
    const existing = channels.get(clone)
    if (existing !== undefined) return existing
    const channel: Channel = { completions: [], first, next: undefined }
    channels.set(clone, channel)
    return channel
  }

  return {
    add: (clone, completion) =>
      Effect.suspend(() => {
        const channel = channelOf(clone)
        channel.completions.push(completion)
        // Half at once, as taking away the first one moves all the others.
        if (channel.completions.length > maxCompletions) drop(channel, maxCompletions / 2)
        const { next } = channel
        channel.next = undefined
        return next === undefined ? Effect.void : Effect.asVoid(Deferred.succeed(next, undefined))
      }),
    after: (clone, cursor, holdTime) =>
      Effect.suspend(() => {
        const channel = channelOf(clone)
        // Whoever shows a cursor has what was before it.
        if (cursor - channel.first > 1000) drop(channel, Math.min(cursor - channel.first, channel.completions.length))
        const answer = Effect.sync(() => ({
          cursor: Math.max(cursor, channel.first + channel.completions.length),
          completions: channel.completions.slice(Math.max(0, cursor - channel.first))
        }))
        if (channel.completions.length > cursor - channel.first) return answer
        channel.next ??= Deferred.unsafeMake<void>(FiberId.none)
        return Effect.zipRight(Effect.timeoutOption(Deferred.await(channel.next), holdTime), answer)
      })
  }
}

/** The copy of a client that numbers its samples so: each has a billion numbers. */
export const cloneOf = (seqId: string): number => seqId.length > 9 ? Number(seqId.slice(0, -9)) : 0
