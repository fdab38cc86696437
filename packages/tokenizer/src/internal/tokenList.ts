/** Tokens, as many as come. */
export class TokenList {
  private tokens = new Int32Array(64)
  private length = 0

  push(token: number): void {
    this.grow(1)
    this.tokens[this.length++] = token
  }

  pushAll(tokens: ArrayLike<number>): void {
    this.grow(tokens.length)
    this.tokens.set(tokens, this.length)
    this.length += tokens.length
  }

  private grow(more: number): void {
    if (this.length + more <= this.tokens.length) return
    const longer = new Int32Array(2 * (this.length + more))
    longer.set(this.tokens)
    this.tokens = longer
  }

  toArray(): Int32Array {
    return this.tokens.slice(0, this.length)
  }
}
