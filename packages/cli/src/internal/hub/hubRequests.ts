/**
 * Requests to the Hugging Face Hub and to the addresses that it signs. The token goes to the Hub's own address alone.
 */
import type * as Headers from "@effect/platform/Headers"
import * as HttpBody from "@effect/platform/HttpBody"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as HttpMethod from "@effect/platform/HttpMethod"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Redacted from "effect/Redacted"
import type * as Stream from "effect/Stream"
import { CommandFailed } from "../../Failure.js"
import * as Output from "../../Output.js"
import * as JsonObject from "../jsonObject.js"

export interface HubRequests {
  readonly endpoint: string
  /** Sends, again where that may help, and gives the answer whatever its status. */
  readonly send: (request: Request) => Effect.Effect<Answer, CommandFailed, Output.Output>
  /** The same, where every status from 400 on is a failure. */
  readonly ask: (request: Request) => Effect.Effect<Answer, CommandFailed, Output.Output>
  readonly refused: (request: Request, answer: Answer) => CommandFailed
}

export interface Request {
  /** What is being done, for messages, e.g. `making the repository ada/x`. */
  readonly what: string
  readonly method: HttpMethod.HttpMethod
  /** A path at the Hub, or an address that it gave. */
  readonly url: string
  readonly headers?: Readonly<Record<string, string>>
  readonly json?: unknown
  readonly stream?: {
    readonly bytes: Stream.Stream<Uint8Array, unknown>
    readonly length: number
    readonly type?: string
  }
  /** Whether the token goes with it, if it goes to the Hub. */
  readonly isSigned?: boolean
  /** Whether it must not be done twice: it is sent again only where the Hub says that it did nothing. */
  readonly isOnce?: boolean
}

export interface Answer {
  readonly status: number
  readonly headers: Headers.Headers
  readonly text: string
  /** The object that the text is; an empty one where it is none. */
  readonly json: JsonObject.JsonObject
}

const attempts = 5
const firstWait = 500
const longestWait = 30_000
/** Who is told to come again later than that is better told so. */
const longestAsked = 5 * 60_000

export const make = (
  endpoint: string,
  token: Redacted.Redacted
): Effect.Effect<HubRequests, never, HttpClient.HttpClient> =>
  Effect.map(HttpClient.HttpClient, (client) => {
    const origin = new URL(endpoint).origin

    const addressOf = (url: string): string =>
      url.startsWith("/")
        ? endpoint + url
        // A mirror's answers may name the address of what it mirrors, which the token is not for.
        : url === hosted || url.startsWith(`${hosted}/`)
        ? endpoint + url.slice(hosted.length)
        : url

    const once = (request: Request, address: string): Effect.Effect<Answer, unknown> => {
      const { headers = {}, isSigned = true, json, method, stream } = request
      const base = HttpClientRequest.make(method)(address).pipe(
        HttpClientRequest.setHeaders({
          "user-agent": "effect-tinker",
          ...(isSigned && new URL(address).origin === origin
            ? { authorization: `Bearer ${Redacted.value(token)}` }
            : {})
        })
      )
      const withBody = json !== undefined
        ? HttpClientRequest.bodyText(base, JSON.stringify(json), "application/json")
        : stream !== undefined
        ? HttpClientRequest.setBody(base, HttpBody.stream(stream.bytes, stream.type, stream.length))
        : base
      return client.execute(HttpClientRequest.setHeaders(withBody, headers)).pipe(
        Effect.flatMap((response) =>
          Effect.map(response.text, (text) => ({
            status: response.status,
            headers: response.headers,
            text,
            json: objectOf(text)
          }))
        ),
        // A minute, and as long as a slow line takes for what is sent.
        Effect.timeout(Duration.millis(60_000 + (stream?.length ?? 0) / slowestBytesPerMilli))
      )
    }

    const followed = (request: Request): Effect.Effect<Answer, unknown> => {
      const follow = (address: string, left: number): Effect.Effect<Answer, unknown> =>
        Effect.flatMap(once(request, address), (answer) => {
          const { location } = answer.headers
          const isMoved = answer.status === 307 || answer.status === 308 ||
            (request.method === "GET" && (answer.status === 301 || answer.status === 302))
          return isMoved && location !== undefined && left > 0
            ? Effect.flatMap(Effect.try(() => new URL(location, address).href), (next) => follow(next, left - 1))
            : Effect.succeed(answer)
        })
      return follow(addressOf(request.url), 5)
    }

    const send = (request: Request): Effect.Effect<Answer, CommandFailed, Output.Output> => {
      const attempt = (number: number): Effect.Effect<Answer, CommandFailed, Output.Output> =>
        Effect.matchEffect(followed(request), {
          onFailure: (cause) =>
            number < attempts && request.isOnce !== true
              ? again(number, request, "no answer came")
              : new CommandFailed({
                code: "connection",
                exitCode: 1,
                message: `${request.what} failed: ${nameOf(addressOf(request.url))} did not answer (${
                  reasonOf(cause)
                }).${request.isOnce === true ? " It may have been done all the same: look before you try again." : ""}`
              }),
          onSuccess: (answer) => {
            const isTransient = answer.status === 429 || answer.status === 503 ||
              (request.isOnce !== true && (answer.status === 408 || answer.status >= 500))
            return isTransient && number < attempts
              ? Effect.flatMap(retryAfter(answer.headers), (asked) =>
                asked !== undefined && asked > longestAsked
                  ? refused(request, answer)
                  : again(number, request, `it was answered ${answer.status}`, asked))
              : Effect.succeed(answer)
          }
        })
      const again = (number: number, { what }: Request, why: string, asked?: number) =>
        Effect.gen(function*() {
          const jitter = yield* Random.nextRange(0.75, 1)
          const wait = asked ?? Math.min(longestWait, firstWait * 2 ** (number - 1)) * jitter
          const output = yield* Output.Output
          yield* output.notice(`${what}: ${why}. Again in ${Duration.format(Math.round(wait))}.`)
          yield* Effect.sleep(wait)
          return yield* attempt(number + 1)
        })
      return attempt(1)
    }

    const refused = ({ url, what }: Request, { headers, json, status }: Answer): CommandFailed => {
      const said = typeof json.error === "string" ? json.error : headers["x-error-message"]
      return new CommandFailed({
        ...kindOf(status),
        status,
        requestId: headers["x-request-id"],
        message: `${what} failed: ${nameOf(addressOf(url))} answered ${status}${
          said === undefined ? "" : ` (${said.replace(/\s+/g, " ").trim().slice(0, 300)})`
        }.${advice[status] ?? ""}`
      })
    }

    return {
      endpoint,
      send,
      refused,
      ask: (request) =>
        Effect.flatMap(
          send(request),
          (answer) => answer.status >= 400 ? refused(request, answer) : Effect.succeed(answer)
        )
    }
  })

export const hosted = "https://huggingface.co"

/** 50 KB a second. */
const slowestBytesPerMilli = 50

const objectOf = (text: string): JsonObject.JsonObject => {
  try {
    const value: unknown = JSON.parse(text)
    return JsonObject.isObject(value) ? value : {}
  } catch {
    return {}
  }
}

/** An address as messages have it: without what signs it. */
const nameOf = (url: string): string => URL.canParse(url) ? new URL(url).origin : "the address"

const reasonOf = (cause: unknown): string =>
  JsonObject.isObject(cause) && cause._tag === "TimeoutException" ? "in time" : "the connection failed"

const kindOf = (status: number): Pick<CommandFailed, "code" | "exitCode"> => {
  switch (status) {
    case 401:
      return { code: "not_authenticated", exitCode: 3 }
    case 403:
      return { code: "permission_denied", exitCode: 1 }
    case 404:
      return { code: "not_found", exitCode: 4 }
    case 409:
      return { code: "conflict", exitCode: 1 }
    case 429:
      return { code: "rate_limited", exitCode: 1 }
    default:
      return { code: status >= 500 ? "server" : "invalid", exitCode: 1 }
  }
}

const advice: Readonly<Record<number, string>> = {
  401: " Is the token right? Make one that may write at the Hub, and set HF_TOKEN.",
  403: " The token may not do that. Make one that may write there.",
  429: " Wait, and try again."
}

/** How long the server asks to wait, in milliseconds: seconds, or a date. */
const retryAfter = (headers: Headers.Headers): Effect.Effect<number | undefined> =>
  Effect.map(Clock.currentTimeMillis, (now) => {
    const text = headers["retry-after"]?.trim() ?? ""
    if (/^\d+(\.\d+)?$/.test(text)) return Number(text) * 1000
    const date = Date.parse(text)
    return Number.isNaN(date) ? undefined : Math.max(0, date - now)
  })
