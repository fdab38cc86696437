import { Tokenizer } from "@effect-tinker/tokenizer"
import { assert, it } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import { AdamParams, ServiceClient } from "effect-tinker"
import * as ExactAnswers from "../src/ExactAnswers.js"
import * as LearningRateSchedule from "../src/LearningRateSchedule.js"
import * as Supervised from "../src/Supervised.js"
import { bytes, chat, client, createModel } from "./fixture.js"

const chats = [
  chat("One?", "abc", { template: "taught" }),
  chat("Two?", "xyz", { template: "other" }),
  chat("Three?", "abc", { template: "taught" })
]

/** A table of pairs of bytes can learn the end of an answer where it is made of two tokens. */
const layerEnds = Layer.succeed(Tokenizer.Tokenizer, {
  ...bytes,
  encode: (text) => bytes.encode(text.replaceAll("\n\n", "\u0001").replaceAll("user:", "\u0002")),
  decode: (tokens) => bytes.decode(tokens).replaceAll("\u0001", "\n\n").replaceAll("\u0002", "user:")
})

it.effect("counts what is answered letter for letter, by group, before and after training", () =>
  Effect.gen(function*() {
    const service = yield* ServiceClient.ServiceClient
    const base = yield* ExactAnswers.measure(yield* service.createSamplingClient({ baseModel: "bigram" }), chats)
    assert.strictEqual(base.exact, 0)

    const training = yield* createModel
    const data = yield* Supervised.dataFromChats(chats.filter(({ metadata }) => metadata["template"] === "taught"))
    yield* Supervised.batches(data, { batchSize: 2, epochs: 30 }).pipe(
      Supervised.steps(training, {
        adamParams: AdamParams.make({ learningRate: 0.5 }),
        schedule: LearningRateSchedule.constant
      }),
      Stream.runDrain
    )
    const report = yield* ExactAnswers.measure(yield* training.saveWeightsAndGetSamplingClient(), chats)
    assert.deepInclude(report, {
      exact: 2,
      total: 3,
      groups: [{ name: "taught", exact: 2, total: 2 }, { name: "other", exact: 0, total: 1 }]
    })
    assert.deepStrictEqual(report.answers.map((answer) => answer.given), ["abc", "abc", "abc"])
    assert.deepStrictEqual(report.answers.map((answer) => answer.expected), ["abc", "xyz", "abc"])
  }).pipe(Effect.provide(layerEnds), Effect.provide(client())))

it.effect("groups by whatever it is told", () =>
  Effect.gen(function*() {
    const service = yield* ServiceClient.ServiceClient
    const sampling = yield* service.createSamplingClient({ baseModel: "bigram" })
    const report = yield* ExactAnswers.measure(sampling, chats, {
      group: ({ messages }) => String(messages[0]!.content.length)
    })
    assert.deepStrictEqual(report.groups.map(({ name, total }) => [name, total]), [["4", 2], ["6", 1]])
  }).pipe(Effect.provide(client())))
