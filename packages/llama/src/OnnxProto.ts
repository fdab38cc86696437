/**
 * The few messages of the ONNX format that a graph of ours needs, written as protobuf bytes.
 *
 * Source of every field number: `onnx.proto` of ONNX 1.17 (IR version 10).
 */
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire"

/**
 * The type of a tensor's elements.
 *
 * @since 0.1.0
 * @category models
 */
export type ElementType = "float32" | "float64" | "int32" | "int64" | "bool"

/**
 * A length, or the name of one that is known only when the graph runs.
 *
 * @since 0.1.0
 * @category models
 */
export type Dim = number | string

/**
 * An operator of the graph, with the names of the tensors that it reads and makes.
 *
 * @since 0.1.0
 * @category models
 */
export interface Node {
  readonly operator: string
  /** The domain of the operator; empty for those of ONNX itself. */
  readonly domain: string
  readonly inputs: ReadonlyArray<string>
  readonly outputs: ReadonlyArray<string>
  /** Attributes whose values are whole numbers; those of other kinds follow. */
  readonly integers: Readonly<Record<string, number | ReadonlyArray<number>>>
  readonly floats: Readonly<Record<string, number>>
  readonly strings: Readonly<Record<string, string>>
}

/**
 * The name, the type and the shape of a tensor.
 *
 * @since 0.1.0
 * @category models
 */
export interface Value {
  readonly name: string
  readonly type: ElementType
  readonly shape: ReadonlyArray<Dim>
}

/**
 * Row-major little-endian numbers that are part of the model.
 *
 * @since 0.1.0
 * @category models
 */
export interface Initializer {
  readonly name: string
  readonly type: ElementType
  readonly shape: ReadonlyArray<number>
  readonly bytes: Uint8Array
  /** Whether the bytes are given to the runtime beside the model, under the name, instead of being part of it. */
  readonly isApart?: boolean | undefined
}

/**
 * A graph with its constants, its inputs and its outputs.
 *
 * @since 0.1.0
 * @category models
 */
export interface Model {
  readonly nodes: ReadonlyArray<Node>
  readonly initializers: ReadonlyArray<Initializer>
  readonly inputs: ReadonlyArray<Value>
  readonly outputs: ReadonlyArray<Value>
  /** Shapes of what lies between: with them the runtime can reuse memory although lengths have only names. */
  readonly values: ReadonlyArray<Value>
}

/**
 * The bytes of a model, as the runtime loads them.
 *
 * @since 0.1.0
 * @category utils
 */
export const encode = (model: Model): Uint8Array => {
  const writer = new BinaryWriter()
  writer.tag(1, WireType.Varint).int64(irVersion)
  writer.tag(2, WireType.LengthDelimited).string("effect-tinker")
  writer.tag(7, WireType.LengthDelimited).bytes(graph(model))
  for (const [domain, version] of operatorSets) {
    const set = new BinaryWriter()
    set.tag(1, WireType.LengthDelimited).string(domain)
    set.tag(2, WireType.Varint).int64(version)
    writer.tag(8, WireType.LengthDelimited).bytes(set.finish())
  }
  return writer.finish()
}

const irVersion = 10
const operatorSets = [["", 18], ["com.microsoft", 1]] as const
const elementTypes = { float32: 1, int32: 6, int64: 7, bool: 9, float64: 11 } as const
const attributeTypes = { float: 1, integer: 2, string: 3, integers: 7 } as const

/** The number by which the format says that an initializer's bytes lie outside of the model. */
const externalData = 1

const graph = (model: Model): Uint8Array => {
  const writer = new BinaryWriter()
  for (const each of model.nodes) writer.tag(1, WireType.LengthDelimited).bytes(node(each))
  writer.tag(2, WireType.LengthDelimited).string("decoder")
  for (const each of model.initializers) writer.tag(5, WireType.LengthDelimited).bytes(initializer(each))
  for (const each of model.inputs) writer.tag(11, WireType.LengthDelimited).bytes(value(each))
  for (const each of model.outputs) writer.tag(12, WireType.LengthDelimited).bytes(value(each))
  for (const each of model.values) writer.tag(13, WireType.LengthDelimited).bytes(value(each))
  return writer.finish()
}

const node = (self: Node): Uint8Array => {
  const writer = new BinaryWriter()
  for (const name of self.inputs) writer.tag(1, WireType.LengthDelimited).string(name)
  for (const name of self.outputs) writer.tag(2, WireType.LengthDelimited).string(name)
  writer.tag(4, WireType.LengthDelimited).string(self.operator)
  for (const [name, number] of Object.entries(self.integers)) {
    attribute(writer, name, typeof number === "number" ? "integer" : "integers", (field) => {
      if (typeof number === "number") field.tag(3, WireType.Varint).int64(number)
      else for (const each of number) field.tag(8, WireType.Varint).int64(each)
    })
  }
  for (const [name, number] of Object.entries(self.floats)) {
    attribute(writer, name, "float", (field) => field.tag(2, WireType.Bit32).float(number))
  }
  for (const [name, text] of Object.entries(self.strings)) {
    attribute(writer, name, "string", (field) => field.tag(4, WireType.LengthDelimited).string(text))
  }
  writer.tag(7, WireType.LengthDelimited).string(self.domain)
  return writer.finish()
}

const attribute = (
  writer: BinaryWriter,
  name: string,
  type: keyof typeof attributeTypes,
  write: (field: BinaryWriter) => void
): void => {
  const field = new BinaryWriter()
  field.tag(1, WireType.LengthDelimited).string(name)
  write(field)
  field.tag(20, WireType.Varint).int32(attributeTypes[type])
  writer.tag(5, WireType.LengthDelimited).bytes(field.finish())
}

const initializer = (self: Initializer): Uint8Array => {
  const writer = new BinaryWriter()
  for (const dim of self.shape) writer.tag(1, WireType.Varint).int64(dim)
  writer.tag(2, WireType.Varint).int32(elementTypes[self.type])
  writer.tag(8, WireType.LengthDelimited).string(self.name)
  if (self.isApart === true) {
    const location = new BinaryWriter()
    location.tag(1, WireType.LengthDelimited).string("location")
    location.tag(2, WireType.LengthDelimited).string(self.name)
    writer.tag(13, WireType.LengthDelimited).bytes(location.finish())
    writer.tag(14, WireType.Varint).int32(externalData)
  } else writer.tag(9, WireType.LengthDelimited).bytes(self.bytes)
  return writer.finish()
}

const value = (self: Value): Uint8Array => {
  const shape = new BinaryWriter()
  for (const dim of self.shape) {
    const length = new BinaryWriter()
    if (typeof dim === "number") length.tag(1, WireType.Varint).int64(dim)
    else length.tag(2, WireType.LengthDelimited).string(dim)
    shape.tag(1, WireType.LengthDelimited).bytes(length.finish())
  }
  const tensor = new BinaryWriter()
  tensor.tag(1, WireType.Varint).int32(elementTypes[self.type])
  tensor.tag(2, WireType.LengthDelimited).bytes(shape.finish())
  const type = new BinaryWriter()
  type.tag(1, WireType.LengthDelimited).bytes(tensor.finish())
  const writer = new BinaryWriter()
  writer.tag(1, WireType.LengthDelimited).string(self.name)
  writer.tag(2, WireType.LengthDelimited).bytes(type.finish())
  return writer.finish()
}
