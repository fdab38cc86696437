/** Requests and calls made of the endpoints of the protocol. */
import { type Endpoint, type Parameter, pathOf } from "@effect-tinker/protocol/Endpoint"
import { ApiStatusError, type TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as TinkerHttpClient from "../../TinkerHttpClient.js"
import { withQuery } from "./query.js"

type Body<E extends Endpoint> = E extends { readonly body: Schema.Schema<infer A, infer _I> } ? A : never

type Query<E extends Endpoint> = E extends { readonly query: Schema.Schema<infer A, infer _I> } ? A : never

type Answer<E extends Endpoint> = E extends { readonly answer: Schema.Schema<infer A, infer _I> } ? A : unknown

/** What a call of an endpoint has: the parameters of its path, its query and its body, as far as there are any. */
export type Input<E extends Endpoint> =
  & ([Parameter<E["path"]>] extends [never] ? unknown
    : { readonly parameters: { readonly [K in Parameter<E["path"]>]: string } })
  & ([Query<E>] extends [never] ? unknown : { readonly query: Query<E> })
  & ([Body<E>] extends [never] ? unknown : { readonly body: Body<E> })

/** The parts of an {@link Input}, of whichever endpoint. */
interface Parts {
  readonly parameters?: Readonly<Record<string, string>>
  readonly query?: unknown
  readonly body?: unknown
}

/**
 * Makes an endpoint's requests. What does not fit the endpoint's own schemas is a mistake of this package, so it throws, for a defect.
 */
export const requests = <const E extends Endpoint>(endpoint: E): (input: Input<E>) => TinkerHttpClient.Request => {
  const { body, method, operation, path, query } = endpoint as Endpoint
  const encodeBody = body && Schema.encodeUnknownSync(body)
  const encodeQuery = query && Schema.encodeUnknownSync(query)
  return (input) => {
    const parts = input as Parts
    const filled = pathOf({ path }, parts.parameters ?? {})
    return {
      operation,
      method,
      path: encodeQuery === undefined
        ? filled
        : withQuery(filled, encodeQuery(parts.query) as Readonly<Record<string, string>>),
      ...(encodeBody === undefined ? {} : { body: TinkerHttpClient.jsonBody(encodeBody(parts.body)) })
    }
  }
}

/** The request of an endpoint without parameters, for a body that is encoded elsewhere. */
export const requestOf = (endpoint: Endpoint): TinkerHttpClient.Request => ({
  operation: endpoint.operation,
  method: endpoint.method,
  path: pathOf(endpoint, {})
})

/** Calls an endpoint once, and decodes its answer. */
export const call = <const E extends Endpoint>(http: TinkerHttpClient.Service, endpoint: E) => {
  const requestTo = requests(endpoint)
  const answer = Schema.isSchema(endpoint.answer) ? endpoint.answer : Schema.Unknown
  return (input: Input<E>, options?: Partial<TinkerHttpClient.Request>): Effect.Effect<Answer<E>, TinkerError> =>
    Effect.suspend(() => http.json({ ...requestTo(input), ...options }, answer as Schema.Schema<Answer<E>>))
}

/** Calls an endpoint that takes nothing but a body. */
export const post = <const E extends Endpoint>(http: TinkerHttpClient.Service, endpoint: E) => {
  const send = call(http, endpoint)
  return (body: Body<E>, options?: Partial<TinkerHttpClient.Request>) => send({ body } as Input<E>, options)
}

/** Calls an endpoint once, whatever it answers, if that is no refusal. */
export const send = <const E extends Endpoint>(http: TinkerHttpClient.Service, endpoint: E) => {
  const requestTo = requests(endpoint)
  return (input: Input<E>, options?: Partial<TinkerHttpClient.Request>): Effect.Effect<void, TinkerError> =>
    Effect.suspend(() => Effect.asVoid(http.request({ ...requestTo(input), ...options })))
}

/**
 * Sends a request to an endpoint whose address names no one thing that may be missing: 404 there means that the server has no such
 * endpoint.
 */
export const ofCollection = <A>(request: Effect.Effect<A, TinkerError>): Effect.Effect<A, TinkerError> =>
  Effect.mapError(
    request,
    (error) => error._tag === "ApiStatusError" && error.status === 404 ? unsupported(error) : error
  )

export const unsupported = (error: ApiStatusError): ApiStatusError =>
  new ApiStatusError({ ...error, reason: "Unsupported" })
