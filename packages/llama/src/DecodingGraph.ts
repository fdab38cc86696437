/**
 * The decoder in the form that generates: a few new tokens at a time over a cache of keys and values. Its arithmetic is
 * that of training with the products joined, so log-probabilities agree to rounding.
 */
import * as DecodingWeights from "./DecodingWeights.js"
import { Graph } from "./Graph.js"
import type { Tensor } from "./Graph.js"
import * as CachedAttention from "./internal/decoding/cachedAttention.js"
import * as Projections from "./internal/decoding/projections.js"
import type * as Llama from "./Llama.js"
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
  const { config } = options
  const { headDim } = config
  const graph = new Graph("float32")
  const { linear, norm, weight } = Projections.make(graph, options)
  const embedding = weight("model.embed_tokens.weight")
  const layout = CachedAttention.layout(graph, config)
  const wide = (x: Tensor, width: number): Tensor => CachedAttention.wide(graph, layout, x, width)
  const headNorm = (x: Tensor, name: string): Tensor => {
    const width = Number(x.shape[2])
    return wide(norm(graph.reshape(x, [-1, headDim], [`B*S*${width / headDim}`, headDim]), name), width)
  }

  const fresh: Array<Tensor> = []
  const cacheShape = CachedAttention.cacheShape(config)
  let x = graph.gather(embedding, graph.reshape(layout.tokens, [-1], ["B*S"]))
  for (let i = 0; i < config.layers; i++) {
    const layer = `model.layers.${i}`
    const { down, gateUp, output, qkv } = DecodingWeights.layerProducts(config, i)
    const joined = linear(norm(x, `${layer}.input_layernorm.weight`), qkv)
    const [q, k, v] = graph.split(wide(joined, Number(joined.shape[1])), qkv.widths) as [Tensor, Tensor, Tensor]
    const headed = (projected: Tensor, name: "q" | "k"): Tensor => {
      const normed = config.queryKeyNorm ? headNorm(projected, `${layer}.self_attn.${name}_norm.weight`) : projected
      return CachedAttention.rotate(graph, layout, normed)
    }
    const keys = headed(k, "k")
    fresh.push(keys, v)
    const attended = CachedAttention.attention(graph, layout, headed(q, "q"), keys, v, {
      keys: graph.input(keyName(i), cacheShape),
      values: graph.input(valueName(i), cacheShape)
    })
    x = linear(attended, output, x)

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
 * The name of a layer's cached keys among the inputs.
 *
 * @since 0.1.0
 * @category utils
 */
export const keyName = (layer: number): string => `key.${layer}`

/**
 * The name of a layer's cached values among the inputs.
 *
 * @since 0.1.0
 * @category utils
 */
export const valueName = (layer: number): string => `value.${layer}`
