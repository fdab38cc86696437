/** Joining tokens two by two, the pair of the lowest rank first, of several such the first of all. */
import type { Steps } from "./steps.js"

/** Says which pairs are joined. */
export interface Merges {
  /** The rank of two tokens side by side, or -1. */
  readonly rankOf: (left: number, right: number) => number
  /** What a pair of this rank becomes. */
  readonly resultOf: (rank: number) => number
}

/** Up to so many tokens it is quicker to look through all pairs than to keep them in order. */
export const mostLookedThrough = 64

/** Joins in place: few tokens. */
export const mergeFew = (tokens: Array<number>, { rankOf, resultOf }: Merges): void => {
  if (tokens.length < 2) return
  const ranks: Array<number> = []
  for (let i = 0; i + 1 < tokens.length; i++) ranks.push(rankOf(tokens[i]!, tokens[i + 1]!))
  for (;;) {
    let at = -1
    let least = Infinity
    for (let i = 0; i < ranks.length; i++) {
      const rank = ranks[i]!
      if (rank !== -1 && rank < least) {
        least = rank
        at = i
      }
    }
    if (at < 0) return
    tokens[at] = resultOf(least)
    tokens.splice(at + 1, 1)
    ranks.splice(at, 1)
    if (at < ranks.length) ranks[at] = rankOf(tokens[at]!, tokens[at + 1]!)
    if (at > 0) ranks[at - 1] = rankOf(tokens[at - 1]!, tokens[at]!)
  }
}

/** So many pairs are looked at between two stops. */
const between = 4096

/** Does the same for any number of tokens, in a time that grows little faster than that. */
export function* mergeMany(tokens: Int32Array, { rankOf, resultOf }: Merges): Steps<Int32Array> {
  const count = tokens.length
  const before = new Int32Array(count)
  const behind = new Int32Array(count)
  const isGone = new Uint8Array(count)
  // A heap of ranks and places in one number each.
  const queue: Array<number> = []
  const rankAt = (at: number): number => behind[at]! < count ? rankOf(tokens[at]!, tokens[behind[at]!]!) : -1
  const offer = (at: number) => {
    const rank = rankAt(at)
    if (rank !== -1) push(queue, rank * count + at)
  }
  for (let at = 0; at < count; at++) {
    before[at] = at - 1
    behind[at] = at + 1
    offer(at)
    if (at % between === 0) yield
  }
  for (let done = 1; queue.length > 0; done++) {
    if (done % between === 0) yield
    const next = pop(queue)
    const at = next % count
    if (isGone[at] === 1) continue
    // What stands there may have become another pair meanwhile.
    const rank = rankAt(at)
    const result = resultOf((next - at) / count)
    if (rank === -1 || resultOf(rank) !== result) continue
    const right = behind[at]!
    tokens[at] = result
    isGone[right] = 1
    behind[at] = behind[right]!
    if (behind[at]! < count) before[behind[at]!] = at
    if (before[at]! >= 0) offer(before[at]!)
    offer(at)
  }
  let kept = 0
  for (let at = 0; at < count; at = behind[at]!) {
    tokens[kept++] = tokens[at]!
    if (kept % between === 0) yield
  }
  return tokens.subarray(0, kept)
}

/** A heap, the least first. */
const push = (heap: Array<number>, value: number): void => {
  let at = heap.length
  heap.push(value)
  while (at > 0) {
    const parent = (at - 1) >> 1
    if (heap[parent]! <= value) break
    heap[at] = heap[parent]!
    at = parent
  }
  heap[at] = value
}

const pop = (heap: Array<number>): number => {
  const least = heap[0]!
  const value = heap.pop()!
  if (heap.length === 0) return least
  let at = 0
  for (;;) {
    let child = 2 * at + 1
    if (child >= heap.length) break
    if (child + 1 < heap.length && heap[child + 1]! < heap[child]!) child += 1
    if (heap[child]! >= value) break
    heap[at] = heap[child]!
    at = child
  }
  heap[at] = value
  return least
}
