import { mulberry32 } from "./mulberry32.js"

/** A copy of `list` in an order that `seed` determines, every order being about as likely. */
export const shuffled = <A>(list: ReadonlyArray<A>, seed: ReadonlyArray<number>): ReadonlyArray<A> =>
  shuffledBy(list, random(seed))

/** The same by numbers in [0, 1) from `next`. */
export const shuffledBy = <A>(list: ReadonlyArray<A>, next: () => number): ReadonlyArray<A> => {
  const copy = list.slice()
  for (let i = copy.length - 1; i > 0; i--) {
    const j = Math.floor(next() * (i + 1))
    const last = copy[i]!
    copy[i] = copy[j]!
    copy[j] = last
  }
  return copy
}

/** Random numbers, from a state in which every number of `seed` has been stirred. */
const random = (seed: ReadonlyArray<number>): () => number => {
  let state = 0x9e3779b9
  for (const number of seed) {
    state = Math.imul(state ^ (number | 0), 0x85ebca6b)
    state = Math.imul(state ^ (state >>> 13), 0xc2b2ae35)
    state = (state ^ (state >>> 16)) >>> 0
  }
  return mulberry32(state)
}
