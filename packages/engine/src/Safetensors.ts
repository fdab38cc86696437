/**
 * The safetensors file format: the length of a header (u64), the header in JSON, then the tensors' bytes one after
 * another, all little-endian, as are the machines that Node runs on.
 */
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import type { Tensor } from "./Engine.js"

/**
 * The bytes are no whole safetensors file, or one with a tensor that cannot be read here; `description` says what is wrong.
 *
 * @since 0.1.0
 * @category errors
 */
export class SafetensorsError extends Schema.TaggedError<SafetensorsError>("@effect-tinker/engine/SafetensorsError")(
  "SafetensorsError",
  { description: Schema.String }
) {
  override get message() {
    return this.description
  }
}

/**
 * Element types of the format that {@link toFloat32} reads, with their size in bytes.
 *
 * @since 0.1.0
 * @category models
 */
export const itemSizes = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U64: 8,
  U32: 4,
  U16: 2,
  U8: 1,
  BOOL: 1
} as const

/**
 * Element types of the format that are only known by their size in bytes, so that the tensors beside them can be read.
 * Those of less than a byte lie packed.
 *
 * Source: `Dtype` of the format's Rust library, version 0.8.
 *
 * @since 0.1.0
 * @category models
 */
export const opaqueItemSizes = {
  C64: 8,
  F8_E4M3: 1,
  F8_E4M3FNUZ: 1,
  F8_E5M2: 1,
  F8_E5M2FNUZ: 1,
  F8_E8M0: 1,
  F6_E2M3: 0.75,
  F6_E3M2: 0.75,
  F4: 0.5
} as const

/**
 * An element type that {@link toFloat32} reads.
 *
 * @since 0.1.0
 * @category models
 */
export type DType = keyof typeof itemSizes

/**
 * An element type of which the size alone is known.
 *
 * @since 0.1.0
 * @category models
 */
export type OpaqueDType = keyof typeof opaqueItemSizes

/**
 * A tensor as it lies in the file, row-major. `bytes` is a view into the file, not aligned to anything.
 *
 * @since 0.1.0
 * @category models
 */
export interface RawTensor {
  readonly dtype: DType
  readonly shape: ReadonlyArray<number>
  readonly bytes: Uint8Array
}

/**
 * The bytes of a file with these tensors, as float32, in the order of the map.
 *
 * @since 0.1.0
 * @category utils
 */
export const encode = (
  tensors: ReadonlyMap<string, Tensor>,
  metadata?: Readonly<Record<string, string>>
): Uint8Array<ArrayBuffer> => {
  const header = encodeHeader(
    new Map(
      Array.from(tensors, ([name, { data, shape }]) => [name, { dtype: "F32", shape, byteLength: data.byteLength }])
    ),
    metadata
  )
  let offset = header.length
  const bytes = new Uint8Array(Array.from(tensors.values()).reduce((sum, { data }) => sum + data.byteLength, offset))
  bytes.set(header)
  for (const { data } of tensors.values()) {
    bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), offset)
    offset += data.byteLength
  }
  return bytes
}

/**
 * What a file begins with, up to the tensors' bytes: these follow one after another, in the order of the map.
 *
 * @since 0.1.0
 * @category utils
 */
export const encodeHeader = (
  tensors: ReadonlyMap<string, Pick<Place, "dtype" | "shape"> & { readonly byteLength: number }>,
  metadata?: Readonly<Record<string, string>>
): Uint8Array<ArrayBuffer> => {
  const header: Record<string, unknown> = {}
  if (metadata !== undefined) header[metadataKey] = metadata
  let length = 0
  for (const [name, { byteLength, dtype, shape }] of tensors) {
    header[name] = { dtype, shape, data_offsets: [length, length + byteLength] }
    length += byteLength
  }
  const text = new TextEncoder().encode(JSON.stringify(header))
  // Spaces after the header put the tensors at a multiple of eight bytes, so that readers may map them into memory.
  const headerLength = Math.ceil(text.length / 8) * 8
  const bytes = new Uint8Array(8 + headerLength)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(headerLength), true)
  bytes.fill(0x20, 8)
  bytes.set(text, 8)
  return bytes
}

/**
 * The tensors of a file, by name. A file that is cut off, too long, or whose header does not describe each of the bytes
 * after it exactly once is a `SafetensorsError`, and so is one with a tensor of an opaque type.
 *
 * @since 0.1.0
 * @category utils
 */
export const decode = (bytes: Uint8Array): Either.Either<Map<string, RawTensor>, SafetensorsError> =>
  Either.gen(function*() {
    const { data, header } = yield* parse(bytes)
    const tensors = new Map<string, RawTensor>()
    for (const [name, { begin, dtype, end, shape }] of yield* placesOf(header, data.length)) {
      if (!isReadable(dtype)) return yield* damaged(`tensor ${name} is ${dtype}, which cannot be read here`)
      tensors.set(name, { dtype, shape, bytes: data.subarray(begin, end) })
    }
    return tensors
  })

/**
 * Where a tensor lies in a file: bytes `begin` up to before `end`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Place {
  readonly dtype: DType | OpaqueDType
  readonly shape: ReadonlyArray<number>
  readonly begin: number
  readonly end: number
}

/**
 * Where the tensors of a file lie, by name, for files that are too large to be held whole. `read` gives `length` bytes
 * from `begin` on, or fewer where the file ends. Fails as {@link decode} does, but not because of opaque types.
 *
 * @since 0.1.0
 * @category utils
 */
export const locate = (
  read: (begin: number, length: number) => Uint8Array,
  fileBytes: number
): Either.Either<Map<string, Place>, SafetensorsError> =>
  Either.gen(function*() {
    const length = yield* headerLengthOf(read(0, 8), fileBytes)
    const header = yield* headerOf(read(8, length))
    const places = yield* placesOf(header, fileBytes - 8 - length)
    const offset = 8 + length
    return new Map(Array.from(places, ([name, place]) => [
      name,
      { ...place, begin: offset + place.begin, end: offset + place.end }
    ]))
  })

/** Where the tensors lie, counted from the end of the header. */
const placesOf = (
  header: Readonly<Record<string, unknown>>,
  dataBytes: number
): Either.Either<Map<string, Place>, SafetensorsError> => {
  const places = new Map<string, Place>()
  for (const [name, entry] of Object.entries(header)) {
    if (name === metadataKey) continue
    if (!isEntry(entry)) return damaged(`tensor ${name} is not described`)
    const { data_offsets: [begin, end], dtype, shape } = entry
    if (!isReadable(dtype) && !isOpaque(dtype)) {
      return damaged(`tensor ${name} is of type ${JSON.stringify(dtype)}, which the format does not have`)
    }
    let length: number = isReadable(dtype) ? itemSizes[dtype] : opaqueItemSizes[dtype]
    for (const dimension of shape) length *= dimension
    if (end - begin !== length) return damaged(`tensor ${name} of type ${dtype} should have ${length} bytes`)
    if (end > dataBytes) return damaged(`tensor ${name} ends after the file`)
    places.set(name, { dtype, shape, begin, end })
  }
  return misplaced(places, dataBytes) ?? Either.right(places)
}

/** The format lets tensors lie in any order, but neither over one another nor apart. */
const misplaced = (places: ReadonlyMap<string, Place>, dataBytes: number) => {
  let before = { name: "", end: 0 }
  for (const [name, { begin, end }] of Array.from(places).sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end)) {
    if (begin < before.end) return damaged(`tensor ${name} overlaps tensor ${before.name}`)
    if (begin > before.end) return damaged(`no tensor has the ${begin - before.end} bytes before tensor ${name}`)
    before = { name, end }
  }
  return before.end < dataBytes ? damaged(`no tensor has the last ${dataBytes - before.end} bytes`) : undefined
}

/**
 * The free texts that a writer put beside the tensors; empty when there are none.
 *
 * @since 0.1.0
 * @category utils
 */
export const decodeMetadata = (bytes: Uint8Array): Either.Either<Readonly<Record<string, string>>, SafetensorsError> =>
  Either.map(parse(bytes), ({ header }) => {
    const metadata: Record<string, string> = {}
    const given = header[metadataKey]
    if (isRecord(given)) {
      for (const [key, value] of Object.entries(given)) metadata[key] = String(value)
    }
    return metadata
  })

/**
 * The elements as float32, always a copy. Floating point values of 64 bits are rounded; integers are converted.
 *
 * @since 0.1.0
 * @category utils
 */
export const toFloat32 = ({ bytes, dtype }: RawTensor): Float32Array<ArrayBuffer> => {
  // The copy is also what aligns the bytes. (A Buffer's slice() would be no copy.)
  const buffer = new Uint8Array(bytes).buffer
  switch (dtype) {
    case "F32":
      return new Float32Array(buffer)
    case "F64":
      return Float32Array.from(new Float64Array(buffer))
    case "BF16":
      return fromBfloat16(new Uint16Array(buffer))
    case "F16":
      return fromFloat16(new Uint16Array(buffer))
    case "I64":
      return Float32Array.from(new BigInt64Array(buffer), Number)
    case "I32":
      return Float32Array.from(new Int32Array(buffer))
    case "I16":
      return Float32Array.from(new Int16Array(buffer))
    case "I8":
      return Float32Array.from(new Int8Array(buffer))
    case "U64":
      return Float32Array.from(new BigUint64Array(buffer), Number)
    case "U32":
      return Float32Array.from(new Uint32Array(buffer))
    case "U16":
      return Float32Array.from(new Uint16Array(buffer))
    case "U8":
    case "BOOL":
      return Float32Array.from(new Uint8Array(buffer))
  }
}

/**
 * The bytes of float32 values in a floating point type of the format, each rounded to the nearest, ties to even. What is beyond the range of
 * a type of 16 bits becomes infinite.
 *
 * @since 0.1.0
 * @category utils
 */
export const fromFloat32 = (
  values: Float32Array,
  dtype: "F32" | "F16" | "BF16"
): Uint8Array<ArrayBuffer> => {
  const copy = new Float32Array(values)
  if (dtype === "F32") return new Uint8Array(copy.buffer)
  const words = new Uint32Array(copy.buffer)
  const halves = new Uint16Array(words.length)
  const round = dtype === "F16" ? toFloat16 : toBfloat16
  for (let i = 0; i < words.length; i++) halves[i] = round(words[i]!)
  return new Uint8Array(halves.buffer)
}

const metadataKey = "__metadata__"

/** The largest header that readers of the format accept, in bytes. */
const maxHeaderBytes = 100_000_000

const damaged = (what: string) =>
  Either.left(new SafetensorsError({ description: `not a whole safetensors file: ${what}` }))

const parse = (
  bytes: Uint8Array
): Either.Either<{ readonly header: Record<string, unknown>; readonly data: Uint8Array }, SafetensorsError> =>
  Either.gen(function*() {
    const length = yield* headerLengthOf(bytes, bytes.length)
    const header = yield* headerOf(bytes.subarray(8, 8 + length))
    return { header, data: bytes.subarray(8 + length) }
  })

const headerLengthOf = (start: Uint8Array, fileBytes: number): Either.Either<number, SafetensorsError> => {
  if (start.length < 8) return damaged("shorter than its first field")
  const length = Number(new DataView(start.buffer, start.byteOffset, 8).getBigUint64(0, true))
  return length > maxHeaderBytes || length > fileBytes - 8
    ? damaged("the header ends after the file")
    : Either.right(length)
}

const headerOf = (text: Uint8Array): Either.Either<Record<string, unknown>, SafetensorsError> => {
  try {
    const header: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(text))
    return isRecord(header) ? Either.right(header) : damaged("no header")
  } catch {
    return damaged("the header is not JSON")
  }
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

interface Entry {
  readonly dtype: string
  readonly shape: ReadonlyArray<number>
  readonly data_offsets: readonly [number, number]
}

const isReadable = (dtype: string): dtype is DType => Object.hasOwn(itemSizes, dtype)

const isOpaque = (dtype: string): dtype is OpaqueDType => Object.hasOwn(opaqueItemSizes, dtype)

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0

const isEntry = (value: unknown): value is Entry =>
  isRecord(value) &&
  typeof value.dtype === "string" &&
  Array.isArray(value.shape) && value.shape.every(isCount) &&
  Array.isArray(value.data_offsets) && value.data_offsets.length === 2 && value.data_offsets.every(isCount)

/** bfloat16 is the upper half of a float32. */
const fromBfloat16 = (halves: Uint16Array): Float32Array<ArrayBuffer> => {
  const bits = new Uint32Array(halves.length)
  for (let i = 0; i < halves.length; i++) bits[i] = halves[i]! << 16
  return new Float32Array(bits.buffer)
}

const fromFloat16 = (halves: Uint16Array): Float32Array<ArrayBuffer> => {
  const values = new Float32Array(halves.length)
  for (let i = 0; i < halves.length; i++) {
    const half = halves[i]!
    const exponent = (half >> 10) & 0x1f
    const fraction = half & 0x3ff
    const magnitude = exponent === 0
      ? fraction * 2 ** -24
      : exponent === 0x1f
      ? (fraction === 0 ? Infinity : NaN)
      : (1024 + fraction) * 2 ** (exponent - 25)
    values[i] = half & 0x8000 ? -magnitude : magnitude
  }
  return values
}

/** The bits of a float32, rounded to those of a bfloat16; what is no number stays none. */
const toBfloat16 = (word: number): number =>
  (word & 0x7fffffff) > 0x7f800000 ? (word >>> 16) | 0x40 : (word + 0x7fff + ((word >>> 16) & 1)) >>> 16

/** The bits of a float32, rounded to those of a half; what is no number stays none. */
const toFloat16 = (word: number): number => {
  const sign = (word >>> 16) & 0x8000
  const exponent = ((word >>> 23) & 0xff) - 112
  const mantissa = word & 0x7fffff
  if (exponent >= 31) return exponent === 143 && mantissa !== 0 ? sign | 0x7e00 : sign | 0x7c00
  if (exponent < -10) return sign
  return exponent <= 0
    ? sign | roundShift(mantissa | 0x800000, 14 - exponent)
    // A mantissa that rounds up to the next power of two carries into the exponent, as it should.
    : sign | ((exponent << 10) + roundShift(mantissa, 13))
}

const roundShift = (value: number, shift: number): number => {
  const kept = value >>> shift
  const rest = value & ((1 << shift) - 1)
  const half = 1 << (shift - 1)
  return rest > half || (rest === half && (kept & 1) === 1) ? kept + 1 : kept
}
