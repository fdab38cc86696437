import { Tokenizer } from "@effect-tinker/tokenizer"
import { HttpClient, HttpClientResponse } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import { ConfigProvider, Effect, Layer } from "effect"
import { ModelInput, ServiceClient, TokenizerError, Tokenizers } from "effect-tinker"
import { readFileSync } from "node:fs"
import { client } from "./fixture.js"

const clients = Effect.gen(function*() {
  const service = yield* ServiceClient.ServiceClient
  const training = yield* service.createLoraTrainingClient({ baseModel: "bigram", rank: 4 })
  const sampling = yield* service.createSamplingClient({ baseModel: "bigram" })
  return { training, sampling, trained: yield* training.saveWeightsAndGetSamplingClient() }
})

const file = readFileSync(new URL("../../llama/model/tokenizer.json", import.meta.url), "utf8")

it.effect("clients know their tokenizers by what the server says of the model, and ask for nothing else", () =>
  Effect.gen(function*() {
    const { sampling, trained, training } = yield* clients
    const asked: Array<Tokenizers.ModelInfo> = []
    const tokenizer = yield* Tokenizer.make({ tokenizerJson: JSON.parse(file) })
    const forModel = (info: Tokenizers.ModelInfo) => Effect.sync(() => (asked.push(info), tokenizer))
    const all = yield* Effect.all([training.tokenizer, sampling.tokenizer, trained.tokenizer]).pipe(
      Effect.provideService(Tokenizers.Tokenizers, { forModel })
    )
    for (const one of all) assert.strictEqual(one, tokenizer)
    assert.deepStrictEqual(asked, [training.info, { modelName: "bigram" }, { modelName: "bigram" }])
    assert.strictEqual(training.info.modelData.modelName, "bigram")
  }).pipe(Effect.provide(client())))

it.effect("all clients of a program share one tokenizer, which is fetched once", () => {
  const asked: Array<string> = []
  const Hub = Layer.succeed(
    HttpClient.HttpClient,
    HttpClient.make((request, url) => {
      asked.push(url.pathname)
      const isThere = url.pathname.endsWith("/tokenizer.json")
      return Effect.succeed(
        HttpClientResponse.fromWeb(request, isThere ? new Response(file) : new Response(null, { status: 404 }))
      )
    })
  )
  return Effect.gen(function*() {
    const { sampling, trained, training } = yield* clients
    const all = yield* Effect.all([training.tokenizer, sampling.tokenizer, trained.tokenizer, training.tokenizer], {
      concurrency: "unbounded"
    }).pipe(Effect.provide(Tokenizer.layerTokenizers.pipe(Layer.provide([Hub, NodeContext.layer]))))
    assert.strictEqual(new Set(all).size, 1)
    assert.deepStrictEqual(asked, ["/bigram/resolve/main/tokenizer.json", "/bigram/resolve/main/tokenizer_config.json"])
    const prompt = ModelInput.fromText(all[0], "The light is lit.")
    assert.deepStrictEqual(ModelInput.toTokens(prompt), all[0].encode("The light is lit."))
  }).pipe(
    Effect.provide(client()),
    Effect.withConfigProvider(ConfigProvider.fromMap(new Map([["HOME", "/nowhere"]])))
  )
})

it.effect("a model without a tokenizer is an error of its own, which says what to do", () =>
  Effect.gen(function*() {
    const { sampling } = yield* clients
    const error = yield* Effect.flip(sampling.tokenizer).pipe(
      Effect.provide(Tokenizer.layerTokenizers.pipe(Layer.provide(NodeContext.layer)))
    )
    assert.instanceOf(error, TokenizerError.TokenizerError)
    assert.strictEqual(error.reason, "FolderMissing")
    assert.include(error.message, "bigram")
  }).pipe(
    Effect.provide(client()),
    Effect.withConfigProvider(ConfigProvider.fromMap(new Map([["HOME", "/nowhere"]])))
  ))
