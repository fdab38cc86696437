import { encodingsOf, RefusedAnswer } from "effect-tinker/HttpRuntime"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import { constants } from "node:buffer"
import type { Transform } from "node:stream"
import { brotliDecompress, createBrotliDecompress, createGunzip, gunzip, inflate, inflateRaw } from "node:zlib"
import * as Eithers from "./effect/eithers.js"
import { AnyInflate, ZstdInflate } from "./inflate.js"
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
const deflate: Zstd.Inflate = (bytes, options, done) =>
  ((bytes[0] ?? 0) & 0x0f) === 8 ? inflate(bytes, options, done) : inflateRaw(bytes, options, done)

const ofWholeBodies: Readonly<Record<string, Zstd.Inflate>> = {
  gzip: gunzip,
  "x-gzip": gunzip,
  deflate,
  br: brotliDecompress,
  zstd: Zstd.decompress
}

const ofStreams: Readonly<Record<string, () => Transform>> = {
  gzip: () => createGunzip(),
  "x-gzip": () => createGunzip(),
  deflate: () => new AnyInflate(),
  br: () => createBrotliDecompress(),
  zstd: () => Zstd.createDecompress?.() ?? new ZstdInflate()
}

/** What undoes the encodings of a body that arrives in parts, in the order in which it passes them. */
export const inflaters = (
  encodings: string
): Effect.Effect<ReadonlyArray<Transform>, UnreadableBody | RefusedAnswer> =>
  Effect.flatMap(Eithers.toEffect(encodingsOf(encodings)), (names) =>
    Effect.forEach(names.toReversed(), (encoding) => {
      const inflater = ofStreams[encoding]?.()
      return inflater === undefined
        ? new UnreadableBody({ encoding, reason: "it was not asked for" })
        : Effect.succeed(inflater)
    }))

/** Undoes the encodings of a body, of which none may make more than so many bytes. */
export const decompress = (
  encodings: string,
  body: Uint8Array,
  maxBytes: number
): Effect.Effect<Uint8Array, UnreadableBody | RefusedAnswer> =>
  Effect.flatMap(
    Eithers.toEffect(encodingsOf(encodings)),
    (names) =>
      Effect.reduce(names.toReversed(), body, (bytes, encoding) => {
        const inflate = ofWholeBodies[encoding]
        return inflate === undefined
          ? new UnreadableBody({ encoding, reason: "it was not asked for" })
          : inflated(inflate, encoding, bytes, maxBytes)
      })
  )

const inflated = (inflate: Zstd.Inflate, encoding: string, bytes: Uint8Array, maxBytes: number) =>
  Effect.async<Uint8Array, UnreadableBody | RefusedAnswer>((resume) => {
    inflate(
      bytes,
      { maxOutputLength: Math.max(1, Math.min(Math.floor(maxBytes), constants.MAX_LENGTH)) },
      (error, result) =>
        resume(
          error === null
            ? Effect.succeed(result)
            : Effect.fail(
              "code" in error && error.code === Zstd.tooLong
                ? new RefusedAnswer({ reason: "TooLong", limit: maxBytes })
                : new UnreadableBody({ encoding, reason: error.message })
            )
        )
    )
  })
