/**
 * Requests to endpoints of the server for which this version of the SDK has no call, sent as its own are: with its credential,
 * its retries, and its errors. Needs no session.
 */
import { isObject, kindOf } from "@effect-tinker/protocol/CallOptions"
import {
  anyText,
  bound,
  type Check,
  duration,
  type Fields,
  fitting,
  json,
  none,
  object,
  oneOf,
  optional,
  optionsOf,
  orNull,
  record,
  text
} from "@effect-tinker/protocol/Checks"
import { InvalidInputError, isPuzzling, type TinkerError } from "@effect-tinker/protocol/TinkerError"
import type * as FileSystem from "@effect/platform/FileSystem"
import type * as Headers from "@effect/platform/Headers"
import type * as Path from "@effect/platform/Path"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type * as ClientConfig from "./ClientConfig.js"
import type { FileInput } from "./FileInput.js"
import * as HttpRuntime from "./HttpRuntime.js"
import { operations } from "./internal/call/operation.js"
import * as Sessionless from "./internal/call/sessionless.js"
import type { DownloadError } from "./internal/download/downloadError.js"
import * as StagedFile from "./internal/download/stagedFile.js"
import { boundedLines } from "./internal/transport/boundedLines.js"
import { rawBody } from "./internal/transport/rawBody.js"
import * as RawResponse from "./RawResponse.js"
import * as RequestExtras from "./RequestExtras.js"
import * as RetryPolicy from "./RetryPolicy.js"
import * as ServerSentEvents from "./ServerSentEvents.js"
import * as TinkerConfig from "./TinkerConfig.js"
import * as TinkerHttpClient from "./TinkerHttpClient.js"

/**
 * @since 0.1.0
 * @category tags
 */
export class RawClient extends Context.Tag("effect-tinker/RawClient")<RawClient, Service>() {}

/**
 * Paths are those of the server, e.g. `api/v1/healthz`: a slash at the beginning makes no difference, and an address of another
 * server is refused, since the credential would go there. Their ids are not escaped. An answer other than 2xx is an
 * `ApiStatusError`.
 *
 * @example
 * ```ts
 * import { BigramEngine } from "@effect-tinker/engine"
import { TinkerServer } from "@effect-tinker/server"
 * import { Console, Effect, Layer, Schema } from "effect"
 * import { RawClient, Tinker } from "effect-tinker"
 *
 * // On the wire `session_id`, a date as text, and bytes in base64: what the schema says, however deep.
 * const Note = Schema.Struct({
 *   sessionId: Schema.propertySignature(Schema.String).pipe(Schema.fromKey("session_id")),
 *   parts: Schema.Array(Schema.Struct({ at: Schema.Date, bytes: Schema.Uint8ArrayFromBase64 }))
 * })
 * const note = { sessionId: "S", parts: [{ at: new Date(0), bytes: Uint8Array.of(1, 2, 3) }] }
 *
 * const program = Effect.gen(function*() {
 *   const raw = yield* RawClient.RawClient
 *   const answer = yield* raw.get("api/v1/healthz", { query: { verbose: true } })
 *   yield* Console.log(answer.status, yield* answer.parse(Schema.Struct({ status: Schema.String })))
 *   yield* raw.post("api/v1/notes", { payload: { schema: Note, value: note } }).pipe(
 *     Effect.catchTag("ApiStatusError", ({ reason }) => Console.log(`no notes here: ${reason}`))
 *   )
 * })
 * const Local = Tinker.layer().pipe(Layer.provide(TinkerServer.layerClient), Layer.provide(BigramEngine.layer()))
 *
 * await Effect.runPromise(Effect.provide(program, Local))
 * ```
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  readonly get: (path: string, options?: Options) => Effect.Effect<RawResponse.RawResponse, TinkerError>
  readonly delete: Send
  readonly post: Send
  readonly put: Send
  readonly patch: Send

  /**
   * The body as it arrives. What is retried is the request, up to the first byte; `requestTimeout` bounds the time until then. The
   * connection closes with the stream, however that ends.
   */
  readonly stream: <A = never, I = never>(
    path: string,
    options?: StreamOptions<A, I>
  ) => Stream.Stream<Uint8Array, TinkerError>

  /** The same as text, in pieces as they arrive. UTF-8. */
  readonly text: <A = never, I = never>(
    path: string,
    options?: StreamOptions<A, I>
  ) => Stream.Stream<string, TinkerError>

  /** The same by lines, without their ends. No line may be longer than 64 Mi characters. */
  readonly lines: <A = never, I = never>(
    path: string,
    options?: StreamOptions<A, I>
  ) => Stream.Stream<string, TinkerError>

  /** Server-sent events as they arrive; `ServerSentEvents.json` reads their data. Nothing connects again by itself. */
  readonly events: <A = never, I = never>(
    path: string,
    options?: StreamOptions<A, I>
  ) => Stream.Stream<ServerSentEvents.ServerSentEvent, TinkerError>

  /**
   * Writes the body to a file, part by part. The file appears when it is whole, in place of one that is there; a failure or an
   * interruption leaves nothing behind.
   */
  readonly toFile: <A = never, I = never>(
    path: string,
    file: string,
    options?: StreamOptions<A, I>
  ) => Effect.Effect<Saved, TinkerError | DownloadError, FileSystem.FileSystem | Path.Path>
}

/**
 * @since 0.1.0
 * @category models
 */
export type Send = <A = never, I = never>(
  path: string,
  options?: SendOptions<A, I>
) => Effect.Effect<RawResponse.RawResponse, TinkerError>

/** Endpoints of one's own refuse in words of their own, which are no puzzle. */
const asRefused: RetryPolicy.RetryOptions = {
  when: (error, { retryable }) => retryable(error) && !(error._tag === "ApiStatusError" && isPuzzling(error))
}

/**
 * Headers, query, timeout and idempotency key as `RequestExtras` says, over those of the region.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options extends Omit<RequestExtras.RequestExtras, "body"> {
  /** When the request is sent again, and how often. Default: the policy `request`. */
  readonly retry?: RetryPolicy.Policy | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface SendOptions<A, I> extends Options {
  readonly payload?: Payload<A, I> | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface StreamOptions<A, I> extends SendOptions<A, I> {
  /** Default: `GET`, or `POST` with a payload. */
  readonly method?: TinkerHttpClient.Method | undefined
}

/**
 * - `schema`: JSON, with the names and forms that the schema gives it
 * - `json`: JSON as it is; a field that is `undefined` is left out
 * - `bytes`: as they are; `contentType` is `application/octet-stream` unless it is given
 * - `form`: fields of a form, URL-encoded
 * - `multipart`: fields and files
 *
 * @since 0.1.0
 * @category models
 */
export type Payload<A, I> =
  | { readonly schema: Schema.Schema<A, I>; readonly value: A }
  | { readonly json: unknown }
  | { readonly bytes: Uint8Array; readonly contentType?: string | undefined }
  | { readonly form: FormFields }
  | { readonly multipart: MultipartForm }

/**
 * Nested values, which are sent as flat fields: `{ a: { b: [1, 2] } }` is `a[b][]=1` and `a[b][]=2`. `null` is an empty text; `undefined`
 * is left out, as are empty lists and objects.
 *
 * @since 0.1.0
 * @category models
 */
export interface FormFields {
  readonly [name: string]: FormValue
}

/**
 * @since 0.1.0
 * @category models
 */
export type FormValue = string | number | boolean | null | undefined | ReadonlyArray<FormValue> | FormFields

/**
 * The fields are sent in their order, and the files behind them in theirs. A name may have several files.
 *
 * @since 0.1.0
 * @category models
 */
export interface MultipartForm {
  readonly fields?: FormFields | undefined
  readonly files?: Readonly<Record<string, FileInput | ReadonlyArray<FileInput>>> | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Saved {
  /** Length of the file. */
  readonly bytes: number
  readonly headers: Headers.Headers
}

type Requirements =
  | ClientConfig.ClientConfig
  | TinkerConfig.TinkerConfig
  | TinkerHttpClient.TinkerHttpClient

/**
 * Sends nothing until it is used.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<Service, never, Requirements> = Effect.gen(function*() {
  const http = yield* TinkerHttpClient.TinkerHttpClient
  const config = yield* TinkerConfig.TinkerConfig
  const sessionless = yield* Sessionless.make
  const { checked, checkedStream } = yield* operations

  /** The answer to a request, sent as the options say. */
  const answer = <A, I>(
    name: string,
    method: TinkerHttpClient.Method,
    path: string,
    { payload, retry, ...extras }: SendOptions<A, I>,
    request: Pick<TinkerHttpClient.Request, "headers" | "streamedIn"> = {}
  ) =>
    Effect.gen(function*() {
      const place = yield* pathOf(name, path, config.baseUrl)
      const operation = `${name} (${method} ${place.split("?")[0]})`
      const body = payload === undefined ? undefined : yield* rawBody(operation, payload)
      const attempt = http.request({ operation, method, path: place, body, ...request })
      return yield* sessionless.request({ name }, RequestExtras.withExtras(attempt, extras), asRefused)
    }).pipe(retry === undefined ? (effect) => effect : RetryPolicy.withPolicies({ request: retry }))

  const send = (name: string, method: TinkerHttpClient.Method): Send =>
    checked(
      `RawClient.${name}`,
      { path: text, options: optional(optionsOf(method === "GET" ? fields : sendFields)) },
      (path, options = {}) =>
        Effect.map(
          RawResponse.withResponses(answer(`RawClient.${name}`, method, path, options)),
          ({ responses }) => responses.at(-1)!
        )
    )

  const open = <A, I>(name: string, path: string, options: StreamOptions<A, I>, accept: string) =>
    Effect.flatMap(Effect.scope, (streamedIn) => {
      const { method = options.payload === undefined ? "GET" : "POST", ...rest } = options
      return Effect.map(
        answer(`RawClient.${name}`, method, path, rest, { headers: { accept }, streamedIn }),
        ({ headers, stream = Stream.empty }) => ({ headers, stream })
      )
    })

  const streamed = (name: string, accept: string): Service["stream"] =>
    checkedStream(
      `RawClient.${name}`,
      { path: text, options: optional(optionsOf(streamFields)) },
      (path, options = {}) => Stream.unwrapScoped(Effect.map(open(name, path, options, accept), ({ stream }) => stream))
    )

  const stream = streamed("stream", "*/*")
  const texts = streamed("text", "text/*, */*")
  const lines = streamed("lines", "text/*, */*")
  const events = streamed("events", "text/event-stream")

  return RawClient.of({
    get: send("get", "GET"),
    delete: send("delete", "DELETE"),
    post: send("post", "POST"),
    put: send("put", "PUT"),
    patch: send("patch", "PATCH"),
    stream,
    text: (path, options) => Stream.decodeText(texts(path, options)),
    lines: (path, options) =>
      Stream.splitLines(boundedLines("RawClient.lines", Stream.decodeText(lines(path, options)))),
    events: (path, options) => ServerSentEvents.decode(events(path, options)),
    toFile: checked(
      "RawClient.toFile",
      { path: text, file: text, options: optional(optionsOf(streamFields)) },
      (path, place, options = {}) =>
        Effect.scoped(Effect.gen(function*() {
          const { headers, stream } = yield* open("toFile", path, options, "*/*")
          const file = yield* StagedFile.make(path, place)
          let bytes = 0
          yield* Stream.runForEach(stream, (part) =>
            Effect.map(file.write(part), () => {
              bytes += part.length
            }))
          yield* file.commit
          return { bytes, headers }
        })).pipe(Effect.provideService(HttpRuntime.TakesLentParts, true))
    )
  })
})

/**
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<RawClient, never, Requirements> = Layer.effect(RawClient, make)

/** The path behind the base URL, which keeps its own path. */
const pathOf = (operation: string, path: string, baseUrl: string): Effect.Effect<string, InvalidInputError> => {
  if (!/^[a-z][a-z0-9+.-]*:\/\//i.test(path)) return Effect.succeed(`/${path.replace(/^\/+/, "")}`)
  return path.startsWith(`${baseUrl}/`)
    ? Effect.succeed(path.slice(baseUrl.length))
    : Effect.fail(
      new InvalidInputError({
        operation,
        field: "path",
        description:
          "is no address of the server; credentials go nowhere else. Give the path alone, e.g. api/v1/healthz."
      })
    )
}

const anything: Check = () => none

const fields: Readonly<Record<keyof Options, Check>> = {
  headers: optional(record(optional(anyText))),
  query: optional(record(json)),
  timeout: optional(duration),
  maxResponseBytes: optional(bound),
  idempotencyKey: optional(orNull(anyText)),
  retry: optional(fitting((value) => Predicate.hasProperty(value, Schedule.ScheduleTypeId), "pass a Schedule"))
}

const bytes = fitting((value) => value instanceof Uint8Array, "pass a Uint8Array")

const file = object({ bytes, name: anyText, contentType: anyText }, "part of a file")

const files: Check = (value, field) =>
  Array.isArray(value) ? value.flatMap((one, i) => file(one, `${field}[${i}]`)) : file(value, field)

const payloads: ReadonlyArray<Fields> = [
  {
    schema: fitting(Schema.isSchema, "pass a Schema"),
    value: anything
  },
  { json: anything },
  {
    bytes,
    contentType: optional(text)
  },
  { form: record(json) },
  { multipart: object({ fields: optional(record(json)), files: optional(record(files)) }, "part of a form") }
]

const payload: Check = (value, field) => {
  const form = isObject(value) ? payloads.find((form) => Object.keys(form)[0]! in value) : undefined
  return form === undefined
    ? [{
      field,
      description: `is ${kindOf(value)}; pass an object with one of schema, json, bytes, form and multipart.`
    }]
    : object(form, "part of such a payload")(value, field)
}

const sendFields = { ...fields, payload: optional(payload) }

const streamFields = { ...sendFields, method: optional(oneOf("GET", "POST", "PUT", "PATCH", "DELETE")) }
