import { type Engine, Safetensors, Sampler } from "@effect-tinker/engine"
import { Llama, Lora } from "@effect-tinker/llama"
import { Either } from "effect"
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"

export type Float = "F32" | "F16" | "BF16"

export const configOf = (tiedEmbeddings: boolean): Llama.Config => ({
  vocabularySize: 40,
  hiddenSize: 16,
  intermediateSize: 24,
  layers: 2,
  heads: 4,
  keyValueHeads: 2,
  headDim: 4,
  normEpsilon: 1e-5,
  ropeTheta: 10_000,
  tiedEmbeddings,
  attentionBias: false,
  queryKeyNorm: false
})

/** Numbers around zero that are the same every time. */
export const numbers = (seed: number, size: number, bound = 1): Float32Array => {
  const random = Sampler.makeRandom(seed)
  return Float32Array.from({ length: size }, () => bound * (2 * random() - 1))
}

const sizeOf = (shape: ReadonlyArray<number>) => shape.reduce((product, length) => product * length, 1)

export interface Given {
  readonly shape: ReadonlyArray<number>
  readonly data: Float32Array
}

/** A file of tensors of one type, in their order. */
export const writeTensors = (file: string, tensors: ReadonlyMap<string, Given>, dtype: Float = "F32"): void => {
  const parts = Array.from(
    tensors,
    ([name, { data, shape }]) => ({ name, shape, bytes: Safetensors.fromFloat32(data, dtype) })
  )
  const head = Safetensors.encodeHeader(
    new Map(parts.map(({ bytes, name, shape }) => [name, { dtype, shape, byteLength: bytes.length }])),
    { format: "pt" }
  )
  writeFileSync(file, Buffer.concat([head, ...parts.map(({ bytes }) => bytes)]))
}

/** The tensors of all files of weights in a folder. */
export const readTensors = (folder: string): Map<string, Given & { readonly dtype: string; readonly file: string }> =>
  new Map(
    readdirSync(folder).filter((name) => name.endsWith(".safetensors")).flatMap((file) =>
      Array.from(
        Either.getOrThrow(Safetensors.decode(readFileSync(join(folder, file)))),
        ([name, tensor]) =>
          [name, { dtype: tensor.dtype, shape: tensor.shape, data: Safetensors.toFloat32(tensor), file }] as const
      )
    )
  )

/** A folder with a small model of random weights; with `shards` they are in as many files. */
export const writeModel = (folder: string, { dtype = "F32", shards = 1, tied = false }: {
  readonly dtype?: Float
  readonly shards?: number
  readonly tied?: boolean
} = {}): Llama.Config => {
  const config = configOf(tied)
  mkdirSync(folder, { recursive: true })
  const tensors = Array.from(Llama.weightShapes(config), ([name, shape], index) =>
    [
      name,
      {
        shape,
        data: shape.length === 1 ? new Float32Array(sizeOf(shape)).fill(1) : numbers(index + 1, sizeOf(shape), 0.4)
      }
    ] as const)
  writeFileSync(
    join(folder, "config.json"),
    // As Python writes it: with a number that readers tell from a whole one.
    JSON.stringify(
      {
        architectures: ["LlamaForCausalLM"],
        model_type: "llama",
        vocab_size: config.vocabularySize,
        hidden_size: config.hiddenSize,
        intermediate_size: config.intermediateSize,
        num_hidden_layers: config.layers,
        num_attention_heads: config.heads,
        num_key_value_heads: config.keyValueHeads,
        head_dim: config.headDim,
        hidden_act: "silu",
        rms_norm_eps: config.normEpsilon,
        max_position_embeddings: 128,
        tie_word_embeddings: tied
      },
      null,
      2
    ).replace("{", "{\n  \"rope_theta\": 10000.0,")
  )
  writeFileSync(join(folder, "tokenizer.json"), "{\"made\": \"up\"}")
  writeFileSync(join(folder, "chat_template.jinja"), "{{ messages }}")
  if (shards === 1) writeTensors(join(folder, "model.safetensors"), new Map(tensors), dtype)
  else {
    const each = Math.ceil(tensors.length / shards)
    const weightMap: Record<string, string> = {}
    for (let shard = 0; shard < shards; shard++) {
      const file = `model-0000${shard + 1}-of-0000${shards}.safetensors`
      const part = tensors.slice(shard * each, (shard + 1) * each)
      for (const [name] of part) weightMap[name] = file
      writeTensors(join(folder, file), new Map(part), dtype)
    }
    const parameters = tensors.reduce((sum, [, { data }]) => sum + data.length, 0)
    writeFileSync(
      join(folder, "model.safetensors.index.json"),
      JSON.stringify({ metadata: { total_size: parameters * (dtype === "F32" ? 4 : 2) }, weight_map: weightMap })
    )
  }
  return config
}

export const rank = 4

/** An adapter of every linear layer. */
export const snapshotOf = (config: Llama.Config): Engine.Snapshot => {
  const lora = { rank, seed: 0, trainAttn: true, trainMlp: true, trainUnembed: true }
  return {
    baseModel: "base",
    lora,
    step: 0,
    weights: new Map(
      Array.from(Lora.shapes(config, lora, rank), ([name, shape], index) => [
        name,
        { shape, data: numbers(100 + index, sizeOf(shape), 0.1) }
      ])
    ),
    expAvg: new Map(),
    expAvgSq: new Map()
  }
}

/** An adapter's folder as PEFT saves it. */
export const writeAdapter = (
  folder: string,
  tensors: ReadonlyMap<string, Given>,
  settings: Readonly<Record<string, unknown>> = {}
): void => {
  mkdirSync(folder, { recursive: true })
  writeFileSync(
    join(folder, "adapter_config.json"),
    JSON.stringify({ peft_type: "LORA", r: rank, lora_alpha: 32, bias: "none", modules_to_save: null, ...settings })
  )
  writeTensors(join(folder, "adapter_model.safetensors"), tensors)
}
