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
 * | `SessionClosedError` | the session is over | make a new client, go on from a checkpoint |
 * | `BudgetExceededError` | the call could have exceeded a `UsageMeter`'s budget; nothing was sent | ask for less, or raise the budget |
 * | `OutcomeUnknownError` | whether a training request was taken cannot be known | go on from a checkpoint |
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as CallOptions from "./CallOptions.js"
import * as Wording from "./internal/errors/wording.js"
import { defaulted } from "./WireField.js"

/**
 * @since 0.1.0
 * @category type ids
 */
export const TypeId: unique symbol = Symbol.for("@effect-tinker/protocol/TinkerError")

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
  | SessionClosedError
  | BudgetExceededError
  | OutcomeUnknownError

/** How often a request was sent before its failure was passed on, and how long that took. Absent for a single attempt. */
const attempted = {
  attempts: Schema.optional(Schema.Int),
  elapsed: Schema.optional(Schema.DurationFromMillis),
  /** True for a training request that the server may have taken all the same. */
  mayHaveRun: Schema.optional(Schema.Boolean)
}

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
    /** True when what answers there cannot prove who it is; asked again, it cannot either. */
    isUntrusted: Schema.optional(Schema.Boolean),
    cause: Schema.optional(Schema.Defect),
    ...attempted
  })
{
  readonly [TypeId]: TypeId = TypeId
  override get message(): string {
    return Wording.ofConnection(this)
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
  /** The server has no such endpoint. */
  "Unsupported",
  "Other"
)

/**
 * @since 0.1.0
 * @category models
 */
export type StatusReason = typeof StatusReason.Type

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
    retryAfter: Schema.optional(Schema.DurationFromMillis),
    /** The same as a time, when it is longer than a minute. */
    retryAt: Schema.optional(Schema.DateTimeUtc),
    /**
     * True when the service cannot have written the answer: a page, a text or nothing, as proxies on the way give. Then it says
     * nothing of what the service has done.
     */
    isForeign: Schema.optional(Schema.Boolean),
    /** Whether the server itself said that the request should be sent again, or should not. */
    shouldRetry: Schema.optional(Schema.Boolean),
    /** The id of the request whose result was asked for. */
    requestId: Schema.optional(Schema.String),
    /** What the request was about, e.g. `training run r`. */
    subject: Schema.optional(Schema.String),
    ...attempted
  }
) {
  readonly [TypeId]: TypeId = TypeId
  override get message(): string {
    return Wording.ofStatus(this)
  }
}

/**
 * @since 0.1.0
 * @category models
 */
export const TimeoutReason = Schema.Literal("request", "waiting", "stuck")

/**
 * A deadline of ours passed. `deadline` is how long was waited, `reason` what for:
 *
 * - `request`: the answer to one HTTP request
 * - `waiting`: the result of a call, as long as `WaitingPolicy` allowed
 * - `stuck`: the same, while the server reported no progress
 *
 * @since 0.1.0
 * @category errors
 */
export class ApiTimeoutError extends Schema.TaggedError<ApiTimeoutError>("effect-tinker/ApiTimeoutError")(
  "ApiTimeoutError",
  {
    operation: Schema.String,
    reason: TimeoutReason,
    deadline: Schema.DurationFromMillis,
    /** The id of the accepted request. */
    requestId: Schema.optional(Schema.String),
    /** What the server last said of the accepted request. */
    state: Schema.optional(Schema.String),
    ...attempted
  }
) {
  readonly [TypeId]: TypeId = TypeId
  override get message(): string {
    return Wording.ofTimeout(this)
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
    {
      operation: Schema.String,
      description: Schema.String,
      /** The status of the response. */
      status: Schema.optional(Schema.Int),
      path: Schema.optional(Schema.String),
      /** The id of the request whose result was asked for. */
      requestId: Schema.optional(Schema.String),
      /** True when what arrived is a page, empty or cut off, so that asking again may give the answer. */
      isUnreadable: Schema.optional(Schema.Boolean),
      /** What arrived; hidden from logs, since it may hold samples. */
      body: Schema.optional(Schema.RedactedFromSelf(Schema.Uint8ArrayFromSelf)),
      cause: Schema.optional(Schema.Defect),
      ...attempted
    }
  )
{
  readonly [TypeId]: TypeId = TypeId
  override get message(): string {
    return Wording.ofAnswer(this)
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
  override get message(): string {
    return Wording.ofFailure(this)
  }
}

/**
 * One thing to fix: where it is, e.g. `data[3].lossFnInputs.weights`, and what is wrong with it.
 *
 * @since 0.1.0
 * @category models
 */
export const Issue = Schema.Struct({ field: Schema.String, description: Schema.String })

/**
 * @since 0.1.0
 * @category models
 */
export type Issue = typeof Issue.Type

/**
 * The call was refused here, and nothing was sent. `field` names what to fix first, `others` what to fix besides.
 *
 * @since 0.1.0
 * @category errors
 */
export class InvalidInputError extends Schema.TaggedError<InvalidInputError>("effect-tinker/InvalidInputError")(
  "InvalidInputError",
  {
    operation: Schema.String,
    ...Issue.fields,
    others: defaulted(Schema.Array(Issue), () => [])
  }
) {
  readonly [TypeId]: TypeId = TypeId
  override get message(): string {
    return Wording.ofInput(this)
  }
}

/**
 * Fails with all issues at once, if there are any.
 *
 * @since 0.1.0
 * @category constructors
 */
export const failOnIssues = (
  operation: string,
  issues: ReadonlyArray<Issue>
): Effect.Effect<void, InvalidInputError> => issues.length === 0 ? Effect.void : invalidInput(operation, issues)

/**
 * All issues, one at least, as one error.
 *
 * @since 0.1.0
 * @category constructors
 */
export const invalidInput = (operation: string, issues: ReadonlyArray<Issue>): InvalidInputError =>
  new InvalidInputError({ operation, ...issues[0]!, others: issues.slice(1) })

/**
 * Why a value is no object of options with these names: misspelt ones would be passed over without a word.
 *
 * @since 0.1.0
 * @category utils
 */
export const optionIssues = (given: unknown, names: ReadonlyArray<string>): ReadonlyArray<Issue> =>
  CallOptions.optionIssues(given, names)

/**
 * The session is over:
 *
 * - `closed`: by this client
 * - `finished`: by whoever ended it elsewhere
 * - `expired`: the server has not heard of this client for too long, as when a laptop slept
 * - `lost`: the server no longer knows it, as after a restart, or could not be reached for as long as the client was told to try
 *
 * But for `closed`, a `ServiceClient` makes a new session for its next call that creates or samples.
 *
 * @since 0.1.0
 * @category errors
 */
export class SessionClosedError extends Schema.TaggedError<SessionClosedError>("effect-tinker/SessionClosedError")(
  "SessionClosedError",
  {
    operation: Schema.String,
    reason: Schema.Literal("closed", "finished", "expired", "lost"),
    sessionId: Schema.optional(Schema.String)
  }
) {
  readonly [TypeId]: TypeId = TypeId
  override get message(): string {
    return Wording.ofSession(this)
  }
}

/**
 * The most that the call may use does not fit into what is left of the budget of a `UsageMeter`, and nothing was sent. The
 * figures are in `unit`: US dollars, or tokens.
 *
 * @since 0.1.0
 * @category errors
 */
export class BudgetExceededError extends Schema.TaggedError<BudgetExceededError>("effect-tinker/BudgetExceededError")(
  "BudgetExceededError",
  {
    operation: Schema.String,
    unit: Schema.Literal("USD", "tokens"),
    budget: Schema.Number,
    /** Neither used nor held by calls that are under way. */
    left: Schema.Number,
    /** The most that the call may use. Absent when nothing bounds it. */
    asked: Schema.optional(Schema.Number)
  }
) {
  readonly [TypeId]: TypeId = TypeId
  override get message(): string {
    return Wording.ofBudget(this)
  }
}

/**
 * It is not known whether the server has taken a training request, and nothing that can be asked tells: `unknownCall`, whose
 * answer was lost, under the number `seqId` of its model. `operation` is the same call, where the server would do it twice if it
 * were sent again, or a later one that cannot take its number before this is known.
 *
 * @since 0.1.0
 * @category errors
 */
export class OutcomeUnknownError extends Schema.TaggedError<OutcomeUnknownError>("effect-tinker/OutcomeUnknownError")(
  "OutcomeUnknownError",
  {
    operation: Schema.String,
    unknownCall: Schema.String,
    seqId: Schema.Int,
    /** Whether `unknownCall` is another call than the one that fails, made before it. */
    isEarlier: Schema.optional(Schema.Boolean),
    description: Schema.String,
    cause: Schema.optional(Schema.Defect)
  }
) {
  readonly [TypeId]: TypeId = TypeId
  override get message(): string {
    return Wording.ofOutcome(this)
  }
}

/**
 * @since 0.1.0
 * @category guards
 */
export const isTinkerError = (u: unknown): u is TinkerError => Predicate.hasProperty(u, TypeId)

export * from "./internal/errors/judgements.js"

/** The same error with more told of its request; errors that are no failure of sending stay as they are. */
const ofSending = (
  error: TinkerError,
  told: Partial<Pick<ApiTimeoutError, "operation" | "attempts" | "elapsed" | "mayHaveRun">>
): TinkerError => {
  switch (error._tag) {
    case "ApiConnectionError":
      return new ApiConnectionError({ ...error, cause: error.cause, ...told })
    case "ApiStatusError":
      return new ApiStatusError({ ...error, ...told })
    case "ApiTimeoutError":
      return new ApiTimeoutError({ ...error, ...told })
    case "ApiResponseValidationError":
      return new ApiResponseValidationError({ ...error, cause: error.cause, ...told })
    case "RequestFailedError":
    case "InvalidInputError":
    case "SessionClosedError":
    case "BudgetExceededError":
    case "OutcomeUnknownError":
      return error
  }
}

/**
 * The same error, telling how often the request was sent and how long that took, in milliseconds. Errors that are no
 * failure of sending stay as they are.
 *
 * @since 0.1.0
 * @category utils
 */
export const withAttempts = (error: TinkerError, attempts: number, elapsedMillis: number): TinkerError =>
  ofSending(error, { attempts, elapsed: Duration.millis(elapsedMillis) })

/**
 * The same error of a training request, which the server may have taken.
 *
 * @since 0.1.0
 * @category utils
 */
export const withDoubt = (error: TinkerError): TinkerError => ofSending(error, { mayHaveRun: true })

/**
 * The same error under the name of the call that it ends, when it came of a request that nobody called by name.
 *
 * @since 0.1.0
 * @category utils
 */
export const withOperation = (error: TinkerError, operation: string): TinkerError => {
  switch (error._tag) {
    case "RequestFailedError":
      return new RequestFailedError({ ...error, operation })
    case "InvalidInputError":
      return new InvalidInputError({ ...error, operation })
    case "SessionClosedError":
      return new SessionClosedError({ ...error, operation })
    case "BudgetExceededError":
      return new BudgetExceededError({ ...error, operation })
    case "OutcomeUnknownError":
      return new OutcomeUnknownError({ ...error, cause: error.cause, operation })
    case "ApiConnectionError":
    case "ApiStatusError":
    case "ApiTimeoutError":
    case "ApiResponseValidationError":
      return ofSending(error, { operation })
  }
}
