/**
 * How much of an answer is read. What is beyond belongs to no answer of this protocol, and would take the memory or the thread of
 * the whole program: an answer that is endless, or that a few bytes unpack to gigabytes, or that is nested without end.
 */
import * as Data from "effect/Data"
import * as Either from "effect/Either"

/**
 * The most that is read of an answer, in bytes, of a body as it comes and of the same body unpacked.
 *
 * @since 0.1.0
 * @category models
 */
export interface ResponseLimits {
  /** The most of the result of a sample or of a training request. Default 1 GiB. */
  readonly results: number
  /** The most of every other answer. Default 64 MiB. */
  readonly others: number
}

/**
 * @since 0.1.0
 * @category config
 */
export const defaults: ResponseLimits = { results: 1024 ** 3, others: 64 * 1024 ** 2 }

/**
 * How often a body may be encoded, one encoding over the other.
 *
 * @since 0.1.0
 * @category config
 */
export const mostEncodings = 2

/**
 * How deep the JSON of an answer may be nested.
 *
 * @since 0.1.0
 * @category config
 */
export const mostNesting = 100

/**
 * Why an answer was read no further. Transports give it as the cause of their error, and the SDK as that of its
 * `ApiResponseValidationError`. The same request would be answered so again, so it is not sent again.
 *
 * @since 0.1.0
 * @category errors
 */
export class RefusedAnswer extends Data.TaggedError("RefusedAnswer")<{
  readonly reason: "TooLong" | "TooOftenEncoded" | "TooDeep"
  /** Bytes, encodings, or levels: the most that is taken. */
  readonly limit: number
}> {
  override get message() {
    const most = this.limit.toLocaleString("en")
    switch (this.reason) {
      case "TooLong":
        return `it is longer, or unpacks to more, than the ${most} bytes that are read of one. If it may be that long, raise the `
          + "option maxResponseBytes"
      case "TooOftenEncoded":
        return `its body is encoded again and again, and no more than ${most} encodings are undone`
      case "TooDeep":
        return `its JSON is nested more than ${most} deep`
    }
  }
}

/**
 * The encodings of a body, by its header `content-encoding`, in the order in which they were applied; or why they are not undone.
 *
 * @since 0.1.0
 * @category utils
 */
export const encodingsOf = (header: string | undefined): Either.Either<ReadonlyArray<string>, RefusedAnswer> => {
  if (header === undefined) return none
  const names = header.split(",").map((name) => name.trim().toLowerCase())
    .filter((name) => name !== "" && name !== "identity")
  return names.length > mostEncodings
    ? Either.left(new RefusedAnswer({ reason: "TooOftenEncoded", limit: mostEncodings }))
    : Either.right(names)
}

const none = Either.right([])

/**
 * The value of a JSON text. Throws a `RefusedAnswer` before the text is read when it is nested too deep, and a `SyntaxError`
 * when it is no JSON.
 *
 * @since 0.1.0
 * @category utils
 */
export const parseJson = (bytes: Uint8Array): unknown => {
  if (isTooDeep(bytes)) throw new RefusedAnswer({ reason: "TooDeep", limit: mostNesting })
  return JSON.parse(decoder.decode(bytes))
}

const decoder = new TextDecoder()

const isTooDeep = (bytes: Uint8Array): boolean => {
  if (bytes.length <= mostNesting) return false
  let depth = 0
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i]
    if (byte === quote) {
      i = endOfText(bytes, i)
      if (i < 0) return false
    } else if (byte === openList || byte === openObject) {
      if (++depth > mostNesting) return true
    } else if (byte === closeList || byte === closeObject) depth -= 1
  }
  return false
}

/** Where a text ends that begins here; -1 if it does not. */
const endOfText = (bytes: Uint8Array, start: number): number => {
  for (let end = bytes.indexOf(quote, start + 1); end >= 0; end = bytes.indexOf(quote, end + 1)) {
    let escapes = end
    while (bytes[escapes - 1] === backslash) escapes -= 1
    if ((end - escapes) % 2 === 0) return end
  }
  return -1
}

const quote = 0x22
const backslash = 0x5c
const openList = 0x5b
const closeList = 0x5d
const openObject = 0x7b
const closeObject = 0x7d
