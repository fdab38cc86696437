import { assert, it } from "@effect/vitest"
import { backtracksExponentially } from "../src/internal/exponentialBacktracking.js"

/** Those of known tokenizers, and others that are harmless. */
const harmless: ReadonlyArray<string> = [
  // GPT-2
  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
  // Llama 3
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
  // o200k
  "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
  // Kimi
  "[\\p{Han}]+|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]+(?i:'s|'t)?|\\s+",
  // DeepSeek
  "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
  // Bloom
  " ?[^(\\s|[.,!?…。，、।۔،])]+",
  // Digits from the right
  "\\p{N}{1,3}(?=(?:\\p{N}{3})*(?!\\p{N}))",
  "(?:\\r?\\n)+",
  "(?:\\p{L}\\p{M}*)+",
  "(?:ab|cd)*x",
  "(?<word>[a-z]+)(?:-[a-z]+)*",
  "(?:a{2,4}b)+",
  "[\\]]+[[a-z]&&[^aeiou]]+",
  "(?#a comment (a+)+)x",
  "x{2}y{,3}z{}",
  ")",
  "(",
  "[",
  "\\",
  ""
]

/** Each takes seconds for a text of forty characters, or is as good as one that does. */
const endless: ReadonlyArray<string> = [
  "(a+)+$",
  "(a*)*$",
  "(a|a)*b",
  "(a|aa)+$",
  "(\\w|\\d)+!",
  "(?:\\s*\\w*)*x",
  "([a-z]+)*[0-9]",
  "(?:a?a)+b",
  "(?:.*,)*x",
  "(?i:(?:x+x)+y)",
  "^(?:\\p{L}+\\s?)*$",
  "(?:(?:ab)+|(?:abab)+)+c",
  "(?>a+b?)+c",
  "foo|(?=(?:a+)+b)",
  "(?:a{1,30}){1,30}b"
]

it("refuses what takes longer to look at than any pattern of a tokenizer", () => {
  for (
    const pattern of [
      "(".repeat(100_000),
      "((((((a{6}){6}){6}){6}){6}){6}){6}",
      "ab".repeat(500),
      `(?:${"[a-z]x|".repeat(60)})*`
    ]
  ) {
    assert.isTrue(backtracksExponentially(pattern))
  }
})

for (const pattern of harmless) {
  it(`takes ${JSON.stringify(pattern)}`, () => assert.isFalse(backtracksExponentially(pattern)))
}

for (const pattern of endless) {
  it(`refuses ${JSON.stringify(pattern)}`, () => assert.isTrue(backtracksExponentially(pattern)))
}
