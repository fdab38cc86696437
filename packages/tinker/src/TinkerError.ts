/**
 * Everything that can go wrong, divided by what the reader does next.
 *
 * | `_tag` | means | next |
 * | --- | --- | --- |
 * | `ApiConnectionError` | no response arrived | wait, check the address and the network |
 * | `ApiStatusError` | a response other than 2xx | depends on `reason` |
 * | `ApiTimeoutError` | a deadline of ours passed | raise the deadline, report |
 * | `ApiResponseValidationError` | the response does not fit its schema | report: client and server disagree |
 * | `RequestFailedError` | accepted, then failed on the server | fix the data (`user`), or try again |
 * | `InvalidInputError` | rejected here, before anything was sent | fix the call |
 */
import * as Duration from "effect/Duration"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"

/**
 * @since 0.1.0
 * @category type ids
 */
export const TypeId: unique symbol = Symbol.for("effect-tinker/TinkerError")

/**
 * @since 0.1.0
 * @category type ids
 */
export type TypeId = typeof TypeId

/**
 * @since 0.1.0
 * @category models
 */
export type TinkerError =
  | ApiConnectionError
  | ApiStatusError
  | ApiTimeoutError
  | ApiResponseValidationError
  | RequestFailedError
  | InvalidInputError

/**
 * No response arrived: the address is wrong, nothing listens there, or the connection broke.
 *
 * @since 0.1.0
 * @category errors
 */
export class ApiConnectionError
  extends Schema.TaggedError<ApiConnectionError>("effect-tinker/ApiConnectionError")("ApiConnectionError", {
    operation: Schema.String,
    url: Schema.String,
    description: Schema.String,
    cause: Schema.optional(Schema.Defect)
  })
{
  readonly [TypeId]: TypeId = TypeId
  override get message() {
    return `${this.operation}: no response from ${this.url} (${this.description}). `
      + "Check that the server is running there, and TINKER_BASE_URL."
  }
}

/**
 * @since 0.1.0
 * @category models
 */
export const StatusReason = Schema.Literal(
  "BadRequest",
  "Authentication",
  "Billing",
  "PermissionDenied",
  "NotFound",
  "RequestTimeout",
  "Conflict",
  "Expired",
  "UnprocessableEntity",
  "RateLimit",
  "InternalServer",
  "Other"
)

/**
 * @since 0.1.0
 * @category models
 */
export type StatusReason = typeof StatusReason.Type

const advice: Record<StatusReason, string> = {
  BadRequest: "Fix the request.",
  Authentication: "Check the API key: option apiKey, or TINKER_API_KEY.",
  Billing: "Check the account's billing, then try again.",
  PermissionDenied: "The key is valid but may not do this.",
  NotFound: "Check the name or id; it may have been deleted or never existed.",
  RequestTimeout: "Try again.",
  Conflict: "It exists already, or is being changed by another request.",
  Expired: "The server no longer knows the request. Go on from the last checkpoint.",
  UnprocessableEntity: "Fix the request.",
  RateLimit: "Wait, then try again with fewer requests at once.",
  InternalServer: "Try again later.",
  Other: "Check that the base URL is that of a Tinker server."
}

/**
 * The server answered with a status other than 2xx.
 *
 * @since 0.1.0
 * @category errors
 */
export class ApiStatusError extends Schema.TaggedError<ApiStatusError>("effect-tinker/ApiStatusError")(
  "ApiStatusError",
  {
    operation: Schema.String,
    status: Schema.Number,
    reason: StatusReason,
    /** What the server said, shortened. */
    detail: Schema.String,
    /** How long the server asked to wait. */
    retryAfter: Schema.optional(Schema.DurationFromMillis)
  }
) {
  readonly [TypeId]: TypeId = TypeId
  override get message() {
    const said = this.detail === "" ? "" : `: ${this.detail}`
    return `${this.operation}: the server answered ${this.status} (${this.reason})${said}. ${advice[this.reason]}`
  }
}

/**
 * A deadline of ours passed. `deadline` is how long was waited.
 *
 * @since 0.1.0
 * @category errors
 */
export class ApiTimeoutError extends Schema.TaggedError<ApiTimeoutError>("effect-tinker/ApiTimeoutError")(
  "ApiTimeoutError",
  { operation: Schema.String, deadline: Schema.DurationFromMillis }
) {
  readonly [TypeId]: TypeId = TypeId
  override get message() {
    return `${this.operation}: no answer within ${Duration.format(this.deadline)}. `
      + "Try again, or allow more time (option requestTimeout)."
  }
}

/**
 * The server's answer is not what the protocol says. `description` names the field, not its content.
 *
 * @since 0.1.0
 * @category errors
 */
export class ApiResponseValidationError
  extends Schema.TaggedError<ApiResponseValidationError>("effect-tinker/ApiResponseValidationError")(
    "ApiResponseValidationError",
    { operation: Schema.String, description: Schema.String, cause: Schema.optional(Schema.Defect) }
  )
{
  readonly [TypeId]: TypeId = TypeId
  override get message() {
    return `${this.operation}: the answer could not be read: ${this.description}. `
      + "Check that the base URL is that of a Tinker server; if it is, please report this."
  }
}

/**
 * The server accepted the request, ran it, and reports that it failed. Category `user` means that the data is at fault.
 *
 * @since 0.1.0
 * @category errors
 */
export class RequestFailedError extends Schema.TaggedError<RequestFailedError>("effect-tinker/RequestFailedError")(
  "RequestFailedError",
  {
    operation: Schema.String,
    requestId: Schema.String,
    category: Schema.Literal("unknown", "server", "user"),
    description: Schema.String
  }
) {
  readonly [TypeId]: TypeId = TypeId
  override get message() {
    const next = this.category === "user" ? "Fix the data." : "Try again; if it stays, report the request id."
    return `${this.operation}: request ${this.requestId} failed (${this.category}): ${this.description}. ${next}`
  }
}

/**
 * The call was refused here, and nothing was sent. `field` names what to fix.
 *
 * @since 0.1.0
 * @category errors
 */
export class InvalidInputError extends Schema.TaggedError<InvalidInputError>("effect-tinker/InvalidInputError")(
  "InvalidInputError",
  { operation: Schema.String, field: Schema.String, description: Schema.String }
) {
  readonly [TypeId]: TypeId = TypeId
  override get message() {
    return `${this.operation}: ${this.field}: ${this.description}`
  }
}

/**
 * @since 0.1.0
 * @category guards
 */
export const isTinkerError = (u: unknown): u is TinkerError => Predicate.hasProperty(u, TypeId)

/**
 * Which reason a status stands for.
 *
 * @since 0.1.0
 * @category models
 */
export const reasonOfStatus = (status: number): StatusReason => {
  switch (status) {
    case 400:
      return "BadRequest"
    case 401:
      return "Authentication"
    case 402:
      return "Billing"
    case 403:
      return "PermissionDenied"
    case 404:
      return "NotFound"
    case 408:
      return "RequestTimeout"
    case 409:
      return "Conflict"
    case 410:
      return "Expired"
    case 422:
      return "UnprocessableEntity"
    case 429:
      return "RateLimit"
    default:
      return status >= 500 ? "InternalServer" : "Other"
  }
}

const retryableReasons: ReadonlySet<StatusReason> = new Set(["RequestTimeout", "RateLimit", "InternalServer"])

/**
 * Whether sending the same request again may succeed. The only place that decides.
 *
 * @since 0.1.0
 * @category guards
 */
export const isRetryable = (error: TinkerError): boolean => {
  switch (error._tag) {
    case "ApiConnectionError":
    case "ApiTimeoutError":
      return true
    case "ApiStatusError":
      return retryableReasons.has(error.reason)
    case "ApiResponseValidationError":
    case "RequestFailedError":
    case "InvalidInputError":
      return false
  }
}

/**
 * Whether the server certainly did not take the request, so that its sequence number is free for the next one.
 *
 * @since 0.1.0
 * @category guards
 */
export const isDefinitelyRefused = (error: TinkerError): boolean => {
  switch (error._tag) {
    case "InvalidInputError":
      return true
    case "ApiStatusError":
      return error.status >= 400 && error.status < 500 && !undecidedStatuses.has(error.status)
    case "ApiConnectionError":
    case "ApiTimeoutError":
    case "ApiResponseValidationError":
    case "RequestFailedError":
      return false
  }
}

/** Too Early may come while the request is already queued; the others are answered by proxies after forwarding. */
const undecidedStatuses: ReadonlySet<number> = new Set([408, 409, 425, 429])
