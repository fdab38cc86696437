import { Safetensors } from "@effect-tinker/engine"
import type { Engine } from "@effect-tinker/engine"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from "node:fs"
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

  it.scoped("takes the ends of text from generation_config.json, and tells what it proposes to sample with", () =>
    Effect.gen(function*() {
      const path = yield* folder({}, { eos_token_id: 7 })
      const described = (generation: object) =>
        Effect.suspend(() => {
          writeFileSync(join(path, "generation_config.json"), JSON.stringify(generation))
          return ModelFolder.describe(path)
        })
      const full = yield* described({
        eos_token_id: [8, 9],
        do_sample: true,
        temperature: 0.6,
        top_k: 20,
        top_p: 0.95,
        repetition_penalty: null
      })
      assert.deepStrictEqual(full.eosTokens, [8, 9])
      assert.deepStrictEqual(full.proposedSampling, { temperature: 0.6, topK: 20, topP: 0.95 })
      assert.deepStrictEqual((yield* described({ eos_token_id: 5 })).eosTokens, [5])
      const silent = yield* described({ pad_token_id: 0 })
      assert.deepStrictEqual(silent.eosTokens, [7])
      assert.deepStrictEqual(silent.proposedSampling, {})
      for (const [field, value] of [["eos_token_id", "end"], ["eos_token_id", [1, -1]], ["top_p", "high"]] as const) {
        const error = yield* Effect.flip(described({ [field]: value }))
        assert.include(error.message, "generation_config.json")
        assert.include(error.message, field)
      }
    }))

  it.scoped("reads files that begin with a byte order mark", () =>
    Effect.gen(function*() {
      const path = yield* folder()
      for (const name of ["config.json", "generation_config.json"]) {
        const file = join(path, name)
        const text = name === "config.json" ? readFileSync(file, "utf8") : "{\"eos_token_id\": 3}"
        writeFileSync(file, `\ufeff${text}`)
      }
      assert.deepStrictEqual((yield* ModelFolder.describe(path)).eosTokens, [3])
    }))

  it.scoped("refuses heads that cannot be computed, with the sizes", () =>
    Effect.gen(function*() {
      for (
        const [change, message] of [
          [{ head_dim: 7 }, "head_dim is 7, and even ones are supported"],
          [{ head_dim: 8.5 }, "head_dim is 8.5, which is no whole number"],
          [{ head_dim: 0 }, "head_dim is 0"],
          [{ head_dim: undefined, num_attention_heads: 3 }, "hidden_size 32 is no multiple of num_attention_heads 3"],
          [{ num_key_value_heads: 3 }, "num_attention_heads 4 is no multiple of num_key_value_heads 3"],
          [{ partial_rotary_factor: 0.5 }, "partial_rotary_factor 0.5"]
        ] as const
      ) {
        const error = yield* Effect.flip(ModelFolder.describe(yield* folder({}, change)))
        assert.strictEqual(error.reason, "UnsupportedModel")
        assert.include(error.message, message)
      }
    }))

  const refused: Readonly<Record<string, unknown>> = {
    architectures: ["MistralForCausalLM"],
    rope_scaling: { type: "linear", factor: 2 },
    rope_parameters: { rope_type: "yarn", rope_theta: 10_000 },
    hidden_act: "gelu",
    max_position_embeddings: 1e300,
    head_dim: 1e9,
    intermediate_size: 1e12,
    num_attention_heads: 1e9,
    num_key_value_heads: 1e9,
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

  it.scoped("refuses sizes beyond any model by their names, without listing what they would need", () =>
    Effect.gen(function*() {
      for (const [field, value] of [["num_hidden_layers", 1e9], ["hidden_size", 1e8], ["vocab_size", 1e12]] as const) {
        const error = yield* Effect.flip(ModelFolder.describe(yield* folder({}, { [field]: value })))
        assert.strictEqual(error.reason, "UnsupportedModel")
        assert.match(error.message, new RegExp(`config\\.json: ${field} is ${value}, and at most`))
      }
    }))

  const refusedRotations: ReadonlyArray<readonly [refusal: string, change: Readonly<Record<string, unknown>>]> = [
    [
      "rope_parameters.full_attention of type \"yarn\"",
      { rope_parameters: { full_attention: { rope_type: "yarn", rope_theta: 10_000, factor: 4 } } }
    ],
    [
      "rope_parameters.full_attention of type \"yarn\"",
      { rope_parameters: { rope_type: "default", full_attention: { type: "yarn", factor: 4 } } }
    ],
    ["rope_parameters.full_attention null", { rope_parameters: { full_attention: null } }],
    [
      "rope_parameters.full_attention: partial_rotary_factor 0.5",
      { rope_parameters: { full_attention: { rope_type: "default", partial_rotary_factor: 0.5 } } }
    ],
    [
      "rope_theta is 10000 and 1000000",
      {
        rope_parameters: {
          full_attention: { rope_type: "default", rope_theta: 1e6 },
          sliding_attention: { rope_type: "default", rope_theta: 10_000 }
        }
      }
    ],
    ["rope_theta is 10000 and 5000", { rope_scaling: { rope_type: "default", rope_theta: 5000 } }],
    ["rope_scaling has factor and no rope_type", { rope_scaling: { factor: 8 } }],
    ["rope_scaling has factor and no rope_type", { rope_scaling: { rope_type: null, factor: 8 } }],
    ["rope_parameters has long_factor", { rope_parameters: { rope_theta: 10_000, long_factor: [1, 2] } }],
    ["rope_scaling of type \"dynamic\"", { rope_scaling: { type: "dynamic", factor: 2 } }],
    ["rope_scaling \"linear\"", { rope_scaling: "linear" }],
    ["rope_scaling [\"linear\",2]", { rope_scaling: ["linear", 2] }]
  ]
  for (const [refusal, change] of refusedRotations) {
    it.scoped(`refuses rotary positions of ${JSON.stringify(change)}, by name`, () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(ModelFolder.describe(yield* folder({}, change)))
        assert.strictEqual(error.reason, "UnsupportedModel")
        assert.include(error.message, `config.json: ${refusal}`)
      }))
  }

  it.scoped("takes rotary positions that are the usual ones, however they are written", () =>
    Effect.gen(function*() {
      const usual: ReadonlyArray<Readonly<Record<string, unknown>>> = [
        { rope_parameters: null },
        { rope_parameters: {}, rope_scaling: {} },
        { rope_scaling: { rope_type: "default", factor: 8 } },
        { rope_scaling: { factor: null } },
        { rope_scaling: { type: "linear", factor: 1 } },
        { rope_parameters: { rope_theta: 10_000, partial_rotary_factor: 1 } },
        { rope_theta: undefined, rope_parameters: { full_attention: { rope_type: "default", rope_theta: 10_000 } } }
      ]
      for (const change of usual) {
        const { config } = yield* ModelFolder.describe(yield* folder({}, change))
        assert.deepStrictEqual([config.ropeTheta, config.ropeScaling], [10_000, undefined], JSON.stringify(change))
      }
    }))

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
          { rope_parameters: { ...llama3, rope_theta: 10_000 } },
          { rope_parameters: { full_attention: llama3, sliding_attention: llama3 } },
          { rope_scaling: llama3, rope_parameters: { rope_type: "default" } }
        ]
      ) {
        const { config } = yield* ModelFolder.describe(yield* folder({}, change))
        assert.deepStrictEqual(config.ropeScaling, scaling)
      }
      const older = yield* folder({}, { rope_scaling: { type: "default" }, rope_parameters: llama3 })
      assert.isUndefined((yield* ModelFolder.describe(older)).config.ropeScaling)
      const mixed = { full_attention: llama3, sliding_attention: { rope_type: "default" } }
      const different = yield* folder({}, { rope_parameters: mixed })
      assert.match(
        (yield* Effect.flip(ModelFolder.describe(different))).message,
        /rope_parameters\.sliding_attention is not scaled as .*rope_parameters\.full_attention/
      )
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

  it.scoped("refuses shards that are no names of files in the folder", () =>
    Effect.gen(function*() {
      const path = yield* folder()
      const description = yield* ModelFolder.describe(path)
      const index = join(path, "model.safetensors.index.json")
      const refusal = (name: unknown) => {
        writeFileSync(index, JSON.stringify({ weight_map: { "model.norm.weight": name } }))
        return Effect.flip(ModelFolder.weights(description))
      }
      const names = [
        "..",
        ".",
        "",
        "../model.safetensors",
        join(path, "model.safetensors"),
        "sub\\a.safetensors",
        7,
        null
      ]
      for (const name of names) {
        const { message, reason } = yield* refusal(name)
        assert.strictEqual(reason, "UnsupportedModel")
        assert.include(message, `${index}: weight_map has ${JSON.stringify(name)}`)
      }
      mkdirSync(join(path, "folder.safetensors"))
      assert.include((yield* refusal("folder.safetensors")).message, "folder.safetensors cannot be read")
    }))

  it.scoped("passes over tensors that it does not need, of any type, and names one that it cannot compute with", () =>
    Effect.gen(function*() {
      const path = yield* folder({ seed: 8 })
      const description = yield* ModelFolder.describe(path)
      const file = join(path, "model.safetensors")
      const whole = readFileSync(file)
      for (const dtype of ["F8_E4M3", "U16", "I64", "BOOL", "F4"]) {
        writeFileSync(file, withTensor(whole, "unneeded", { dtype, shape: [2, 8] }))
        assert.deepStrictEqual(yield* ModelFolder.weights(description), randomWeights(description.config, 8))
      }
      const others = Array.from(Llama.weightShapes(description.config).keys()).filter((name) => name !== normWeight)
      writeShard(file, description.config, 8, others)
      const rest = readFileSync(file)
      for (const dtype of ["F8_E4M3", "I64"]) {
        writeFileSync(file, withTensor(rest, normWeight, { dtype, shape: [32] }))
        const { message } = yield* Effect.flip(ModelFolder.weights(description))
        assert.include(message, `${normWeight} is ${dtype}; F32, F16 and BF16 are supported`)
      }
    }))

  it.scoped("refuses a weight that lies over another, by name", () =>
    Effect.gen(function*() {
      const path = yield* folder()
      const file = join(path, "model.safetensors")
      const { data, header } = parts(readFileSync(file))
      const gate = "model.layers.0.mlp.gate_proj.weight"
      header["model.layers.0.mlp.up_proj.weight"]!.data_offsets = header[gate]!.data_offsets
      writeFileSync(file, joined(header, data))
      const description = yield* ModelFolder.describe(path)
      const { message } = yield* Effect.flip(ModelFolder.weights(description))
      assert.match(message, /model\.layers\.0\.mlp\.up_proj\.weight overlaps .*gate_proj\.weight/)
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

const normWeight = "model.norm.weight"

interface Entry {
  dtype: string
  readonly shape: ReadonlyArray<number>
  data_offsets: readonly [number, number]
}

/** A file's header, without what is not a tensor, and the bytes after it. */
const parts = (file: Buffer): { readonly header: Record<string, Entry>; readonly data: Buffer } => {
  const end = 8 + Number(file.readBigUInt64LE())
  const { __metadata__: _, ...header } = JSON.parse(file.toString("utf8", 8, end))
  return { header, data: file.subarray(end) }
}

const joined = (header: Readonly<Record<string, Entry>>, data: Uint8Array): Buffer => {
  const text = Buffer.from(JSON.stringify(header))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(text.length))
  return Buffer.concat([length, text, data])
}

/** The same file with one more tensor, of zeros. */
const withTensor = (file: Buffer, name: string, { dtype, shape }: Pick<Entry, "dtype" | "shape">): Buffer => {
  const { data, header } = parts(file)
  const sizes: Readonly<Record<string, number>> = { ...Safetensors.itemSizes, ...Safetensors.opaqueItemSizes }
  const end = data.length + shape.reduce((product, dim) => product * dim, sizes[dtype]!)
  header[name] = { dtype, shape, data_offsets: [data.length, end] }
  return joined(header, Buffer.concat([data, Buffer.alloc(end - data.length)]))
}

/** The same file in bfloat16, cut off rather than rounded. */
const toBfloat16 = (file: Buffer): Uint8Array => {
  const { data, header } = parts(file)
  for (const entry of Object.values(header)) {
    entry.dtype = "BF16"
    entry.data_offsets = [entry.data_offsets[0] / 2, entry.data_offsets[1] / 2]
  }
  const upper = new Uint16Array(Uint8Array.from(data).buffer).filter((_, i) => i % 2 === 1)
  return joined(header, new Uint8Array(upper.buffer))
}
