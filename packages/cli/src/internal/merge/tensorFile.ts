/** Files of tensors, read a part at a time: they may be larger than memory. */
import * as Safetensors from "@effect-tinker/engine/Safetensors"
import type { PlatformError } from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { type CommandFailed, failed } from "../../Failure.js"

export interface TensorFile {
  readonly path: string
  /** What stands before the tensors' bytes. */
  readonly head: Uint8Array
  readonly metadata: Readonly<Record<string, string>>
  readonly places: ReadonlyMap<string, Safetensors.Place>
  /** So many bytes from `begin` on. */
  readonly read: (begin: number, length: number) => Effect.Effect<Uint8Array, PlatformError | CommandFailed>
}

/** Opens a file for as long as the scope lasts, and finds its tensors. */
export const open = (
  path: string
): Effect.Effect<TensorFile, PlatformError | CommandFailed, FileSystem.FileSystem | Scope.Scope> =>
  Effect.gen(function*() {
    const files = yield* FileSystem.FileSystem
    const file = yield* files.open(path)
    const size = Number((yield* file.stat).size)
    const read = (begin: number, length: number) =>
      Effect.gen(function*() {
        const bytes = new Uint8Array(length)
        yield* file.seek(begin, "start")
        for (let done = 0; done < length;) {
          const part = yield* file.readAlloc(Math.min(length - done, mostAtOnce))
          if (Option.isNone(part)) return yield* failed(`${path} ended while it was read. Try again.`)
          bytes.set(part.value, done)
          done += part.value.length
        }
        return bytes
      })
    const start = yield* read(0, Math.min(8, size))
    const announced = start.length < 8 ? 0 : Number(new DataView(start.buffer).getBigUint64(0, true))
    // A file that announces more than that is none, as is found out below.
    const head = yield* read(0, announced <= mostHeaderBytes ? Math.min(8 + announced, size) : start.length)
    const { metadata, places } = yield* Effect.mapError(
      Either.gen(function*() {
        const places = yield* Safetensors.locate((begin, length) => head.subarray(begin, begin + length), size)
        return { places, metadata: yield* Safetensors.decodeMetadata(head) }
      }),
      (error) => failed(`${path}: ${error.message}.`)
    )
    return { path, head, metadata, places, read }
  })

const mostAtOnce = 2 ** 24
const mostHeaderBytes = 100_000_000

/** A tensor as float32. */
export const values = (
  file: TensorFile,
  { begin, dtype, end, shape }: Safetensors.Place
): Effect.Effect<Float32Array, PlatformError | CommandFailed> =>
  isFloat(dtype)
    ? Effect.map(file.read(begin, end - begin), (bytes) => Safetensors.toFloat32({ dtype, shape, bytes }))
    : Effect.dieMessage(`a tensor of ${dtype} was to be read as numbers`)

export type Float = "F32" | "F16" | "BF16"

export const isFloat = (dtype: string): dtype is Float => dtype === "F32" || dtype === "F16" || dtype === "BF16"
