import * as Headers from "@effect/platform/Headers"
import * as HttpBody from "@effect/platform/HttpBody"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"

/**
 * Requests and headers in one step each. The platform's builders copy all headers at every step, which at thousands of
 * requests a second costs as much as encoding a prompt.
 */
const template = HttpClientRequest.get("/")
const requestPrototype = Object.getPrototypeOf(template) as object
const headersPrototype = Object.getPrototypeOf(Headers.empty) as object

/** Names must be in lower case. */
export const makeHeaders = (
  fixed: Readonly<Record<string, string>>,
  own: Readonly<Record<string, string>> | undefined
): Record<string, string> => Object.assign(Object.create(headersPrototype) as Record<string, string>, fixed, own)

export const makeRequest = (options: {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE"
  readonly url: string
  /** The headers, made by {@link makeHeaders}. */
  readonly headers: Record<string, string>
  readonly body: { readonly bytes: Uint8Array; readonly contentType: string } | undefined
}): HttpClientRequest.HttpClientRequest => {
  const { body, headers, method, url } = options
  return Object.assign(Object.create(requestPrototype) as HttpClientRequest.HttpClientRequest, {
    method,
    url,
    urlParams: template.urlParams,
    hash: template.hash,
    headers: headers as unknown as Headers.Headers,
    body: body === undefined ? HttpBody.empty : makeBody(body.bytes, body.contentType)
  })
}

/** Shown by its size alone, even if it is JSON: requests are logged, and bodies hold prompts and credentials. */
const makeBody = (bytes: Uint8Array, contentType: string): HttpBody.Uint8Array =>
  Object.assign(
    Object.create(bodyPrototype) as HttpBody.Uint8Array,
    HttpBody.uint8Array(bytes, contentType)
  )

const bodyPrototype = Object.create(Object.getPrototypeOf(HttpBody.uint8Array(new Uint8Array(0))) as object, {
  toJSON: {
    value(this: HttpBody.Uint8Array) {
      return { _id: "@effect/platform/HttpBody", _tag: this._tag, body: `Uint8Array(${this.body.length})` }
    }
  }
}) as object
