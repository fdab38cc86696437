/** Reverse-mode differentiation over the record of a graph. */
import type { Cotangents, Graph, Operation, Tensor } from "./Graph.js"

/**
 * Appends to the graph the nodes that compute the gradients of `Σ cotangent·output`, with respect to each of `wanted`,
 * in order. Operations on the way to none of them are left out, so a frozen weight costs nothing.
 *
 * @since 0.1.0
 * @category constructors
 */
export const append = (
  graph: Graph,
  seeds: ReadonlyArray<Seed>,
  wanted: ReadonlyArray<Tensor>
): ReadonlyArray<Tensor> => {
  const sums = walk(graph, graph.record, seeds, wanted)
  return wanted.map((tensor) => {
    const sum = sums.get(tensor.name)
    if (sum === undefined) throw new Error(`nothing flows back to ${tensor.name}`)
    return sum
  })
}

/**
 * What a gradient begins with.
 *
 * @since 0.1.0
 * @category models
 */
export interface Seed {
  readonly output: Tensor
  readonly cotangent: Tensor
}

/**
 * What `build` makes of the matrix `input`, of which the backward half keeps the input alone: it builds the rest a second
 * time, after the output's cotangent has come, and so trades a forward pass for the memory of what lies between.
 *
 * @since 0.1.0
 * @category combinators
 */
export const recomputed = (graph: Graph, input: Tensor, build: (input: Tensor) => Tensor): Tensor => {
  const recorded = (from: Tensor) => {
    const start = graph.record.length
    const output = build(from)
    return { output, operations: graph.record.splice(start) }
  }
  const { operations, output } = recorded(input)
  const inside = new Set([input.name, ...operations.map((operation) => operation.output.name)])
  const outside = operations.flatMap(({ inputs }) => inputs).filter(({ name }) => !inside.has(name))
  const parameters = Array.from(new Map(outside.map((tensor) => [tensor.name, tensor])).values())

  graph.record.push({
    inputs: [input, ...parameters],
    output,
    backward: (dy, cotangents) => {
      // From the input itself the runtime would see that everything has been computed already, and keep it.
      const again = graph.after(input, dy)
      const second = recorded(again)
      const wanted = parameters.filter(cotangents.needs)
      if (cotangents.needs(input)) wanted.push(again)
      const sums = walk(graph, second.operations, [{ output: second.output, cotangent: dy }], wanted)
      for (const tensor of wanted) {
        const sum = sums.get(tensor.name)
        if (sum !== undefined) cotangents.add(tensor === again ? input : tensor, sum)
      }
    }
  })
  return output
}

/** Walks operations backwards; the sums of what has flowed back to each tensor, by its name. */
const walk = (
  graph: Graph,
  operations: ReadonlyArray<Operation>,
  seeds: ReadonlyArray<Seed>,
  wanted: ReadonlyArray<Tensor>
): ReadonlyMap<string, Tensor> => {
  const needed = new Set(wanted.map((tensor) => tensor.name))
  for (const operation of operations) {
    if (operation.inputs.some((input) => needed.has(input.name))) needed.add(operation.output.name)
  }

  const sums = new Map<string, Tensor>()
  const cotangents: Cotangents = {
    needs: (tensor) => needed.has(tensor.name),
    add: (tensor, cotangent) => {
      if (!needed.has(tensor.name)) return
      const sum = sums.get(tensor.name)
      sums.set(tensor.name, sum === undefined ? cotangent : graph.add(sum, cotangent))
    },
    take: (tensor) => {
      const sum = sums.get(tensor.name)
      sums.delete(tensor.name)
      return sum
    }
  }

  for (const { cotangent, output } of seeds) cotangents.add(output, cotangent)
  for (const operation of operations.slice().reverse()) {
    const cotangent = needed.has(operation.output.name) ? cotangents.take(operation.output) : undefined
    if (cotangent !== undefined) operation.backward(cotangent, cotangents)
  }
  return sums
}
