/**
 * A model in a folder as Hugging Face lays it out: `config.json`, weights in safetensors (whole or in shards), and the
 * tokenizer, which is optional here. What the engine cannot compute exactly is refused by name, never approximated.
 */
import { EngineError } from "@effect-tinker/engine/Engine"
import * as Safetensors from "@effect-tinker/engine/Safetensors"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { type Fields, reader } from "./internal/folder/configFields.js"
import { reading, readJson } from "./internal/folder/files.js"
import { rope } from "./internal/folder/ropeSettings.js"
import { unsupported } from "./internal/folder/unsupported.js"
import * as Llama from "./Llama.js"

/**
 * What a folder says about its model.
 *
 * @since 0.1.0
 * @category models
 */
export interface Description {
  /** The absolute path of the folder. */
  readonly folder: string
  /** The name that was given, or `_name_or_path` of the configuration, or else the folder's own name. */
  readonly name: string
  /** The name of the architecture, e.g. `LlamaForCausalLM`. */
  readonly architecture: string
  readonly config: Llama.Config
  readonly parameterCount: number
  /** The most tokens that prompt and answer may have together. */
  readonly maxContextLength: number
  /** The tokens that end an answer, as `generation_config.json` names them, or else `config.json`. */
  readonly eosTokens: ReadonlyArray<number>
  /** What `generation_config.json` proposes to sample with. Nothing applies it: a request says what it wants. */
  readonly proposedSampling: ProposedSampling
  readonly hasTokenizer: boolean
  /** Names of the {@link clientFiles} that are there. */
  readonly clientFiles: ReadonlyArray<string>
}

/**
 * Files by which a client makes the tokenizer of a model, and its configuration: neither weights nor programs.
 *
 * @since 0.1.0
 * @category config
 */
export const clientFiles: ReadonlyArray<string> = [
  "config.json",
  "generation_config.json",
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "chat_template.jinja",
  "chat_template.json",
  "vocab.json",
  "vocab.txt",
  "merges.txt",
  "tokenizer.model",
  "spiece.model",
  "sentencepiece.bpe.model"
]

/**
 * The settings that a folder proposes to sample with; those that the file does not have are absent.
 *
 * @since 0.1.0
 * @category models
 */
export interface ProposedSampling {
  readonly temperature?: number
  readonly topK?: number
  readonly topP?: number
  readonly repetitionPenalty?: number
}

/**
 * What the folder says about its model, without reading the weights; another name than the folder's may be given. Fails with
 * `UnsupportedModel`, naming the file and the field.
 *
 * @since 0.1.0
 * @category constructors
 */
export const describe = (folder: string, name?: string): Effect.Effect<Description, EngineError> =>
  Effect.try({ try: () => describeSync(folder, name), catch: asEngineError })

/**
 * The weights as float32, by name; every one of `Llama.weightShapes` is there. Fails with `UnsupportedModel`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const weights = (description: Description): Effect.Effect<Map<string, Float32Array>, EngineError> =>
  Effect.try({ try: () => weightsSync(description), catch: asEngineError })

/**
 * {@link describe} for code that cannot wait; throws the `EngineError`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const describeSync = (folder: string, givenName?: string): Description => {
  const file = Path.resolve(folder, "config.json")
  const config = readJson(file)
  const fields = reader(file, config)

  const architectures = config["architectures"]
  const architecture = Array.isArray(architectures) ? String(architectures[0]) : "none"
  const qwen2 = architecture === "Qwen2ForCausalLM"
  const qwen3 = architecture === "Qwen3ForCausalLM"
  if (architecture !== "LlamaForCausalLM" && !qwen2 && !qwen3) {
    throw unsupported(
      `${file}: architecture ${architecture} is not supported; LlamaForCausalLM, Qwen2ForCausalLM and Qwen3ForCausalLM are`
    )
  }
  fields.must("hidden_act", ["silu", undefined])
  fields.must("attention_bias", qwen2 ? [true, false, undefined] : [false, undefined])
  fields.must("mlp_bias", [false, undefined])
  fields.must("partial_rotary_factor", [1, undefined])
  fields.must("rope_interleaved", [false, undefined])
  for (const field of ["quantization_config", "num_experts", "num_local_experts"]) fields.must(field, [undefined])

  const hiddenSize = fields.count("hidden_size", { most: maxSize })
  const heads = fields.count("num_attention_heads", { most: maxSize })
  if ((config["head_dim"] ?? undefined) === undefined && hiddenSize % heads !== 0) {
    throw unsupported(
      `${file}: hidden_size ${hiddenSize} is no multiple of num_attention_heads ${heads}, and there is no head_dim`
    )
  }
  const shape: Llama.Config = {
    vocabularySize: fields.count("vocab_size", { most: maxSize }),
    hiddenSize,
    intermediateSize: fields.count("intermediate_size", { most: maxSize }),
    layers: fields.count("num_hidden_layers", { most: maxLayers }),
    heads,
    keyValueHeads: fields.count("num_key_value_heads", { absent: heads, most: maxSize }),
    headDim: fields.count("head_dim", { absent: hiddenSize / heads, most: maxSize }),
    normEpsilon: fields.number("rms_norm_eps", 1e-6),
    ...rope(file, config),
    tiedEmbeddings: config["tie_word_embeddings"] === true,
    attentionBias: qwen2,
    queryKeyNorm: qwen3
  }
  const maxContextLength = fields.count("max_position_embeddings", { absent: 2048 })
  refuseWindows(file, config, shape.layers, maxContextLength)
  if (shape.heads % shape.keyValueHeads !== 0) {
    throw unsupported(
      `${file}: num_attention_heads ${shape.heads} is no multiple of num_key_value_heads ${shape.keyValueHeads}`
    )
  }
  // Rotary positions turn the halves of a head against each other.
  if (shape.headDim % 2 !== 0) throw unsupported(`${file}: head_dim is ${shape.headDim}, and even ones are supported`)

  const generation = describeGeneration(Path.resolve(folder, "generation_config.json"))
  const name = givenName ?? config["_name_or_path"]
  let parameterCount = 0
  for (const dims of Llama.weightShapes(shape).values()) parameterCount += size(dims)
  return {
    folder: Path.resolve(folder),
    name: typeof name === "string" && name !== "" ? name : Path.basename(Path.resolve(folder)),
    architecture,
    config: shape,
    parameterCount,
    maxContextLength,
    eosTokens: generation.eosTokens ?? eosTokens(file, config["eos_token_id"]),
    proposedSampling: generation.proposedSampling,
    hasTokenizer: Fs.existsSync(Path.resolve(folder, "tokenizer.json")),
    clientFiles: clientFiles.filter((file) =>
      Fs.statSync(Path.resolve(folder, file), { throwIfNoEntry: false })?.isFile() === true
    )
  }
}

const describeGeneration = (file: string) => {
  if (!Fs.existsSync(file)) return { eosTokens: undefined, proposedSampling: {} }
  const config = readJson(file)
  const proposed: Record<string, number> = {}
  for (const [field, name] of Object.entries(samplingFields)) {
    const value = config[field] ?? undefined
    if (value === undefined) continue
    if (typeof value !== "number") throw unsupported(`${file}: ${field} ${JSON.stringify(value)} is no number`)
    proposed[name] = value
  }
  const ends = eosTokens(file, config["eos_token_id"])
  return { eosTokens: ends.length === 0 ? undefined : ends, proposedSampling: proposed as ProposedSampling }
}

const samplingFields: Readonly<Record<string, keyof ProposedSampling>> = {
  temperature: "temperature",
  top_k: "topK",
  top_p: "topP",
  repetition_penalty: "repetitionPenalty"
}

/** A number far beyond the layers of any model, but not so far that the list of its weights takes long to make. */
const maxLayers = 4096

/** A number far beyond any dimension of a model. */
const maxSize = 2 ** 24

/**
 * {@link weights} for code that cannot wait; throws the `EngineError`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const weightsSync = ({ config, folder }: Description): Map<string, Float32Array> => {
  const wanted = Llama.weightShapes(config)
  const found = new Map<string, Float32Array>()
  for (const file of weightFiles(folder)) {
    reading(file, (read, fileBytes) => {
      const places = Either.getOrThrowWith(
        Safetensors.locate(read, fileBytes),
        (error) => unsupported(`${file}: ${error.message}`)
      )
      for (const [name, { begin, dtype, end, shape: given }] of places) {
        const shape = wanted.get(name)
        if (shape === undefined) continue
        if (given.join() !== shape.join()) {
          throw unsupported(`${file}: ${name} is [${given}], and config.json asks for [${shape}]`)
        }
        if (dtype !== "F32" && dtype !== "F16" && dtype !== "BF16") {
          throw unsupported(`${file}: ${name} is ${dtype}; F32, F16 and BF16 are supported`)
        }
        found.set(name, Safetensors.toFloat32({ dtype, shape: given, bytes: read(begin, end - begin) }))
      }
    })
  }
  for (const name of wanted.keys()) {
    if (!found.has(name)) throw unsupported(`${folder}: no file of weights has ${name}`)
  }
  return found
}

const weightFiles = (folder: string): ReadonlyArray<string> => {
  const index = Path.join(folder, "model.safetensors.index.json")
  if (!Fs.existsSync(index)) return [Path.join(folder, "model.safetensors")]
  const map = readJson(index)["weight_map"]
  if (typeof map !== "object" || map === null) throw unsupported(`${index}: weight_map is missing`)
  return Array.from(new Set<unknown>(Object.values(map)), (name) => {
    // Names from a file must not lead out of its folder, on any system.
    if (typeof name === "string" && /^[^/\\]+$/.test(name) && name !== "." && name !== "..") {
      return Path.join(folder, name)
    }
    throw unsupported(`${index}: weight_map has ${JSON.stringify(name)}, which is not the name of a file in the folder`)
  })
}

/** A window that no layer has, or that no context fills, changes nothing. */
const refuseWindows = (file: string, config: Fields, layers: number, maxContextLength: number): void => {
  const types = config["layer_types"]
  const other = Array.isArray(types) ? types.find((type) => type !== "full_attention") : undefined
  const { max_window_layers: first = defaultWindows.firstLayer, sliding_window: given } = config
  const window = typeof given === "number" ? given : defaultWindows.length
  const isUsed = other === "sliding_attention" || (config["use_sliding_window"] === true && Number(first) < layers)
  if (isUsed && window < maxContextLength) {
    throw unsupported(`${file}: use_sliding_window with a sliding_window of ${window} tokens is not supported`)
  }
  if (other !== undefined && other !== "sliding_attention") {
    throw unsupported(`${file}: layer_types has ${JSON.stringify(other)}, which is not supported`)
  }
}

/** What transformers assumes of Qwen2 and Qwen3 where the file says nothing. */
const defaultWindows = { firstLayer: 28, length: 4096 }

const eosTokens = (file: string, value: unknown): ReadonlyArray<number> => {
  const tokens: ReadonlyArray<unknown> = Array.isArray(value)
    ? value
    : value === undefined || value === null
    ? []
    : [value]
  return tokens.map((token) => {
    if (typeof token === "number" && Number.isInteger(token) && token >= 0) return token
    throw unsupported(`${file}: eos_token_id ${JSON.stringify(value)} is neither a token nor a list of tokens`)
  })
}

const size = (shape: ReadonlyArray<number>): number => shape.reduce((product, dim) => product * dim, 1)

/** Everything that goes wrong with a folder is the folder's fault, as far as a caller can act on it. */
const asEngineError = (error: unknown): EngineError =>
  error instanceof EngineError ? error : unsupported(`the folder cannot be read: ${String(error)}`, error)
