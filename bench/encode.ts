/**
 * Building and encoding training data, and decoding a result, by the Python SDK's own types and conversion and by ours.
 * Every datum has tokens, targets and weights.
 *
 * `npm run bench:encode -- --rounds 1`
 */
import { parseArgs } from "node:util"
import type { Results } from "./encodeClient.js"
import { alternate, printLine, runOurs, runPython } from "./rounds.js"

const options = parseArgs({ options: { rounds: { type: "string", default: "3" } } }).values

const { ours, python } = await alternate(
  Number(options.rounds),
  () => runPython<Results>("encode.py", []),
  () => runOurs<Results>("encodeClient.ts", [])
)

const print = (what: string, key: keyof Results, wanted?: string) => {
  for (const [label, figure] of [["CPU time", "cpu"], ["time", "wall"]] as const) {
    printLine({
      what: `${what}: ${label}`,
      unit: "ms",
      python: python.map((results) => results[key][figure]),
      ours: ours.map((results) => results[key][figure]),
      ...(wanted === undefined ? {} : { wanted })
    })
  }
}
print("encode 10 x 65,536 tokens from arrays", "longFromArrays", "at most 10 ms")
print("encode 10 x 65,536 tokens from lists", "longFromLists")
print("encode 128 x 2,048 tokens from arrays", "manyFromArrays", "at most 6 ms")
print("encode 128 x 2,048 tokens from lists", "manyFromLists")
print("decode 128 x 2,048 log-probabilities", "decode", "at most 0.5 ms")
