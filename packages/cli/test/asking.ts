import { BigramEngine } from "@effect-tinker/engine"
import { TinkerNode } from "@effect-tinker/node"
import { Effect, Layer } from "effect"
import { ApiFuture, ServiceClient, Tinker } from "effect-tinker"
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"

/** The characters by which byte-level tokenizers write bytes, in the order of these. */
const characters = (() => {
  const isOwn = (byte: number) => (byte > 32 && byte < 127) || (byte > 160 && byte !== 173)
  let other = 256
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(isOwn(byte) ? byte : other++))
})()

/** Writes a tokenizer of which every token is a byte, as the bigram engine reads them. Gives the folder. */
export const byteTokenizer = (place: string): string => {
  const folder = join(place, "bytes")
  mkdirSync(folder, { recursive: true })
  writeFileSync(
    join(folder, "tokenizer.json"),
    JSON.stringify({
      version: "1.0",
      added_tokens: [],
      normalizer: null,
      pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false },
      post_processor: null,
      decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
      model: {
        type: "BPE",
        dropout: null,
        unk_token: null,
        continuing_subword_prefix: null,
        end_of_word_suffix: null,
        fuse_unk: false,
        byte_fallback: false,
        vocab: Object.fromEntries(characters.map((character, byte) => [character, byte])),
        merges: []
      }
    })
  )
  return folder
}

/** Saves a state of a model, and weights to sample from, with the metadata. Gives their paths. */
export const save = (url: string, userMetadata: Readonly<Record<string, string>> = {}) =>
  Effect.gen(function*() {
    const service = yield* ServiceClient.ServiceClient
    const training = yield* service.createLoraTrainingClient({ baseModel: BigramEngine.defaultBaseModel, rank: 4 })
    const [state, sampler] = yield* Effect.all([
      ApiFuture.flatten(training.saveState({ name: "final", userMetadata })),
      ApiFuture.flatten(training.saveWeightsForSampler({ name: "final", userMetadata }))
    ])
    return { weights: state.path, sampler: sampler.path }
  }).pipe(
    Effect.scoped,
    Effect.provide(Layer.provide(Tinker.layer({ baseUrl: url }), TinkerNode.layer))
  )
