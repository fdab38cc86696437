import { mulberry32 } from "./mulberry32.js"

/** The places of a list of so many in an order that `seed` determines, every order being about as likely. */
export const shuffledPlaces = (length: number, seed: ReadonlyArray<number>): Uint32Array =>
  shuffle(Uint32Array.from({ length }, (_, place) => place), random(seed))

/** A copy of `list` in an order that numbers in [0, 1) from `next` determine. */
export const shuffledBy = <A>(list: ReadonlyArray<A>, next: () => number): ReadonlyArray<A> =>
  shuffle<A, Array<A>>(list.slice(), next)

const shuffle = <A, L extends { readonly length: number; [place: number]: A }>(list: L, next: () => number): L => {
  for (let i = list.length - 1; i > 0; i--) {
    const j = Math.floor(next() * (i + 1))
    const last = list[i]!
    list[i] = list[j]!
    list[j] = last
  }
  return list
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
