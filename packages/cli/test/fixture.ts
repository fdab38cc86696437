import { ChatDataset, Supervised } from "@effect-tinker/cookbook"
import { BigramEngine } from "@effect-tinker/engine"
import { Tokenizer } from "@effect-tinker/tokenizer"
import { Effect, Layer } from "effect"
import * as BaseModel from "../src/BaseModel.js"
import * as Display from "../src/Display.js"
import type { Lessons } from "../src/Lessons.js"

/** A token a byte. */
export const byteTokenizer: Layer.Layer<Tokenizer.Tokenizer> = Layer.succeed(Tokenizer.Tokenizer, {
  vocabularySize: 256,
  bosToken: undefined,
  eosToken: undefined,
  encode: (text) => Int32Array.from(new TextEncoder().encode(text)),
  decode: (tokens) => new TextDecoder().decode(Uint8Array.from(tokens)),
  tokenId: () => undefined
})

export const bigram: Layer.Layer<BaseModel.BaseModel> = Layer.succeed(BaseModel.BaseModel, {
  name: BigramEngine.defaultBaseModel,
  maxContextLength: 1024,
  description: "a table"
})

/** A display that keeps what it is given. */
export const recording = (interactive: boolean) => {
  const written: Array<string> = []
  return {
    written,
    text: () => written.join(""),
    layer: Display.layer({ interactive, write: (text) => Effect.sync(() => void written.push(text)) })
  }
}

const line = (question: string, answer: string) =>
  JSON.stringify({ messages: [{ role: "user", content: question }, { role: "assistant", content: answer }] })

export const chats = ChatDataset.parse([line("a?", "bc"), line("b?", "bc"), line("c?", "bc")].join("\n"), "test.jsonl")

/** The lessons of a run of so many steps. */
export const lessons = (
  steps: number,
  options: { readonly isReversed: boolean } = { isReversed: false }
): Effect.Effect<Lessons, never, Tokenizer.Tokenizer> =>
  Effect.gen(function*() {
    const all = yield* chats
    const data = yield* Supervised.dataFromChats(all)
    const train = data.slice(0, 2)
    return {
      name: "a test",
      trainLength: 2,
      batches: Supervised.batches(options.isReversed ? train.toReversed() : train, { batchSize: 2, steps }),
      heldOut: data.slice(2),
      alsoLearned: 0,
      prompts: all.slice(2)
    }
  }).pipe(Effect.orDie)
