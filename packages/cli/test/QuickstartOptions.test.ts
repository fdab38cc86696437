import { ShippedModel } from "@effect-tinker/llama"
import { assert, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import * as QuickstartOptions from "../src/QuickstartOptions.js"

const given: QuickstartOptions.Flags = {
  data: Option.none(),
  ignoreKeys: Option.none(),
  model: Option.none(),
  steps: 10,
  rank: 4,
  learningRate: 1e-3,
  checkpointEvery: 5,
  out: Option.none(),
  remote: false,
  baseModel: Option.none(),
  tokenizer: Option.none()
}

it.effect("trains the shipped model on this machine unless told otherwise", () =>
  Effect.gen(function*() {
    const options = yield* QuickstartOptions.fromFlags(given)
    assert.deepStrictEqual(options.where, { _tag: "Local", modelFolder: ShippedModel.folder })
  }))

it.effect("takes a folder, or a model of a service", () =>
  Effect.gen(function*() {
    const local = yield* QuickstartOptions.fromFlags({ ...given, model: Option.some("m") })
    assert.deepStrictEqual(local.where, { _tag: "Local", modelFolder: "m" })
    const remote = yield* QuickstartOptions.fromFlags({
      ...given,
      remote: true,
      baseModel: Option.some("b"),
      tokenizer: Option.some("t")
    })
    assert.deepStrictEqual(remote.where, { _tag: "Remote", baseModel: "b", tokenizerFolder: "t" })
  }))

const wrong: ReadonlyArray<readonly [string, Partial<QuickstartOptions.Flags>]> = [
  ["--steps", { steps: 0 }],
  ["--rank", { rank: 0 }],
  ["--learning-rate", { learningRate: 0 }],
  ["--learning-rate", { learningRate: NaN }],
  ["--learning-rate", { learningRate: 5 }],
  ["--checkpoint-every", { checkpointEvery: 0 }],
  ["--ignore-keys", { data: Option.some("a"), ignoreKeys: Option.some("a,,b") }],
  ["--ignore-keys", { ignoreKeys: Option.some("a") }],
  ["--tokenizer", { tokenizer: Option.some("t") }],
  ["--base-model", { remote: true, model: Option.some("m") }],
  ["--remote", { baseModel: Option.some("b") }]
]

for (const [option, flags] of wrong) {
  it.effect(`names ${option} when it cannot be as in ${JSON.stringify(flags)}`, () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(QuickstartOptions.fromFlags({ ...given, ...flags }))
      assert.include(error.message, option)
    }))
}

it.effect("reads the keys that are of no account", () =>
  Effect.gen(function*() {
    const { ignoredKeys } = yield* QuickstartOptions.fromFlags({
      ...given,
      data: Option.some("a"),
      ignoreKeys: Option.some("id, timestamp")
    })
    assert.deepStrictEqual(ignoredKeys, ["id", "timestamp"])
  }))
