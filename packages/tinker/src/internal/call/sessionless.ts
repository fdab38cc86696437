/** Calls of clients that need no session: the server's settings, which may ask for a token, and then the request. */
import type { TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as ClientConfig from "../../ClientConfig.js"
import * as RetryPolicy from "../../RetryPolicy.js"
import { operations } from "./operation.js"

interface Call {
  readonly name: string
  /** The attributes of its span. */
  readonly attributes?: Readonly<Record<string, unknown>>
}

export interface Sessionless {
  /** A call that makes its requests itself. */
  readonly call: <A>(call: Call, requests: Effect.Effect<A, TinkerError>) => Effect.Effect<A, TinkerError>
  /** A call that is one request, which is repeated by the policy `request`. */
  readonly request: <A>(
    call: Call,
    request: Effect.Effect<A, TinkerError>,
    options?: RetryPolicy.RetryOptions
  ) => Effect.Effect<A, TinkerError>
}

export const make: Effect.Effect<Sessionless, never, ClientConfig.ClientConfig> = Effect.zipWith(
  ClientConfig.ClientConfig,
  operations,
  (clientConfig, { operation }) => {
    const call: Sessionless["call"] = ({ attributes, name }, requests) =>
      Effect.zipRight(clientConfig.get, requests).pipe(operation(name, attributes))
    return {
      call,
      request: (called, request, options) => call(called, RetryPolicy.retry(request, options))
    }
  }
)

/** Everything on all pages. A page is asked for when the consumer wants more than the ones before hold. */
export const pages = <A, Place>(
  first: Place,
  page: (
    place: Place
  ) => Effect.Effect<{ readonly entries: ReadonlyArray<A>; readonly next: Place | undefined }, TinkerError>
): Stream.Stream<A, TinkerError> =>
  Stream.paginateChunkEffect(
    first,
    (place) =>
      Effect.map(page(place), ({ entries, next }) => [Chunk.unsafeFromArray(entries), Option.fromNullable(next)])
  )
