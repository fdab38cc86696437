/** The first token that a vocabulary of this size does not have. */
export const firstOutside = (tokens: Int32Array, size: number): number | undefined => {
  for (let i = 0; i < tokens.length; i++) {
    const token = tokens[i]!
    if (token < 0 || token >= size) return token
  }
  return undefined
}
