/** A model being built, of nodes whatever they compute: its inputs, its outputs, its constants, and the nodes. */
import type { Tensor } from "../Graph.js"
import * as OnnxProto from "../OnnxProto.js"

/** One output of a node, and the attributes of the node. */
export interface NodeOutput {
  readonly shape: ReadonlyArray<OnnxProto.Dim>
  readonly type?: OnnxProto.ElementType | undefined
  readonly domain?: string | undefined
  readonly integers?: Readonly<Record<string, number | ReadonlyArray<number>>> | undefined
  readonly floats?: Readonly<Record<string, number>> | undefined
  readonly strings?: Readonly<Record<string, string>> | undefined
}

export class ModelBuilder {
  /** Element type of every number that is differentiated: float64 where gradients are checked. */
  readonly float: "float32" | "float64"
  private readonly nodes: Array<OnnxProto.Node> = []
  private readonly initializers = new Map<string, OnnxProto.Initializer>()
  private readonly inputs: Array<Tensor> = []
  private readonly outputs: Array<Tensor> = []
  private readonly values: Array<Tensor> = []
  /** The names that tensors have as outputs, by those that they were made under. */
  private readonly names = new Map<string, string>()
  private count = 0

  constructor(float: "float32" | "float64") {
    this.float = float
  }

  input(
    name: string,
    shape: ReadonlyArray<OnnxProto.Dim>,
    type: OnnxProto.ElementType = this.float
  ): Tensor {
    const tensor = { name, type, shape }
    this.inputs.push(tensor)
    return tensor
  }

  /** Makes a tensor an output, under another name. */
  output(name: string, tensor: Tensor): void {
    const index = this.values.findIndex((value) => value.name === tensor.name)
    if (index >= 0) {
      this.values.splice(index, 1)
      this.names.set(tensor.name, name)
      this.outputs.push({ ...tensor, name })
    } else {
      this.declareOutput(this.emit("Identity", [tensor], { shape: tensor.shape, type: tensor.type }, name))
    }
  }

  /** Makes a tensor that a node already computes under this name an output. */
  declareOutput(tensor: Tensor): void {
    const index = this.values.findIndex(({ name }) => name === tensor.name)
    if (index >= 0) this.values.splice(index, 1)
    this.outputs.push(tensor)
  }

  /** Numbers that are part of the model, of the graph's element type. */
  constant(name: string, shape: ReadonlyArray<number>, data: Float32Array | Float64Array): Tensor {
    const typed = this.float === "float64"
      ? data instanceof Float64Array ? data : Float64Array.from(data)
      : data instanceof Float32Array
      ? data
      : Float32Array.from(data)
    return this.initializer(name, this.float, shape, typed)
  }

  /** Float32 numbers that the runtime is given beside the model, in `constantsApart`: it is not copied to encode the model. */
  constantApart(name: string, shape: ReadonlyArray<number>, data: Float32Array): Tensor {
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    this.initializers.set(name, { name, type: "float32", shape, bytes, isApart: true })
    return { name, type: "float32", shape }
  }

  /** What to give beside the model, by name. */
  get constantsApart(): ReadonlyMap<string, Uint8Array> {
    const apart = Array.from(this.initializers.values()).filter(({ isApart }) => isApart === true)
    return new Map(apart.map(({ bytes, name }) => [name, bytes]))
  }

  scalar(value: number): Tensor {
    return this.constant(`scalar:${value}`, [], Float64Array.of(value))
  }

  integers(values: ReadonlyArray<number>): Tensor {
    const data = BigInt64Array.from(values, BigInt)
    return this.initializer(`integers:${values.join(",")}`, "int64", [values.length], data)
  }

  integer(value: number): Tensor {
    return this.initializer(`integer:${value}`, "int64", [], BigInt64Array.of(BigInt(value)))
  }

  /** The first of the node's outputs; `name` is made up when absent. */
  emit(operator: string, inputs: ReadonlyArray<Tensor>, options: NodeOutput, name?: string): Tensor {
    return this.emitMany(operator, inputs, [options], name === undefined ? undefined : [name])[0]!
  }

  /** Every output of the node, described in order; attributes are those of the first. */
  emitMany(
    operator: string,
    inputs: ReadonlyArray<Tensor>,
    outputs: ReadonlyArray<NodeOutput>,
    names?: ReadonlyArray<string | undefined>
  ): ReadonlyArray<Tensor> {
    const tensors = outputs.map(({ shape, type = this.float }, i): Tensor => ({
      name: names?.[i] ?? `${operator}:${this.count++}`,
      type,
      shape
    }))
    const { domain = "", floats = {}, integers = {}, strings = {} } = outputs[0]!
    this.nodes.push({
      operator,
      domain,
      inputs: inputs.map((input) => input.name),
      outputs: tensors.map((tensor) => tensor.name),
      integers,
      floats,
      strings
    })
    this.values.push(...tensors)
    return tensors
  }

  /** The model as bytes that the runtime loads. */
  encode(): Uint8Array {
    const name = (tensor: string) => this.names.get(tensor) ?? tensor
    const nodes = this.nodes.map((node) => ({
      ...node,
      inputs: node.inputs.map(name),
      outputs: node.outputs.map(name)
    }))
    // The runtime computes what ends last in this list, with all it needs, first. Put in reverse, what nothing else needs,
    // such as a gradient, is computed as soon as it can be, and what it needs is not kept.
    const used = new Set(nodes.flatMap(({ inputs }) => inputs))
    const isEnd = (node: OnnxProto.Node) => !node.outputs.some((output) => used.has(output))
    return OnnxProto.encode({
      nodes: [...nodes.filter((node) => !isEnd(node)), ...nodes.filter(isEnd).reverse()],
      initializers: Array.from(this.initializers.values()),
      inputs: this.inputs,
      outputs: this.outputs,
      values: this.values
    })
  }

  protected initializer(
    name: string,
    type: OnnxProto.ElementType,
    shape: ReadonlyArray<number>,
    data: Float32Array | Float64Array | BigInt64Array | Uint8Array
  ): Tensor {
    if (!this.initializers.has(name)) {
      const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
      this.initializers.set(name, { name, type, shape, bytes })
    }
    return { name, type, shape }
  }
}
