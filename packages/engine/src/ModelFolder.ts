/**
 * A model in a folder as Hugging Face lays it out: `config.json`, weights in safetensors (whole or in shards), and the
 * tokenizer, which is optional here. What the engine cannot compute exactly is refused by name, never approximated.
 */
import { EngineError } from "@effect-tinker/server/Engine"
import * as Safetensors from "@effect-tinker/server/Safetensors"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as Llama from "./Llama.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface Description {
  /** Absolute. */
  readonly folder: string
  /** `_name_or_path` of the configuration, or else the folder's own name. */
  readonly name: string
  /** E.g. `LlamaForCausalLM`. */
  readonly architecture: string
  readonly config: Llama.Config
  readonly parameterCount: number
  /** Prompt and answer together, in tokens. */
  readonly maxContextLength: number
  readonly eosTokens: ReadonlyArray<number>
  readonly hasTokenizer: boolean
}

/**
 * What the folder says about its model, without reading the weights. Fails with `UnsupportedModel`, naming the file and
 * the field.
 *
 * @since 0.1.0
 * @category constructors
 */
export const describe = (folder: string): Effect.Effect<Description, EngineError> =>
  Effect.try({ try: () => describeSync(folder), catch: asEngineError })

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
export const describeSync = (folder: string): Description => {
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
  fields.must("use_sliding_window", [false, undefined])
  fields.must("partial_rotary_factor", [1, undefined])
  fields.must("rope_interleaved", [false, undefined])
  fields.must("quantization_config", [undefined])

  const hiddenSize = fields.count("hidden_size")
  const heads = fields.count("num_attention_heads")
  const shape: Llama.Config = {
    vocabularySize: fields.count("vocab_size"),
    hiddenSize,
    intermediateSize: fields.count("intermediate_size"),
    layers: fields.count("num_hidden_layers"),
    heads,
    keyValueHeads: fields.count("num_key_value_heads", heads),
    headDim: fields.count("head_dim", hiddenSize / heads),
    normEpsilon: fields.number("rms_norm_eps", 1e-6),
    ropeTheta: ropeTheta(file, config),
    tiedEmbeddings: config["tie_word_embeddings"] === true,
    attentionBias: qwen2,
    queryKeyNorm: qwen3
  }
  if (shape.heads % shape.keyValueHeads !== 0) {
    throw unsupported(`${file}: num_attention_heads is not a multiple of num_key_value_heads`)
  }
  // ONNX Runtime's attention over a cache wants it so; every published model is.
  if (shape.headDim % 8 !== 0) throw unsupported(`${file}: head_dim ${shape.headDim} is no multiple of 8`)

  const name = config["_name_or_path"]
  let parameterCount = 0
  for (const dims of Llama.weightShapes(shape).values()) parameterCount += size(dims)
  return {
    folder: Path.resolve(folder),
    name: typeof name === "string" && name !== "" ? name : Path.basename(Path.resolve(folder)),
    architecture,
    config: shape,
    parameterCount,
    maxContextLength: fields.count("max_position_embeddings", 2048),
    eosTokens: eosTokens(file, config["eos_token_id"]),
    hasTokenizer: Fs.existsSync(Path.resolve(folder, "tokenizer.json"))
  }
}

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
    const tensors = Either.getOrThrowWith(
      Safetensors.decode(readBytes(file)),
      (error) => unsupported(`${file}: ${error.message}`)
    )
    for (const [name, tensor] of tensors) {
      const shape = wanted.get(name)
      if (shape === undefined) continue
      if (tensor.shape.join() !== shape.join()) {
        throw unsupported(`${file}: ${name} is [${tensor.shape}], and config.json asks for [${shape}]`)
      }
      if (!["F32", "F16", "BF16"].includes(tensor.dtype)) {
        throw unsupported(`${file}: ${name} is ${tensor.dtype}; F32, F16 and BF16 are supported`)
      }
      found.set(name, Safetensors.toFloat32(tensor))
    }
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
  // Names from a file must not lead out of its folder.
  return Array.from(new Set(Object.values(map)), (name) => Path.join(folder, Path.basename(String(name))))
}

const readBytes = (file: string): Uint8Array => {
  try {
    return Fs.readFileSync(file)
  } catch (cause) {
    throw unsupported(
      `${file} cannot be read. A model's folder has config.json and model.safetensors, as Hugging Face writes them.`,
      cause
    )
  }
}

const readJson = (file: string): Readonly<Record<string, unknown>> => {
  const text = new TextDecoder().decode(readBytes(file))
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === "object" && value !== null) return value as Record<string, unknown>
  } catch (cause) {
    throw unsupported(`${file} is not JSON`, cause)
  }
  throw unsupported(`${file} is not a JSON object`)
}

const reader = (file: string, config: Readonly<Record<string, unknown>>) => {
  const number = (field: string, absent?: number): number => {
    const value = config[field] ?? absent
    if (typeof value === "number" && Number.isFinite(value) && value > 0) return value
    throw unsupported(`${file}: ${field} is ${value === undefined ? "missing" : JSON.stringify(value)}`)
  }
  return {
    number,
    count: (field: string, absent?: number): number => {
      const value = number(field, absent)
      if (Number.isInteger(value)) return value
      throw unsupported(`${file}: ${field} is ${value}, which is no whole number`)
    },
    must: (field: string, allowed: ReadonlyArray<unknown>): void => {
      const value = config[field] ?? undefined
      if (!allowed.includes(value)) throw unsupported(`${file}: ${field} ${JSON.stringify(value)} is not supported`)
    }
  }
}

/** Newer files keep it among `rope_parameters`. Scaled positions are another function, which is refused. */
const ropeTheta = (file: string, config: Readonly<Record<string, unknown>>): number => {
  const parameters = (config["rope_parameters"] ?? {}) as Readonly<Record<string, unknown>>
  const scaling = (config["rope_scaling"] ?? {}) as Readonly<Record<string, unknown>>
  for (const [field, values] of [["rope_parameters", parameters], ["rope_scaling", scaling]] as const) {
    const type = values["rope_type"] ?? values["type"] ?? "default"
    if (type !== "default") throw unsupported(`${file}: ${field} of type ${JSON.stringify(type)} is not supported`)
  }
  const theta = parameters["rope_theta"] ?? config["rope_theta"] ?? 10_000
  if (typeof theta === "number" && theta > 0) return theta
  throw unsupported(`${file}: rope_theta is ${JSON.stringify(theta)}`)
}

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

const unsupported = (description: string, cause?: unknown): EngineError =>
  new EngineError({ reason: "UnsupportedModel", description, ...(cause === undefined ? {} : { cause }) })

/** Everything that goes wrong with a folder is the folder's fault, as far as a caller can act on it. */
const asEngineError = (error: unknown): EngineError =>
  error instanceof EngineError ? error : unsupported(`the folder cannot be read: ${String(error)}`, error)
