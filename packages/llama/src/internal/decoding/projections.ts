/** The parts of the decoding graph that have weights: products, with an adapter where there is one, and norms. */
import * as DecodingWeights from "../../DecodingWeights.js"
import type { Graph, Tensor } from "../../Graph.js"
import * as Llama from "../../Llama.js"
import type * as Lora from "../../Lora.js"

export interface Projections {
  /** A base weight by its name, `[rows, columns]`, which is an input or a constant. */
  readonly weight: (name: string) => Tensor
  /** The outputs of a product beside one another, with adapters where there are some; `added` only if it has one output. */
  readonly linear: (x: Tensor, product: DecodingWeights.Product, added?: Tensor) => Tensor
  /** `x` over the root of its mean square along the last axis, times the weight of this name. */
  readonly norm: (x: Tensor, name: string) => Tensor
}

export const make = (graph: Graph, options: {
  readonly config: Llama.Config
  readonly targets: Lora.Targets
  /** Base weights by the names of `DecodingWeights`, unless they are inputs. */
  readonly constants: ReadonlyMap<string, DecodingWeights.Matrix> | undefined
}): Projections => {
  const { config, constants, targets } = options
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
  /** `x Wᵀ` of one module or product, with its bias or what else is to be added. */
  const plain = (x: Tensor, name: string, hasBias: boolean, added?: Tensor): Tensor => {
    const isTied = name === "lm_head" && config.tiedEmbeddings
    const matrix = weight(isTied ? "model.embed_tokens.weight" : `${name}.weight`)
    return graph.gemm(x, matrix, { transB: true, c: hasBias ? weight(`${name}.bias`) : added })
  }
  const adapted = new Set(DecodingWeights.adapted(config, targets).map(({ name }) => name))

  return {
    weight,
    linear: (x, product, added) => {
      const { hasBias, modules, name } = product
      const parts = constants === undefined ? modules : [name]
      const bases = parts.map((part) => plain(x, part, hasBias, added))
      const base = bases.length === 1 ? bases[0]! : graph.concat(bases, 1)
      if (!adapted.has(name)) return base
      const names = DecodingWeights.adapterNames(product)
      const ranks = `${modules.length}R`
      const low = graph.gemm(x, graph.input(names.a, [product.inputWidth, ranks]))
      return graph.gemm(low, graph.input(names.b, [ranks, base.shape[1]!]), { c: base })
    },
    norm: (x, name) =>
      graph.emit("SimplifiedLayerNormalization", [x, weight(name)], {
        shape: x.shape,
        integers: { axis: -1 },
        floats: { epsilon: config.normEpsilon }
      })
  }
}
