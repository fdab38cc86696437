import * as Encoding from "effect/Encoding"

/** A text that nobody can guess; not from the random numbers of the program, which a test may fix. */
export const secret = (): string => Encoding.encodeBase64Url(crypto.getRandomValues(new Uint8Array(24)))
