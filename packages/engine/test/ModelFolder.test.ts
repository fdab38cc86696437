import { Safetensors } from "@effect-tinker/server"
import type { Engine } from "@effect-tinker/server"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from "node:fs"
import { tmpdir } from "node:os"
import { basename, join } from "node:path"
import { makeRandomLlama, randomWeights } from "../scripts/makeRandomLlama.js"
import type { Options } from "../scripts/makeRandomLlama.js"
import * as Llama from "../src/Llama.js"
import * as ModelFolder from "../src/ModelFolder.js"

/** A folder with a random model, and with some fields of its configuration changed; removed with the scope. */
const folder = (options: Options = {}, change: Readonly<Record<string, unknown>> = {}) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const path = mkdtempSync(join(tmpdir(), "llama-"))
      makeRandomLlama(path, options)
      const file = join(path, "config.json")
      writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, "utf8")), ...change }))
      return path
    }),
    (path) => Effect.sync(() => rmSync(path, { recursive: true }))
  )

describe("describing a folder", () => {
  it.scoped("reads the shape, the context, the ends of text and the number of parameters", () =>
    Effect.gen(function*() {
      const path = yield* folder({ architecture: "qwen3", maxContextLength: 300, name: "acme/small" })
      const description = yield* ModelFolder.describe(path)
      assert.strictEqual(description.name, "acme/small")
      assert.strictEqual(description.architecture, "Qwen3ForCausalLM")
      assert.strictEqual(description.maxContextLength, 300)
      assert.deepStrictEqual(description.eosTokens, [256])
      assert.isTrue(description.hasTokenizer)
      assert.isTrue(description.config.queryKeyNorm)
      assert.strictEqual(description.config.headDim, 16)
      const values = Array.from(randomWeights(description.config, 0).values()).reduce(
        (sum, each) => sum + each.length,
        0
      )
      assert.strictEqual(description.parameterCount, values)
    }))

  it.scoped("takes the folder's name where the configuration has none, and defaults of older files", () =>
    Effect.gen(function*() {
      const path = yield* folder({}, {
        head_dim: undefined,
        num_key_value_heads: undefined,
        rope_parameters: undefined,
        rope_scaling: null,
        rope_theta: 5000,
        eos_token_id: [7, 9]
      })
      const description = yield* ModelFolder.describe(path)
      assert.strictEqual(description.name, basename(path))
      assert.strictEqual(description.config.headDim, 8)
      assert.strictEqual(description.config.keyValueHeads, 4)
      assert.strictEqual(description.config.ropeTheta, 5000)
      assert.deepStrictEqual(description.eosTokens, [7, 9])
    }))

  it.scoped("takes the base of rotary positions from rope_parameters", () =>
    Effect.gen(function*() {
      const path = yield* folder({}, { rope_theta: undefined, rope_parameters: { rope_theta: 1234 } })
      assert.strictEqual((yield* ModelFolder.describe(path)).config.ropeTheta, 1234)
    }))

  const refused: Readonly<Record<string, unknown>> = {
    architectures: ["MistralForCausalLM"],
    rope_scaling: { type: "linear", factor: 2 },
    rope_parameters: { rope_type: "yarn", rope_theta: 10_000 },
    hidden_act: "gelu",
    attention_bias: true,
    mlp_bias: true,
    rope_interleaved: true,
    hidden_size: "wide",
    num_hidden_layers: 1.5,
    vocab_size: undefined,
    layer_types: ["full_attention", "linear_attention"],
    num_experts: 8,
    eos_token_id: "end",
    quantization_config: { bits: 4 }
  }
  for (const [field, value] of Object.entries(refused)) {
    it.scoped(`refuses ${field} ${JSON.stringify(value)}, by name`, () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(ModelFolder.describe(yield* folder({}, { [field]: value })))
        assert.strictEqual(error.reason, "UnsupportedModel")
        assert.include(error.message, field === "architectures" ? "MistralForCausalLM" : field)
        assert.include(error.message, "config.json")
      }))
  }

  const llama3 = {
    rope_type: "llama3",
    factor: 8,
    low_freq_factor: 1,
    high_freq_factor: 4,
    original_max_position_embeddings: 64
  }

  it.scoped("reads llama3 scaling in either spelling, and refuses it by what is missing", () =>
    Effect.gen(function*() {
      const scaling = { factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalContextLength: 64 }
      for (
        const change of [
          { rope_scaling: llama3, rope_parameters: undefined },
          { rope_parameters: { ...llama3, rope_theta: 10_000 } }
        ]
      ) {
        const { config } = yield* ModelFolder.describe(yield* folder({}, change))
        assert.deepStrictEqual(config.ropeScaling, scaling)
      }
      const { factor: _, ...rest } = llama3
      const missing = yield* folder({}, { rope_scaling: rest })
      assert.match((yield* Effect.flip(ModelFolder.describe(missing))).message, /rope_scaling: factor is missing/)
      const crossed = yield* folder({}, { rope_scaling: { ...llama3, low_freq_factor: 4 } })
      assert.match((yield* Effect.flip(ModelFolder.describe(crossed))).message, /low_freq_factor 4/)
    }))

  it.scoped("refuses sliding windows where they are used, and takes them where they are not", () =>
    Effect.gen(function*() {
      const describe = (change: Readonly<Record<string, unknown>>) =>
        Effect.flatMap(folder({ architecture: "qwen2", maxContextLength: 512 }, change), ModelFolder.describe)
      const used: ReadonlyArray<Readonly<Record<string, unknown>>> = [
        { use_sliding_window: true, sliding_window: 128, max_window_layers: 1 },
        { layer_types: ["full_attention", "sliding_attention"], sliding_window: 128 }
      ]
      for (const change of used) {
        assert.match((yield* Effect.flip(describe(change))).message, /sliding_window of 128/)
      }
      yield* describe({ use_sliding_window: false, sliding_window: 128, max_window_layers: 0 })
      yield* describe({ use_sliding_window: true, sliding_window: 128, max_window_layers: 2 })
      yield* describe({ use_sliding_window: true, sliding_window: 512, max_window_layers: 0 })
    }))

  it.effect("refuses a folder that is not there", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(ModelFolder.describe("/no/such/folder"))
      assert.strictEqual(error.reason, "UnsupportedModel")
      assert.include(error.message, "/no/such/folder/config.json")
    }))

  it.scoped("refuses a configuration that is no JSON", () =>
    Effect.gen(function*() {
      const path = yield* folder()
      writeFileSync(join(path, "config.json"), "{")
      const error = yield* Effect.flip(ModelFolder.describe(path))
      assert.include(error.message, "is not JSON")
    }))
})

describe("reading weights", () => {
  it.scoped("reads what was written", () =>
    Effect.gen(function*() {
      const path = yield* folder({ architecture: "qwen2", tiedEmbeddings: true, seed: 5 })
      const description = yield* ModelFolder.describe(path)
      const weights = yield* ModelFolder.weights(description)
      assert.deepStrictEqual(weights, randomWeights(description.config, 5))
    }))

  it.scoped("reads shards, in half precision too", () =>
    Effect.gen(function*() {
      const path = yield* folder({ seed: 6 })
      const description = yield* ModelFolder.describe(path)
      const names = Array.from(Llama.weightShapes(description.config).keys())
      const whole = readFileSync(join(path, "model.safetensors"))
      rmSync(join(path, "model.safetensors"))
      writeShard(join(path, "one.safetensors"), description.config, 6, names.slice(0, 9))
      writeShard(join(path, "two.safetensors"), description.config, 6, names.slice(9))
      writeFileSync(
        join(path, "model.safetensors.index.json"),
        JSON.stringify({
          weight_map: Object.fromEntries(names.map((name, i) => [name, i < 9 ? "one.safetensors" : "two.safetensors"]))
        })
      )
      assert.deepStrictEqual(yield* ModelFolder.weights(description), randomWeights(description.config, 6))

      rmSync(join(path, "model.safetensors.index.json"))
      writeFileSync(join(path, "model.safetensors"), toBfloat16(whole))
      const halves = yield* ModelFolder.weights(description)
      for (const [name, data] of randomWeights(description.config, 6)) {
        halves.get(name)!.forEach((value, i) => assert.closeTo(value, data[i]!, 0.01 * Math.abs(data[i]!)))
      }
    }))

  it.scoped("reads files beyond what one array or one call to the system takes", () =>
    Effect.gen(function*() {
      const path = yield* folder({ seed: 4 })
      const description = yield* ModelFolder.describe(path)
      const file = join(path, "model.safetensors")
      const whole = readFileSync(file)
      const length = Number(whole.readBigUInt64LE())
      const header = JSON.parse(whole.toString("utf8", 8, 8 + length))
      delete header.__metadata__
      // A tensor of nothing lies before the others: a hole in the file, which takes no room on the disk.
      const gap = 5 * 2 ** 30
      for (const entry of Object.values<{ data_offsets: Array<number> }>(header)) {
        entry.data_offsets = entry.data_offsets.map((offset) => offset + gap)
      }
      const text = JSON.stringify({ ...header, nothing: { dtype: "U8", shape: [gap], data_offsets: [0, gap] } })
      const start = Buffer.alloc(8 + text.length)
      start.writeBigUInt64LE(BigInt(text.length))
      start.write(text, 8)
      const descriptor = openSync(file, "w")
      writeSync(descriptor, start, 0, start.length, 0)
      writeSync(descriptor, whole, 8 + length, whole.length - 8 - length, start.length + gap)
      closeSync(descriptor)
      assert.deepStrictEqual(yield* ModelFolder.weights(description), randomWeights(description.config, 4))
    }))

  it.scoped("names the weight that is missing, the one of a wrong shape, and the file that is", () =>
    Effect.gen(function*() {
      const path = yield* folder()
      const description = yield* ModelFolder.describe(path)
      const names = Array.from(Llama.weightShapes(description.config).keys())
      const message = () => Effect.map(Effect.flip(ModelFolder.weights(description)), ({ message }) => message)

      writeShard(join(path, "model.safetensors"), description.config, 0, names.slice(1))
      assert.include(yield* message(), "model.embed_tokens.weight")

      writeShard(join(path, "model.safetensors"), { ...description.config, vocabularySize: 8 }, 0, names)
      assert.match(yield* message(), /model\.embed_tokens\.weight is \[8,32\].*\[264,32\]/)

      writeFileSync(join(path, "model.safetensors"), "short")
      assert.include(yield* message(), "model.safetensors")

      rmSync(join(path, "model.safetensors"))
      assert.include(yield* message(), "model.safetensors cannot be read")
    }))
})

const writeShard = (file: string, config: Llama.Config, seed: number, names: ReadonlyArray<string>): void => {
  const shapes = Llama.weightShapes(config)
  const weights = randomWeights(config, seed)
  const tensors = names.map((name): [string, Engine.Tensor] => [
    name,
    { shape: shapes.get(name)!, data: weights.get(name)! }
  ])
  writeFileSync(file, Safetensors.encode(new Map(tensors)))
}

/** The same file in bfloat16, cut off rather than rounded. */
const toBfloat16 = (file: Uint8Array): Uint8Array => {
  const headerLength = Number(new DataView(file.buffer, file.byteOffset).getBigUint64(0, true))
  const header = JSON.parse(new TextDecoder().decode(file.subarray(8, 8 + headerLength)))
  for (const [name, entry] of Object.entries<{ dtype: string; data_offsets: [number, number] }>(header)) {
    if (name === "__metadata__") continue
    entry.dtype = "BF16"
    entry.data_offsets = [entry.data_offsets[0] / 2, entry.data_offsets[1] / 2]
  }
  const text = new TextEncoder().encode(JSON.stringify(header))
  const values = new Uint16Array(Uint8Array.from(file.subarray(8 + headerLength)).buffer)
  const upper = values.filter((_, i) => i % 2 === 1)
  const bytes = new Uint8Array(8 + text.length + upper.byteLength)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(text.length), true)
  bytes.set(text, 8)
  bytes.set(new Uint8Array(upper.buffer), 8 + text.length)
  return bytes
}
