import { assert, it } from "@effect/vitest"
import { Sampler } from "../src/index.js"
import { Transitions } from "../src/internal/bigram/transitions.js"

const vocabulary = 40

const options = [
  { temperature: 1, topK: -1, topP: 1 },
  // Most tokens have no probability left, among them often the last.
  { temperature: 0.002, topK: -1, topP: 1 },
  { temperature: 1, topK: 7, topP: 1 },
  { temperature: 1, topK: -1, topP: 0.3 },
  { temperature: 0, topK: -1, topP: 1 }
]

const bounds = [2 ** -20, 0.25, 0.5, 0.75, 1 - 2 ** -20]

for (const option of options) {
  it(`are drawn as from the distribution, by any number and after any token (${JSON.stringify(option)})`, () => {
    const random = Sampler.makeRandom(5)
    const rows = Array.from(
      { length: vocabulary },
      () => Float32Array.from({ length: vocabulary }, () => 4 * random() - 2)
    )
    const distribution = (token: number) => Sampler.distribution(rows[token]!, option)
    const transitions = new Transitions(vocabulary, (token) => ({
      distribution: distribution(token),
      logits: rows[token]!
    }))
    for (let token = 0; token < vocabulary; token++) {
      for (const share of [...bounds, ...Array.from({ length: 200 }, random)]) {
        const place = transitions.draw(token, share)
        const drawn = transitions.tokenAt(place)
        assert.strictEqual(drawn, Sampler.draw(distribution(token), () => share))
        assert.strictEqual(transitions.logprobAt(place), Sampler.logprobAt(rows[token]!, drawn))
      }
    }
  })
}
