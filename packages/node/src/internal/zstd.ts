import * as Effect from "effect/Effect"
import type * as Stream from "node:stream"
import * as Zlib from "node:zlib"

type Done = (error: Error | null, result: Uint8Array) => void

/** How functions of `node:zlib` are called. */
export type Inflate = (bytes: Uint8Array, options: { readonly maxOutputLength: number }, done: Done) => void

/** Node has zstd since 22.15. */
const native = (name: string): unknown => {
  const found: unknown = Reflect.get(Zlib, name)
  return typeof found === "function" ? found : undefined
}

const nativeCompress = native("zstdCompress") as ((bytes: Uint8Array, done: Done) => void) | undefined

/** Whether Node tells what was cut short from what is whole, as Node 22 does not. */
const isSound = Number(process.versions.node.split(".")[0]) >= 24
const nativeDecompress = isSound ? native("zstdDecompress") as Inflate | undefined : undefined

/** A stream of Node that unpacks; absent where Node has no zstd to be trusted. */
export const createDecompress = isSound
  ? native("createZstdDecompress") as (() => Stream.Transform) | undefined
  : undefined

export const isNative = nativeDecompress !== undefined

/** The library, loaded at the first use, as few programs need it. */
let library: Promise<typeof import("@bokuweb/zstd-wasm")> | undefined

const load = () => library ??= import("@bokuweb/zstd-wasm").then((module) => module.init().then(() => module))

/** Compresses bytes. Any can be, so there is nothing to fail with. */
export const compress = (bytes: Uint8Array): Effect.Effect<Uint8Array> =>
  nativeCompress === undefined
    ? Effect.map(Effect.promise(load), (zstd) => zstd.compress(bytes))
    : Effect.async((resume) => {
      nativeCompress(bytes, (error, result) => resume(error === null ? Effect.succeed(result) : Effect.die(error)))
    })

export const decompress: Inflate = nativeDecompress ?? ((bytes, { maxOutputLength }, done) => {
  const parts: Array<Uint8Array> = []
  let length = 0
  import("fzstd").then(({ Decompress }) =>
    new Decompress((part) => {
      length += part.length
      if (length > maxOutputLength) throw Object.assign(new Error("it is too long"), { code: tooLong })
      parts.push(part)
    }).push(bytes, true)
  ).then(
    () => done(null, Buffer.concat(parts)),
    (cause: unknown) => done(cause instanceof Error ? cause : new Error(String(cause)), bytes)
  )
})

/** The code of an error of `node:zlib`. */
export const tooLong = "ERR_BUFFER_TOO_LARGE"
