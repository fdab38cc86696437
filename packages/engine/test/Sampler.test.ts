import { assert, describe, it } from "@effect/vitest"
import { Sampler } from "../src/index.js"

const logits = Float32Array.from([0.3, 2.1, -1, 1.4, -Infinity, 0.9, 1.4, -3])
const everything = { temperature: 1, topK: -1, topP: 1 }

const softmax = (values: ReadonlyArray<number>) => {
  const weights = values.map((value) => Math.exp(value))
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  return weights.map((weight) => weight / total)
}

/** Counts of ten thousand draws. */
const counts = (options: Sampler.ChooseOptions, seed: number) => {
  const random = Sampler.makeRandom(seed)
  const counts = new Array<number>(logits.length).fill(0)
  for (let i = 0; i < 10_000; i++) counts[Sampler.choose(logits, options, random)]! += 1
  return counts
}

/** Sum of (observed − expected)² / expected over the tokens that can occur; the others must not. */
const chiSquare = (observed: ReadonlyArray<number>, probabilities: ReadonlyArray<number>) => {
  let sum = 0
  probabilities.forEach((probability, token) => {
    if (probability === 0) assert.strictEqual(observed[token], 0, `token ${token} cannot occur`)
    else sum += (observed[token]! - 10_000 * probability) ** 2 / (10_000 * probability)
  })
  return sum
}

/** The distribution over `kept`, at a temperature. */
const over = (kept: ReadonlyArray<number>, temperature: number) => {
  const probabilities = softmax(kept.map((token) => logits[token]! / temperature))
  return Array.from(logits, (_, token) => kept.includes(token) ? probabilities[kept.indexOf(token)]! : 0)
}

// The bounds are the 0.999 quantiles of the chi-square distribution with 6, 2 and 3 degrees of freedom.
describe("Sampler", () => {
  it("draws in proportion to the exponentials of the logits", () => {
    assert.isBelow(chiSquare(counts(everything, 1), over([0, 1, 2, 3, 5, 6, 7], 1)), 22.46)
  })

  it("divides logits by the temperature", () => {
    assert.isBelow(chiSquare(counts({ ...everything, temperature: 2 }, 2), over([0, 1, 2, 3, 5, 6, 7], 2)), 22.46)
  })

  it("keeps the k most probable tokens", () => {
    assert.isBelow(chiSquare(counts({ ...everything, topK: 3 }, 3), over([1, 3, 6], 1)), 13.82)
  })

  it("keeps a token while the probability before it is below p", () => {
    // Probabilities, best first: 0.3945, 0.1959, 0.1959, 0.1188, 0.0652, …: the third token is the last that begins below
    // 0.7 and the fourth the last that begins below 0.8.
    assert.isBelow(chiSquare(counts({ ...everything, topP: 0.7 }, 4), over([1, 3, 6], 1)), 13.82)
    assert.isBelow(chiSquare(counts({ ...everything, topP: 0.8 }, 5), over([1, 3, 5, 6], 1)), 16.27)
  })

  it("cuts to the top p of what the top k left, after the temperature", () => {
    // At temperature 2 the best four have 0.337, 0.237, 0.237, 0.185 between them.
    assert.isBelow(chiSquare(counts({ temperature: 2, topK: 4, topP: 0.5 }, 6), over([1, 3], 2)), 10.83)
  })

  it("always keeps one token", () => {
    assert.deepStrictEqual(counts({ ...everything, topP: 0 }, 7)[1], 10_000)
    assert.deepStrictEqual(counts({ temperature: 1e-40, topK: 5, topP: 0 }, 7)[1], 10_000)
  })

  it("chooses from all tokens where k is 0 or less", () => {
    for (const topK of [0, -1, -7]) {
      assert.deepStrictEqual(counts({ ...everything, topK }, 8), counts({ ...everything, topK: logits.length }, 8))
    }
  })

  it("takes the most probable token at temperature 0, and the lower of two", () => {
    assert.strictEqual(Sampler.choose(logits, { ...everything, temperature: 0 }, () => 0.999), 1)
    assert.strictEqual(Sampler.argmax(Float32Array.from([1, 2, 2])), 1)
  })

  it("repeats its numbers for the same seed and has others for another, even beyond 32 bits", () => {
    const numbers = (seed: number) => {
      const random = Sampler.makeRandom(seed)
      return Array.from({ length: 5 }, random)
    }
    assert.deepStrictEqual(numbers(7), numbers(7))
    assert.notDeepEqual(numbers(7), numbers(8))
    assert.notDeepEqual(numbers(7), numbers(7 + 2 ** 32))
    assert.isTrue(numbers(0).every((number) => number >= 0 && number < 1))
  })

  it("gives log-probabilities that sum to one, also of large logits", () => {
    const large = Float32Array.from([1000, 999, 998])
    const total = [0, 1, 2].reduce((sum, token) => sum + Math.exp(Sampler.logprobAt(large, token)), 0)
    assert.closeTo(total, 1, 1e-6)
    assert.strictEqual(Sampler.logprobAt(large, 0), Math.fround(-Math.log(1 + Math.exp(-1) + Math.exp(-2))))
  })

  it("reports the most probable tokens, best first, with the log-probabilities of the whole vocabulary", () => {
    const { logprobs, tokenIds } = Sampler.topk(logits, 4)
    assert.deepStrictEqual([...tokenIds], [1, 3, 6, 5])
    assert.deepStrictEqual([...logprobs], [1, 3, 6, 5].map((token) => Sampler.logprobAt(logits, token)))
    assert.strictEqual(Sampler.topk(logits, 100).tokenIds.length, logits.length)
  })

  it("finds the same tokens as comparing all of them would, be it few or many", () => {
    const random = Sampler.makeRandom(11)
    const some = Float32Array.of(0, -0, 1e-40, -1e-40, 3e38, -3e38, -Infinity)
    const many = Float32Array.from(
      { length: 2000 },
      (_, i) => i % 50 === 0 ? some[(i / 50) % some.length]! : Math.floor(random() * 300) / 8 - 20
    )
    const sorted = Array.from(many, (_, token) => token).sort((a, b) => many[b]! - many[a]! || a - b)
    for (const k of [20, 1000, 2000]) {
      assert.deepStrictEqual([...Sampler.topk(many, k).tokenIds], sorted.slice(0, k))
    }
  })

  it("tells the log-probabilities of what is drawn from, and leaves out what cannot be drawn", () => {
    const logits = Float32Array.from([1, 3, 2, -1])
    const processedBy = (options: Sampler.ChooseOptions) =>
      Sampler.processed(logits, Sampler.distribution(logits, options), options)
    const processed = processedBy({ temperature: 0.5, topK: 3, topP: 0.9 })
    // Of the three best at half the temperature the second brings the sum over 0.9, and is the last that is kept.
    const weights = [Math.exp(6), Math.exp(4)]
    const total = weights[0]! + weights[1]!
    assert.closeTo(Sampler.logprobAt(processed, 1), Math.log(weights[0]! / total), 1e-6)
    assert.closeTo(Sampler.logprobAt(processed, 2), Math.log(weights[1]! / total), 1e-6)
    assert.strictEqual(Sampler.logprobAt(processed, 0), -Infinity)
    const { logprobs, tokenIds } = Sampler.joinTopk(3, [Sampler.topk(processed, 3)])
    assert.deepStrictEqual(Array.from(tokenIds), [1, 2, 0])
    assert.strictEqual(logprobs[2], -99999)
    assert.strictEqual(processedBy({ temperature: 0, topK: 0, topP: 1 }), logits)
  })

  for (const temperature of [1, 0.1, 0.01, 1e-3, 1e-4, 1e-40]) {
    it(`tells the log-probabilities of what is drawn from as float64 has them, at temperature ${temperature}`, () => {
      const random = Sampler.makeRandom(12)
      // Large logits, of which some stay likely: the best lie no further apart than a few temperatures.
      const logits = Float32Array.from(
        { length: 300 },
        (_, token) => token < 6 ? 14 + 6 * temperature * random() : 12 * random()
      )
      for (const [topK, topP] of [[0, 1], [4, 1], [-1, 0.9], [5, 0.5]] as const) {
        const options = { temperature, topK, topP }
        const distribution = Sampler.distribution(logits, options)
        const processed = Sampler.processed(logits, distribution, options)
        const tokens = Array.from(distribution.tokens ?? logits.keys())
        const max = Math.max(...tokens.map((token) => logits[token]!))
        const scaled = (token: number) => (logits[token]! - max) / temperature
        const total = Math.log(tokens.reduce((sum, token) => sum + Math.exp(scaled(token)), 0))
        const likely = tokens.filter((token) => scaled(token) > -16)
        for (const token of [...likely, ...Array.from({ length: 20 }, () => Sampler.draw(distribution, random))]) {
          assert.closeTo(Sampler.logprobAt(processed, token), scaled(token) - total, 1e-6)
        }
      }
    })
  }
})
