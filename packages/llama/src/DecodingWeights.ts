/**
 * Weights and adapters in the form that generates fastest: what reads the same input is one product, q, k and v as well as
 * gate and up, and matrices of adapters lie as they are multiplied.
 */
import type * as Llama from "./Llama.js"
import * as Lora from "./Lora.js"

/**
 * A matrix of float32 numbers, row-major.
 *
 * @since 0.1.0
 * @category models
 */
export interface Matrix {
  readonly shape: ReadonlyArray<number>
  readonly data: Float32Array
}

/**
 * A product of a layer: the maps that read the same input, whose outputs lie beside one another.
 *
 * @since 0.1.0
 * @category models
 */
export interface Product {
  /** The name of the product, e.g. `model.layers.0.self_attn.qkv`; its matrix and bias add `.weight` and `.bias` to it. */
  readonly name: string
  readonly modules: ReadonlyArray<string>
  /** Widths of the outputs, one a module. */
  readonly widths: ReadonlyArray<number>
  readonly inputWidth: number
  readonly hasBias: boolean
}

/**
 * The products of a layer, in the order of the forward pass.
 *
 * @since 0.1.0
 * @category models
 */
export interface LayerProducts {
  readonly qkv: Product
  readonly output: Product
  readonly gateUp: Product
  readonly down: Product
}

/**
 * The products of one layer.
 *
 * @since 0.1.0
 * @category constructors
 */
export const layerProducts = (config: Llama.Config, layer: number): LayerProducts => {
  const { headDim, hiddenSize, intermediateSize } = config
  const queries = config.heads * headDim
  const keys = config.keyValueHeads * headDim
  const product = (
    block: "self_attn" | "mlp",
    name: string,
    parts: Readonly<Record<string, number>>,
    inputWidth: number,
    hasBias = false
  ): Product => ({
    name: `model.layers.${layer}.${block}.${name}`,
    modules: Object.keys(parts).map((part) => `model.layers.${layer}.${block}.${part}_proj`),
    widths: Object.values(parts),
    inputWidth,
    hasBias
  })
  return {
    qkv: product("self_attn", "qkv", { q: queries, k: keys, v: keys }, hiddenSize, config.attentionBias),
    output: product("self_attn", "output", { o: hiddenSize }, queries),
    gateUp: product("mlp", "gate_up", { gate: intermediateSize, up: intermediateSize }, hiddenSize),
    down: product("mlp", "down", { down: hiddenSize }, intermediateSize)
  }
}

/**
 * The unembedding as a product.
 *
 * @since 0.1.0
 * @category constructors
 */
export const headProduct = (config: Llama.Config): Product => ({
  name: "lm_head",
  modules: ["lm_head"],
  widths: [config.vocabularySize],
  inputWidth: config.hiddenSize,
  hasBias: false
})

/**
 * Names of a product's adapter: A `[inputWidth, modules * R]`, with the scale in it, and B `[modules * R, sum of widths]`,
 * whose blocks off the diagonal are 0.
 *
 * @since 0.1.0
 * @category utils
 */
export const adapterNames = ({ name }: Product): { readonly a: string; readonly b: string } => ({
  a: `${name}.A`,
  b: `${name}.B`
})

/**
 * The products that have an adapter.
 *
 * @since 0.1.0
 * @category utils
 */
export const adapted = (config: Llama.Config, targets: Lora.Targets): ReadonlyArray<Product> => {
  const products: Array<Product> = []
  for (let i = 0; i < config.layers; i++) {
    const { down, gateUp, output, qkv } = layerProducts(config, i)
    if (targets.trainAttn) products.push(qkv, output)
    if (targets.trainMlp) products.push(gateUp, down)
  }
  if (targets.trainUnembed) products.push(headProduct(config))
  return products
}

/**
 * The base model's weights by the names of the decoding graph. What is not joined is the array that was given.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fuse = (config: Llama.Config, weights: ReadonlyMap<string, Float32Array>): ReadonlyMap<string, Matrix> => {
  const fused = new Map<string, Matrix>()
  const weight = (name: string): Float32Array => {
    const data = weights.get(name)
    if (data === undefined) throw new Error(`weight ${name} is missing`)
    return data
  }
  const keep = (name: string, shape: ReadonlyArray<number>) => fused.set(name, { shape, data: weight(name) })
  const join = (product: Product): void => {
    const { hasBias, inputWidth, modules, widths } = product
    const rows = widths.reduce((sum, width) => sum + width, 0)
    const stack = (suffix: string) => concat(modules.map((module) => weight(`${module}.${suffix}`)))
    fused.set(`${product.name}.weight`, { shape: [rows, inputWidth], data: stack("weight") })
    if (hasBias) fused.set(`${product.name}.bias`, { shape: [rows], data: stack("bias") })
  }

  keep("model.embed_tokens.weight", [config.vocabularySize, config.hiddenSize])
  for (let i = 0; i < config.layers; i++) {
    const layer = `model.layers.${i}`
    keep(`${layer}.input_layernorm.weight`, [config.hiddenSize])
    keep(`${layer}.post_attention_layernorm.weight`, [config.hiddenSize])
    if (config.queryKeyNorm) {
      keep(`${layer}.self_attn.q_norm.weight`, [config.headDim])
      keep(`${layer}.self_attn.k_norm.weight`, [config.headDim])
    }
    Object.values(layerProducts(config, i)).forEach(join)
  }
  keep("model.norm.weight", [config.hiddenSize])
  if (!config.tiedEmbeddings) keep("lm_head.weight", [config.vocabularySize, config.hiddenSize])
  return fused
}

/**
 * An adapter by the names of the decoding graph. Modules of `targets` that it lacks get zeros.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fuseAdapter = (
  config: Llama.Config,
  targets: Lora.Targets,
  adapter: { readonly rank: number; readonly weights: ReadonlyMap<string, Float32Array> }
): ReadonlyMap<string, Matrix> => {
  const { rank, weights } = adapter
  const scale = Lora.scale(rank)
  const fused = new Map<string, Matrix>()
  for (const product of adapted(config, targets)) {
    const { inputWidth, modules, widths } = product
    const ranks = modules.length * rank
    const width = widths.reduce((sum, each) => sum + each, 0)
    const a = new Float32Array(inputWidth * ranks)
    const b = new Float32Array(ranks * width)
    let column = 0
    modules.forEach((module, part) => {
      const down = weights.get(Lora.peftName(module, "A"))
      const up = weights.get(Lora.peftName(module, "B"))
      if (down !== undefined && up !== undefined) {
        for (let r = 0; r < rank; r++) {
          for (let i = 0; i < inputWidth; i++) a[i * ranks + part * rank + r] = scale * down[r * inputWidth + i]!
          for (let j = 0; j < widths[part]!; j++) b[(part * rank + r) * width + column + j] = up[j * rank + r]!
        }
      }
      column += widths[part]!
    })
    const names = adapterNames(product)
    fused.set(names.a, { shape: [inputWidth, ranks], data: a })
    fused.set(names.b, { shape: [ranks, width], data: b })
  }
  return fused
}

const concat = (parts: ReadonlyArray<Float32Array>): Float32Array => {
  if (parts.length === 1) return parts[0]!
  const joined = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0))
  let offset = 0
  for (const part of parts) {
    joined.set(part, offset)
    offset += part.length
  }
  return joined
}
