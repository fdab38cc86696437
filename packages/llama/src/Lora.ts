/** Adapters of a model: which linear maps have one, how they begin, what they are called. */
import type * as Engine from "@effect-tinker/engine/Engine"
import * as Sampler from "@effect-tinker/engine/Sampler"
import type { Graph, Tensor } from "./Graph.js"
import * as Llama from "./Llama.js"

/**
 * The parts of a model whose linear maps have an adapter.
 *
 * @since 0.1.0
 * @category models
 */
export type Targets = Pick<Engine.LoraSpec, "trainAttn" | "trainMlp" | "trainUnembed">

/**
 * Targets of a model without any adapter.
 *
 * @since 0.1.0
 * @category constructors
 */
export const none: Targets = { trainAttn: false, trainMlp: false, trainUnembed: false }

/**
 * Modules with an adapter in the order of the forward pass, each `[out, in]`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const modules = (config: Llama.Config, targets: Targets): ReadonlyMap<string, readonly [number, number]> => {
  const names: Array<string> = []
  for (let i = 0; i < config.layers; i++) {
    const layer = `model.layers.${i}`
    if (targets.trainAttn) names.push(...["q", "k", "v", "o"].map((name) => `${layer}.self_attn.${name}_proj`))
    if (targets.trainMlp) names.push(...["gate", "up", "down"].map((name) => `${layer}.mlp.${name}_proj`))
  }
  const shapes = Llama.weightShapes(config)
  const modules = new Map(names.map((name) => {
    const [rows, columns] = shapes.get(`${name}.weight`)!
    return [name, [rows!, columns!] as const]
  }))
  // Tied or not, the unembedding's adapter is a term of its own: the input embedding does not change.
  if (targets.trainUnembed) modules.set("lm_head", [config.vocabularySize, config.hiddenSize])
  return modules
}

/**
 * The tensors of an adapter of this rank under their PEFT names: for each module A `[rank, in]`, then B `[out, rank]`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const shapes = (
  config: Llama.Config,
  targets: Targets,
  rank: number
): ReadonlyMap<string, readonly [number, number]> => {
  const shapes = new Map<string, readonly [number, number]>()
  for (const [module, [rows, columns]] of modules(config, targets)) {
    shapes.set(peftName(module, "A"), [rank, columns])
    shapes.set(peftName(module, "B"), [rows, rank])
  }
  return shapes
}

/**
 * Initial adapters: A uniform in ±1/√in, B zero, so that the model is the base model.
 *
 * Source: PEFT draws A by `kaiming_uniform_(a=√5)`, which has this bound.
 *
 * @since 0.1.0
 * @category constructors
 */
export const initialize = (config: Llama.Config, spec: Engine.LoraSpec): Map<string, Float32Array> => {
  const random = Sampler.makeRandom(spec.seed)
  const tensors = new Map<string, Float32Array>()
  for (const [module, [rows, columns]] of modules(config, spec)) {
    const a = new Float32Array(spec.rank * columns)
    const bound = 1 / Math.sqrt(columns)
    for (let i = 0; i < a.length; i++) a[i] = (2 * random() - 1) * bound
    tensors.set(peftName(module, "A"), a)
    tensors.set(peftName(module, "B"), new Float32Array(rows * spec.rank))
  }
  return tensors
}

/**
 * Factor of the low-rank product: the same step changes the output equally at any rank.
 *
 * @since 0.1.0
 * @category constructors
 */
export const scale = (rank: number): number => 32 / rank

/**
 * Weights and adapters of a graph, all inputs: so any number of adapters, of any rank, share a compiled graph, and all
 * graphs of a model share one copy of its weights. Adapters go by their PEFT names.
 *
 * @since 0.1.0
 * @category constructors
 */
export const parameters = (
  graph: Graph,
  config: Llama.Config,
  targets: Targets
): Llama.Parameters & { readonly trainable: ReadonlyArray<Tensor> } => {
  const weights = new Map<string, Tensor>()
  for (const [name, shape] of Llama.weightShapes(config)) {
    weights.set(name, graph.input(name, shape))
  }
  const adapted = modules(config, targets)
  const scale = adapted.size > 0 ? graph.input("scale", []) : undefined
  const adapters = new Map(Array.from(adapted, ([module, [rows, columns]]) => [module, {
    a: graph.input(peftName(module, "A"), ["R", columns]),
    b: graph.input(peftName(module, "B"), [rows, "R"]),
    scale: scale!
  }]))
  return {
    weight: (name) => weights.get(name)!,
    adapter: (module) => adapters.get(module),
    trainable: Array.from(adapters.values()).flatMap(({ a, b }) => [a, b])
  }
}

/**
 * Name of one of a module's two matrices, as PEFT writes it.
 *
 * @since 0.1.0
 * @category utils
 */
export const peftName = (module: string, matrix: "A" | "B"): string =>
  `base_model.model.${module}.lora_${matrix}.weight`
