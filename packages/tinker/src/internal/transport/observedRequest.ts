/** Requests of which others hear: who listens to answers, and the trace that they belong to. */
import type * as Tracer from "effect/Tracer"
import * as RawResponse from "../../RawResponse.js"
import type { Request } from "../../TinkerHttpClient.js"
import type { Attempts } from "./attempts.js"
import * as QueryValues from "./queryValues.js"
import { traceparent } from "./traceparent.js"

/** The option `query` stays out of the address that is told, as does the user in it: they may be credentials. */
export const withListener = (
  request: Request,
  listener: (response: RawResponse.RawResponse) => void,
  baseUrl: string,
  attempts: Attempts
): Request => {
  const url = QueryValues.over(baseUrl + request.path, request.query ?? {})
  return {
    ...request,
    onAnswer: (answer, elapsed) => {
      listener(RawResponse.make({ answer, url, elapsed, retries: attempts.retryCount }))
      request.onAnswer?.(answer, elapsed)
    }
  }
}

export const withTraceparent = (request: Request, span: Tracer.AnySpan | undefined): Request => {
  const value = traceparent(span)
  return value === undefined ? request : { ...request, headers: { ...request.headers, traceparent: value } }
}
