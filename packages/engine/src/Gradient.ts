/** Reverse-mode differentiation over the record of a graph. */
import type { Cotangents, Graph, Tensor } from "./Graph.js"

/**
 * Appends to the graph the nodes that compute the gradients of `Σ cotangent·output`, with respect to each of `wanted`,
 * in order. Operations on the way to none of them are left out, so a frozen weight costs nothing.
 *
 * @since 0.1.0
 * @category constructors
 */
export const append = (
  graph: Graph,
  seeds: ReadonlyArray<{ readonly output: Tensor; readonly cotangent: Tensor }>,
  wanted: ReadonlyArray<Tensor>
): ReadonlyArray<Tensor> => {
  const needed = new Set(wanted.map((tensor) => tensor.name))
  for (const operation of graph.record) {
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
  for (const operation of graph.record.slice().reverse()) {
    const cotangent = needed.has(operation.output.name) ? cotangents.take(operation.output) : undefined
    if (cotangent !== undefined) operation.backward(cotangent, cotangents)
  }

  return wanted.map((tensor) => {
    const sum = sums.get(tensor.name)
    if (sum === undefined) throw new Error(`nothing flows back to ${tensor.name}`)
    return sum
  })
}
