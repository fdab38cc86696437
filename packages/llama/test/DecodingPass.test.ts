import { assert, describe, it } from "@effect/vitest"
import * as DecodingPass from "../src/DecodingPass.js"
import * as KeyValueCache from "../src/KeyValueCache.js"
import * as Llama from "../src/Llama.js"
import * as Lora from "../src/Lora.js"
import * as OnnxRuntime from "../src/OnnxRuntime.js"
import { hashedSnapshot, maxDifference, smallLlama } from "./internal/localEngine.js"
import { hashedTokens, hashedWeights } from "./internal/numbers.js"

const config = smallLlama
const weights = hashedWeights(Llama.weightShapes(config))
const snapshot = hashedSnapshot(config, 4)
const targets: Lora.Targets = { trainAttn: true, trainMlp: false, trainUnembed: false }
const adapter: DecodingPass.Adapter = {
  ...targets,
  rank: 4,
  weights: new Map(
    Array.from(Lora.shapes(config, targets, 4).keys(), (name) => [name, snapshot.weights.get(name)!.data])
  )
}

const logitsOf = async (
  options: { readonly maxGraphBytes?: number; readonly maxConstantBytes?: number },
  adapter?: DecodingPass.Adapter
) => {
  let sessions = 0
  let inputs: ReadonlySet<string> = new Set()
  const runtime = await OnnxRuntime.load({ threads: 1 })
  const pass = DecodingPass.make({
    runtime: {
      ...runtime,
      session: async (...model) => {
        sessions += 1
        const session = await runtime.session(...model)
        return {
          ...session,
          run: (feeds) => {
            inputs = new Set(Object.keys(feeds))
            return session.run(feeds)
          }
        }
      }
    },
    config,
    weights,
    ...options
  })
  await pass.compile(undefined)
  const compiled = await pass.compile(adapter)
  const cache = KeyValueCache.make(config)
  cache.resize(2, 12)
  const tokens = hashedTokens(3, 10, config.vocabularySize)
  const first = await compiled.advance(cache, { first: 0, starts: [0, 0], tokens, chosen: [4, 9] })
  const second = await compiled.advance(cache, { first: 0, starts: [5, 5], tokens: tokens.slice(0, 2), chosen: [0, 1] })
  return { sessions, inputs, logits: [...first.logits, ...second.logits], probabilities: second.probabilities }
}

describe("DecodingPass", () => {
  it("has one graph for all adapters of a large model, with the numbers of a graph for each", async () => {
    for (const each of [adapter, undefined]) {
      const small = await logitsOf({}, each)
      const large = await logitsOf({ maxGraphBytes: 0 }, each)
      assert.deepStrictEqual([small.sessions, large.sessions], [each === undefined ? 1 : 2, 1])
      assert.isBelow(maxDifference(large.logits, small.logits), 1e-5)
    }
  })

  it("has the weights in its graph as far as the limit allows, and beyond as inputs, with the same numbers", async () => {
    const bytes = Array.from(weights.values()).reduce((sum, { byteLength }) => sum + byteLength, 0)
    const within = await logitsOf({ maxConstantBytes: bytes }, adapter)
    const beyond = await logitsOf({ maxConstantBytes: bytes - 1 }, adapter)
    for (const name of weights.keys()) {
      assert.isFalse(within.inputs.has(name), name)
      assert.isTrue(beyond.inputs.has(name), name)
    }
    assert.isBelow(maxDifference(beyond.logits, within.logits), 1e-5)
  })

  it("gives the softmax of its logits", async () => {
    const { logits, probabilities } = await logitsOf({}, adapter)
    const last = logits.slice(-config.vocabularySize).map(Math.exp)
    const total = last.reduce((sum, each) => sum + each, 0)
    assert.isBelow(maxDifference(probabilities.slice(-config.vocabularySize), last.map((each) => each / total)), 1e-6)
  })
})
