/** What an error says of a sample: whether it can be asked for again, and whether another place is needed for that. */
import type { ApiStatusError, SessionClosedError, TinkerError } from "@effect-tinker/protocol/TinkerError"

/** The server no longer knows the request: it is submitted anew, under another number. */
export const isLostSample = (error: TinkerError): boolean =>
  isGone(error) && error.status === 410 && error.requestId !== undefined

/** The server has never heard of the request, as after a restart. */
export const isForgotten = (error: TinkerError): boolean =>
  isGone(error) && error.status === 404 && error.requestId !== undefined

/** There is nothing to sample from where it was. */
export const isSamplerGone = (error: TinkerError): boolean =>
  (isGone(error) && error.requestId === undefined)
  || (error._tag === "SessionClosedError" && mayBeRenewed(error.reason))

/** Whether the service no longer knows what was to be sampled from. */
export const isGone = (error: TinkerError): error is ApiStatusError =>
  error._tag === "ApiStatusError" && error.isForeign !== true && (error.status === 404 || error.status === 410)

export const mayBeRenewed = (over: SessionClosedError["reason"] | undefined): boolean =>
  over !== undefined && over !== "closed"
