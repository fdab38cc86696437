/** Requests as bytes and JSON, answers as JSON or protobuf. */
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as TinkerPath from "effect-tinker/TinkerPath"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import type { Fault } from "../Faults.js"
import type { ServerError } from "../ServerError.js"
import * as LeanDecoder from "./leanDecoder.js"
import * as Misfits from "./misfits.js"
import { brief } from "./wording.js"

/** The answer to a request that is not taken. */
export class Refusal extends Data.TaggedError("Refusal")<{
  readonly status: number
  readonly detail: unknown
  readonly headers: Readonly<Record<string, string>> | undefined
}> {}

export const refuse = (status: number, detail: unknown, headers?: Readonly<Record<string, string>>) =>
  new Refusal({ status, detail, headers })

/** The path of a checkpoint; otherwise 400. */
export const tinkerPath = (path: string): Effect.Effect<TinkerPath.TinkerPath, Refusal> =>
  Either.mapLeft(TinkerPath.parse(path), (error) => refuse(400, error.description))

/** What a store of checkpoints fails with, as an answer. */
export const known = <A>(effect: Effect.Effect<A, ServerError>): Effect.Effect<A, Refusal> =>
  Effect.mapError(effect, ({ description, reason }) => refuse(statuses[reason] ?? 500, description))

/** A damaged file is so for good: whoever is told 5xx would ask for it again and again. */
const statuses: Partial<Record<ServerError["reason"], number>> = { NotFound: 404, DamagedFile: 410 }

const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** A request with its whole body, as handlers see it. */
export interface Received {
  readonly method: string
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly body: Uint8Array
  /** Parts of the path. */
  readonly params: Readonly<Record<string, string | undefined>>
  /** As it came, with its query. */
  readonly url: string
  /** Of the server, as the client sees it, e.g. `http://localhost:8000`. */
  readonly origin: () => string
  readonly fault: Fault | undefined
  /** Its name among the routes. */
  readonly route: string
  /** Present when an earlier server has taken the request and not come to its end. */
  readonly replayed?: { readonly fingerprint: string; readonly seed: number | undefined } | undefined
}

export type Handler = (request: Received) => Effect.Effect<HttpServerResponse.HttpServerResponse, Refusal>

/**
 * Bytes rather than text, so that the answer has a content-length: a 400 without one is taken for a proxy's by the
 * Python SDK 0.38.0.
 */
export const json = (value: unknown, status = 200): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.uint8Array(encoder.encode(JSON.stringify(value)), {
    status,
    contentType: "application/json"
  })

export const protobuf = (bytes: Uint8Array): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.uint8Array(bytes, { contentType: protobufType })

export const protobufType = "application/x-protobuf"

export const refusal = ({ detail, headers, status }: Refusal): HttpServerResponse.HttpServerResponse => {
  const answer = json({ detail: typeof detail === "string" ? brief(detail) : detail }, status)
  return headers === undefined ? answer : HttpServerResponse.setHeaders(answer, headers)
}

/** Deeper than anything that clients send, and not too deep for what walks through it. */
const maxDepth = 100

/** Far more than clients send; each of its arrays and objects takes many times the memory of its brackets. */
const maxBrackets = 2 ** 18

/** What there is too much of in JSON, whether or not it is any. */
const excessOf = (body: Uint8Array): string | undefined => {
  // Nearly every body has too few brackets to nest deeply, which is quicker to see than which of them are in texts.
  let brackets = 0
  for (let i = 0; i < body.length; i++) if ((body[i]! | braceBit) === openBrace) brackets++
  if (brackets <= maxDepth) return undefined
  brackets = 0
  let depth = 0
  let isText = false
  for (let i = 0; i < body.length; i++) {
    const byte = body[i]!
    if (isText) {
      if (byte === backslash) i++
      else if (byte === quote) isText = false
    } else if (byte === quote) isText = true
    else if (byte === openBracket || byte === openBrace) {
      if (++depth > maxDepth) return `the body nests deeper than ${maxDepth} levels`
      if (++brackets > maxBrackets) return `the body has more than ${maxBrackets} arrays and objects`
    } else if (byte === closeBracket || byte === closeBrace) depth--
  }
  return undefined
}

const quote = 0x22
const openBracket = 0x5b
const backslash = 0x5c
const closeBracket = 0x5d
const openBrace = 0x7b
const closeBrace = 0x7d
/** Makes an opening brace of either. */
const braceBit = openBrace ^ openBracket

const invalidJson = (reason: string) => Either.left(refuse(422, [{ type: "json_invalid", loc: ["body"], msg: reason }]))

/** The body as JSON. Sequence numbers of copied samplers are larger than a number can hold, so they become strings. */
export const parseJson = (body: Uint8Array): Either.Either<unknown, Refusal> => {
  const excess = excessOf(body)
  if (excess !== undefined) return invalidJson(excess)
  const text = decoder.decode(body)
  try {
    return Either.right(JSON.parse(mayHaveLargeSeqId.test(text) ? text.replace(largeSeqId, "\"seq_id\":\"$1\"") : text))
  } catch {
    return invalidJson("the body is not JSON")
  }
}

/** Quotes inside a JSON string have a backslash before them, so this never matches there. */
const largeSeqId = /(?<!\\)"seq_id"\s*:\s*(\d{16,})/g

/** Found much sooner than the whole pattern, as it begins with a text. */
const mayHaveLargeSeqId = /"seq_id"\s*:\s*\d{16}/

/** The body's JSON as the schema says; otherwise 422 with the places that do not fit. */
export const decode = <A, I>(schema: Schema.Schema<A, I>, value: unknown): Either.Either<A, Refusal> =>
  Either.mapLeft(LeanDecoder.decode(schema, value), (error) =>
    refuse(
      422,
      Misfits.of(error).map(({ message, path }) => ({ type: "value_error", loc: ["body", ...path], msg: message }))
    ))

/** Numbers by which a client tells apart what it makes, which become parts of ids. */
export const requireNumber = (name: string, value: number): Effect.Effect<void, Refusal> =>
  Number.isSafeInteger(value) && value >= 0
    ? Effect.void
    : refuse(422, `${name} is ${value}; it must be a whole number from 0`)

export const decodeBody = <A, I>(schema: Schema.Schema<A, I>, request: Received): Either.Either<A, Refusal> =>
  Either.flatMap(parseJson(request.body), (value) => decode(schema, value))

/** The query as the schema of its texts says; otherwise 422. */
export const decodeQuery = <A, I extends { readonly [K in keyof I]: string | undefined }>(
  schema: Schema.Schema<A, I>,
  request: Received
): Effect.Effect<A, Refusal> =>
  Effect.suspend(() => decode(schema, Object.fromEntries(new URL(request.url, "http://server").searchParams)))

export const noContent = HttpServerResponse.empty({ status: 204 })

export const encode = <A, I>(schema: Schema.Schema<A, I>) => {
  const encode = Schema.encodeSync(schema)
  return (value: A, status?: number) => json(encode(value), status)
}

export const acceptsProtobuf = (request: Received): boolean => request.headers.accept?.includes(protobufType) ?? false

/** Equal for equal bytes: 128 bits of four multiplicative hashes, over words of four bytes. Not for secrets. */
export const fingerprint = (bytes: Uint8Array): string => {
  let a = 0x9e3779b9
  let b = 0x85ebca6b
  let c = 0xc2b2ae35
  let d = 0x27d4eb2f
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const whole = bytes.length & ~3
  for (let i = 0; i < bytes.length; i += 4) {
    const word = i < whole ? view.getInt32(i, true) : lastWord(bytes, i)
    a = Math.imul(a ^ word, 0x01000193)
    a ^= a >>> 15
    b = Math.imul(b ^ word, 0x5bd1e995) + (a >>> 7)
    c = Math.imul(c ^ word, 0x2c1b3c6d) ^ (b >>> 13)
    d = Math.imul(d ^ word, 0x297a2d39) + (c >>> 11)
  }
  // Small whole numbers become text ten times as quickly in this base as in any other.
  return [bytes.length, a | 0, b | 0, c | 0, d | 0].join()
}

/** Equal for equal requests, also for one that an earlier server has taken. */
export const fingerprintOf = (request: Received): string => request.replayed?.fingerprint ?? fingerprint(request.body)

const lastWord = (bytes: Uint8Array, from: number): number => {
  let word = 0
  for (let i = bytes.length - 1; i >= from; i--) word = (word << 8) | bytes[i]!
  return word
}
