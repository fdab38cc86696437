/** Tokens, as many as come. */
export class TokenList {
  private tokens = new Int32Array(64)
  private length = 0

  push(token: number): void {
    if (this.length === this.tokens.length) {
      const longer = new Int32Array(2 * this.length)
      longer.set(this.tokens)
      this.tokens = longer
    }
    this.tokens[this.length++] = token
  }

  pushAll(tokens: ArrayLike<number>): void {
    for (let i = 0; i < tokens.length; i++) this.push(tokens[i]!)
  }

  toArray(): Int32Array {
    return this.tokens.slice(0, this.length)
  }
}
