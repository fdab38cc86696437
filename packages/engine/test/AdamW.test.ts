import { assert, describe, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import { AdamW, type Engine } from "../src/index.js"

interface Fixture {
  readonly steps: ReadonlyArray<{
    readonly params: Engine.AdamWParams
    readonly norm: number
    readonly values?: Readonly<Record<string, ReadonlyArray<number>>>
  }>
}

const fixture: Fixture = JSON.parse(readFileSync(new URL("./fixtures/adamw.json", import.meta.url), "utf8"))

/** The numbers that the script which made the fixture uses. */
const numbers = (offset: number, length: number, step: number) =>
  Float32Array.from({ length }, (_, i) => Math.sin(0.7 * i + 1.3 * step + offset) * (1 + i % 3))

const params: Engine.AdamWParams = {
  learningRate: 0.1,
  beta1: 0.9,
  beta2: 0.95,
  eps: 1e-12,
  weightDecay: 0,
  gradClipNorm: 0
}

const one = (value: number) => new Map([["w", new Float32Array([value])]])

describe("AdamW", () => {
  it("agrees with torch over fifty steps of changing rate, decay, epsilon and clipping", () => {
    const parameters = new Map([["matrix", numbers(0, 12, 0)], ["vector", numbers(10, 5, 0)]])
    const state = AdamW.make()
    fixture.steps.forEach(({ norm, params, values }, i) => {
      const gradients = new Map([["matrix", numbers(100, 12, i + 1)], ["vector", numbers(110, 5, i + 1)]])
      const result = AdamW.step(parameters, gradients, state, params)
      assert.closeTo(result.unclippedGradNorm, norm, 1e-6)
      if (values === undefined) return
      for (const [name, expected] of Object.entries(values)) {
        expected.forEach((value, j) => assert.closeTo(parameters.get(name)![j]!, value, 1e-6, `${name}[${j}] at ${i}`))
      }
    })
    assert.strictEqual(state.step, 50)
  })

  it("moves each parameter by the learning rate in its first step, whatever the size of the gradient", () => {
    const parameters = new Map([["w", new Float32Array([0, 0])]])
    AdamW.step(parameters, new Map([["w", new Float32Array([1e-6, -1000])]]), AdamW.make(), params)
    assert.closeTo(parameters.get("w")![0]!, -0.1, 1e-6)
    assert.closeTo(parameters.get("w")![1]!, 0.1, 1e-6)
  })

  it("leaves a parameter where it is when its gradient is zero and epsilon too", () => {
    const parameters = one(3)
    AdamW.step(parameters, one(0), AdamW.make(), { ...params, eps: 0 })
    assert.strictEqual(parameters.get("w")![0], 3)
  })

  it("leaves a parameter without a gradient as it is", () => {
    const parameters = new Map([["w", new Float32Array([1])], ["other", new Float32Array([2])]])
    const state = AdamW.make()
    AdamW.step(parameters, one(1), state, { ...params, weightDecay: 0.5 })
    assert.strictEqual(parameters.get("other")![0], 2)
    assert.deepStrictEqual([...state.expAvg.keys()], ["w"])
  })

  it("changes nothing when the gradient is not finite", () => {
    const parameters = one(1)
    const state = AdamW.make()
    const { unclippedGradNorm } = AdamW.step(parameters, one(NaN), state, params)
    assert.isNaN(unclippedGradNorm)
    assert.strictEqual(parameters.get("w")![0], 1)
    assert.strictEqual(state.step, 0)
  })

  it("names the parameter that left the finite numbers, be it in its value or in what is remembered of it", () => {
    const firstNonFinite = (value: number, gradient: number) => {
      const parameters = one(value)
      const state = AdamW.make()
      AdamW.step(parameters, one(gradient), state, params)
      return AdamW.firstNonFinite(parameters, state)
    }
    assert.isUndefined(firstNonFinite(1, 1e18))
    assert.strictEqual(firstNonFinite(1, 1e21), "w")
    assert.strictEqual(firstNonFinite(Infinity, 1), "w")
  })
})
