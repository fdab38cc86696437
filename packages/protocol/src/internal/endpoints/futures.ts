/** Endpoints of results of requests that were accepted. */
import type { Endpoint } from "../../Endpoint.js"
import {
  CancelFutureRequest,
  FutureRetrieveRequest,
  FutureRetrieveResponse,
  FuturesRetrieveRequest,
  FuturesRetrieveResponse
} from "../../FuturesMessages.js"

export const retrieveFuture = {
  operation: "retrieve_future",
  method: "POST",
  path: "/retrieve_future",
  traffic: "poll",
  body: FutureRetrieveRequest,
  protobuf: "answer",
  answer: FutureRetrieveResponse
} as const satisfies Endpoint

export const retrieveFutures = {
  operation: "retrieve_futures",
  method: "POST",
  path: "/retrieve_futures",
  traffic: "poll",
  body: FuturesRetrieveRequest,
  answer: FuturesRetrieveResponse
} as const satisfies Endpoint

export const cancelFuture = {
  operation: "cancel_future",
  method: "POST",
  path: "/cancel_future",
  traffic: "session",
  body: CancelFutureRequest
} as const satisfies Endpoint
