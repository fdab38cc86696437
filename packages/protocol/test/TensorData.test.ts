import { assert, it } from "@effect/vitest"
import { Either, FastCheck } from "effect"
import { TensorData } from "../src/index.js"
import { tensorFromJson, tensorToJson } from "../src/internal/tensorJson.js"

const right = <A>(either: Either.Either<A, { readonly field: string; readonly description: string }>): A =>
  Either.getOrThrowWith(either, (issue) => new Error(`${issue.field} ${issue.description}`))

const fault = (either: Either.Either<unknown, { readonly field: string; readonly description: string }>): string =>
  Either.match(either, { onLeft: ({ description, field }) => `${field} ${description}`, onRight: () => "fits" })

it("keeps a Float32Array and a BigInt64Array as they are", () => {
  const floats = Float32Array.of(1, 2)
  const integers = BigInt64Array.of(2n ** 53n + 1n)
  assert.strictEqual(TensorData.float32(floats).data, floats)
  assert.strictEqual(TensorData.int64(integers).data, integers)
  assert.strictEqual(right(TensorData.fromArray(floats)).data, floats)
  assert.strictEqual(right(TensorData.fromArray(integers)).data, integers)
  assert.deepStrictEqual(TensorData.int64(integers).shape, [1])
})

it("rounds doubles and plain numbers to float32, and reports one that is out of its range", () => {
  assert.deepStrictEqual(right(TensorData.fromArray(Float64Array.of(0.1, -2))).data, Float32Array.of(0.1, -2))
  assert.deepStrictEqual(
    right(TensorData.fromArray([0.5, 1e38], { dtype: "float32" })).data,
    Float32Array.of(0.5, 1e38)
  )
  assert.match(fault(TensorData.fromArray(Float64Array.of(0, 1e39), { field: "weights" })), /^weights is 1e\+39 at 1/)
})

it("takes NaN and infinities as floats, which the checks of a pass refuse", () => {
  assert.deepStrictEqual(
    right(TensorData.fromArray([NaN, -Infinity], { dtype: "float32" })).data,
    Float32Array.of(NaN, -Infinity)
  )
})

it("widens signed and unsigned integers to int64", () => {
  for (
    const values of [
      Int8Array.of(-3, 7),
      Int16Array.of(-3, 7),
      Int32Array.of(-3, 7),
      Uint8Array.of(253, 7),
      Uint16Array.of(65533, 7),
      Uint32Array.of(4294967293, 7)
    ]
  ) {
    const tensor = right(TensorData.fromArray(values))
    assert.deepStrictEqual(tensor.data, BigInt64Array.from(values, BigInt))
  }
  assert.deepStrictEqual(TensorData.int64(Int32Array.of(-1, 5)).data, BigInt64Array.of(-1n, 5n))
  assert.deepStrictEqual(
    TensorData.int64([-5, 2 ** 40, -(2 ** 40), 1.9]).data,
    BigInt64Array.of(-5n, 2n ** 40n, -(2n ** 40n), 1n)
  )
})

it("reports an unsigned integer beyond the largest int64", () => {
  assert.deepStrictEqual(
    right(TensorData.fromArray(BigUint64Array.of(2n ** 63n - 1n))).data,
    BigInt64Array.of(2n ** 63n - 1n)
  )
  assert.match(fault(TensorData.fromArray(BigUint64Array.of(0n, 2n ** 63n))), /9223372036854775808 at 1, beyond/)
})

it("reports a fraction, and what is no number, among integers", () => {
  assert.match(fault(TensorData.fromArray([1, 1.5], { dtype: "int64" })), /1\.5 at 1/)
  assert.match(fault(TensorData.fromArray([1, true as never], { dtype: "int64" })), /no number at 1/)
  assert.match(fault(TensorData.fromArray([null as never], { dtype: "float32" })), /no number at 0/)
})

it("widens bfloat16 bits to float32 exactly", () => {
  const bits = Uint16Array.of(0x3f80, 0xc020, 0x7f80, 0x0001)
  assert.deepStrictEqual(TensorData.bfloat16(bits).data, Float32Array.of(1, -2.5, Infinity, 2 ** -133))
})

it("keeps the shape of nested arrays and reports ragged ones", () => {
  const tensor = right(TensorData.fromArray([[1, 2, 3], [4, 5, 6]], { dtype: "float32" }))
  assert.deepStrictEqual(tensor.shape, [2, 3])
  assert.deepStrictEqual(tensor.data, Float32Array.of(1, 2, 3, 4, 5, 6))
  assert.deepStrictEqual(right(TensorData.fromArray([], { dtype: "float32" })).shape, [0])
  assert.deepStrictEqual(right(TensorData.fromArray([[], []], { dtype: "float32" })).shape, [2, 0])
  for (const ragged of [[[1, 2], [3]], [[1], 2], [1, [2]], [[[1]], [2]]]) {
    assert.match(fault(TensorData.fromArray(ragged, { dtype: "float32" })), /ragged/)
  }
})

it("reports a shape that does not fit the elements, and a plain list without a dtype", () => {
  assert.match(fault(TensorData.fromArray([1, 2, 3], { dtype: "float32", shape: [2, 2] })), /3 elements.*says 4/)
  assert.match(fault(TensorData.fromArray([1])), /float32 or int64/)
})

const mostlyZero = TensorData.float32([0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 7], [3, 4])

it("leaves out the zeros of a matrix only when that is smaller, and puts them back", () => {
  const sparse = TensorData.toSparse(mostlyZero)
  assert.deepStrictEqual(sparse, {
    dtype: "float32",
    data: Float32Array.of(5, 7),
    shape: [3, 4],
    sparse: { crowIndices: BigInt64Array.of(0n, 1n, 1n, 2n), colIndices: BigInt64Array.of(2n, 3n) }
  })
  assert.deepStrictEqual(right(TensorData.toDense(sparse)), mostlyZero)
  // 3 rows + 1 + 2 * 4 stored is as large as the matrix.
  const even = TensorData.float32([1, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1], [3, 4])
  assert.strictEqual(TensorData.toSparse(even), even)
  const row = TensorData.float32(new Float32Array(50))
  assert.strictEqual(TensorData.toSparse(row), row)
})

it("gives every matrix back as it was after leaving out its zeros, and never makes it larger", () => {
  const cells = FastCheck.oneof({ weight: 4, arbitrary: FastCheck.constant(0) }, FastCheck.integer())
  const matrix = FastCheck.tuple(FastCheck.nat(12), FastCheck.nat(12)).chain(([rows, columns]) =>
    FastCheck.array(cells, { minLength: rows * columns, maxLength: rows * columns }).map((values) => ({
      values,
      shape: [rows, columns]
    }))
  )
  FastCheck.assert(FastCheck.property(matrix, ({ shape, values }) => {
    for (const tensor of [TensorData.int64(values, shape), TensorData.float32(values, shape)]) {
      const sparse = TensorData.toSparse(tensor)
      assert.deepStrictEqual(right(TensorData.toDense(sparse)), tensor)
      assert.isAtMost(sparse.data.length, tensor.data.length)
    }
  }))
})

it("expands a sparse matrix of integers with a chosen value for what it leaves out", () => {
  const dense = TensorData.int64([0, 0, 0, 9, 0, 0, 0, 0], [2, 4])
  const sparse = TensorData.toSparse(dense)
  assert.deepStrictEqual(sparse.data, BigInt64Array.of(9n))
  assert.deepStrictEqual(
    right(TensorData.toDense(sparse, -1)).data,
    BigInt64Array.of(-1n, -1n, -1n, 9n, -1n, -1n, -1n, -1n)
  )
  assert.match(fault(TensorData.toDense(sparse, 0.5)), /padValue/)
})

it("reports sparse indices that contradict each other", () => {
  const indices = (crow: Array<bigint>, col: Array<bigint>, shape = [2, 2]) =>
    fault(TensorData.toDense({
      dtype: "float32",
      data: new Float32Array(2),
      shape,
      sparse: { crowIndices: BigInt64Array.from(crow), colIndices: BigInt64Array.from(col) }
    }))
  assert.strictEqual(indices([0n, 1n, 2n], [0n, 1n]), "fits")
  assert.match(indices([0n, 2n], [0n, 1n]), /2 row offsets.*takes 3/)
  assert.match(indices([0n, 1n, 2n], [0n]), /1 column indices for 2 values/)
  assert.match(indices([1n, 1n, 2n], [0n, 1n]), /from 1 to 2/)
  assert.match(indices([0n, 3n, 2n], [0n, 1n]), /falls, at 2/)
  assert.match(indices([0n, 1n, 2n], [0n, 2n]), /column 2 at 1/)
  assert.match(indices([0n, 2n, 2n], [1n, 0n]), /column 0 at 1/)
  assert.match(indices([0n, 1n, 2n], [0n, 1n], [2, 1, 2]), /is a matrix/)
})

it("reports a sparse matrix whose elements no array could hold", () => {
  const huge: TensorData.TensorData = {
    dtype: "float32",
    data: new Float32Array(0),
    shape: [1, 2 ** 40],
    sparse: { crowIndices: new BigInt64Array(2), colIndices: new BigInt64Array(0) }
  }
  assert.match(fault(TensorData.toDense(huge)), /too large/)
})

it("gives nested arrays that make the same tensor again", () => {
  const nested = [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]
  assert.deepStrictEqual(right(TensorData.toNested(right(TensorData.fromArray(nested, { dtype: "int64" })))), nested)
  assert.deepStrictEqual(right(TensorData.toNested(TensorData.toSparse(mostlyZero), { padValue: 1 })), [
    [1, 1, 5, 1],
    [1, 1, 1, 1],
    [1, 1, 1, 7]
  ])
  assert.strictEqual(right(TensorData.toNested(TensorData.float32([3], []))), 3)
})

it("reports an integer that would change as a plain number", () => {
  assert.match(fault(TensorData.toNested(TensorData.int64(BigInt64Array.of(2n ** 53n + 1n)))), /9007199254740993 at 0/)
})

it("travels as JSON with its elements in a list, NaN as null, and sparse indices beside", () => {
  const sparse = TensorData.toSparse(TensorData.int64([0, 0, 0, 9, 0, 0, 0, 0], [2, 4]))
  const json = tensorToJson(sparse, "tensor")
  assert.deepStrictEqual(json, {
    data: [9],
    dtype: "int64",
    shape: [2, 4],
    sparse_crow_indices: [0, 1, 1],
    sparse_col_indices: [3]
  })
  assert.deepStrictEqual(tensorFromJson(json, "tensor"), sparse)
  const floats = TensorData.float32([NaN, 0.5])
  assert.deepStrictEqual(tensorToJson(floats, "tensor"), { data: [null, 0.5], dtype: "float32", shape: [2] })
  assert.deepStrictEqual(tensorFromJson({ data: [null, 0.5], dtype: "float32" }, "tensor"), floats)
})

it("names the field of JSON that is no tensor", () => {
  const wrong = (value: unknown) => () => tensorFromJson(value, "weights")
  assert.throws(wrong({ data: [1], dtype: "bool" }), /weights has no known dtype/)
  assert.throws(wrong({ data: ["1"], dtype: "int64" }), /weights data\[0\]/)
  assert.throws(wrong({ data: [1], dtype: "int64", shape: [2] }), /weights has 1 elements.*shape \[2\]/)
  assert.throws(wrong({ data: [1], dtype: "int64", shape: [1, 1], sparse_crow_indices: [0, 1] }), /weights.*sparse/)
  assert.throws(wrong([]), /weights is no object/)
})

it("counts the bytes of elements and indices", () => {
  assert.strictEqual(TensorData.byteLength(TensorData.float32([1, 2, 3])), 12)
  assert.strictEqual(TensorData.byteLength(TensorData.int64([1, 2, 3])), 24)
  assert.strictEqual(TensorData.byteLength(TensorData.toSparse(mostlyZero)), 2 * 4 + 8 * (4 + 2))
})
