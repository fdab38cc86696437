import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import { brotliDecompress, gunzip, inflate, inflateRaw } from "node:zlib"
import * as Zstd from "./zstd.js"

/** What answers may be compressed with. Where zstd is done in JavaScript, on the thread of the program, others go first. */
export const acceptEncoding = Zstd.isNative ? "gzip, deflate, br, zstd" : "gzip, deflate, br, zstd;q=0.1"

/** A body is not what its encoding says. */
export class UnreadableBody extends Data.TaggedError("UnreadableBody")<{
  readonly encoding: string
  readonly reason: string
}> {
  override get message() {
    return `the body is not what its content-encoding says (${this.encoding}: ${this.reason})`
  }
}

/** Some servers send deflate without its wrapper, which begins with a byte whose low half is 8. */
const deflate: Zstd.Transform = (bytes, done) =>
  ((bytes[0] ?? 0) & 0x0f) === 8 ? inflate(bytes, done) : inflateRaw(bytes, done)

const inflaters: Readonly<Record<string, Zstd.Transform>> = {
  gzip: gunzip,
  "x-gzip": gunzip,
  deflate,
  br: brotliDecompress,
  zstd: Zstd.decompress
}

/** Undoes the encodings of a body, the last applied first. */
export const decompress = (encodings: string, body: Uint8Array): Effect.Effect<Uint8Array, UnreadableBody> =>
  Effect.reduce(encodings.split(",").reverse(), body, (bytes, name) => {
    const encoding = name.trim().toLowerCase()
    const inflate = inflaters[encoding]
    if (encoding === "identity") return Effect.succeed(bytes)
    return inflate === undefined
      ? new UnreadableBody({ encoding, reason: "it was not asked for" })
      : Effect.async<Uint8Array, UnreadableBody>((resume) => {
        inflate(
          bytes,
          (error, result) =>
            resume(
              error === null
                ? Effect.succeed(result)
                : Effect.fail(new UnreadableBody({ encoding, reason: error.message }))
            )
        )
      })
  })
