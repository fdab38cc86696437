import { Tokenizer } from "@effect-tinker/tokenizer"
import { NodeContext } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as ModelFolder from "../src/ModelFolder.js"
import * as ShippedModel from "../src/ShippedModel.js"
import { localEngine } from "./internal/localEngine.js"

const ShippedTokenizer = Tokenizer.layerFolder(ShippedModel.folder).pipe(Layer.provide(NodeContext.layer))

it.effect("goes by its name, and its tokenizer fits its vocabulary", () =>
  Effect.gen(function*() {
    const description = yield* ModelFolder.describe(ShippedModel.folder)
    const tokenizer = yield* Tokenizer.Tokenizer
    assert.strictEqual(description.name, ShippedModel.name)
    assert.isTrue(description.hasTokenizer)
    assert.isAtMost(tokenizer.vocabularySize, description.config.vocabularySize)
    assert.include(description.eosTokens, tokenizer.eosToken)
  }).pipe(Effect.provide(ShippedTokenizer)))

it.effect("finds what people say to each other far likelier than the same words in disorder", () =>
  Effect.gen(function*() {
    const description = yield* ModelFolder.describe(ShippedModel.folder)
    const weights = yield* ModelFolder.weights(description)
    const tokenizer = yield* Tokenizer.Tokenizer
    const nllPerToken = (text: string) =>
      Effect.promise(async () => {
        const engine = await localEngine(description.config, weights)
        await engine.createSampler("base", { baseModel: "base" })
        const prompt = tokenizer.encode(text)
        const { promptLogprobs } = await engine.sample("base", {
          prompt,
          numSamples: 1,
          maxTokens: 1,
          temperature: 0,
          topK: -1,
          topP: 1,
          seed: 0,
          stopTokens: [],
          stopStrings: [],
          promptLogprobs: true,
          topkPromptLogprobs: 0
        })
        const sum = Array.from(promptLogprobs!.slice(1)).reduce((sum, each) => sum + each, 0)
        return -sum / (prompt.length - 1)
      })
    const ordered = yield* nllPerToken("Hello, I am Sara. Hello, Sara. How are you?")
    const disordered = yield* nllPerToken("are Hello, Sara. am you? Hello, I How Sara.")
    assert.isBelow(ordered, 2)
    assert.isAbove(disordered, ordered + 2)
  }).pipe(Effect.provide(ShippedTokenizer)))
