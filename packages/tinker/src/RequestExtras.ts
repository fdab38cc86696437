/**
 * What requests of a region of code carry beside their own: headers, query, fields of the body, another timeout or
 * idempotency key. For what a server understands and this version of the SDK does not.
 */
import { type Check, type Fields, record } from "@effect-tinker/protocol/Checks"
import { invalidInput, type InvalidInputError, type Issue } from "@effect-tinker/protocol/TinkerError"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { dual } from "effect/Function"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Given from "./internal/given.js"
import * as QueryValues from "./internal/transport/queryValues.js"

/**
 * A query by its names, nested as deep as it is.
 *
 * @since 0.1.0
 * @category models
 */
export type Query = QueryValues.Query

/**
 * @since 0.1.0
 * @category models
 */
export interface RequestExtras {
  /**
   * Over those of the client, whatever the letters of their names. `undefined` leaves a header of the client out. The credential
   * `X-API-Key` and the headers of the connection itself are refused.
   */
  readonly headers?: Readonly<Record<string, string | undefined>> | undefined
  /**
   * Over the query that a request has, and the option `query`. Lists are joined by commas, `a[b]` names what is nested; what is
   * empty is left out.
   */
  readonly query?: Query | undefined
  /**
   * Over the fields of a JSON body. `undefined` leaves a field out, `null` is sent. Requests that only read, and those that fetch
   * a result, have none.
   */
  readonly body?: Readonly<Record<string, unknown>> | undefined
  /** Instead of the option `requestTimeout`. Requests that fetch a result keep their own. */
  readonly timeout?: Duration.DurationInput | undefined
  /** The most that is read of an answer, in bytes, instead of the option `maxResponseBytes`; of a body read as it arrives too. */
  readonly maxResponseBytes?: number | undefined
  /**
   * The idempotency key of the one request of the region that changes something; those that fetch its result keep their own. `null` sends
   * none. By default a request has one for all its attempts.
   */
  readonly idempotencyKey?: string | null | undefined
}

/**
 * @internal
 */
export class CurrentExtras extends Context.Reference<CurrentExtras>()("effect-tinker/RequestExtras/CurrentExtras", {
  defaultValue: (): RequestExtras | undefined => undefined
}) {}

/**
 * Adds the extras to all requests of a region, over what regions around it say. Requests fail with `InvalidInputError`, unsent, when the
 * extras do not fit them.
 *
 * @example
 * ```ts
 * import { BigramEngine } from "@effect-tinker/engine"
 * import { TinkerServer } from "@effect-tinker/server"
 * import { Effect, Layer } from "effect"
 * import { RequestExtras, RestClient, Tinker } from "effect-tinker"
 *
 * const program = Effect.flatMap(RestClient.RestClient, (rest) => rest.listTrainingRuns()).pipe(
 *   RequestExtras.withExtras({ headers: { "x-experiment": "7" }, query: { order: ["newest", "largest"] } })
 * )
 * const Local = Tinker.layer().pipe(Layer.provide(TinkerServer.layerClient), Layer.provide(BigramEngine.layer()))
 *
 * await Effect.runPromise(Effect.provide(program, Local))
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const withExtras: {
  (extras: RequestExtras): <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  <A, E, R>(effect: Effect.Effect<A, E, R>, extras: RequestExtras): Effect.Effect<A, E, R>
} = dual(
  2,
  <A, E, R>(effect: Effect.Effect<A, E, R>, extras: RequestExtras): Effect.Effect<A, E, R> =>
    Given.around(
      "RequestExtras.withExtras",
      [effect, extras],
      parameters,
      () =>
        Effect.flatMap(CurrentExtras, (outer) => Effect.provideService(effect, CurrentExtras, merged(outer, extras)))
    )
)

/** Whether their values fit is seen with each request. */
const parameters: Fields = {
  effect: Given.effect,
  extras: Given.partial(
    {
      headers: record(Given.anything),
      query: record(Given.anything),
      body: record(Given.anything),
      timeout: Given.anything,
      maxResponseBytes: Given.anything,
      idempotencyKey: Given.anything
    } satisfies Record<keyof RequestExtras, Check>,
    "extra"
  )
}

const merged = (outer: RequestExtras | undefined, inner: RequestExtras): RequestExtras =>
  outer === undefined ? inner : {
    headers: { ...lowerCase(outer.headers), ...lowerCase(inner.headers) },
    query: { ...outer.query, ...inner.query },
    body: outer.body === undefined && inner.body === undefined ? undefined : { ...outer.body, ...inner.body },
    timeout: inner.timeout ?? outer.timeout,
    maxResponseBytes: inner.maxResponseBytes ?? outer.maxResponseBytes,
    idempotencyKey: inner.idempotencyKey === undefined ? outer.idempotencyKey : inner.idempotencyKey
  }

const lowerCase = (headers: RequestExtras["headers"]): Record<string, string | undefined> =>
  Object.fromEntries(Object.entries(headers ?? {}).map(([name, value]) => [name.toLowerCase(), value]))

/** What of a request extras can change. */
interface Extended {
  readonly operation: string
  readonly method: string
  readonly query?: QueryValues.Query | undefined
  readonly extraHeaders?: Readonly<Record<string, string | undefined>> | undefined
  readonly body?: Body | undefined
  readonly timeout?: Duration.Duration | undefined
  readonly maxResponseBytes?: number | undefined
  readonly idempotencyKey?: string | null | undefined
}

interface Body {
  readonly contentType: string
  readonly bytes: Uint8Array
  readonly encoding?: "zstd" | undefined
}

/**
 * A request with the extras. `isPoll`: it fetches the result of another.
 *
 * @internal
 */
export const apply = <R extends Extended>(
  request: R,
  extras: RequestExtras,
  { isPoll }: { readonly isPoll: boolean }
): Either.Either<R, InvalidInputError> => {
  const headers = lowerCase(extras.headers)
  const timeout = extras.timeout === undefined
    ? undefined
    : Option.getOrUndefined(Duration.decodeUnknown(extras.timeout))
  const fields = extras.body === undefined || isPoll || request.method === "GET" ? undefined : extras.body
  const bytes = fields === undefined ? undefined : extended(request.body, fields)
  const issues = headerIssues(headers)
  if (extras.timeout !== undefined && !(timeout !== undefined && Duration.toMillis(timeout) > 0)) {
    issues.push({ field: "timeout", description: "must be a duration longer than zero." })
  }
  if (extras.maxResponseBytes !== undefined && !(extras.maxResponseBytes >= 1)) {
    issues.push({ field: "maxResponseBytes", description: "must be a number of bytes, 1 or more." })
  }
  if (typeof extras.idempotencyKey === "string" && !/^[\x21-\x7e]+$/.test(extras.idempotencyKey)) {
    issues.push({ field: "idempotencyKey", description: "must be printable characters without spaces, one at least." })
  }
  if (typeof bytes === "string") issues.push({ field: "body", description: bytes })
  if (issues.length > 0) return Either.left(invalidInput(request.operation, issues))
  return Either.right({
    ...request,
    query: extras.query === undefined ? request.query : { ...request.query, ...extras.query },
    extraHeaders: extras.headers === undefined ? request.extraHeaders : { ...request.extraHeaders, ...headers },
    body: bytes === undefined || typeof bytes === "string" ? request.body : { contentType: json, bytes },
    timeout: request.timeout ?? timeout,
    maxResponseBytes: request.maxResponseBytes ?? extras.maxResponseBytes,
    idempotencyKey: extras.idempotencyKey === undefined || isPoll ? request.idempotencyKey : extras.idempotencyKey
  })
}

const headerIssues = (headers: Readonly<Record<string, string | undefined>>): Array<Issue> => {
  const issues: Array<Issue> = []
  for (const [name, value] of Object.entries(headers)) {
    const field = `headers.${name}`
    if (name === "x-api-key") {
      issues.push({ field, description: "cannot be replaced; make a client with another apiKey." })
    } else if (ofConnection.has(name)) {
      issues.push({ field, description: "is for the connection to say." })
    } else if (!/^[!#$%&'*+.^_`|~0-9a-z-]+$/.test(name) || !/^[\t\x20-\x7e\x80-\xff]*$/.test(value ?? "")) {
      issues.push({ field, description: "has a line break or another character that no header can carry." })
    }
  }
  return issues
}

const ofConnection: ReadonlySet<string> = new Set([
  "connection",
  "content-length",
  "host",
  "keep-alive",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade"
])

const json = "application/json"
const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** The body with the fields, or what is wrong. */
const extended = (body: Body | undefined, fields: Readonly<Record<string, unknown>>): Uint8Array | string => {
  if (body !== undefined && (!body.contentType.startsWith(json) || body.encoding !== undefined)) return noObject
  const text = body === undefined || body.bytes.length === 0 ? "{}" : decoder.decode(body.bytes).trim()
  let added: string
  try {
    added = JSON.stringify(fields)
  } catch {
    return "has a value that JSON cannot hold."
  }
  let own: unknown
  try {
    own = JSON.parse(text)
  } catch {
    return noObject
  }
  if (!Predicate.isReadonlyRecord(own)) return noObject
  if (Object.keys(fields).some((name) => Object.hasOwn(own, name))) {
    return encoder.encode(JSON.stringify({ ...own, ...fields }))
  }
  if (added === "{}") return encoder.encode(text)
  // As text: there are whole numbers in requests that a number here cannot hold.
  return encoder.encode(Object.keys(own).length === 0 ? added : `${text.slice(0, -1)},${added.slice(1)}`)
}

const noObject = "needs a request whose body is a JSON object, and this one's is not."
