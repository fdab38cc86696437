/**
 * The decoder in the form that generates: a few new tokens at a time over a cache of keys and values, which is changed in
 * place. The same operators as in training, except attention, compute it, so log-probabilities agree to rounding.
 */
import { Graph } from "./Graph.js"
import * as Llama from "./Llama.js"
import * as Lora from "./Lora.js"
import * as VocabularyHead from "./VocabularyHead.js"

/**
 * The graph with these inputs and outputs, for B sequences, S new tokens of each, a cache of C positions:
 *
 * - `tokens`, `positions [B, S] int64`; `rows [K] int64`: which of the B*S tokens to compute logits of
 * - `last [B] int32`: the position of each sequence's last new token; `total [1] int32`: the largest of them plus one
 * - `cos`, `sin [C, headDim/2]`, the base weights, the adapters under their PEFT names, `scale []`
 * - `key.i`, `value.i [B, keyValueHeads, C, headDim]`, a layer each, and outputs `key.i:new`, `value.i:new`, for which the
 *   same arrays are to be given
 * - output `logits [K, V]`
 *
 * With S > 1 and something in the cache, B must be 1.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: {
  readonly config: Llama.Config
  readonly targets: Lora.Targets
}): Uint8Array => {
  const { config } = options
  const { headDim, heads, keyValueHeads } = config
  const graph = new Graph("float32")
  const parameters = Lora.parameters(graph, config, options.targets)
  const tokens = graph.input("tokens", ["B", "S"], "int64")
  const last = graph.input("last", ["B"], "int32")
  const total = graph.input("total", [1], "int32")
  const batch = graph.shapeOf(tokens)
  const rows = ["B", "S"] as const
  const cache = ["B", keyValueHeads, "C", headDim] as const

  const hidden = Llama.hidden(graph, config, parameters, {
    rows: graph.reshape(tokens, [-1], ["B*T"]),
    rotation: {
      cos: graph.input("cos", ["C", headDim / 2]),
      sin: graph.input("sin", ["C", headDim / 2]),
      positions: graph.input("positions", rows, "int64"),
      batch
    },
    mix: (q, k, v, layer) => {
      const wide = (count: number) => graph.concat([batch, graph.integers([count * headDim])], 0)
      const shaped = (x: typeof q, count: number) => graph.reshape(x, wide(count), [...rows, count * headDim])
      const [mixed] = graph.emitMany("GroupQueryAttention", [
        shaped(q, heads),
        shaped(k, keyValueHeads),
        shaped(v, keyValueHeads),
        graph.input(keyName(layer), cache),
        graph.input(valueName(layer), cache),
        last,
        total
      ], [
        {
          shape: [...rows, heads * headDim],
          domain: "com.microsoft",
          integers: { num_heads: heads, kv_num_heads: keyValueHeads }
        },
        { shape: cache },
        { shape: cache }
      ], [undefined, `${keyName(layer)}:new`, `${valueName(layer)}:new`])
      graph.declareOutput({ name: `${keyName(layer)}:new`, type: "float32", shape: cache })
      graph.declareOutput({ name: `${valueName(layer)}:new`, type: "float32", shape: cache })
      return graph.reshape(mixed!, [-1, heads * headDim], ["B*T", heads * headDim])
    }
  })
  const chosen = graph.gather(hidden, graph.input("rows", ["K"], "int64"))
  graph.output("logits", VocabularyHead.logits(graph, chosen, Llama.head(config, parameters)))
  return graph.encode()
}

/**
 * Name of a layer's cached keys among the inputs; the output adds `:new`.
 *
 * @since 0.1.0
 * @category utils
 */
export const keyName = (layer: number): string => `key.${layer}`

/**
 * Name of a layer's cached values among the inputs; the output adds `:new`.
 *
 * @since 0.1.0
 * @category utils
 */
export const valueName = (layer: number): string => `value.${layer}`
