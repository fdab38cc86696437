/** What a refusal says of the number under which a training request was sent. Servers word it as they like. */
import type { TinkerError } from "@effect-tinker/protocol/TinkerError"

/** Whether the service says that another request has the number. */
export const isNumberTaken = (error: TinkerError): boolean =>
  error._tag === "ApiStatusError" && error.isForeign !== true && ofNumber.has(error.status)
  && namesNumber.test(error.detail)

const ofNumber: ReadonlySet<number> = new Set([400, 409, 422])

/** Whether the service refuses a request as one that conflicts with another, without a word of numbers. */
export const isNumberConflict = (error: TinkerError): boolean =>
  error._tag === "ApiStatusError" && error.isForeign !== true && error.status === 409

/** Such as "request 4 of this model was another one", or "sequence number was reused". */
const namesNumber =
  /\bseq(uence)?[ _-]?(id|no|num|number)s?\b|\brequest (id )?\d+ (of this model )?(was|has|is)\b|\b(request|call) was (reused|repeated)/i

/**
 * Whether the service refuses a request because of what it is, rather than because of who asks, and when: it may lack the endpoint,
 * or want the data otherwise.
 */
export const cannotServe = (error: TinkerError): boolean =>
  error._tag === "ApiStatusError" && error.isForeign !== true && ofForm.has(error.status)

const ofForm: ReadonlySet<number> = new Set([400, 404, 405, 409, 415, 422, 501])
