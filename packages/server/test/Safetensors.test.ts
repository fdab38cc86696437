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
  Either.match(Safetensors.decode(bytes), { onLeft: (error) => error.reason, onRight: () => "read" })

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
      assert.strictEqual(reason(bytes.subarray(0, length)), "DamagedFile", `${length} bytes`)
    }
    assert.strictEqual(reason(new Uint8Array([...bytes, 0])), "DamagedFile")
  })

  it("refuses a header that is not JSON, names no known type, or does not fit the shape", () => {
    const entry = (dtype: string, shape: string, offsets: string) =>
      `{"t":{"dtype":"${dtype}","shape":${shape},"data_offsets":${offsets}}}`
    assert.strictEqual(reason(withHeader(entry("F32", "[1]", "[0,4]"), 4)), "read")
    assert.strictEqual(reason(withHeader("not json", 0)), "DamagedFile")
    assert.strictEqual(reason(withHeader("[]", 0)), "DamagedFile")
    assert.strictEqual(reason(withHeader(entry("F33", "[1]", "[0,4]"), 4)), "DamagedFile")
    assert.strictEqual(reason(withHeader(entry("F32", "[2]", "[0,4]"), 4)), "DamagedFile")
    assert.strictEqual(reason(withHeader(entry("F32", "[-1]", "[4,0]"), 4)), "DamagedFile")
    assert.strictEqual(reason(withHeader(entry("F32", "[1]", "[4,8]"), 4)), "DamagedFile")
  })
})
