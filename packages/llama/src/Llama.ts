/**
 * The decoder of Llama, SmolLM, Qwen2 and Qwen3 as a graph: one architecture with switches for the biases and the norms
 * of attention.
 */
import * as Attention from "./Attention.js"
import * as Gradient from "./Gradient.js"
import type { Graph, Tensor } from "./Graph.js"
import * as Operators from "./Operators.js"
import type * as VocabularyHead from "./VocabularyHead.js"

/**
 * What `config.json` says about the shape of a model.
 *
 * @since 0.1.0
 * @category models
 */
export interface Config extends Attention.Heads {
  readonly vocabularySize: number
  readonly hiddenSize: number
  readonly intermediateSize: number
  readonly layers: number
  readonly normEpsilon: number
  readonly ropeTheta: number
  /** Slower rotations for long contexts. Default: none. */
  readonly ropeScaling?: RopeScaling | undefined
  /** Whether the output projection is the embedding. */
  readonly tiedEmbeddings: boolean
  /** Biases of the query, key and value projections, as in Qwen2. */
  readonly attentionBias: boolean
  /** RMSNorm of each query and key head, as in Qwen3. */
  readonly queryKeyNorm: boolean
}

/**
 * How Llama 3.1 and later stretch rotary positions beyond the context that they were first trained on: rotations with
 * wavelengths above `originalContextLength / lowFrequencyFactor` are slowed by `factor`, those below
 * `originalContextLength / highFrequencyFactor` stay, and those between lie between.
 *
 * Source: `rope_scaling` of type `llama3`, as published with the models.
 *
 * @since 0.1.0
 * @category models
 */
export interface RopeScaling {
  readonly factor: number
  readonly lowFrequencyFactor: number
  readonly highFrequencyFactor: number
  /** The tokens of the context that the model was first trained on. */
  readonly originalContextLength: number
}

/**
 * Names and shapes of the weights, as in the files of transformers; a matrix is `[out, in]`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const weightShapes = (config: Config): ReadonlyMap<string, ReadonlyArray<number>> => {
  const { headDim, hiddenSize, intermediateSize, vocabularySize } = config
  const queries = config.heads * headDim
  const keys = config.keyValueHeads * headDim
  const shapes = new Map<string, ReadonlyArray<number>>()
  shapes.set("model.embed_tokens.weight", [vocabularySize, hiddenSize])
  for (let i = 0; i < config.layers; i++) {
    const layer = `model.layers.${i}`
    shapes.set(`${layer}.input_layernorm.weight`, [hiddenSize])
    for (const [name, size] of [["q", queries], ["k", keys], ["v", keys]] as const) {
      shapes.set(`${layer}.self_attn.${name}_proj.weight`, [size, hiddenSize])
      if (config.attentionBias) shapes.set(`${layer}.self_attn.${name}_proj.bias`, [size])
    }
    if (config.queryKeyNorm) {
      shapes.set(`${layer}.self_attn.q_norm.weight`, [headDim])
      shapes.set(`${layer}.self_attn.k_norm.weight`, [headDim])
    }
    shapes.set(`${layer}.self_attn.o_proj.weight`, [hiddenSize, queries])
    shapes.set(`${layer}.post_attention_layernorm.weight`, [hiddenSize])
    shapes.set(`${layer}.mlp.gate_proj.weight`, [intermediateSize, hiddenSize])
    shapes.set(`${layer}.mlp.up_proj.weight`, [intermediateSize, hiddenSize])
    shapes.set(`${layer}.mlp.down_proj.weight`, [hiddenSize, intermediateSize])
  }
  shapes.set("model.norm.weight", [hiddenSize])
  if (!config.tiedEmbeddings) shapes.set("lm_head.weight", [vocabularySize, hiddenSize])
  return shapes
}

/**
 * Where a graph's weights come from, by their names, and which linear maps have an adapter, by the name of their module,
 * e.g. `model.layers.0.self_attn.q_proj`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Parameters {
  readonly weight: (name: string) => Tensor
  readonly adapter: (module: string) => Operators.Adapter | undefined
}

/**
 * How one layer looks back: given rotated queries and keys and the values, what the heads make of them.
 *
 * @since 0.1.0
 * @category models
 */
export type Mix = (q: Tensor, k: Tensor, v: Tensor, layer: number) => Tensor

/**
 * Hidden states after the last norm, `[B*T, H]`, of `rows [B*T] int64`, the tokens.
 *
 * @since 0.1.0
 * @category constructors
 */
export const hidden = (graph: Graph, config: Config, parameters: Parameters, options: {
  readonly rows: Tensor
  readonly rotation: Operators.Rotation
  readonly mix: Mix
  /** Whether the backward half computes each layer again instead of keeping what is in it. Default false. */
  readonly recompute?: boolean | undefined
}): Tensor => {
  const { adapter, weight } = parameters
  const linear = (x: Tensor, module: string, bias = false) =>
    Operators.linear(graph, x, {
      weight: weight(`${module}.weight`),
      bias: bias ? weight(`${module}.bias`) : undefined,
      adapter: adapter(module)
    })
  const norm = (x: Tensor, name: string) => Operators.rmsNorm(graph, x, weight(`${name}.weight`), config.normEpsilon)

  const decode = (x: Tensor, i: number): Tensor => {
    const layer = `model.layers.${i}`
    const project = (input: Tensor, name: "q" | "k" | "v") =>
      linear(input, `${layer}.self_attn.${name}_proj`, config.attentionBias)
    const rotated = (projected: Tensor, name: "q" | "k") =>
      Operators.rope(
        graph,
        config.queryKeyNorm ? norm(projected, `${layer}.self_attn.${name}_norm`) : projected,
        options.rotation
      )

    const attended = norm(x, `${layer}.input_layernorm`)
    const mixed = options.mix(
      rotated(project(attended, "q"), "q"),
      rotated(project(attended, "k"), "k"),
      project(attended, "v"),
      i
    )
    const between = Operators.residual(graph, x, linear(mixed, `${layer}.self_attn.o_proj`))

    const fed = norm(between, `${layer}.post_attention_layernorm`)
    const gated = Operators.swiGlu(graph, linear(fed, `${layer}.mlp.gate_proj`), linear(fed, `${layer}.mlp.up_proj`))
    return Operators.residual(graph, between, linear(gated, `${layer}.mlp.down_proj`))
  }

  let x = Operators.embedding(graph, weight("model.embed_tokens.weight"), options.rows)
  for (let i = 0; i < config.layers; i++) {
    x = options.recompute === true ? Gradient.recomputed(graph, x, (input) => decode(input, i)) : decode(x, i)
  }
  return norm(x, "model.norm")
}

/**
 * The output projection: the embedding itself where it is tied.
 *
 * @since 0.1.0
 * @category constructors
 */
export const head = (config: Config, parameters: Parameters): VocabularyHead.Head => ({
  weight: parameters.weight(config.tiedEmbeddings ? "model.embed_tokens.weight" : "lm_head.weight"),
  adapter: parameters.adapter("lm_head")
})

/**
 * Hidden states of whole sequences, in the form that can be differentiated. Adds the inputs `tokens [B, T] int64`,
 * `cos` and `sin [T, headDim/2]`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const sequences = (graph: Graph, config: Config, parameters: Parameters, options: {
  readonly recompute?: boolean | undefined
} = {}): Tensor => {
  const tokens = graph.input("tokens", ["B", "T"], "int64")
  const layout = Attention.layout(graph, tokens, config)
  return hidden(graph, config, parameters, {
    rows: graph.reshape(tokens, [-1], ["B*T"]),
    rotation: {
      cos: graph.input("cos", ["T", config.headDim / 2]),
      sin: graph.input("sin", ["T", config.headDim / 2]),
      positions: graph.integers([0]),
      batch: layout.batch
    },
    mix: (q, k, v) => Attention.attention(graph, q, k, v, layout),
    recompute: options.recompute
  })
}

/**
 * Cosines and sines of the rotary angles `p·theta^(-2j/headDim)`, both `[length, headDim/2]`. Rounded to float32 at the
 * same places as in transformers, so that long positions agree with it.
 *
 * @since 0.1.0
 * @category constructors
 */
export const rotaryTables = (
  { headDim, ropeScaling, ropeTheta }: Config,
  length: number
): { readonly cos: Float32Array; readonly sin: Float32Array } => {
  const half = headDim / 2
  const cos = new Float32Array(length * half)
  const sin = new Float32Array(length * half)
  for (let j = 0; j < half; j++) {
    const plain = Math.fround(1 / Math.fround(Math.pow(ropeTheta, (2 * j) / headDim)))
    const frequency = ropeScaling === undefined ? plain : scaledFrequency(plain, ropeScaling)
    for (let p = 0; p < length; p++) {
      const angle = Math.fround(p * frequency)
      cos[p * half + j] = Math.cos(angle)
      sin[p * half + j] = Math.sin(angle)
    }
  }
  return { cos, sin }
}

const scaledFrequency = (
  frequency: number,
  { factor, highFrequencyFactor, lowFrequencyFactor, originalContextLength }: RopeScaling
): number => {
  const turns = originalContextLength * frequency / (2 * Math.PI)
  if (turns > highFrequencyFactor) return frequency
  if (turns < lowFrequencyFactor) return Math.fround(frequency / factor)
  const smooth = (turns - lowFrequencyFactor) / (highFrequencyFactor - lowFrequencyFactor)
  return Math.fround((1 - smooth) * frequency / factor + smooth * frequency)
}
