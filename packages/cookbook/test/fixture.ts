import { BigramEngine, TinkerServer } from "@effect-tinker/server"
import { Tokenizer } from "@effect-tinker/tokenizer"
import { Console, Effect, Layer } from "effect"
import { ServiceClient, Tinker } from "effect-tinker"
import { fileURLToPath } from "node:url"

/** Every byte is a token: what a {@link BigramEngine} reads. */
export const bytes: Tokenizer.Service = {
  vocabularySize: 256,
  bosToken: undefined,
  eosToken: undefined,
  encode: (text) => Int32Array.from(new TextEncoder().encode(text)),
  decode: (tokens) => new TextDecoder().decode(Uint8Array.from(Array.from(tokens))),
  tokenId: () => undefined
}

export const layerBytes = Layer.succeed(Tokenizer.Tokenizer, bytes)

export const client = (options?: BigramEngine.Options) =>
  Tinker.layer().pipe(
    Layer.provide(TinkerServer.layerClient),
    Layer.provide(BigramEngine.layer(options)),
    Layer.merge(layerBytes)
  )

export const createModel = Effect.flatMap(
  ServiceClient.ServiceClient,
  (service) => service.createLoraTrainingClient({ baseModel: "bigram", rank: 4, seed: 1 })
)

/** A folder of another package's test fixtures: a byte-level tokenizer with merges. */
export const tokenizerFolder = (name: string) =>
  fileURLToPath(new URL(`../../tokenizer/test/fixtures/${name}`, import.meta.url))

export const chat = (user: string, assistant: string, metadata: Readonly<Record<string, unknown>> = {}) => ({
  messages: [{ role: "user", content: user }, { role: "assistant", content: assistant }],
  metadata,
  file: "chats.jsonl",
  line: 1
})

/** A program that prints, without what it prints. */
export const quiet = Effect.fnUntraced(function*<A, E, R>(effect: Effect.Effect<A, E, R>) {
  const console = yield* Console.consoleWith(Effect.succeed)
  return yield* Effect.withConsole(effect, { ...console, log: () => Effect.void })
})
