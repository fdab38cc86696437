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
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as CallOptions from "./CallOptions.js"
import { advise } from "./internal/errors/advice.js"
import { phrase, sentence, spoken } from "./Prose.js"

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

const unlessTaken = ({ mayHaveRun }: { readonly mayHaveRun?: boolean | undefined }): string =>
  mayHaveRun === true
    ? " The server may have taken the request all the same, so calling again may do it twice: go on from a checkpoint to be sure."
    : ""

const afterAttempts = (
  error: { readonly attempts?: number | undefined; readonly elapsed?: Duration.Duration | undefined }
) =>
  error.attempts === undefined || error.elapsed === undefined
    ? ""
    : ` (${error.attempts} attempts in ${spoken(error.elapsed)})`

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
  override get message() {
    const next = this.isUntrusted === true
      ? "Its certificate is not trusted here: if it is your company's own, name the file of its authority in "
        + "NODE_EXTRA_CA_CERTS before the program starts; otherwise check TINKER_BASE_URL and the clock of this machine."
      : "Check that the server is running there, and TINKER_BASE_URL."
    return `${this.operation}: no response from ${this.url} (${phrase(this.description)})${afterAttempts(this)}. `
      + `${next}${unlessTaken(this)}`
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
  override get message() {
    const who = this.isForeign === true ? "something before the server" : "the server"
    const said = this.detail === "" ? "" : `: ${phrase(this.detail)}`
    const until = this.retryAt === undefined
      ? ""
      : `It asks not to be asked again before ${DateTime.formatIso(this.retryAt)}. `
    return `${this.operation}: ${who} answered ${this.status} (${this.reason})${said}${afterAttempts(this)}. ${until}`
      + advise(this) + unlessTaken(this)
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
  override get message() {
    const within = spoken(this.deadline)
    const request = this.requestId === undefined
      ? `the call (${this.state ?? "not accepted yet"})`
      : `request ${this.requestId} (${this.state ?? "submitted"})`
    switch (this.reason) {
      case "request":
        return `${this.operation}: no answer within ${within}${afterAttempts(this)}. `
          + `Try again, or allow more time (option requestTimeout).${unlessTaken(this)}`
      case "waiting":
        return `${this.operation}: ${request} has no result after ${within}. `
          + "It may still run on the server; wait longer with WaitingPolicy, or go on from a checkpoint."
      case "stuck":
        return `${this.operation}: ${request} made no progress for ${within}. `
          + "It may still run on the server; report its id, or go on from a checkpoint."
    }
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
  override get message() {
    const where = this.path === undefined ? "" : ` (${this.status ?? "no status"} from ${this.path})`
    return `${this.operation}: the answer could not be read${where}: ${phrase(this.description)}${
      afterAttempts(this)
    }. `
      + `Check that the base URL is that of a Tinker server; if it is, please report this.${unlessTaken(this)}`
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
    const next = this.category !== "user"
      ? "Try again; if it stays, report the request id."
      : isOfMissingModel(this.description)
      ? "The server does not have the model, or no longer: make a new client from a checkpoint."
      : /load|FromState/i.test(this.operation)
      ? "Pass the path of a state that is there, as the first request of a model; "
        + "ServiceClient.createTrainingClientFromState makes a model for it."
      : isNameTaken(this)
      ? saysWhatToDo.test(this.description)
        ? ""
        : `Take another name${/saveState$/.test(this.operation) ? ", or pass overwrite: true to saveState" : ""}.`
      : /sampl|save/i.test(this.operation)
      ? "Fix the request."
      : "Fix the data."
    return `${this.operation}: request ${this.requestId} failed (${this.category}): ${
      sentence(this.description)
    } ${next}`.trimEnd()
  }
}

/** Then the server has said itself what to do about a name that is taken. */
const saysWhatToDo = /\banother name\b/i

/** No part of a request is called a model, so whoever says that there is none means the one that was made. */
const isOfMissingModel = (description: string): boolean =>
  /\b(model|adapter)\b.*\b(not found|not loaded|does not exist|no longer|unknown|unloaded|evicted)\b|\b(no such|unknown|there is no) model\b/i
    .test(description)

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
    others: Schema.optionalWith(Schema.Array(Issue), { default: () => [] })
  }
) {
  readonly [TypeId]: TypeId = TypeId
  override get message() {
    const told = this.others.slice(0, mostIssuesTold).map((issue) => `\n  ${issue.field}: ${issue.description}`)
    const rest = this.others.length - told.length
    return `${this.operation}: ${this.field}: ${this.description}${told.join("")}${
      rest > 0 ? `\n  and ${rest} more` : ""
    }`
  }
}

const mostIssuesTold = 9

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
  override get message() {
    const session = this.sessionId === undefined ? "the session" : `the session ${this.sessionId}`
    const next = this.reason === "closed"
      ? "Make a new client and go on from a checkpoint."
      : "Make a new training client from a checkpoint; the ServiceClient starts a new session for it."
    return `${this.operation}: ${session} ${sessionEnds[this.reason]}. ${next}`
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
  override get message() {
    const left = `${amount(this.left)} of the budget of ${amount(this.budget)} ${this.unit} are left`
    return this.asked === undefined
      ? `${this.operation}: nothing bounds what the call may use, and ${left}. Set maxTokens, and expectedTokens of images.`
      : `${this.operation}: the call may use ${amount(this.asked)} ${this.unit}, and ${left}. `
        + "Ask for fewer tokens, await the calls that are under way, or raise the budget of the UsageMeter."
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
  override get message() {
    const call = this.isEarlier === true ? `an earlier call, ${this.unknownCall}` : "this call"
    return `${this.operation}: it is not known whether the server has taken ${call} (number ${this.seqId} of the model): `
      + `${sentence(this.description)} Go on from a checkpoint to be sure of what the model has learned.`
  }
}

const amount = (value: number): string => Number(value.toPrecision(6)).toString()

const sessionEnds = {
  closed: "was closed by this client",
  finished: "is finished",
  expired: "has ended, as the server had not heard of this client for too long",
  lost: "is no longer known to the server"
} as const

/**
 * @since 0.1.0
 * @category guards
 */
export const isTinkerError = (u: unknown): u is TinkerError => Predicate.hasProperty(u, TypeId)

/**
 * The reason that a status stands for.
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
    case 405:
    case 501:
    case 505:
      return "Unsupported"
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

/** A request of this size or form stays what it is. */
const finalForeignStatuses: ReadonlySet<number> = new Set([405, 413, 414, 431])

/**
 * Whether sending the same request again may succeed. The only place that decides.
 *
 * | error | sent again |
 * | --- | --- |
 * | `ApiConnectionError` | yes, unless `isUntrusted` |
 * | `ApiTimeoutError` | of reason `request` |
 * | `ApiStatusError` | as its header `x-should-retry` says; without one 408, 429, 5xx but 501 and 505, and {@link isPuzzling} |
 * | `ApiResponseValidationError` | when {@link isPuzzling} |
 * | every other | no |
 *
 * 409 is final: what exists already exists after a minute too.
 *
 * @since 0.1.0
 * @category guards
 */
export const isRetryable = (error: TinkerError): boolean => {
  switch (error._tag) {
    case "ApiConnectionError":
      return error.isUntrusted !== true
    case "ApiTimeoutError":
      return error.reason === "request"
    case "ApiStatusError":
      return error.shouldRetry ?? (retryableReasons.has(error.reason) || isPuzzling(error))
    case "ApiResponseValidationError":
      return isPuzzling(error)
    case "RequestFailedError":
    case "InvalidInputError":
    case "SessionClosedError":
    case "BudgetExceededError":
    case "OutcomeUnknownError":
      return false
  }
}

/**
 * Whether the answer makes no sense as one of the service: a refusal that a proxy has written, or a success that is a page, empty
 * or cut off. It may pass, as when a gateway restarts, or mean a wrong address, so requests are sent again a few times only.
 *
 * @since 0.1.0
 * @category guards
 */
export const isPuzzling = (error: TinkerError): boolean => {
  switch (error._tag) {
    case "ApiStatusError":
      return error.isForeign === true && !retryableReasons.has(error.reason) && !finalForeignStatuses.has(error.status)
    case "ApiResponseValidationError":
      return error.isUnreadable === true
    default:
      return false
  }
}

/**
 * Whether a save was refused because there is a checkpoint of its name. Servers tell it in two ways: as an `ApiStatusError` of
 * reason `Conflict` when they are asked, and as a `RequestFailedError` of category `user`, whose description says so, when the
 * save is run.
 *
 * @since 0.1.0
 * @category guards
 */
export const isNameTaken = (error: TinkerError): boolean => {
  switch (error._tag) {
    case "ApiStatusError":
      return error.reason === "Conflict" && error.isForeign !== true && isSave.test(error.operation)
    case "RequestFailedError":
      return error.category === "user" && isSave.test(error.operation) && saysTaken.test(error.description)
    default:
      return false
  }
}

const isSave = /save/i
const saysTaken = /\b(exists already|already exists)\b/i

/**
 * Whether a request stayed without an answer: no connection, or none in time.
 *
 * @since 0.1.0
 * @category guards
 */
export const isUnanswered = (error: TinkerError): error is ApiConnectionError | ApiTimeoutError =>
  error._tag === "ApiConnectionError" || (error._tag === "ApiTimeoutError" && error.reason === "request")

/**
 * Whether the one who holds the client is at fault, rather than the service or the way to it: a status from 400 to 499 of the
 * service itself other than 408 and 429 (a wrong key and a lost model among them), input refused here, a budget exceeded, or a
 * failure that the server puts in the category `user`. A backend that passes requests of others on asks more narrowly.
 *
 * @since 0.1.0
 * @category guards
 */
export const isUserError = (error: TinkerError): boolean => {
  switch (error._tag) {
    case "ApiStatusError":
      return error.status >= 400 && error.status < 500 && error.status !== 408 && error.status !== 429
        && error.isForeign !== true
    case "RequestFailedError":
      return error.category === "user"
    case "InvalidInputError":
    case "BudgetExceededError":
      return true
    case "ApiConnectionError":
    case "ApiTimeoutError":
    case "ApiResponseValidationError":
    case "SessionClosedError":
    case "OutcomeUnknownError":
      return false
  }
}

/**
 * Whether what was asked for is at fault, so that whoever asked can mend it, rather than the key, the account, the service or
 * the way to it: input refused here or by the service (400, 422), or a failure that the server puts in the category `user`.
 *
 * @since 0.1.0
 * @category guards
 */
export const isInputError = (error: TinkerError): boolean =>
  error._tag === "InvalidInputError"
  || (error._tag === "RequestFailedError" && error.category === "user")
  || (error._tag === "ApiStatusError" && error.isForeign !== true
    && (error.reason === "BadRequest" || error.reason === "UnprocessableEntity"))

/**
 * Whether the server certainly did not take the request, so that its sequence number is free for the next one.
 *
 * @since 0.1.0
 * @category guards
 */
export const isDefinitelyRefused = (error: TinkerError): boolean => {
  switch (error._tag) {
    case "InvalidInputError":
    case "SessionClosedError":
    case "BudgetExceededError":
      return true
    case "ApiStatusError":
      return error.status >= 400 && error.status < 500 && !undecidedStatuses.has(error.status)
        && error.isForeign !== true
    case "ApiConnectionError":
    case "ApiTimeoutError":
    case "ApiResponseValidationError":
    case "RequestFailedError":
    case "OutcomeUnknownError":
      return false
  }
}

/** Too Early may come while the request is already queued; the others are answered on the way after forwarding. */
const undecidedStatuses: ReadonlySet<number> = new Set([408, 425, 429])

/**
 * The same error, telling how often the request was sent and how long that took, in milliseconds. Errors that are no
 * failure of sending stay as they are.
 *
 * @since 0.1.0
 * @category utils
 */
export const withAttempts = (error: TinkerError, attempts: number, elapsedMillis: number): TinkerError => {
  const told = { attempts, elapsed: Duration.millis(elapsedMillis) }
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
 * The same error of a training request, which the server may have taken.
 *
 * @since 0.1.0
 * @category utils
 */
export const withDoubt = (error: TinkerError): TinkerError => {
  switch (error._tag) {
    case "ApiConnectionError":
      return new ApiConnectionError({ ...error, cause: error.cause, mayHaveRun: true })
    case "ApiStatusError":
      return new ApiStatusError({ ...error, mayHaveRun: true })
    case "ApiTimeoutError":
      return new ApiTimeoutError({ ...error, mayHaveRun: true })
    case "ApiResponseValidationError":
      return new ApiResponseValidationError({ ...error, cause: error.cause, mayHaveRun: true })
    default:
      return error
  }
}

/**
 * The same error under the name of the call that it ends, when it came of a request that nobody called by name.
 *
 * @since 0.1.0
 * @category utils
 */
export const withOperation = (error: TinkerError, operation: string): TinkerError => {
  switch (error._tag) {
    case "ApiConnectionError":
      return new ApiConnectionError({ ...error, cause: error.cause, operation })
    case "ApiStatusError":
      return new ApiStatusError({ ...error, operation })
    case "ApiTimeoutError":
      return new ApiTimeoutError({ ...error, operation })
    case "ApiResponseValidationError":
      return new ApiResponseValidationError({ ...error, cause: error.cause, operation })
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
  }
}
