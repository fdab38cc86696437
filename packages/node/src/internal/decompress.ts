import * as Effect from "effect/Effect"
import { brotliDecompress, gunzip, inflate, inflateRaw } from "node:zlib"

/** What answers may be compressed with. */
export const acceptEncoding = "gzip, deflate, br"

type Inflate = (bytes: Uint8Array, done: (error: Error | null, result: Buffer) => void) => void

/** Some servers send deflate without its wrapper, which begins with a byte whose low half is 8. */
const deflate: Inflate = (bytes, done) =>
  ((bytes[0] ?? 0) & 0x0f) === 8 ? inflate(bytes, done) : inflateRaw(bytes, done)

const inflaters: Readonly<Record<string, Inflate>> = { gzip: gunzip, "x-gzip": gunzip, deflate, br: brotliDecompress }

/** Undoes the encodings of a body, the last applied first. */
export const decompress = (encodings: string, body: Uint8Array): Effect.Effect<Uint8Array, Error> =>
  Effect.reduce(encodings.split(",").reverse(), body, (bytes, encoding) => {
    const name = encoding.trim().toLowerCase()
    const inflate = inflaters[name]
    if (name === "identity") return Effect.succeed(bytes)
    return inflate === undefined
      ? Effect.fail(new Error(`the answer is encoded as ${name}, which was not asked for`))
      : Effect.async<Uint8Array, Error>((resume) => {
        inflate(bytes, (error, result) => resume(error === null ? Effect.succeed(result) : Effect.fail(error)))
      })
  })
