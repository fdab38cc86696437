/**
 * Tokens a second of five tokenizers on five kinds of text, by the Python library `tokenizers` on one thread and by ours.
 *
 * `npm run bench:tokenize -- --rounds 1 --tokenizers Qwen3`
 */
import { execFileSync } from "node:child_process"
import { existsSync, renameSync } from "node:fs"
import { dirname, join } from "node:path"
import { parseArgs } from "node:util"
import { alternate, cookbookPython, printLine, runClient, runOurs } from "./rounds.js"
import type { Results } from "./tokenizeClient.js"

const options = parseArgs({
  options: {
    rounds: { type: "string", default: "3" },
    tokenizers: { type: "string", default: "Qwen3,Harmony,DeepSeekV3,KimiK26,Llama2" }
  }
}).values

const python = cookbookPython()
// Beside the environment that they are made with, once.
const folder = join(dirname(dirname(dirname(python))), "tokenizers-of-the-benchmark")
if (!existsSync(folder)) {
  execFileSync(python, ["bench/tokenize_files.py", `${folder}.new`], { stdio: "inherit" })
  renameSync(`${folder}.new`, folder)
}

for (const name of options.tokenizers.split(",")) {
  const results = await alternate(
    Number(options.rounds),
    () => runClient<Results>(python, ["bench/tokenize_reference.py", folder, name]),
    () => runOurs<Results>("tokenizeClient.ts", [folder, name])
  )
  for (const kind of Object.keys(results.ours[0]!)) {
    const ours = results.ours.map((one) => one[kind]!)
    const theirs = results.python.map((one) => one[kind]!)
    if (ours[0]!.tokens !== theirs[0]!.tokens) {
      throw new Error(`${name} makes other tokens of ${kind} than the Python library`)
    }
    const rate = ({ milliseconds, tokens }: { readonly milliseconds: number; readonly tokens: number }) =>
      tokens / milliseconds
    printLine({
      what: `${name}, ${kind}`,
      unit: "thousand/s",
      python: theirs.map(rate),
      ours: ours.map(rate),
      wanted: "at least 0.2 of Python"
    })
    printLine({
      what: `${name}, ${kind}: longest before a stop`,
      unit: "ms",
      ours: ours.map(({ longest }) => longest),
      wanted: "at most 20 ms"
    })
  }
}
