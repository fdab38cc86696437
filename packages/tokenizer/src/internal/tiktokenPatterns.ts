/** The patterns of some encodings. Source: `openai_public.py` of tiktoken 0.14, and `tokenization_kimi.py` of moonshotai/Kimi-K2-Thinking. */

const contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
const spaces = "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

/** Words that end where lower case is followed by upper case. */
const casedWords = (but = ""): string => {
  const upper = `[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}${but}]`
  const lower = `[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}${but}]`
  const before = "[^\\r\\n\\p{L}\\p{N}]?"
  return `${before}${upper}*${lower}+${contractions}?|${before}${upper}+${lower}*${contractions}?`
}

/** What the newer one of tiktoken matches too, which is written for speed in Rust. */
export const cl100kPattern =
  `${contractions}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|${spaces}`

export const o200kPattern = `${casedWords()}|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|${spaces}`

export const kimiPattern = `[\\p{Han}]+|${
  casedWords("&&[^\\p{Han}]")
}|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|${spaces}`
