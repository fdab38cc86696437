import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import * as Dialect from "../Dialect.js"
import * as Http from "./http.js"

/** A handler whose requests and answers go through a dialect, refusals among them. */
export const spoken = (handler: Http.Handler, dialect: Dialect.Dialect | undefined): Http.Handler => {
  if (dialect === undefined) return handler
  const { hear = (call) => call, say = (answer) => answer } = dialect
  return (request) => {
    const call: Dialect.Call = {
      method: request.method,
      path: new URL(request.url, "http://server").pathname.replace(/^.*\/api\/v1\//, ""),
      headers: request.headers,
      json: readJson(request.body)
    }
    const heard = hear(call)
    if (Dialect.isAnswer(heard)) return Effect.succeed(write(heard))
    return handler({
      ...request,
      headers: heard.headers,
      // Numbers too large for JavaScript stay as they came where nothing was changed.
      body: heard.json === call.json ? request.body : encoder.encode(JSON.stringify(heard.json))
    }).pipe(
      Effect.catchTag("Refusal", (refusal) => Effect.succeed(Http.refusal(refusal))),
      Effect.map((response) => {
        const answer = read(response)
        return answer === undefined
          ? response
          : HttpServerResponse.setHeaders(write(say(answer, call)), retained(response))
      })
    )
  }
}

const encoder = new TextEncoder()
const decoder = new TextDecoder()

const readJson = (body: Uint8Array): unknown => {
  try {
    return JSON.parse(decoder.decode(body))
  } catch {
    return undefined
  }
}

const read = (response: HttpServerResponse.HttpServerResponse): Dialect.Answer | undefined =>
  response.body._tag === "Uint8Array" && response.body.contentType === "application/json"
    ? { status: response.status, body: readJson(response.body.body) }
    : undefined

const write = ({ body, status }: Dialect.Answer): HttpServerResponse.HttpServerResponse => {
  if (body === undefined) return HttpServerResponse.empty({ status })
  return typeof body === "string" ? HttpServerResponse.text(body, { status }) : Http.json(body, status)
}

/** Headers that say something, not those that describe the body. */
const retained = (response: HttpServerResponse.HttpServerResponse): Record<string, string> =>
  Object.fromEntries(Object.entries(response.headers).filter(([name]) => !name.startsWith("content-")))
