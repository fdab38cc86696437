import { HttpClient } from "@effect/platform"
import { assert, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { Tinker } from "effect-tinker"

const nobody = Layer.succeed(HttpClient.HttpClient, HttpClient.make(() => Effect.dieMessage("nothing is to be sent")))

/** What people pass to the layer in place of its options, and what they are told. */
const mistakes: ReadonlyArray<readonly [options: unknown, told: RegExp]> = [
  [null, /options: are null; pass an object of apiKey/],
  [5, /options: are 5; /],
  ["tml-key", /options: are a text; /],
  [[], /options: are a list; /],
  [{ api_key: "tml-key" }, /api_key: is no option; it is called apiKey here/],
  [{ baseURL: "http://localhost" }, /baseURL: is no option; it is called baseUrl here/],
  [{ timeout: 5 }, /timeout: is no option; was requestTimeout meant\?/],
  [{ apiKey: "tml-key" }, /apiKey: must be a Redacted text, as Redacted\.make\(text\)/],
  [{ baseUrl: "localhost:8000" }, /baseUrl: "localhost:8000" is no address.*Check the option baseUrl/]
]

for (const [options, told] of mistakes) {
  it.effect(`Tinker.layer(${JSON.stringify(options)}) fails with what to do`, () =>
    Effect.gen(function*() {
      for (const layer of [Tinker.layer, Tinker.layerService]) {
        const error = yield* Effect.flip(Effect.scoped(Layer.build(layer(options as never))))
        assert.strictEqual(error._tag, "InvalidInputError")
        assert.match(error.message, told)
        assert.notInclude(error.message, "tml-key")
      }
    }).pipe(Effect.provide(nobody)))
}
