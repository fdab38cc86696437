import { assert, describe, it } from "@effect/vitest"
import { Either } from "effect"
import { readFileSync } from "node:fs"
import { Safetensors } from "../src/index.js"

const tensors = new Map([
  ["a.weight", { shape: [2, 3], data: Float32Array.from([1, -2, 3.5, 0, 1e-30, Infinity]) }],
  ["scalar", { shape: [], data: Float32Array.from([7]) }],
  ["empty", { shape: [0, 5], data: new Float32Array(0) }]
])

const values = (bytes: Uint8Array) =>
  Object.fromEntries(
    [...Either.getOrThrow(Safetensors.decode(bytes))].map((
      [name, tensor]
    ) => [name, { shape: tensor.shape, data: Safetensors.toFloat32(tensor) }])
  )

const reason = (bytes: Uint8Array) =>
  Either.match(Safetensors.decode(bytes), { onLeft: (error) => error._tag, onRight: () => "read" })

const message = (bytes: Uint8Array) =>
  Either.match(Safetensors.decode(bytes), { onLeft: (error) => error.message, onRight: () => "read" })

/** A file with tensors of bytes, each from its first to before its last. */
const ofBytes = (ranges: Readonly<Record<string, readonly [number, number]>>, data: number) =>
  withHeader(
    JSON.stringify(Object.fromEntries(
      Object.entries(ranges).map(([name, range]) => [
        name,
        { dtype: "U8", shape: [range[1] - range[0]], data_offsets: range }
      ])
    )),
    data
  )

const withHeader = (header: string, data: number) => {
  const text = new TextEncoder().encode(header)
  const bytes = new Uint8Array(8 + text.length + data)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(text.length), true)
  bytes.set(text, 8)
  return bytes
}

describe("Safetensors", () => {
  it("reads back what it wrote", () => {
    const bytes = Safetensors.encode(tensors, { format: "pt" })
    assert.deepStrictEqual(values(bytes), Object.fromEntries(tensors))
    assert.deepStrictEqual(Either.getOrThrow(Safetensors.decodeMetadata(bytes)), { format: "pt" })
  })

  it("reads a file that lies at an odd place in memory", () => {
    const bytes = Safetensors.encode(tensors)
    const moved = new Uint8Array(bytes.length + 3)
    moved.set(bytes, 3)
    assert.deepStrictEqual(values(moved.subarray(3)), Object.fromEntries(tensors))
  })

  it("puts the tensors at a multiple of eight bytes", () => {
    const bytes = Safetensors.encode(tensors)
    assert.strictEqual(Number(new DataView(bytes.buffer).getBigUint64(0, true)) % 8, 0)
  })

  it("reads a file of the format's Python package, in every floating point type", () => {
    const bytes = readFileSync(new URL("./fixtures/python.safetensors", import.meta.url))
    const read = values(bytes)
    assert.deepStrictEqual(
      read.float32,
      { shape: [2, 3], data: Float32Array.from([0, -1.5, 65504, 0.1, 6e-8, Infinity]) }
    )
    assert.deepStrictEqual(
      [...read.float16!.data],
      [0, -1.5, 65504, 0.0999755859375, 5.960464477539063e-8, Infinity]
    )
    assert.deepStrictEqual([...read.bfloat16!.data.slice(0, 4)], [0, -1.5, 65536, 0.10009765625])
    assert.deepStrictEqual([...read.int64!.data], [1, -2, 3])
    assert.deepStrictEqual(read.empty, { shape: [0, 4], data: new Float32Array(0) })
    assert.deepStrictEqual(Either.getOrThrow(Safetensors.decodeMetadata(bytes)), { format: "pt" })
  })

  it("refuses a file that is cut off anywhere, or too long", () => {
    const bytes = Safetensors.encode(tensors)
    for (let length = 0; length < bytes.length; length++) {
      assert.strictEqual(reason(bytes.subarray(0, length)), "SafetensorsError", `${length} bytes`)
    }
    assert.strictEqual(reason(new Uint8Array([...bytes, 0])), "SafetensorsError")
  })

  it("refuses a header that is not JSON, names no known type, or does not fit the shape", () => {
    const entry = (dtype: string, shape: string, offsets: string) =>
      `{"t":{"dtype":"${dtype}","shape":${shape},"data_offsets":${offsets}}}`
    assert.strictEqual(reason(withHeader(entry("F32", "[1]", "[0,4]"), 4)), "read")
    assert.strictEqual(reason(withHeader("not json", 0)), "SafetensorsError")
    assert.strictEqual(reason(withHeader("[]", 0)), "SafetensorsError")
    assert.strictEqual(reason(withHeader(entry("F33", "[1]", "[0,4]"), 4)), "SafetensorsError")
    assert.strictEqual(reason(withHeader(entry("F32", "[2]", "[0,4]"), 4)), "SafetensorsError")
    assert.strictEqual(reason(withHeader(entry("F32", "[-1]", "[4,0]"), 4)), "SafetensorsError")
    assert.strictEqual(reason(withHeader(entry("F32", "[1]", "[4,8]"), 4)), "SafetensorsError")
  })

  it("refuses tensors over one another and bytes of no tensor, by the tensor's name", () => {
    assert.match(message(ofBytes({ a: [0, 4], b: [0, 4] }, 8)), /tensor b overlaps tensor a/)
    assert.match(message(ofBytes({ c: [6, 9], a: [0, 4], b: [3, 6] }, 9)), /tensor b overlaps tensor a/)
    assert.match(message(ofBytes({ a: [0, 4], b: [1, 2] }, 5)), /tensor b overlaps tensor a/)
    assert.match(message(ofBytes({ a: [0, 4], b: [6, 8] }, 8)), /no tensor has the 2 bytes before tensor b/)
    assert.match(message(ofBytes({ a: [3, 4] }, 4)), /no tensor has the 3 bytes before tensor a/)
    assert.match(message(ofBytes({ a: [0, 4] }, 8)), /no tensor has the last 4 bytes/)
    assert.match(message(ofBytes({ a: [0, 4], b: [4, 9] }, 8)), /tensor b ends after the file/)
  })

  it("reads tensors in any order, with empty ones between them", () => {
    const bytes = ofBytes({ b: [4, 8], none: [4, 4], a: [0, 4], last: [8, 8] }, 8)
    bytes.set([1, 2, 3, 4, 5, 6, 7, 8], bytes.length - 8)
    const read = values(bytes)
    assert.deepStrictEqual(Object.keys(read), ["b", "none", "a", "last"])
    assert.deepStrictEqual([...read.a!.data, ...read.b!.data], [1, 2, 3, 4, 5, 6, 7, 8])
    assert.strictEqual(message(ofBytes({}, 0)), "read")
  })

  const bits = {
    BOOL: 8,
    F4: 4,
    F6_E2M3: 6,
    F6_E3M2: 6,
    U8: 8,
    I8: 8,
    F8_E5M2: 8,
    F8_E4M3: 8,
    F8_E8M0: 8,
    F8_E4M3FNUZ: 8,
    F8_E5M2FNUZ: 8,
    I16: 16,
    U16: 16,
    F16: 16,
    BF16: 16,
    I32: 32,
    U32: 32,
    F32: 32,
    C64: 64,
    F64: 64,
    I64: 64,
    U64: 64
  }

  it("locates tensors of every type of the format", () => {
    for (const [dtype, size] of Object.entries(bits)) {
      const length = size / 2
      const located = (bytes: Uint8Array) =>
        Safetensors.locate((begin, length) => bytes.subarray(begin, begin + length), bytes.length)
      const header = (end: number) => `{"t":{"dtype":"${dtype}","shape":[2,2],"data_offsets":[0,${end}]}}`
      const { begin, end, ...place } = Either.getOrThrow(located(withHeader(header(length), length))).get("t")!
      assert.deepStrictEqual([end - begin, place], [length, { dtype, shape: [2, 2] }])
      assert.isTrue(Either.isLeft(located(withHeader(header(length + 1), length + 1))), dtype)
    }
    const half = withHeader(`{"t":{"dtype":"F4","shape":[3],"data_offsets":[0,1]}}`, 1)
    assert.match(message(half), /tensor t of type F4 should have 1.5 bytes/)
  })

  it("names the tensor whose type it cannot read, and a type that is none", () => {
    const ofType = (dtype: string) => withHeader(`{"t":{"dtype":"${dtype}","shape":[1],"data_offsets":[0,1]}}`, 1)
    assert.match(message(ofType("F8_E4M3")), /tensor t is F8_E4M3, which cannot be read/)
    assert.match(message(ofType("Q4")), /tensor t is of type "Q4", which the format does not have/)
    assert.match(message(ofType("toString")), /tensor t is of type "toString"/)
  })

  it("reads integers without a sign", () => {
    const bytes = Uint8Array.from([255, 255, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 128])
    const read = (dtype: Safetensors.DType) => [...Safetensors.toFloat32({ dtype, shape: [], bytes })]
    assert.deepStrictEqual(read("U16"), [65535, 0, 0, 0, 1, 0, 0, 32768])
    assert.deepStrictEqual(read("U32"), [65535, 0, 1, 2 ** 31])
    assert.deepStrictEqual(read("U64"), [65535, 2 ** 63])
  })

  it("rounds to the nearest value of 16 bits, ties to even, and keeps what is no number", () => {
    const halves = (dtype: "F16" | "BF16", values: ReadonlyArray<number>) =>
      Array.from(new Uint16Array(Safetensors.fromFloat32(Float32Array.from(values), dtype).buffer))
    const check = (dtype: "F16" | "BF16", expected: ReadonlyArray<readonly [value: number, half: number]>) =>
      assert.deepStrictEqual(halves(dtype, expected.map(([value]) => value)), expected.map(([, half]) => half))
    check("F16", [
      [0, 0],
      [1, 0x3c00],
      [-2, 0xc000],
      [0.1, 0x2e66],
      [65504, 0x7bff],
      [65520, 0x7c00],
      [1e6, 0x7c00],
      [2049, 0x6800],
      [2051, 0x6802],
      [6.1e-5, 0x03ff],
      [6e-8, 1],
      [2e-8, 0],
      [Infinity, 0x7c00],
      [NaN, 0x7e00]
    ])
    check("BF16", [
      [0, 0],
      [-0, 0x8000],
      [1, 0x3f80],
      // Halfway between two: to the even one.
      [1 + 2 ** -8, 0x3f80],
      [1 + 3 * 2 ** -8, 0x3f82],
      [1 + 2 ** -8 + 2 ** -20, 0x3f81],
      [-(1 + 3 * 2 ** -8), 0xbf82],
      [3.4e38, 0x7f80],
      [-Infinity, 0xff80],
      [NaN, 0x7fc0]
    ])
    const values = Float32Array.of(1.1, -0, NaN)
    assert.deepStrictEqual(
      Safetensors.toFloat32({ dtype: "F32", shape: [3], bytes: Safetensors.fromFloat32(values, "F32") }),
      values
    )
  })
})
