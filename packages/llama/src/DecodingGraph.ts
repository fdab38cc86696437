/**
 * The decoder in the form that generates: a few new tokens at a time over a cache of keys and values. Its arithmetic is
 * that of training with the products joined, so log-probabilities agree to rounding.
 */
import * as DecodingWeights from "./DecodingWeights.js"
import { Graph } from "./Graph.js"
import type { Tensor } from "./Graph.js"
import * as Llama from "./Llama.js"
import type * as Lora from "./Lora.js"

/**
 * The graph with these inputs and outputs, for B sequences, S new tokens of each, a cache of C positions:
 *
 * - `tokens`, `positions [B, S] int64`; `rows [K] int64`: which of the B*S tokens to compute logits of
 * - `mask [B, 1, 1, S, C + S]`: 0 where a new token may look, -∞ where not, at the cache and then at the new tokens
 * - `cos`, `sin [P, headDim/2]` with P above every position; adapters under the names of `DecodingWeights`
 * - `key.i`, `value.i [B, keyValueHeads, C, headDim]`, a layer each, C at least 1
 * - output `fresh [2 * layers * B, S, keyValueHeads * headDim]`, what is to be added to the cache: of each layer the keys
 *   of all sequences, then the values
 * - outputs `logits [K, V]` and `probabilities [K, V]`, their softmax
 *
 * The second of the pair is what the runtime is to be given beside the model. The cache is only read, for the runtime's
 * binding copies every output, even one into memory that it was given. With `constants` the runtime lays out the weights
 * anew, which is up to three times as fast and takes their size in memory once more; without, they are inputs under their
 * own names.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: {
  readonly config: Llama.Config
  readonly targets: Lora.Targets
  /** Base weights by the names of `DecodingWeights`, unless they are inputs. */
  readonly constants: ReadonlyMap<string, DecodingWeights.Matrix> | undefined
}): readonly [model: Uint8Array, apart: ReadonlyMap<string, Uint8Array>] => {
  const { config, constants, targets } = options
  const { headDim, heads, keyValueHeads } = config
  const graph = new Graph("float32")

  const shapes = Llama.weightShapes(config)
  const weights = new Map<string, Tensor>()
  const weight = (name: string): Tensor => {
    const constant = constants?.get(name)
    const made = weights.get(name) ?? (constant === undefined
      ? graph.input(name, shapes.get(name)!)
      : graph.constantApart(name, constant.shape, constant.data))
    weights.set(name, made)
    return made
  }
  const embedding = weight("model.embed_tokens.weight")
  /** `x Wᵀ` of one module or product, with its bias or what else is to be added. */
  const plain = (x: Tensor, name: string, hasBias: boolean, added?: Tensor): Tensor => {
    const matrix = name === "lm_head" && config.tiedEmbeddings ? embedding : weight(`${name}.weight`)
    return graph.gemm(x, matrix, { transB: true, c: hasBias ? weight(`${name}.bias`) : added })
  }
  const adapted = new Set(DecodingWeights.adapted(config, targets).map(({ name }) => name))
  /** The outputs of a product beside one another, with adapters where there are some; `added` only if it has one output. */
  const linear = (x: Tensor, product: DecodingWeights.Product, added?: Tensor): Tensor => {
    const { hasBias, modules, name } = product
    const parts = constants === undefined ? modules : [name]
    const bases = parts.map((part) => plain(x, part, hasBias, added))
    const base = bases.length === 1 ? bases[0]! : graph.concat(bases, 1)
    if (!adapted.has(name)) return base
    const names = DecodingWeights.adapterNames(product)
    const ranks = `${modules.length}R`
    const low = graph.gemm(x, graph.input(names.a, [product.inputWidth, ranks]))
    return graph.gemm(low, graph.input(names.b, [ranks, base.shape[1]!]), { c: base })
  }
  const norm = (x: Tensor, name: string): Tensor =>
    graph.emit("SimplifiedLayerNormalization", [x, weight(name)], {
      shape: x.shape,
      integers: { axis: -1 },
      floats: { epsilon: config.normEpsilon }
    })

  const tokens = graph.input("tokens", ["B", "S"], "int64")
  const positions = graph.input("positions", ["B", "S"], "int64")
  const mask = graph.input("mask", ["B", 1, 1, "S", "C+S"])
  const cos = graph.input("cos", ["P", headDim / 2])
  const sin = graph.input("sin", ["P", headDim / 2])

  const batch = graph.shapeOf(tokens)
  const newLength = graph.slice(batch, 0, 1, 2, 1)
  const length = graph.slice(graph.shapeOf(mask), 0, 4, 5, 1)
  const lengths = graph.concat([graph.sub(length, newLength), newLength], 0)
  const group = heads / keyValueHeads
  const groupShape = graph.concat([graph.integers([0, keyValueHeads, group]), newLength, length], 0)
  const stackedShape = graph.concat([graph.integers([0, keyValueHeads, -1]), length], 0)
  const wideShapes = new Map<string, Tensor>()
  /** `[B, S, …widths]` */
  const wide = (x: Tensor, ...widths: ReadonlyArray<number>): Tensor => {
    const key = widths.join()
    const shape = wideShapes.get(key) ?? graph.concat([batch, graph.integers(widths)], 0)
    wideShapes.set(key, shape)
    return graph.reshape(x, shape, ["B", "S", ...widths])
  }

  const rotate = (x: Tensor): Tensor =>
    graph.emit("RotaryEmbedding", [x, positions, cos, sin], { shape: x.shape, domain: "com.microsoft" })
  const headNorm = (x: Tensor, name: string): Tensor =>
    wide(
      norm(graph.reshape(x, [-1, headDim], [`B*S*${Number(x.shape[2]) / headDim}`, headDim]), name),
      Number(x.shape[2])
    )
  const byHead = (x: Tensor, count: number): Tensor => graph.transpose(wide(x, count, headDim), [0, 2, 1, 3])

  /**
   * `softmax(q [keys, k]ᵀ/√headDim + mask) [values, v]` with the cached keys and values, which are not joined with the new
   * ones: that would copy them. Query heads that share keys lie below one another.
   */
  const attend = (q: Tensor, k: Tensor, v: Tensor, layer: number): Tensor => {
    const cache = ["B", keyValueHeads, "C", headDim] as const
    const alpha = 1 / Math.sqrt(headDim)
    const queries = graph.reshape(byHead(q, heads), [0, keyValueHeads, -1, headDim], [
      "B",
      keyValueHeads,
      `${group}S`,
      headDim
    ])
    const scores = graph.concat([
      graph.matMul(queries, graph.input(keyName(layer), cache), { transB: true, alpha }),
      graph.matMul(queries, byHead(k, keyValueHeads), { transB: true, alpha })
    ], 3)
    const grouped = graph.reshape(scores, groupShape, ["B", keyValueHeads, group, "S", "C+S"])
    const weights = graph.reshape(graph.softmax(graph.add(grouped, mask)), stackedShape, scores.shape)
    const [onCache, onNew] = graph.split(weights, lengths, ["C", "S"])
    const mixed = graph.add(
      graph.matMul(onCache!, graph.input(valueName(layer), cache)),
      graph.matMul(onNew!, byHead(v, keyValueHeads))
    )
    const unstacked = graph.reshape(mixed, [0, heads, -1, headDim], ["B", heads, "S", headDim])
    return graph.reshape(graph.transpose(unstacked, [0, 2, 1, 3]), [-1, heads * headDim], ["B*S", heads * headDim])
  }

  const fresh: Array<Tensor> = []
  let x = graph.gather(embedding, graph.reshape(tokens, [-1], ["B*S"]))
  for (let i = 0; i < config.layers; i++) {
    const layer = `model.layers.${i}`
    const { down, gateUp, output, qkv } = DecodingWeights.layerProducts(config, i)
    const attended = norm(x, `${layer}.input_layernorm.weight`)
    const joined = linear(attended, qkv)
    const [q, k, v] = graph.split(wide(joined, Number(joined.shape[1])), qkv.widths) as [Tensor, Tensor, Tensor]
    const headed = (projected: Tensor, name: "q" | "k") =>
      rotate(config.queryKeyNorm ? headNorm(projected, `${layer}.self_attn.${name}_norm.weight`) : projected)
    const keys = headed(k, "k")
    fresh.push(keys, v)
    x = linear(attend(headed(q, "q"), keys, v, i), output, x)

    const fed = norm(x, `${layer}.post_attention_layernorm.weight`)
    const [gate, up] = graph.split(linear(fed, gateUp), gateUp.widths) as [Tensor, Tensor]
    const silu = graph.emit("QuickGelu", [gate], { shape: gate.shape, domain: "com.microsoft", floats: { alpha: 1 } })
    x = linear(graph.mul(silu, up), down, x)
  }
  const chosen = norm(graph.gather(x, graph.input("rows", ["K"], "int64")), "model.norm.weight")
  const logits = linear(chosen, DecodingWeights.headProduct(config))
  graph.output("fresh", graph.concat(fresh, 0))
  graph.output("logits", logits)
  graph.output("probabilities", graph.softmax(logits))
  return [graph.encode(), graph.constantsApart]
}

/**
 * Name of a layer's cached keys among the inputs.
 *
 * @since 0.1.0
 * @category utils
 */
export const keyName = (layer: number): string => `key.${layer}`

/**
 * Name of a layer's cached values among the inputs.
 *
 * @since 0.1.0
 * @category utils
 */
export const valueName = (layer: number): string => `value.${layer}`
