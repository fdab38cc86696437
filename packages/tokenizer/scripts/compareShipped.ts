/**
 * Holds this package against what `shipped_tokenizers.py` has written into a folder, and what is kept for the tests against that; with
 * `--write` it is kept anew.
 *
 * `node --import tsx packages/tokenizer/scripts/compareShipped.ts FOLDER`
 */
import { Effect } from "effect"
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as Tiktoken from "../src/Tiktoken.js"
import * as Tokenizer from "../src/Tokenizer.js"
import { type Expected, packed, stored, unpacked } from "./storedShipped.js"

const folder = process.argv[2]!
const kept = new URL("../test/fixtures/shippedTokenizers.json.br", import.meta.url)
const read = (name: string, file: string) => readFileSync(join(folder, name, file), "utf8")
const reference = JSON.parse(readFileSync(join(folder, "reference.json"), "utf8")) as {
  readonly texts: ReadonlyArray<string>
  readonly tokenizers: ReadonlyArray<Expected>
}

let wrong = 0
for (const expected of reference.tokenizers) {
  const made: Array<readonly [string, Tokenizer.Service]> = [
    [
      "tokenizer.json",
      Effect.runSync(Tokenizer.make({ tokenizerJson: JSON.parse(read(expected.name, "tokenizer.json")) }))
    ]
  ]
  if (expected.patterns.length === 1 && !expected.composes) {
    const encoding = { pattern: expected.patterns[0]!, specialTokens: expected.special }
    made.push([
      "tiktoken.model",
      Effect.runSync(Tiktoken.make({ ranks: read(expected.name, "tiktoken.model"), encoding }))
    ])
  }
  for (const [kind, tokenizer] of made) {
    let different = 0
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
    console.log(`${expected.name}, ${kind}: ${different} of ${reference.texts.length} texts different`)
  }
}

const value = stored(reference.texts, reference.tokenizers, (name) => read(name, "tiktoken.model"))
if (process.argv.includes("--write")) writeFileSync(kept, packed(value))
else if (JSON.stringify(unpacked(readFileSync(kept))) !== JSON.stringify(value)) {
  console.log("what is kept for the tests is no longer what the Python libraries give; --write keeps it anew")
  wrong += 1
}
if (wrong > 0) process.exitCode = 1
