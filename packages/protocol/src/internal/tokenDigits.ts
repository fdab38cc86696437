/** Most characters of a token and the comma after it. */
export const widestToken = 12

const comma = 44
const minus = 45
const zero = 48

/** Writes tokens as JSON has them, `1,2,300`, several times faster than by way of a text. The place behind the last one. */
export const writeTokens = (tokens: Int32Array, target: Uint8Array, start: number): number => {
  let at = start
  for (let i = 0; i < tokens.length; i++) {
    if (i > 0) target[at++] = comma
    const token = tokens[i]!
    if (token < 0) target[at++] = minus
    let rest = Math.abs(token)
    at += digitsOf(rest)
    let place = at - 1
    while (rest >= 10) {
      // Unsigned, as the most negative token has no positive counterpart.
      const tenth = (rest / 10) >>> 0
      target[place--] = zero + rest - 10 * tenth
      rest = tenth
    }
    target[place] = zero + rest
  }
  return at
}

const digitsOf = (n: number): number => {
  if (n < 10000) return n < 100 ? (n < 10 ? 1 : 2) : n < 1000 ? 3 : 4
  if (n < 100000000) return n < 1000000 ? (n < 100000 ? 5 : 6) : n < 10000000 ? 7 : 8
  return n < 1000000000 ? 9 : 10
}
