/** Requests and answers as dialects see them. */
import * as TrainingMessages from "@effect-tinker/protocol/TrainingMessages"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Dialect from "../../Dialect.js"
import { joined } from "../fast/bytes.js"
import * as Http from "../http/http.js"

/**
 * A handler whose requests and answers go through a dialect, refusals among them. What a dialect asks for by another method or
 * path than the request's own, the handler that `find` has for it answers.
 */
export const withDialect = (
  handler: Http.Handler<unknown>,
  dialect: Dialect.Dialect | undefined,
  find: (method: string, path: string) => Found
): Http.Handler<unknown> => {
  if (dialect === undefined) return handler
  return (request) => {
    const call = callOf(request)
    const ask: Dialect.Ask = (asked) => {
      const isSame = asked.method === call.method && asked.path === call.path
      const found = isSame
        ? { handler, params: request.params, route: request.route }
        : find(asked.method, urlOf(asked))
      return found.handler({
        ...request,
        method: asked.method,
        headers: asked.headers,
        body: bodyOf(asked, call),
        url: isSame && asked.query === call.query ? request.url : `${urlOf(asked)}${asked.query}`,
        params: found.params,
        route: found.route,
        fault: isSame ? request.fault : undefined
      }).pipe(
        Effect.catchTag("Refusal", (refusal) => Effect.succeed(Http.refusal(refusal))),
        Effect.map(read)
      )
    }
    return Effect.map(Dialect.before(dialect, ask)(call), write)
  }
}

/** A handler, and what it is told of where it was found. */
export interface Found extends Pick<Http.Received, "params" | "route"> {
  readonly handler: Http.Handler<unknown>
}

const encoder = new TextEncoder()
const decoder = new TextDecoder()

const callOf = (request: Http.Received): Dialect.Call => {
  const { pathname, search } = new URL(request.url, "http://server")
  return {
    method: request.method,
    path: pathname.replace(/^.*\/api\/v1\//, ""),
    query: search,
    headers: request.headers,
    body: request.body,
    json: isProtobuf(request) ? readPass(request.body) : readJson(request.body)
  }
}

const urlOf = ({ path }: Dialect.Call): string => path.startsWith("/") ? path : `/api/v1/${path}`

const isProtobuf = ({ headers }: Pick<Dialect.Call, "headers">): boolean =>
  headers["content-type"]?.includes(Http.protobufType) === true

const readJson = (body: Uint8Array): unknown => {
  try {
    return JSON.parse(decoder.decode(body))
  } catch {
    return undefined
  }
}

const readPass = (body: Uint8Array): unknown => {
  try {
    const { forwardOnly, modelId, seqId } = TrainingMessages.decodeForwardBackwardRequest(body)
    return { model_id: modelId, seq_id: seqId, forward_only: forwardOnly }
  } catch {
    return undefined
  }
}

/** Numbers too large for JavaScript stay as they came where nothing was changed. */
const bodyOf = (asked: Dialect.Call, call: Dialect.Call): Uint8Array => {
  if (asked.json === call.json) return asked.body
  return isProtobuf(asked) ? renamedPass(asked) : encoder.encode(JSON.stringify(asked.json))
}

/** A pass in protobuf with the ids of its JSON behind it: of a field that comes twice in protobuf the last one counts. */
const renamedPass = ({ body, json }: Dialect.Call): Uint8Array => {
  if (!Predicate.hasProperty(json, "model_id") || !Predicate.hasProperty(json, "seq_id")) return body
  const modelId = encoder.encode(String(json.model_id))
  return joined([
    body,
    Uint8Array.of(modelIdTag, ...varint(modelId.length)),
    modelId,
    Uint8Array.of(seqIdTag, ...varint(Number(json.seq_id)))
  ])
}

const modelIdTag = (1 << 3) | 2

const seqIdTag = 2 << 3

const varint = (value: number): ReadonlyArray<number> =>
  value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...varint(value >>> 7)]

const read = (response: HttpServerResponse.HttpServerResponse): Dialect.Answer => {
  const { body, headers, status } = response
  if (body._tag === "Empty") return { status, body: undefined, headers: retained(headers) }
  if (body._tag === "Uint8Array" && body.contentType === "application/json") {
    return { status, body: readJson(body.body), headers: retained(headers) }
  }
  if (body._tag === "Uint8Array" && body.contentType === Http.protobufType) {
    return { status, body: body.body, headers: retained(headers) }
  }
  // A file, for instance, which dialects pass on as it is.
  return { status, body: response }
}

const write = ({ body, headers = {}, status }: Dialect.Answer): HttpServerResponse.HttpServerResponse => {
  if (HttpServerResponse.isServerResponse(body)) return body
  return HttpServerResponse.setHeaders(written(body, status), headers)
}

const written = (body: unknown, status: number): HttpServerResponse.HttpServerResponse => {
  if (body === undefined) return HttpServerResponse.empty({ status })
  if (body instanceof Uint8Array) return Http.protobuf(body)
  return typeof body === "string" ? HttpServerResponse.text(body, { status }) : Http.json(body, status)
}

/** Headers that say something, not those that describe the body. */
const retained = (headers: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(Object.entries(headers).filter(([name]) => !name.startsWith("content-")))
