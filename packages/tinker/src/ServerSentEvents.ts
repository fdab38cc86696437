/**
 * Server-sent events, as their bytes arrive.
 *
 * Source: the WHATWG HTML standard, section 9.2.6, "Interpreting an event stream".
 */
import { bound, fitting, optional, optionsOf } from "@effect-tinker/protocol/Checks"
import { ApiResponseValidationError } from "@effect-tinker/protocol/TinkerError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as HttpRuntime from "./HttpRuntime.js"
import * as Given from "./internal/given.js"
import { parseErrorText } from "./internal/transport/decodeJson.js"
import * as ResponseLimits from "./internal/transport/responseLimits.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface ServerSentEvent {
  /** Its type; `message` unless the server names another. */
  readonly event: string
  /** Lines of data, with a line feed between them. */
  readonly data: string
  /** The id that the server gave last, for this event or an earlier one. Empty before the first. */
  readonly lastEventId: string
  /** How long a client should wait before it connects again, if the server has said so by now. */
  readonly retry: Duration.Duration | undefined
}

/**
 * The events in a stream of bytes, each as soon as its last line is there. What has no blank line behind it when the bytes end is
 * no event. One that is longer than 64 Mi characters, or as the second argument says, ends the stream with an
 * `ApiResponseValidationError`.
 *
 * @example
 * ```ts
 * import { Console, Effect, Stream } from "effect"
 * import { ServerSentEvents } from "effect-tinker"
 *
 * const bytes = Stream.make("data: {\"step\":1}\n\n", "event: done\r\ndata:\r\n\r\n").pipe(Stream.encodeText)
 * const program = bytes.pipe(
 *   ServerSentEvents.decode,
 *   Stream.runForEach(({ data, event }) => Console.log(event, data))
 * )
 *
 * await Effect.runPromise(program)
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const decode = <E, R>(
  bytes: Stream.Stream<Uint8Array, E, R>,
  options?: { readonly maxEventLength?: number | undefined }
): Stream.Stream<ServerSentEvent, E | ApiResponseValidationError, R> =>
  Given.aroundStream(
    "ServerSentEvents.decode",
    [bytes, options],
    { bytes: Given.stream, options: decodeOptions },
    () => {
      const decoder = new Decoder()
      const most = options?.maxEventLength ?? ResponseLimits.defaults.others
      return Stream.mapConcatEffect(bytes, (part) => {
        const events = decoder.push(part)
        return decoder.length > most
          ? new ApiResponseValidationError({
            operation: "event",
            description: `an event is longer than ${most.toLocaleString("en")} characters`
          })
          : Effect.succeed(events)
      })
    }
  )

const decodeOptions = optional(optionsOf({ maxEventLength: optional(bound) }))

/**
 * The data of each event, as JSON that the schema reads. Fails with `ApiResponseValidationError` at the first that does not fit.
 *
 * @since 0.1.0
 * @category combinators
 */
export const json =
  <A, I>(schema: Schema.Schema<A, I>) =>
  <E, R>(events: Stream.Stream<ServerSentEvent, E, R>): Stream.Stream<A, E | ApiResponseValidationError, R> =>
    Given.aroundStream("ServerSentEvents.json", [schema, events], { schema: schemaCheck, events: Given.stream }, () => {
      const decode = Schema.decodeUnknown(schema)
      return Stream.mapEffect(
        events,
        ({ data, event }) => {
          const misfit = (description: string) =>
            new ApiResponseValidationError({ operation: `event ${event}`, description })
          return Effect.flatMap(
            Effect.try({
              try: () => ResponseLimits.parseJson(encoder.encode(data)),
              catch: (cause) => misfit(cause instanceof HttpRuntime.RefusedAnswer ? cause.message : "it is no JSON")
            }),
            (value) => Effect.mapError(decode(value), (error) => misfit(parseErrorText(error)))
          )
        }
      )
    })

const schemaCheck = fitting(Schema.isSchema, "pass a Schema")

const encoder = new TextEncoder()

class Decoder {
  // Leaves out a byte order mark at the very beginning, as the standard wants.
  private readonly text = new TextDecoder()
  private line = ""
  /** The last character was CR, so that LF now belongs to the same end of line. */
  private afterReturn = false
  private data: string | undefined
  private event = ""
  private lastEventId = ""
  private retry: Duration.Duration | undefined

  /** The length of the event that is still to end. */
  get length(): number {
    return this.line.length + (this.data?.length ?? 0)
  }

  push(part: Uint8Array): ReadonlyArray<ServerSentEvent> {
    const text = this.text.decode(part, { stream: true })
    const events: Array<ServerSentEvent> = []
    let start = 0
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i)
      if (code === lineFeed && this.afterReturn) {
        this.afterReturn = false
        start = i + 1
        continue
      }
      this.afterReturn = code === carriageReturn
      if (code !== lineFeed && code !== carriageReturn) continue
      const event = this.endLine(this.line + text.slice(start, i))
      if (event !== undefined) events.push(event)
      this.line = ""
      start = i + 1
    }
    this.line += text.slice(start)
    return events
  }

  private endLine(line: string): ServerSentEvent | undefined {
    if (line === "") return this.dispatch()
    const colon = line.indexOf(":")
    const name = colon < 0 ? line : line.slice(0, colon)
    const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1)
    switch (name) {
      case "event":
        this.event = value
        break
      case "data":
        this.data = this.data === undefined ? value : `${this.data}\n${value}`
        break
      case "id":
        if (!value.includes("\0")) this.lastEventId = value
        break
      case "retry":
        if (/^\d+$/.test(value)) this.retry = Duration.millis(Number(value))
        break
    }
    return undefined
  }

  private dispatch(): ServerSentEvent | undefined {
    const { data, event, lastEventId, retry } = this
    this.data = undefined
    this.event = ""
    return data === undefined ? undefined : { event: event === "" ? "message" : event, data, lastEventId, retry }
  }
}

const lineFeed = 10
const carriageReturn = 13
