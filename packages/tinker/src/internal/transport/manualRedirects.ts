import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as HttpClient from "@effect/platform/HttpClient"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Fibers from "../effect/fibers.js"

/**
 * The same client, told to leave redirects alone, for one request; `sent` hears where that goes. Of itself `fetch` follows them, and takes every header along wherever that
 * is, the credential too.
 *
 * What a user has set for `fetch` beside the client is known only inside of it, where its requests are prepared; so the
 * setting is made there, and ends with the request.
 */
export const manualRedirects = (client: HttpClient.HttpClient, sent: (url: string) => void): HttpClient.HttpClient =>
  HttpClient.mapRequestEffect(client, (request) =>
    Effect.map(setManual, () => {
      sent(request.url)
      return request
    })).pipe(
      HttpClient.transformResponse(Effect.mapInputContext<never, never>(identity))
    )

/** Whether a request has left its origin, to which the headers set for `fetch` belong as all others do. */
export class HasLeftOrigin
  extends Context.Reference<HasLeftOrigin>()("effect-tinker/internal/manualRedirects/HasLeftOrigin", {
    defaultValue: () => false
  })
{}

const setManual = Fibers.changeServices((context) => {
  const set = Option.getOrUndefined(Context.getOption(context, FetchHttpClient.RequestInit))
  return Context.add(context, FetchHttpClient.RequestInit, {
    ...set,
    ...(Context.get(context, HasLeftOrigin) ? { headers: {} } : {}),
    redirect: "manual"
  })
})

/** What keeps an answer of a client that follows redirects by itself, or hides them, from being used. `sent`: where to it was. */
export const redirectIssue = (response: HttpClientResponse.HttpClientResponse, sent: string): string | undefined => {
  if (response.status === 0) {
    return "it is a redirect, and this runtime does not tell where to, so that it cannot be followed without the credential"
  }
  const source = sourceOf(response)
  // Who rewrites addresses on purpose does so before, and reports no redirect.
  const reached = [response.request.url, source["redirected"] === true ? source["url"] : source["responseURL"]]
  return reached.some((url) => typeof url === "string" && isSamplerGone(url, sent))
    ? "the HttpClient followed a redirect to another origin by itself, and may have taken the credential along. Use a client "
      + "that leaves redirects alone, and replace the key"
    : undefined
}

const isSamplerGone = (url: string, sent: string): boolean =>
  URL.canParse(url) && URL.canParse(sent) && new URL(url).origin !== new URL(sent).origin

/** What the platform's response was made of: an answer of `fetch`, or an `XMLHttpRequest`. */
const sourceOf = (response: object): Record<string, unknown> => {
  const inner = Predicate.hasProperty(response, "original") && Predicate.isObject(response.original)
    ? response.original
    : response
  return Predicate.hasProperty(inner, "source") && Predicate.isRecord(inner.source) ? inner.source : {}
}
