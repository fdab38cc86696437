import { BigramEngine } from "@effect-tinker/engine"
import { TinkerServer } from "@effect-tinker/server"
import { Tokenizer } from "@effect-tinker/tokenizer"
import { FileSystem } from "@effect/platform"
import { Console, Effect, Either, Layer, Option, Stream } from "effect"
import { ServiceClient, Tinker } from "effect-tinker"
import { fileURLToPath } from "node:url"
import * as RoleRenderer from "../src/RoleRenderer.js"

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

export const example = (messages: Parameters<RoleRenderer.RoleRenderer["supervisedExample"]>[0]) =>
  Either.getOrThrow(RoleRenderer.fromTokenizer(bytes).supervisedExample(messages))

/** The texts that an example teaches, without the space before each and what ends it. */
export const learned = (
  tokenizer: Tokenizer.Service,
  { tokens, weights }: RoleRenderer.SupervisedExample
): ReadonlyArray<string> => {
  const texts: Array<string> = []
  for (let from = 0; from < tokens.length; from++) {
    if (weights[from] === 0) continue
    let to = from
    while (to < tokens.length && weights[to] === 1) to += 1
    const text = tokenizer.decode(tokens.slice(from, to))
    if (!text.startsWith(" ") || !text.endsWith("\n\nuser:")) {
      throw new Error(`an example teaches ${JSON.stringify(text)}`)
    }
    texts.push(text.slice(1, -"\n\nuser:".length))
    from = to
  }
  return texts
}

/** Every file has this content, which comes in parts of so many bytes. */
export const files = (content: string | Uint8Array, partBytes = 2 ** 16): Layer.Layer<FileSystem.FileSystem> => {
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content
  return FileSystem.layerNoop({
    stat: () =>
      Effect.succeed(
        { type: "File", size: FileSystem.Size(bytes.length), mtime: Option.none() } as FileSystem.File.Info
      ),
    stream: (_, { bytesToRead, offset = 0 } = {}) => {
      const from = Number(offset)
      const part = bytes.subarray(from, bytesToRead === undefined ? undefined : from + Number(bytesToRead))
      return Stream.range(0, Math.ceil(part.length / partBytes) - 1).pipe(
        Stream.map((i) => part.subarray(i * partBytes, (i + 1) * partBytes))
      )
    }
  })
}

/** A program that prints, without what it prints. */
export const quiet = Effect.fnUntraced(function*<A, E, R>(effect: Effect.Effect<A, E, R>) {
  const console = yield* Console.consoleWith(Effect.succeed)
  return yield* Effect.withConsole(effect, { ...console, log: () => Effect.void })
})
