/** A copy of `list` in an order that `seed` determines, every order being about as likely. */
export const shuffled = <A>(list: ReadonlyArray<A>, seed: ReadonlyArray<number>): ReadonlyArray<A> => {
  const next = random(seed)
  const copy = list.slice()
  for (let i = copy.length - 1; i > 0; i--) {
    const j = Math.floor(next() * (i + 1))
    const last = copy[i]!
    copy[i] = copy[j]!
    copy[j] = last
  }
  return copy
}

/** Mulberry32, from a state in which every number of `seed` has been stirred. */
const random = (seed: ReadonlyArray<number>): () => number => {
  let state = 0x9e3779b9
  for (const number of seed) {
    state = Math.imul(state ^ (number | 0), 0x85ebca6b)
    state = Math.imul(state ^ (state >>> 13), 0xc2b2ae35)
    state = (state ^ (state >>> 16)) >>> 0
  }
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}
