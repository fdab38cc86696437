import { assert, it } from "@effect/vitest"
import { FastCheck } from "effect"
import { TensorData } from "effect-tinker"
import type { ForwardBackwardOutput } from "effect-tinker"
import { combineOutputs } from "../src/internal/training/combineOutputs.js"

const output = (
  metrics: Record<string, number>,
  count = 1
): ForwardBackwardOutput.ForwardBackwardOutput => ({
  lossFnOutputType: "TorchLossReturn",
  lossFnOutputs: Array.from({ length: count }, () => ({})),
  metrics
})

const combined = (...outputs: ReadonlyArray<ForwardBackwardOutput.ForwardBackwardOutput>) =>
  combineOutputs(outputs).metrics

it("joins sums, and takes the least and the greatest", () => {
  assert.deepStrictEqual(
    combined(output({ "a:sum": 1.5, "b:min": 2, "c:max": 0.8 }), output({ "a:sum": 2, "b:min": -1, "c:max": 0.9 })),
    { "a:sum": 3.5, "b:min": -1, "c:max": 0.9 }
  )
  assert.isNaN(combined(output({ "b:min": NaN }), output({ "b:min": 1 }))["b:min"])
})

it("weighs means by the number of outputs, and slack is how far the greatest is above", () => {
  const metrics = combined(output({ "m:mean": 1, "s:slack": 1 }, 1), output({ "m:mean": 3, "s:slack": 3 }, 3))
  assert.deepStrictEqual(metrics, { "m:mean": 2.5, "s:slack": 0.5 })
  assert.closeTo(combined(output({ "m:mean": 0.5 }), output({ "m:mean": 0.6 }))["m:mean"]!, 0.55, 1e-12)
})

it("reduces the values of all data to the same, however they are split into chunks", () => {
  const integers = FastCheck.array(FastCheck.integer({ min: -1000, max: 1000 }), { minLength: 1, maxLength: 8 })
  const measured = (values: ReadonlyArray<number>) => {
    const sum = values.reduce((a, b) => a + b, 0)
    return output({
      "a:sum": sum,
      "a:mean": sum / values.length,
      "a:min": Math.min(...values),
      "a:max": Math.max(...values)
    }, values.length)
  }
  FastCheck.assert(
    FastCheck.property(FastCheck.array(integers, { minLength: 1, maxLength: 6 }), (chunks) => {
      const metrics = combined(...chunks.map(measured))
      for (const [name, value] of Object.entries(measured(chunks.flat()).metrics)) {
        assert.closeTo(metrics[name]!, value, 1e-9)
      }
    })
  )
})

it("joins the hashes of older servers as it does those of newer ones", () => {
  for (const name of ["h:hash2", "h:hash_unordered"]) {
    assert.deepStrictEqual(combined(output({ [name]: 5 }), output({ [name]: -3 })), { [name]: 2 })
    assert.deepStrictEqual(combined(output({ [name]: -3 }), output({ [name]: 5 })), { [name]: 2 })
    assert.deepStrictEqual(combined(output({ [name]: 2 ** 63 }), output({ [name]: 2 ** 63 })), { [name]: 0 })
    assert.deepStrictEqual(combined(output({ [name]: 7 })), { [name]: 7 })
  }
})

it("takes the plain mean when no chunk has outputs", () => {
  assert.deepStrictEqual(combined(output({ "m:mean": 1, "s:slack": 1 }, 0), output({ "m:mean": 3, "s:slack": 3 }, 0)), {
    "m:mean": 2,
    "s:slack": 1
  })
})

it("adds hashes as integers modulo 2^64", () => {
  const large = 2 ** 64 - 2048
  assert.deepStrictEqual(combined(output({ "h:hash2": 5 }), output({ "h:hash2": -3 })), { "h:hash2": 2 })
  assert.deepStrictEqual(combined(output({ "h:hash2": large }), output({ "h:hash2": 4096.7 })), { "h:hash2": 2048 })
  assert.isNaN(combined(output({ "h:hash2": NaN }), output({ "h:hash2": 1 }))["h:hash2"])
})

it("keeps every value of unique and of reductions it does not know", () => {
  assert.deepStrictEqual(
    combined(
      output({ "u:unique": 12345, "x:new": 1 }),
      output({ "u:unique": 12346, "x:new": 2 }),
      output({
        "u:unique": 12347,
        "x:new": 3
      })
    ),
    {
      "u:unique": 12345,
      "u:unique_1": 12346,
      "u:unique_2": 12347,
      "x:new": 1,
      "x:new_1": 2,
      "x:new_2": 3
    }
  )
})

it("loses no value of a metric without a colon, even one that is called like a reduction", () => {
  assert.deepStrictEqual(combined(output({ sum: 1, a: 2 }), output({ sum: 3, a: 4 })), {
    sum: 1,
    sum_1: 3,
    a: 2,
    a_1: 4
  })
  assert.deepStrictEqual(combined(output({ "a:b:mean": 1 }), output({ "a:b:mean": 2 })), { "a:b:mean": 1.5 })
})

it("gives kept values names that no other metric has", () => {
  assert.deepStrictEqual(
    combined(output({ "u:unique": 1, "u:unique_1": 9 }), output({ "u:unique": 2 })),
    { "u:unique": 1, "u:unique_2": 2, "u:unique_1": 9 }
  )
})

it("joins a metric that a chunk lacks over the chunks that have it", () => {
  assert.deepStrictEqual(
    combined(output({ "a:sum": 1 }), output({ "b:sum": 2, "m:mean": 4 }, 2), output({ "a:sum": 5, "m:mean": 1 }, 1)),
    { "a:sum": 6, "b:sum": 2, "m:mean": 3 }
  )
})

it("passes the output of one chunk on as it is", () => {
  const only = output({ "a:sum": 1, "odd name": 2, "x:hash2": 0.5 })
  assert.strictEqual(combineOutputs([only]), only)
})

it("puts outputs of different shapes and dtypes one after another, in the order of the chunks", () => {
  const first = { logprobs: TensorData.float32([-1, -2]) }
  const second = { logprobs: TensorData.int64([3, 4, 5, 6], [2, 2]) }
  const joined = combineOutputs([
    { ...output({}), lossFnOutputs: [first] },
    { ...output({}), lossFnOutputType: "Other", lossFnOutputs: [second, first] }
  ])
  assert.deepStrictEqual(joined.lossFnOutputs, [first, second, first])
  assert.strictEqual(joined.lossFnOutputType, "TorchLossReturn")
  assert.deepStrictEqual(combineOutputs([]), { lossFnOutputType: "", lossFnOutputs: [], metrics: {} })
})

it("takes thousands of chunks", () => {
  const outputs = Array.from({ length: 200_000 }, (_, i) => output({ "a:max": i, "b:min": i }, 0))
  assert.deepStrictEqual(combineOutputs(outputs).metrics, { "a:max": 199_999, "b:min": 0 })
})
