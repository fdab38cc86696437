/**
 * Holds this package against what `shipped_tokenizers.py` has written into a folder.
 *
 * `node --import tsx packages/tokenizer/scripts/compareShipped.ts FOLDER`
 */
import { Effect } from "effect"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import * as Tiktoken from "../src/Tiktoken.js"
import * as Tokenizer from "../src/Tokenizer.js"

interface Reference {
  readonly texts: ReadonlyArray<string>
  readonly tokenizers: ReadonlyArray<{
    readonly name: string
    readonly patterns: ReadonlyArray<string>
    readonly composes: boolean
    readonly special: Readonly<Record<string, number>>
    readonly encoded: ReadonlyArray<ReadonlyArray<number>>
    readonly decoded: ReadonlyArray<string>
  }>
}

const folder = process.argv[2]!
const reference = JSON.parse(readFileSync(join(folder, "reference.json"), "utf8")) as Reference
let wrong = 0
for (const expected of reference.tokenizers) {
  const read = (file: string) => readFileSync(join(folder, expected.name, file), "utf8")
  const made: Array<readonly [string, Tokenizer.Service]> = [
    ["tokenizer.json", Effect.runSync(Tokenizer.make({ tokenizerJson: JSON.parse(read("tokenizer.json")) }))]
  ]
  if (expected.patterns.length === 1 && !expected.composes) {
    const encoding = { pattern: expected.patterns[0]!, specialTokens: expected.special }
    made.push(["tiktoken.model", Effect.runSync(Tiktoken.make({ ranks: read("tiktoken.model"), encoding }))])
  }
  for (const [kind, tokenizer] of made) {
    let different = 0
    const start = performance.now()
    reference.texts.forEach((text, i) => {
      const tokens = expected.encoded[i]!
      const own = tokenizer.encode(text)
      const isSame = own.length === tokens.length && own.every((token, j) => token === tokens[j])
        && tokenizer.decode(tokens.slice(1, -1)) === expected.decoded[i]
      if (!isSame && different++ < 3) console.log(JSON.stringify(text), Array.from(own), tokens)
    })
    for (const [name, id] of Object.entries(expected.special)) {
      const around = tokenizer.encode("light is")
      const own = tokenizer.encode(`light is${name}light is`, { parseSpecialTokens: true })
      if (own.join() !== [...around, id, ...around].join() || tokenizer.decode([id]) !== name) different += 1
    }
    wrong += different
    console.log(
      `${expected.name}, ${kind}: ${different} of ${reference.texts.length} different`,
      (performance.now() - start).toFixed(0)
    )
  }
}
if (wrong > 0) process.exitCode = 1
