/**
 * A graph being built: one method an operator, each adding a node to the model and returning the tensor it makes.
 * Operations that can be differentiated also leave a {@link Operation} in the record, which `Gradient` walks backwards.
 */
import { ModelBuilder } from "./internal/modelBuilder.js"
import type * as OnnxProto from "./OnnxProto.js"

/**
 * The result of a node that has not run yet.
 *
 * @since 0.1.0
 * @category models
 */
export interface Tensor extends OnnxProto.Value {}

/**
 * A step of the forward pass that knows its gradient. It may consist of several nodes.
 *
 * @since 0.1.0
 * @category models
 */
export interface Operation {
  readonly inputs: ReadonlyArray<Tensor>
  readonly output: Tensor
  /** Adds the nodes that turn the output's cotangent into those of the inputs that need one. */
  readonly backward: (cotangent: Tensor, cotangents: Cotangents) => void
}

/**
 * Sums of what has flowed back to each tensor so far.
 *
 * @since 0.1.0
 * @category models
 */
export interface Cotangents {
  /** Whether anything wanted depends on this tensor. */
  readonly needs: (tensor: Tensor) => boolean
  readonly add: (tensor: Tensor, cotangent: Tensor) => void
  /** Hands over the sum so far, so that a product can add to it in one go; give the result back with `add`. */
  readonly take: (tensor: Tensor) => Tensor | undefined
}

/**
 * A graph whose numbers are float32, or float64 where its gradients are checked.
 *
 * @since 0.1.0
 * @category constructors
 */
export class Graph extends ModelBuilder {
  /** The differentiable steps of the forward pass so far, in order. */
  readonly record: Array<Operation> = []

  // elementwise

  add(a: Tensor, b: Tensor): Tensor {
    return this.elementwise("Add", a, b)
  }

  sub(a: Tensor, b: Tensor): Tensor {
    return this.elementwise("Sub", a, b)
  }

  mul(a: Tensor, b: Tensor): Tensor {
    return this.elementwise("Mul", a, b)
  }

  div(a: Tensor, b: Tensor): Tensor {
    return this.elementwise("Div", a, b)
  }

  min(a: Tensor, b: Tensor): Tensor {
    return this.elementwise("Min", a, b)
  }

  max(a: Tensor, b: Tensor): Tensor {
    return this.elementwise("Max", a, b)
  }

  less(a: Tensor, b: Tensor): Tensor {
    return this.elementwise("Less", a, b, "bool")
  }

  equal(a: Tensor, b: Tensor): Tensor {
    return this.elementwise("Equal", a, b, "bool")
  }

  and(a: Tensor, b: Tensor): Tensor {
    return this.elementwise("And", a, b)
  }

  or(a: Tensor, b: Tensor): Tensor {
    return this.elementwise("Or", a, b)
  }

  not(x: Tensor): Tensor {
    return this.emit("Not", [x], { shape: x.shape, type: x.type })
  }

  where(condition: Tensor, a: Tensor, b: Tensor): Tensor {
    return this.emit("Where", [condition, a, b], {
      shape: broadcast(condition.shape, broadcast(a.shape, b.shape)),
      type: a.type
    })
  }

  neg(x: Tensor): Tensor {
    return this.emit("Neg", [x], { shape: x.shape, type: x.type })
  }

  exp(x: Tensor): Tensor {
    return this.emit("Exp", [x], { shape: x.shape, type: x.type })
  }

  sqrt(x: Tensor): Tensor {
    return this.emit("Sqrt", [x], { shape: x.shape, type: x.type })
  }

  sigmoid(x: Tensor): Tensor {
    return this.emit("Sigmoid", [x], { shape: x.shape, type: x.type })
  }

  // reductions over one axis

  softmax(x: Tensor): Tensor {
    return this.emit("Softmax", [x], { shape: x.shape, type: x.type, integers: { axis: -1 } })
  }

  logSoftmax(x: Tensor): Tensor {
    return this.emit("LogSoftmax", [x], { shape: x.shape, type: x.type, integers: { axis: -1 } })
  }

  /** Sum over the last axis, which stays with length 1. */
  sumLast(x: Tensor): Tensor {
    return this.emit("ReduceSum", [x, this.integers([-1])], {
      shape: [...x.shape.slice(0, -1), 1],
      integers: { keepdims: 1 }
    })
  }

  meanLast(x: Tensor): Tensor {
    return this.emit("ReduceMean", [x, this.integers([-1])], {
      shape: [...x.shape.slice(0, -1), 1],
      integers: { keepdims: 1 }
    })
  }

  /** Sum over the first axis, which disappears. */
  sumFirst(x: Tensor): Tensor {
    return this.sum(x, 0)
  }

  /** Sum over an axis, which disappears. */
  sum(x: Tensor, axis: number): Tensor {
    const shape = x.shape.filter((_, i) => i !== axis)
    return this.emit("ReduceSum", [x, this.integers([axis])], { shape, integers: { keepdims: 0 } })
  }

  // products

  /** `a·b + c` of matrices, either transposed first. */
  gemm(
    a: Tensor,
    b: Tensor,
    options: { readonly transA?: boolean; readonly transB?: boolean; readonly c?: Tensor | undefined } = {}
  ): Tensor {
    const rows = options.transA === true ? a.shape[1]! : a.shape[0]!
    const columns = options.transB === true ? b.shape[0]! : b.shape[1]!
    return this.emit("Gemm", options.c === undefined ? [a, b] : [a, b, options.c], {
      shape: [rows, columns],
      integers: { transA: options.transA === true ? 1 : 0, transB: options.transB === true ? 1 : 0 }
    })
  }

  /** `alpha·a·b` over the last two axes, either transposed first. */
  matMul(
    a: Tensor,
    b: Tensor,
    options: { readonly transA?: boolean; readonly transB?: boolean; readonly alpha?: number } = {}
  ): Tensor {
    const { alpha = 1, transA = false, transB = false } = options
    const shape = [
      ...a.shape.slice(0, -2),
      transA ? a.shape.at(-1)! : a.shape.at(-2)!,
      transB ? b.shape.at(-2)! : b.shape.at(-1)!
    ]
    if (this.float === "float32") {
      return this.emit("FusedMatMul", [a, b], {
        shape,
        domain: "com.microsoft",
        integers: { transA: transA ? 1 : 0, transB: transB ? 1 : 0 },
        floats: { alpha }
      })
    }
    // The fused operator has no float64 kernel.
    const product = this.emit("MatMul", [transA ? this.swapLast(a) : a, transB ? this.swapLast(b) : b], { shape })
    return alpha === 1 ? product : this.mul(product, this.scalar(alpha))
  }

  // shapes

  /** The lengths of the axes, `[rank] int64`. */
  shapeOf(x: Tensor): Tensor {
    return this.emit("Shape", [x], { shape: [x.shape.length], type: "int64" })
  }

  concat(parts: ReadonlyArray<Tensor>, axis: number): Tensor {
    const first = parts[0]!
    const lengths = parts.map((part) => part.shape.at(axis)!)
    const shape = [...first.shape]
    shape[axis < 0 ? shape.length + axis : axis] = lengths.every((length) => typeof length === "number")
      ? lengths.reduce<number>((sum, length) => sum + Number(length), 0)
      : lengths.join("+")
    return this.emit("Concat", parts, { shape, type: first.type, integers: { axis } })
  }

  /** `to` are numbers (0 keeps a length, -1 is inferred) or a tensor of them; `shape` says what comes out. */
  reshape(x: Tensor, to: ReadonlyArray<number> | Tensor, shape: ReadonlyArray<OnnxProto.Dim>): Tensor {
    const target = "name" in to ? to : this.integers(to)
    return this.emit("Reshape", [x, target], { shape, type: x.type })
  }

  transpose(x: Tensor, permutation: ReadonlyArray<number>): Tensor {
    const shape = permutation.map((axis) => x.shape[axis]!)
    return this.emit("Transpose", [x], { shape, type: x.type, integers: { perm: permutation } })
  }

  slice(x: Tensor, axis: number, start: number | Tensor, end: number | Tensor, length: OnnxProto.Dim): Tensor {
    const shape = [...x.shape]
    shape[axis] = length
    const at = (bound: number | Tensor) => typeof bound === "number" ? this.integers([bound]) : bound
    return this.emit("Slice", [x, at(start), at(end), this.integers([axis])], { shape, type: x.type })
  }

  /** The last axis in parts; where the lengths are a tensor, `names` are those of the parts. */
  split(
    x: Tensor,
    lengths: ReadonlyArray<number> | Tensor,
    names: ReadonlyArray<OnnxProto.Dim> = "name" in lengths ? [] : lengths
  ): ReadonlyArray<Tensor> {
    const lead = x.shape.slice(0, -1)
    return this.emitMany(
      "Split",
      [x, "name" in lengths ? lengths : this.integers(lengths)],
      names.map((length) => ({ shape: [...lead, length], type: x.type, integers: { axis: -1 } }))
    )
  }

  tile(x: Tensor, repeats: ReadonlyArray<number>, shape: ReadonlyArray<OnnxProto.Dim>): Tensor {
    return this.emit("Tile", [x, this.integers(repeats)], { shape, type: x.type })
  }

  /** The numbers from 0 to `length - 1`, `[length] int64`. */
  range(length: Tensor, name: OnnxProto.Dim): Tensor {
    return this.emit("Range", [this.integer(0), length, this.integer(1)], { shape: [name], type: "int64" })
  }

  // indexing

  /** The rows of `x` that `rows` lists. */
  gather(x: Tensor, rows: Tensor): Tensor {
    return this.emit("Gather", [x, rows], {
      shape: [...rows.shape, ...x.shape.slice(1)],
      type: x.type,
      integers: { axis: 0 }
    })
  }

  /** The element `x[i, indices[i, j]]` at each `[i, j]`. */
  gatherLast(x: Tensor, indices: Tensor): Tensor {
    return this.emit("GatherElements", [x, indices], { shape: indices.shape, type: x.type, integers: { axis: -1 } })
  }

  /** Adds `updates[i, j]` to `x[i, indices[i, j]]`. */
  scatterAddLast(x: Tensor, indices: Tensor, updates: Tensor): Tensor {
    return this.emit("ScatterElements", [x, indices, updates], {
      shape: x.shape,
      type: x.type,
      integers: { axis: -1 },
      strings: { reduction: "add" }
    })
  }

  /** Adds row i of `updates` to row `rows[i]` of the matrix `x`. */
  scatterAddRows(x: Tensor, rows: Tensor, updates: Tensor): Tensor {
    const column = this.reshape(rows, [-1, 1], [rows.shape[0]!, 1])
    const indices = this.emit("Expand", [column, this.shapeOf(updates)], { shape: updates.shape, type: "int64" })
    return this.emit("ScatterElements", [x, indices, updates], {
      shape: x.shape,
      type: x.type,
      integers: { axis: 0 },
      strings: { reduction: "add" }
    })
  }

  /** The same matrix, computed after the matrix `other`, on which it does not depend. */
  after(x: Tensor, other: Tensor): Tensor {
    const corner = this.slice(this.slice(other, 0, 0, 1, 1), 1, 0, 1, 1)
    const never = this.initializer("never", "bool", [], new Uint8Array(1))
    return this.where(never, corner, x)
  }

  /** A matrix `[indices, depth]` of zeros, with a one in each row where its index says. */
  oneHot(indices: Tensor, depth: number): Tensor {
    const column = this.reshape(indices, [-1, 1], [indices.shape[0]!, 1])
    const columns = this.range(this.integer(depth), depth)
    return this.where(this.equal(column, columns), this.scalar(1), this.scalar(0))
  }

  private elementwise(operator: string, a: Tensor, b: Tensor, type: OnnxProto.ElementType = a.type): Tensor {
    return this.emit(operator, [a, b], { shape: broadcast(a.shape, b.shape), type })
  }

  private swapLast(x: Tensor): Tensor {
    const axes = x.shape.map((_, axis) => axis)
    return this.transpose(x, [...axes.slice(0, -2), axes.at(-1)!, axes.at(-2)!])
  }

}

const broadcast = (
  a: ReadonlyArray<OnnxProto.Dim>,
  b: ReadonlyArray<OnnxProto.Dim>
): ReadonlyArray<OnnxProto.Dim> => {
  const [long, short] = a.length >= b.length ? [a, b] : [b, a]
  const offset = long.length - short.length
  return long.map((dim, axis) => axis < offset || dim !== 1 ? dim : short[axis - offset]!)
}
