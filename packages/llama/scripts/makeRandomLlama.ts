/**
 * Writes a folder with a small model of random weights, laid out as Hugging Face does: for tests and for trying things
 * out. By command line: `tsx packages/llama/scripts/makeRandomLlama.ts <folder> [llama|qwen2|qwen3] [hidden] [layers]`.
 */
import { Safetensors, Sampler } from "@effect-tinker/engine"
import type { Engine } from "@effect-tinker/engine"
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { isMain } from "../examples/isMain.js"
import * as Llama from "../src/Llama.js"
import { byteCharacters, endOfText as endOfTextName, toTokenizerJson } from "./bpe.js"

export interface Options {
  readonly architecture?: "llama" | "qwen2" | "qwen3" | undefined
  readonly hiddenSize?: number | undefined
  readonly layers?: number | undefined
  readonly vocabularySize?: number | undefined
  readonly maxContextLength?: number | undefined
  readonly tiedEmbeddings?: boolean | undefined
  readonly seed?: number | undefined
  readonly name?: string | undefined
  /** A whole shape, instead of the sizes above. */
  readonly config?: Llama.Config | undefined
}

const architectures = { llama: "LlamaForCausalLM", qwen2: "Qwen2ForCausalLM", qwen3: "Qwen3ForCausalLM" }

/** Bytes are tokens 0 to 255 in the order of byte-level BPE, which has no merges here; 256 ends a text. */
export const endOfText = 256

export const configOf = (options: Options = {}): Llama.Config => {
  const { architecture = "llama", hiddenSize = 32, layers = 2, vocabularySize = 264 } = options
  return {
    vocabularySize,
    hiddenSize,
    intermediateSize: 2 * hiddenSize,
    layers,
    heads: 4,
    keyValueHeads: 2,
    headDim: architecture === "qwen3" ? hiddenSize / 2 : hiddenSize / 4,
    normEpsilon: 1e-5,
    ropeTheta: 10_000,
    tiedEmbeddings: options.tiedEmbeddings ?? false,
    attentionBias: architecture === "qwen2",
    queryKeyNorm: architecture === "qwen3",
    ...options.config
  }
}

/** Matrices uniform with the variance 1/in, norms near one, biases near zero. */
export const randomWeights = (config: Llama.Config, seed: number): Map<string, Float32Array> => {
  const random = Sampler.makeRandom(seed)
  const symmetric = (bound: number) => (2 * random() - 1) * bound
  return new Map(Array.from(Llama.weightShapes(config), ([name, shape]) => {
    const size = shape.reduce((product, dim) => product * dim, 1)
    const next = shape.length === 2
      ? () => symmetric(Math.sqrt(3 / shape[1]!))
      : name.endsWith("bias")
      ? () => symmetric(0.1)
      : () => 1 + symmetric(0.1)
    return [name, Float32Array.from({ length: size }, next)]
  }))
}

export const makeRandomLlama = (folder: string, options: Options = {}): Llama.Config => {
  const config = options.config ?? configOf(options)
  const { architecture = "llama", maxContextLength = 512, seed = 0 } = options
  const weights = randomWeights(config, seed)
  const shapes = Llama.weightShapes(config)
  const tensors = new Map(Array.from(weights, ([name, data]): [string, Engine.Tensor] => [
    name,
    { shape: shapes.get(name)!, data }
  ]))
  mkdirSync(folder, { recursive: true })
  const write = (file: string, value: unknown) =>
    writeFileSync(join(folder, file), `${JSON.stringify(value, null, 2)}\n`)
  write("config.json", {
    ...(options.name === undefined ? {} : { _name_or_path: options.name }),
    architectures: [architectures[architecture]],
    model_type: architecture,
    vocab_size: config.vocabularySize,
    hidden_size: config.hiddenSize,
    intermediate_size: config.intermediateSize,
    num_hidden_layers: config.layers,
    num_attention_heads: config.heads,
    num_key_value_heads: config.keyValueHeads,
    head_dim: config.headDim,
    hidden_act: "silu",
    rms_norm_eps: config.normEpsilon,
    rope_theta: config.ropeTheta,
    rope_parameters: { rope_theta: config.ropeTheta, rope_type: "default" },
    max_position_embeddings: maxContextLength,
    tie_word_embeddings: config.tiedEmbeddings,
    attention_bias: config.attentionBias,
    bos_token_id: endOfText,
    eos_token_id: endOfText,
    dtype: "float32",
    torch_dtype: "float32"
  })
  writeFileSync(join(folder, "model.safetensors"), Safetensors.encode(tensors, { format: "pt" }))
  write("tokenizer.json", toTokenizerJson({ tokens: [...byteCharacters, endOfTextName], merges: [] }))
  write("tokenizer_config.json", {
    tokenizer_class: "PreTrainedTokenizerFast",
    bos_token: endOfTextName,
    eos_token: endOfTextName,
    model_max_length: maxContextLength
  })
  return config
}

if (isMain(import.meta.url)) {
  const [folder, architecture, hiddenSize, layers] = process.argv.slice(2)
  if (folder === undefined) throw new Error("name a folder")
  makeRandomLlama(folder, {
    architecture: architecture as Options["architecture"],
    hiddenSize: hiddenSize === undefined ? undefined : Number(hiddenSize),
    layers: layers === undefined ? undefined : Number(layers)
  })
}
