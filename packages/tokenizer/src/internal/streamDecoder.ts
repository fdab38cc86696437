import type { DecodeOptions, Tokenizer } from "@effect-tinker/protocol/Tokenizers"

/**
 * The text of tokens that come little by little. What the next token may still change waits: a character of which bytes are missing, and
 * tokens of single bytes, which are read together.
 */
export class StreamDecoder {
  /** Tokens whose text was given, which what follows is read with: some tokens mean another text at the front. */
  private before: ReadonlyArray<number> = []
  /** Their text. */
  private textBefore = ""
  /** Tokens that came since. */
  private since: Array<number> = []
  /** How much of their text was given. */
  private given = 0
  private readonly bytes = new Set<number>()

  constructor(private readonly tokenizer: Tokenizer, private readonly options: DecodeOptions | undefined) {
    for (let byte = 0; byte < 256; byte++) {
      const token = tokenizer.tokenId(`<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`)
      if (token !== undefined) this.bytes.add(token)
    }
  }

  /** The text that is certain now. */
  push(tokens: ArrayLike<number>): string {
    let result = ""
    for (let i = 0; i < tokens.length; i++) result += this.one(tokens[i]!)
    return result
  }

  /** The text that was waiting, after which there is no more. */
  end(): string {
    return this.text().slice(this.given)
  }

  private one(token: number): string {
    this.since.push(token)
    if (this.bytes.has(token)) return ""
    const text = this.text()
    const isWhole = !text.endsWith("\ufffd")
    const certain = isWhole ? text : text.slice(0, -1)
    const fresh = certain.slice(this.given)
    if (isWhole && text !== "") {
      this.before = this.since
      this.textBefore = this.tokenizer.decode(this.before, this.options)
      this.since = []
      this.given = 0
    } else this.given = Math.max(this.given, certain.length)
    return fresh
  }

  private text(): string {
    return this.tokenizer.decode([...this.before, ...this.since], this.options).slice(this.textBefore.length)
  }
}
