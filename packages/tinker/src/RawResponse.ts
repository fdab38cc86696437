/**
 * The answers behind the results of calls, as they came.
 */
import type { ApiResponseValidationError } from "@effect-tinker/protocol/TinkerError"
import type * as Headers from "@effect/platform/Headers"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Inspectable from "effect/Inspectable"
import type * as Schema from "effect/Schema"
import * as Given from "./internal/given.js"
import { decodeJson } from "./internal/transport/decodeJson.js"
import { parseJson } from "./internal/transport/responseLimits.js"
import type * as TinkerHttpClient from "./TinkerHttpClient.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface RawResponse {
  /** The name of the operation in errors, e.g. `optim_step`. */
  readonly operation: string
  readonly method: string
  /** The address without credentials, which are in headers alone. */
  readonly url: string
  readonly status: number
  readonly headers: Headers.Headers
  /** Since the attempt began. */
  readonly elapsed: Duration.Duration
  /** Attempts before this one. */
  readonly retries: number
  /** None of a body that is read as it arrives. */
  readonly bytes: Uint8Array
  readonly text: string
  /** `undefined` when the body is no JSON, or is nested too deep to be an answer. */
  readonly json: unknown
  /** The body's JSON as the schema says. */
  readonly parse: <A, I>(schema: Schema.Schema<A, I>) => Effect.Effect<A, ApiResponseValidationError>
}

/**
 * @internal
 */
export class CurrentListener extends Context.Reference<CurrentListener>()("effect-tinker/RawResponse/CurrentListener", {
  defaultValue: (): ((response: RawResponse) => void) | undefined => undefined
}) {}

/**
 * What an effect gives, and all answers that its calls have received by then, in order: those of attempts that failed and of
 * polls among them. Of a call that only submits, the polls belong to it as long as the region runs.
 *
 * @example
 * ```ts
 * import { BigramEngine } from "@effect-tinker/engine"
import { TinkerServer } from "@effect-tinker/server"
 * import { Console, Effect, Layer } from "effect"
 * import { RawResponse, RestClient, Tinker } from "effect-tinker"
 *
 * const program = Effect.gen(function*() {
 *   const rest = yield* RestClient.RestClient
 *   const { responses, value } = yield* RawResponse.withResponses(rest.listTrainingRuns())
 *   for (const { elapsed, operation, retries, status } of responses) {
 *     yield* Console.log(operation, status, elapsed.toString(), retries)
 *   }
 *   return value
 * })
 * const Local = Tinker.layer().pipe(Layer.provide(TinkerServer.layerClient), Layer.provide(BigramEngine.layer()))
 *
 * await Effect.runPromise(Effect.provide(program, Local))
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const withResponses = <A, E, R>(
  effect: Effect.Effect<A, E, R>
): Effect.Effect<{ readonly value: A; readonly responses: ReadonlyArray<RawResponse> }, E, R> =>
  Given.around(
    "RawResponse.withResponses",
    [effect],
    { effect: Given.effect },
    () =>
      Effect.flatMap(CurrentListener, (outer) => {
        const responses: Array<RawResponse> = []
        let isOver = false
        const listener = (response: RawResponse) => {
          outer?.(response)
          if (!isOver) responses.push(response)
        }
        return Effect.map(Effect.provideService(effect, CurrentListener, listener), (value) => {
          isOver = true
          return { value, responses }
        })
      })
  )

/**
 * @internal
 */
export const make = (options: {
  readonly answer: TinkerHttpClient.Response
  readonly url: string
  readonly elapsed: Duration.Duration
  readonly retries: number
}): RawResponse => new Answered(options)

/** Printed without its body, which may hold what the user keeps to himself. */
class Answered extends Inspectable.Class implements RawResponse {
  readonly operation: string
  readonly method: string
  readonly url: string
  readonly status: number
  readonly headers: Headers.Headers
  readonly elapsed: Duration.Duration
  readonly retries: number
  readonly bytes: Uint8Array
  readonly #answer: TinkerHttpClient.Response

  constructor({ answer, elapsed, retries, url }: Parameters<typeof make>[0]) {
    super()
    this.operation = answer.request.operation
    this.method = answer.request.method
    this.url = url
    this.status = answer.status
    this.headers = answer.headers
    this.elapsed = elapsed
    this.retries = retries
    this.bytes = answer.body
    this.#answer = answer
  }

  get text(): string {
    return new TextDecoder().decode(this.bytes)
  }

  get json(): unknown {
    try {
      return parseJson(this.bytes)
    } catch {
      return undefined
    }
  }

  parse<A, I>(schema: Schema.Schema<A, I>): Effect.Effect<A, ApiResponseValidationError> {
    return decodeJson(this.#answer, schema)
  }

  toJSON(): unknown {
    const { bytes, elapsed, headers, method, operation, retries, status, url } = this
    return {
      operation,
      method,
      url,
      status,
      headers: Inspectable.redact(headers),
      elapsed: elapsed.toJSON(),
      retries,
      bytes: bytes.byteLength
    }
  }
}
