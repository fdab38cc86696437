/**
 * Prints how long one of our tokenizers takes for each kind of text, and how long at most before it lets others have their turn. The
 * first text of a kind does not count.
 */
import { Effect } from "effect"
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import * as Tiktoken from "../packages/tokenizer/src/Tiktoken.js"
import * as Tokenizer from "../packages/tokenizer/src/Tokenizer.js"

export type Results = Readonly<
  Record<string, { readonly tokens: number; readonly milliseconds: number; readonly longest: number }>
>

const [folder, name] = process.argv.slice(2) as [string, string]
const read = (file: string) => readFileSync(join(folder, name, file), "utf8")
// The library cuts no long runs.
const kimi = { ...Tiktoken.kimi({ "[BOS]": 163584, "[EOS]": 163585 }), cutsLongRuns: false }
// Kimi's tokenizer is a file of tiktoken.
const tokenizer = name.startsWith("Kimi") && existsSync(join(folder, name, "tiktoken.model"))
  ? Effect.runSync(
    Tiktoken.make({ ranks: read("tiktoken.model"), encoding: kimi })
  )
  : Effect.runSync(Tokenizer.make({ tokenizerJson: JSON.parse(read("tokenizer.json")) }))

const texts = JSON.parse(readFileSync(join(folder, "texts.json"), "utf8")) as Record<string, ReadonlyArray<string>>
const results: Record<string, Results[string]> = {}
for (const [kind, all] of Object.entries(texts)) {
  let tokens = 0
  let milliseconds = 0
  let longest = 0
  for (const [i, text] of all.entries()) {
    const start = performance.now()
    const { length } = tokenizer.encode(text)
    if (i === 0) continue
    tokens += length
    milliseconds += performance.now() - start
    let before = performance.now()
    for (const _ of tokenizer.encodeSteps!(text)) {
      const now = performance.now()
      longest = Math.max(longest, now - before)
      before = now
    }
  }
  results[kind] = { tokens, milliseconds, longest }
}
console.log(JSON.stringify(results))
