/** Requests as bytes and JSON, answers as JSON or protobuf. */
import type * as Endpoint from "@effect-tinker/protocol/Endpoint"
import { ErrorResponse } from "@effect-tinker/protocol/ServiceMessages"
import * as TinkerPath from "@effect-tinker/protocol/TinkerPath"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import type { Fault } from "../../Faults.js"
import type { ServerError } from "../../ServerError.js"
import * as Eithers from "../effect/eithers.js"
import * as LeanDecoder from "../fast/leanDecoder.js"
import * as LeanEncoder from "../fast/leanEncoder.js"
import * as NumberLists from "./numberLists.js"
import * as SchemaIssues from "./schemaIssues.js"
import { brief } from "./wording.js"

/** The answer to a request that is not taken. */
export class Refusal extends Data.TaggedError("Refusal")<{
  readonly status: number
  readonly detail: ErrorResponse["detail"]
  readonly headers: Readonly<Record<string, string>> | undefined
}> {}

export const refuse = (status: number, detail: ErrorResponse["detail"], headers?: Readonly<Record<string, string>>) =>
  new Refusal({ status, detail, headers })

/** The path of a checkpoint; otherwise 400. */
export const tinkerPath = (path: string): Effect.Effect<TinkerPath.TinkerPath, Refusal> =>
  Eithers.toEffect(Either.mapLeft(TinkerPath.parse(path), (error) => refuse(400, error.description)))

/** What a store of checkpoints fails with, as an answer. */
export const known = <A>(effect: Effect.Effect<A, ServerError>): Effect.Effect<A, Refusal> =>
  Effect.mapError(effect, ({ description, reason }) => refuse(statuses[reason] ?? 500, description))

/** A damaged file is so for good: whoever is told 5xx would ask for it again and again. */
const statuses: Partial<Record<ServerError["reason"], number>> = { NotFound: 404, DamagedFile: 410, Encrypted: 400 }

const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** A request with its whole body, as handlers see it. */
export interface Received {
  readonly method: string
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly body: Uint8Array
  /** Parts of the path. */
  readonly params: Readonly<Record<string, string | undefined>>
  /** The address as it came, with its query. */
  readonly url: string
  /** The origin of the server, as the client sees it, e.g. `http://localhost:8000`. */
  readonly origin: () => string
  readonly fault: Fault | undefined
  /** The name of its route. */
  readonly route: string
  /** Present when an earlier server has taken the request and not come to its end. */
  readonly replayed?: { readonly fingerprint: string; readonly seed: number | undefined } | undefined
}

/** An answer that is known to be a value `A` in JSON. */
export interface Answered<A> extends HttpServerResponse.HttpServerResponse {
  readonly [answered]?: A
}

declare const answered: unique symbol

/** Answers requests with values `A` in JSON, if any. */
export interface Handler<A = never> {
  (request: Received): Effect.Effect<Answered<A>, Refusal>
}

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
  const body = json(encode(ErrorResponse, { detail: typeof detail === "string" ? brief(detail) : detail }), status)
  return headers === undefined ? body : HttpServerResponse.setHeaders(body, headers)
}

/** Deeper than anything that clients send, and not too deep for what walks through it. */
const maxDepth = 100

/** An object with more becomes a table, which takes many times as long to make. */
const maxKeys = 1024

/**
 * The most keys, commas, arrays and objects, each of which becomes a hundred bytes and takes microseconds: so many in any body, and one
 * more for so many bytes of it.
 */
const maxParts = 2 ** 14
const bytesOfPart = 256

/** The same of numbers in lists that are lifted, each of which becomes up to eight bytes. */
const maxNumbers = 2 ** 18
const bytesOfNumber = 6

/** So many numbers are too many for a body of this length. */
export const tooManyNumbers = (numbers: number, length: number): string | undefined => {
  const most = maxNumbers + Math.floor(length / bytesOfNumber)
  return numbers > most
    ? `the body has more than ${most} numbers: send less at a time`
    : undefined
}

/** So many parts are too many for a body of this length. */
export const tooManyParts = (parts: number, length: number, mostParts: number): string | undefined => {
  const most = mostParts + Math.floor(length / bytesOfPart)
  return parts > most ? `the body has more than ${most} parts: send less at a time` : undefined
}

const excessOf = (
  { depth, keys, numbers, parts }: NumberLists.Scan,
  length: number,
  mostParts: number
): string | undefined => {
  if (depth > maxDepth) return `the body nests deeper than ${maxDepth} levels`
  if (keys > maxKeys) return `an object in the body has more than ${maxKeys} keys`
  return tooManyParts(parts, length, mostParts) ?? tooManyNumbers(numbers, length)
}

/** All of it becomes a text before it is read, which takes up to twice as much, and then texts again. */
const maxText = 2 ** 20

/** A body of so many bytes has no object with too many keys, and in all too few parts to matter. */
const smallBody = 4 * maxKeys

const isSmall = (body: Uint8Array): boolean => {
  if (body.length > smallBody) return false
  // Few brackets cannot nest deeply, which is quicker to see than which of them are in texts.
  let brackets = 0
  for (let i = 0; i < body.length; i++) if ((body[i]! | braceBit) === openBrace) brackets++
  return brackets <= maxDepth
}

const openBracket = 0x5b
const openBrace = 0x7b
/** Makes an opening brace of either. */
const braceBit = openBrace ^ openBracket

/** What else a body may have, where its endpoint says so. */
export interface Bounds {
  /** Default {@link maxParts}. */
  readonly parts?: number
  /** Bytes without the lists that are lifted. Default {@link maxText}. */
  readonly text?: number
  /** Lists of plain numbers with these keys, which may be long. */
  readonly lift?: ReadonlyArray<{
    readonly key: string
    /** What becomes of them: 32 bits a number if it has no fraction and at most nine digits, 64 bits each, or an array. */
    readonly as: "short" | "wide" | "array"
  }>
}

const invalidJson = (reason: string) => Either.left(refuse(422, [{ type: "json_invalid", loc: ["body"], msg: reason }]))

/** The body as JSON. Sequence numbers of copied samplers are larger than a number can hold, so they become strings. */
export const parseJson = (
  body: Uint8Array,
  { lift = [], parts = maxParts, text = maxText }: Bounds = {}
): Either.Either<
  unknown,
  Refusal
> => {
  if (isSmall(body)) return parseAll(body)
  const scan = NumberLists.scan(body, lift.map(({ key }) => encoder.encode(key)))
  const excess = excessOf(scan, body.length, parts)
  if (excess !== undefined) return invalidJson(excess)
  const rest = scan.lists.reduce((sum, { end, start }) => sum - (end - start), body.length)
  if (rest > text) {
    return invalidJson(`the body has more than ${text} bytes${lift.length === 0 ? "" : " beside its numbers"}`)
  }
  if (scan.lists.length === 0) return parseAll(body)
  return Either.flatMap(
    Either.try({
      try: () =>
        scan.lists.map((place) => {
          const { as } = lift[place.key]!
          const numbers = NumberLists.read(body, place, as === "wide")
          return as === "array" ? Array.from(numbers) : numbers
        }),
      catch: () => notJson
    }),
    (lists) =>
      Either.map(parseAll(NumberLists.withoutLists(body, scan.lists, liftedMark)), (value) => restored(value, lists))
  )
}

const notJson = refuse(422, [{ type: "json_invalid", loc: ["body"], msg: "the body is not JSON" }])

const parseAll = (body: Uint8Array): Either.Either<unknown, Refusal> => {
  const text = decoder.decode(body)
  try {
    return Either.right(JSON.parse(mayHaveLargeSeqId.test(text) ? text.replace(largeSeqId, "\"seq_id\":\"$1\"") : text))
  } catch {
    return Either.left(notJson)
  }
}

/** What stands for a lifted list, made of letters that nobody has given a meaning. Whoever writes it means the list. */
const liftedMark = "\uf8ff\uf123"

/** The same with the lists in the places where they were; what is parsed here belongs to nobody else. */
const restored = (value: unknown, lists: ReadonlyArray<unknown>): unknown => {
  if (typeof value === "string") {
    return value.startsWith(liftedMark) ? lists[Number(value.slice(liftedMark.length))] ?? value : value
  }
  if (typeof value === "object" && value !== null) {
    const parent = value as Record<string, unknown>
    for (const name of Object.keys(parent)) {
      const part = parent[name]
      if (typeof part === "string" || typeof part === "object") parent[name] = restored(part, lists)
    }
  }
  return value
}

/** Quotes inside a JSON string have a backslash before them, so this never matches there. */
const largeSeqId = /(?<!\\)"seq_id"\s*:\s*(\d{16,})/g

/** Found much sooner than the whole pattern, as it begins with a text. */
const mayHaveLargeSeqId = /"seq_id"\s*:\s*\d{16}/

/** What a request has in the body, or elsewhere, as the schema says; otherwise 422 with the places that do not fit. */
export const decode = <A, I>(
  schema: Schema.Schema<A, I>,
  value: unknown,
  where: "body" | "query" = "body"
): Either.Either<A, Refusal> =>
  Either.mapLeft(LeanDecoder.decode(schema, value), (error) =>
    refuse(
      422,
      SchemaIssues.of(error).map(({ message, path }) => ({
        type: "value_error",
        loc: [where, ...path.map((part) => typeof part === "number" ? part : String(part))],
        msg: message
      }))
    ))

/** Numbers by which a client tells apart what it makes, which become parts of ids. */
export const requireNumber = (name: string, value: number): Effect.Effect<void, Refusal> =>
  Number.isSafeInteger(value) && value >= 0
    ? Effect.void
    : refuse(422, `${name} is ${value}; it must be a whole number from 0`)

export const decodeBody = <A, I>(schema: Schema.Schema<A, I>, request: Received): Effect.Effect<A, Refusal> =>
  Eithers.toEffect(Either.flatMap(parseJson(request.body), (value) => decode(schema, value)))

/** The query as the schema of its texts says; otherwise 422. */
export const decodeQuery = <A, I extends { readonly [K in keyof I]: string | undefined }>(
  schema: Schema.Schema<A, I>,
  request: Received
): Effect.Effect<A, Refusal> =>
  Effect.suspend(() =>
    Eithers.toEffect(decode(schema, Object.fromEntries(new URL(request.url, "http://server").searchParams), "query"))
  )

export const noContent = HttpServerResponse.empty({ status: 204 })

/** An answer of an endpoint, as its schema has it. */
export const answer = <const E extends Endpoint.Endpoint | Pick<Endpoint.Endpoint, "answer">>(
  { answer }: E,
  value: Endpoint.Answer<E>
): Answered<Endpoint.Answer<E>> => json(Schema.isSchema(answer) ? encode(answer, value) : value)

const encoders = new WeakMap<Schema.Schema.AnyNoContext, (value: unknown) => unknown>()

/** The JSON of a value, by an encoder that is made once for a schema. */
export const encode = (schema: Schema.Schema.AnyNoContext, value: unknown): unknown => {
  const known = encoders.get(schema)
  if (known !== undefined) return known(value)
  const made = LeanEncoder.encodeUnknownSync(schema)
  encoders.set(schema, made)
  return made(value)
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
