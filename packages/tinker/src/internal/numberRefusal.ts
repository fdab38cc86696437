/** What a refusal says of the number under which a training request was sent. Servers word it as they like. */
import type { TinkerError } from "../TinkerError.js"

/**
 * Whether the service says that another request has the number. For a filler any conflict says so, as it names nothing that
 * could exist already; a call may be refused as a conflict for the name that it gives.
 */
export const aboutNumber = (error: TinkerError, request: "filler" | "call"): boolean => {
  if (error._tag !== "ApiStatusError" || error.isForeign === true) return false
  switch (error.status) {
    case 409:
      return request === "filler" || namesNumber.test(error.detail)
    case 400:
    case 422:
      return namesNumber.test(error.detail)
    default:
      return false
  }
}

/** Such as "request 4 of this model was another one", or "sequence number was reused". */
const namesNumber =
  /\bseq(uence)?[ _-]?(id|no|num|number)s?\b|\brequest (id )?\d+ (of this model )?(was|has|is)\b|\b(request|call) was (reused|repeated)/i

/**
 * Whether the service refuses a request because of what it is, rather than because of who asks, and when: it may lack the endpoint,
 * or want the data otherwise.
 */
export const cannotServe = (error: TinkerError): boolean =>
  error._tag === "ApiStatusError" && error.isForeign !== true && ofForm.has(error.status)

const ofForm: ReadonlySet<number> = new Set([400, 404, 405, 415, 422, 501])
