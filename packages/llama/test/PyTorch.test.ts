import type { Engine } from "@effect-tinker/engine"
import { assert, describe, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import * as Llama from "../src/Llama.js"
import * as ModelFolder from "../src/ModelFolder.js"
import * as OnnxRuntime from "../src/OnnxRuntime.js"
import * as ShippedModel from "../src/ShippedModel.js"
import * as TrainingPass from "../src/TrainingPass.js"
import { adam, hashedSnapshot, localEngine, maxDifference } from "./internal/localEngine.js"
import { hashedArray, hashedTokens, hashedWeights } from "./internal/numbers.js"

/** What `scripts/torch_reference.py` writes; arrays are float32 in base64. */
interface Reference {
  readonly shape: Llama.Config
  readonly rank: number
  readonly lengths: ReadonlyArray<number>
  readonly logprobs: ReadonlyArray<string>
  /** Of two targets a token. */
  readonly softLogprobs: ReadonlyArray<string>
  readonly logprobsAfterFiveSteps: ReadonlyArray<string>
  readonly losses: Readonly<
    Record<string, {
      readonly elementwise: ReadonlyArray<string>
      readonly norms: Readonly<Record<string, number>>
      readonly gradients: Readonly<Record<string, string>>
    }>
  >
}

const read = (name: string): Reference =>
  JSON.parse(readFileSync(new URL(`./fixtures/${name}.json`, import.meta.url), "utf8"))

const floats = (text: string): Float32Array => {
  const bytes = Uint8Array.from(Buffer.from(text, "base64"))
  return new Float32Array(bytes.buffer)
}

const softSequences = (reference: Reference): ReadonlyArray<Engine.TrainingDatum> =>
  sequences(reference).map(({ tokens }, k) => ({
    tokens,
    targetTokens: hashedTokens(6000 + k, 2 * tokens.length, reference.shape.vocabularySize),
    targetsPerToken: 2,
    weights: hashedArray(7000 + k, 2 * tokens.length)
  }))

const sequences = ({ lengths, shape }: Reference): ReadonlyArray<Engine.TrainingDatum> =>
  lengths.map((length, k) => {
    const row = hashedTokens(2000 + k, length + 1, shape.vocabularySize)
    return {
      tokens: row.slice(0, -1),
      targetTokens: row.slice(1),
      weights: hashedArray(3000 + k, length),
      logprobs: hashedArray(4000 + k, length, 0.4, -Math.log(shape.vocabularySize)),
      advantages: hashedArray(5000 + k, length)
    }
  })

const shippedWeights = () => ModelFolder.weightsSync(ModelFolder.describeSync(ShippedModel.folder))

const losses: Readonly<Record<string, Engine.Loss>> = {
  cross_entropy: { _tag: "cross_entropy" },
  cross_entropy_2d: { _tag: "cross_entropy" },
  importance_sampling: { _tag: "importance_sampling" },
  ppo: { _tag: "ppo", clipLowThreshold: 0.8, clipHighThreshold: 1.2 },
  cispo: { _tag: "cispo", clipLowThreshold: 0, clipHighThreshold: 4 },
  dro: { _tag: "dro", beta: 0.3 }
}

const norm = (array: ArrayLike<number>): number => Math.hypot(...Array.from(array))

for (const name of ["qwen2", "qwen3", "llama3", "tiny", "shipped"]) {
  const reference = read(name)
  const { rank, shape } = reference
  const weights = name === "shipped" ? shippedWeights() : hashedWeights(Llama.weightShapes(shape))
  const data = sequences(reference)

  describe(`${name}, against PyTorch`, () => {
    // One graph serves all losses.
    const pass = OnnxRuntime.load({ threads: 2 }).then((runtime) =>
      TrainingPass.make({ runtime, config: shape, weights, maxActivationBytes: 2 ** 24 })
    )

    for (const [kind, loss] of Object.entries(losses)) {
      const expected = reference.losses[kind]!
      const isSoft = kind === "cross_entropy_2d"

      it(`has the log-probabilities, losses and gradients of ${kind}`, async () => {
        const { lora, weights: adapter } = hashedSnapshot(shape, rank)
        const result = await (await pass).run({
          lora,
          adapter: new Map(Array.from(adapter, ([name, { data }]) => [name, data])),
          data: isSoft ? softSequences(reference) : data,
          loss,
          gradient: true
        })
        result.outputs.forEach(({ elementwiseLoss, logprobs }, i) => {
          const wanted = (isSoft ? reference.softLogprobs : reference.logprobs)[i]!
          assert.isBelow(maxDifference(logprobs, floats(wanted)), 2e-5)
          assert.isBelow(maxDifference(elementwiseLoss, floats(expected.elementwise[i]!)), 5e-5)
        })
        for (const [tensor, gradient] of result.gradients) {
          assert.closeTo(norm(gradient), expected.norms[tensor]!, 1e-4 * expected.norms[tensor]!, tensor)
        }
        for (const [tensor, text] of Object.entries(expected.gradients)) {
          const difference = floats(text).map((value, i) => value - result.gradients.get(tensor)![i]!)
          assert.isBelow(norm(difference), 1e-4 * expected.norms[tensor]!, tensor)
        }
      })
    }

    it("has its log-probabilities after five steps of AdamW", async () => {
      const engine = await localEngine(shape, weights)
      await engine.restore("model", hashedSnapshot(shape, rank), { optimizer: false })
      const loss = { _tag: "cross_entropy" } as const
      for (let step = 0; step < 5; step++) {
        await engine.forwardBackward("model", { data, loss, gradient: true })
        await engine.optimStep("model", adam)
      }
      const { outputs } = await engine.forwardBackward("model", { data, loss, gradient: false })
      outputs.forEach(({ logprobs }, i) => {
        assert.isBelow(maxDifference(logprobs, floats(reference.logprobsAfterFiveSteps[i]!)), 1e-3)
      })
    })
  })
}
