/** Writes a file of weights of which some are merged: all tensors where they are in the base model's, and of the same type. */
import * as Safetensors from "@effect-tinker/engine/Safetensors"
import type { PlatformError } from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import type { CommandFailed } from "../../Failure.js"
import type { Merge, MergePlan } from "./mergePlan.js"
import { refused } from "./refused.js"
import * as TensorFile from "./tensorFile.js"

export interface Options {
  readonly adapter: TensorFile.TensorFile
  readonly plan: MergePlan
  /** Told before each matrix. */
  readonly report: (tensor: string) => Effect.Effect<void>
}

/** Fails where a sum is beyond the range of the weights' type, and names the tensor. */
export const write = (
  base: TensorFile.TensorFile,
  target: string,
  { adapter, plan, report }: Options
): Effect.Effect<void, PlatformError | CommandFailed, FileSystem.FileSystem> =>
  Effect.scoped(Effect.gen(function*() {
    const files = yield* FileSystem.FileSystem
    const appended = plan.untied?.appended?.to.file === base ? plan.untied.appended : undefined
    const places = Array.from(base.places).sort(([, a], [, b]) => a.begin - b.begin)
    if (appended === undefined && !places.some(([name]) => plan.merges.has(name))) {
      return yield* files.copyFile(base.path, target)
    }
    const file = yield* files.open(target, { flag: "wx" })
    const writeMerge = (name: string) =>
      Effect.zipRight(
        report(name),
        merged(adapter, name, plan.merges.get(name)!, (bytes) => file.writeAll(bytes))
      )
    yield* file.writeAll(
      appended === undefined ? base.head : Safetensors.encodeHeader(
        new Map([...places, [appended.name, appended.to.place] as const].map(([name, { begin, dtype, end, shape }]) => [
          name,
          { dtype, shape, byteLength: end - begin }
        ])),
        base.metadata
      )
    )
    for (const [name, { begin, end }] of places) {
      if (plan.merges.has(name)) yield* writeMerge(name)
      else {
        for (let at = begin; at < end; at += copiedAtOnce) {
          yield* file.writeAll(yield* base.read(at, Math.min(copiedAtOnce, end - at)))
        }
      }
    }
    if (appended !== undefined) yield* writeMerge(appended.name)
    yield* file.sync
  }))

const copiedAtOnce = 2 ** 23

/** Elements that are computed at once. */
const mergedAtOnce = 2 ** 21

/** `W + scale · B · A` in float32, some rows at a time, rounded once at the end. */
const merged = <E>(
  adapter: TensorFile.TensorFile,
  name: string,
  { isTransposed, pair, source: { dtype, file, place } }: Merge,
  write: (bytes: Uint8Array) => Effect.Effect<void, E>
) =>
  Effect.gen(function*() {
    const [rows, columns] = place.shape as [number, number]
    const a = yield* TensorFile.values(adapter, pair.a)
    const b = yield* TensorFile.values(adapter, pair.b)
    const { rank, scale } = pair
    const left = isTransposed ? transposed(a, rank, rows) : b
    const right = isTransposed ? transposed(b, columns, rank) : a
    const rowBytes = columns * Safetensors.itemSizes[dtype]
    const atOnce = Math.max(1, Math.floor(mergedAtOnce / columns))
    for (let row = 0; row < rows; row += atOnce) {
      const shape = [Math.min(atOnce, rows - row), columns] as const
      const bytes = yield* file.read(place.begin + row * rowBytes, shape[0] * rowBytes)
      const values = Safetensors.toFloat32({ dtype, shape, bytes })
      addProduct(values, left.subarray(row * rank), right, { shape, rank, scale })
      const sums = Safetensors.fromFloat32(values, dtype)
      if (!Safetensors.toFloat32({ dtype, shape, bytes: sums }).every(Number.isFinite)) {
        return yield* refused(
          `tensor ${name} has sums beyond the range of ${dtype}, or no numbers, with this adapter. Nothing was written.`
        )
      }
      yield* write(sums)
    }
  })

/** Adds `scale · left · right` to values `[rows, columns]`; left is `[rows, rank]`, right `[rank, columns]`. */
const addProduct = (
  values: Float32Array,
  left: Float32Array,
  right: Float32Array,
  { rank, scale, shape: [rows, columns] }: {
    readonly shape: readonly [number, number]
    readonly rank: number
    readonly scale: number
  }
): void => {
  const sums = new Float32Array(columns)
  for (let row = 0; row < rows; row++) {
    sums.fill(0)
    for (let k = 0; k < rank; k++) {
      const factor = left[row * rank + k]!
      const from = k * columns
      for (let column = 0; column < columns; column++) sums[column]! += factor * right[from + column]!
    }
    const to = row * columns
    for (let column = 0; column < columns; column++) values[to + column]! += Math.fround(scale * sums[column]!)
  }
}

/** The matrix `[rows, columns]` as `[columns, rows]`. */
const transposed = (matrix: Float32Array, rows: number, columns: number): Float32Array => {
  const result = new Float32Array(matrix.length)
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) result[column * rows + row] = matrix[row * columns + column]!
  }
  return result
}
