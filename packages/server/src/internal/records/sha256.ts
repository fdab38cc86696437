/** Checksums by which a file is told from what has become of it on a disk. */
import * as Effect from "effect/Effect"
import * as Encoding from "effect/Encoding"

/** The SHA-256 sum of bytes, in hexadecimal digits, as `sha256sum` prints it. */
export const of = (bytes: Uint8Array): Effect.Effect<string> =>
  Effect.map(
    Effect.promise(() => crypto.subtle.digest("SHA-256", bytes as BufferSource)),
    (digest) => Encoding.encodeHex(new Uint8Array(digest))
  )
