/**
 * Requests and answers that go from a client to a server of the same process. The platform makes its own from those of
 * the web, which cost more than the server's work for a small request: signals, streams and registries for bodies whose
 * bytes are there already. So it is given objects with what it reads of them, and no more.
 */
import type * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import type { Whole } from "./body.js"
import { inProcess } from "./sender.js"

export const serverRequest = (
  request: HttpClientRequest.HttpClientRequest,
  url: URL,
  body: Uint8Array
): HttpServerRequest.HttpServerRequest => {
  const source: Pick<Request, "method" | "url" | "arrayBuffer" | "text"> & Whole & {
    readonly headers: object
    readonly [inProcess]: true
  } = {
    [inProcess]: true,
    get bytes() {
      return new Uint8Array(body)
    },
    method: request.method,
    url: url.href,
    headers: request.headers,
    ...contents(body)
  }
  return HttpServerRequest.fromWeb(source as unknown as Request)
}

export const clientResponse = (
  request: HttpClientRequest.HttpClientRequest,
  response: HttpServerResponse.HttpServerResponse
): HttpClientResponse.HttpClientResponse => {
  const { body, headers, status } = response
  if (body._tag !== "Uint8Array") return HttpClientResponse.fromWeb(request, HttpServerResponse.toWeb(response))
  const source: Pick<Response, "status" | "arrayBuffer" | "text" | "body"> & { readonly headers: object } = {
    status,
    headers,
    ...contents(body.body),
    get body() {
      return new Response(new Uint8Array(body.body)).body
    }
  }
  return HttpClientResponse.fromWeb(request, source as unknown as Response)
}

/** Copies, as if they had travelled. */
const contents = (bytes: Uint8Array): Pick<Body, "arrayBuffer" | "text"> => ({
  arrayBuffer: () => Promise.resolve(new Uint8Array(bytes).buffer),
  text: () => Promise.resolve(new TextDecoder().decode(bytes))
})
