import { assert, it } from "@effect/vitest"
import { Either } from "effect"
import { ConsoleUrl, Identifiers } from "effect-tinker"

const sessionId = Identifiers.SessionId.make("S")
const modelId = Identifiers.ModelId.make("S:train:0")
const saved = "tinker://S:train:0/sampler_weights/final step"

for (const [where, base] of [[ConsoleUrl.hosted, undefined], ["http://localhost/c", "http://localhost/c/"]] as const) {
  it(`names each thing's page by its ids under ${where}`, () => {
    const pages = [
      ConsoleUrl.sessions({ base }),
      ConsoleUrl.session(sessionId, { base }),
      ConsoleUrl.trainingRun(modelId, { base }),
      Either.getOrThrow(ConsoleUrl.checkpoint("tinker://S:train:0/weights/a", { base })),
      Either.getOrThrow(ConsoleUrl.checkpoint(saved, { base })),
      Either.getOrThrow(ConsoleUrl.playground(saved, { base }))
    ]
    assert.deepStrictEqual(pages, [
      `${where}/sessions`,
      `${where}/sessions/S`,
      `${where}/training-runs/S:train:0`,
      `${where}/training-runs/S:train:0/checkpoints/weights/a`,
      `${where}/training-runs/S:train:0/checkpoints/sampler_weights/final%20step`,
      `${where}/playground?model=tinker%3A%2F%2FS%3Atrain%3A0%2Fsampler_weights%2Ffinal%20step`
    ])
  })
}

it("there is no playground for a checkpoint that was saved for training, and no page for what is no path", () => {
  for (const path of ["tinker://S:train:0/weights/a", "S:train:0/sampler_weights/a"]) {
    assert.isTrue(Either.isLeft(ConsoleUrl.playground(path)))
  }
  assert.isTrue(Either.isLeft(ConsoleUrl.checkpoint("no path")))
})
