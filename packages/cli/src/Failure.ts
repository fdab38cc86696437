/**
 * What a command says when it fails, and the exit code by which scripts tell why.
 *
 * | code | means |
 * | --- | --- |
 * | 0 | done |
 * | 1 | failed: the service, files, or a part of what was asked for |
 * | 2 | the line cannot be read, or asks for what cannot be |
 * | 3 | no credential, or one that the service refuses |
 * | 4 | not there |
 * | 130 | stopped by Ctrl-C |
 */
import { DatasetError } from "@effect-tinker/cookbook/DatasetError"
import { durationText } from "@effect-tinker/protocol/Prose"
import { type ApiStatusError, isTinkerError, type TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as PlatformError from "@effect/platform/Error"
import * as Credentials from "effect-tinker/Credentials"
import * as Cause from "effect/Cause"
import * as ConfigError from "effect/ConfigError"
import * as Data from "effect/Data"
import * as Predicate from "effect/Predicate"
import { RunFailure } from "./RunFailure.js"
import { UsageError } from "./UsageError.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface Failure {
  readonly code: Code
  readonly exitCode: 1 | 2 | 3 | 4 | 130
  /** One line: what happened, to what, and what to do. */
  readonly message: string
  readonly status?: number | undefined
  readonly requestId?: string | undefined
  /** What only those read who asked for more. */
  readonly details?: string | undefined
}

/**
 * The kinds of failures, as JSON names them.
 *
 * @since 0.1.0
 * @category models
 */
export type Code =
  | "usage"
  | "not_authenticated"
  | "permission_denied"
  | "billing"
  | "not_found"
  | "conflict"
  | "invalid"
  | "rate_limited"
  | "unsupported"
  | "server"
  | "timeout"
  | "connection"
  | "files"
  | "failed"
  | "interrupted"
  | "defect"

/**
 * What a command's end means.
 *
 * @since 0.1.0
 * @category constructors
 */
export const ofCause = (cause: Cause.Cause<unknown>): Failure => {
  if (Cause.isInterruptedOnly(cause)) return { code: "interrupted", exitCode: 130, message: "stopped" }
  const error = Cause.failureOption(cause)
  return error._tag === "Some"
    ? { ...ofError(error.value), details: Cause.pretty(cause, { renderErrorCause: true }) }
    : {
      code: "defect",
      exitCode: 1,
      message: "this should not have happened. Please report it, with what --verbose says.",
      details: Cause.pretty(cause, { renderErrorCause: true })
    }
}

/**
 * What an error means.
 *
 * @since 0.1.0
 * @category constructors
 */
export const ofError = (error: unknown): Omit<Failure, "details"> => {
  if (error instanceof CommandFailed) {
    const { code, exitCode, message, requestId, status } = error
    return { code, exitCode, message, requestId, status }
  }
  if (error instanceof RunFailure) {
    return isTinkerError(error.cause)
      ? { ...ofTinkerError(error.cause), message: error.message }
      : { code: "failed", exitCode: 1, message: error.message }
  }
  if (error instanceof DatasetError) return { code: "failed", exitCode: 1, message: error.message }
  if (error instanceof UsageError) return { code: "usage", exitCode: 2, message: error.message }
  if (isTinkerError(error)) return ofTinkerError(error)
  if (ConfigError.isConfigError(error)) {
    return { code: "usage", exitCode: 2, message: `a setting cannot be read: ${error.message}` }
  }
  if (PlatformError.isPlatformError(error)) return { code: "files", exitCode: 1, message: messageOf(error) }
  return { code: "failed", exitCode: 1, message: messageOf(error) }
}

/**
 * A failure that a command itself has found.
 *
 * @since 0.1.0
 * @category errors
 */
export class CommandFailed extends Data.TaggedError("CommandFailed")<Omit<Failure, "details">> {}

/**
 * Something that a command was to find is not there.
 *
 * @since 0.1.0
 * @category constructors
 */
export const notFound = (message: string): CommandFailed =>
  new CommandFailed({ code: "not_found", exitCode: 4, message })

/**
 * A command has done only a part of what it was to do, or nothing.
 *
 * @since 0.1.0
 * @category constructors
 */
export const failed = (message: string): CommandFailed => new CommandFailed({ code: "failed", exitCode: 1, message })

/**
 * How a failure is told: a line, or with JSON an object, and with `isVerbose` all that is known.
 *
 * @since 0.1.0
 * @category rendering
 */
export const text = (
  { code, details, message, requestId, status }: Failure,
  { format, isVerbose }: { readonly format: "table" | "json"; readonly isVerbose: boolean }
): string =>
  format === "json"
    ? `${JSON.stringify({ error: { code, message, status, requestId, ...(isVerbose ? { details } : {}) } })}\n`
    : `error: ${message}\n${
      isVerbose ? `${requestId === undefined ? "" : `request: ${requestId}\n`}${details ?? ""}\n` : ""
    }`

/** What a service says may neither move the cursor nor repeat a key. */
const oneLine = (text: string): string =>
  text.replace(/\s*\n\s*/g, " ").replace(/\p{C}/gu, "�").replace(/\b(tml-(?!renderers)|eyJ)[\w.-]{8,}/g, "$1…")

const ofTinkerError = (error: TinkerError): Omit<Failure, "details"> => {
  const message = forPeople(error)
  switch (error._tag) {
    case "ApiStatusError":
      return { ...ofStatus(error), message, status: error.status, requestId: error.requestId }
    case "ApiConnectionError":
      return { code: "connection", exitCode: 1, message }
    case "ApiTimeoutError":
      return { code: "timeout", exitCode: 1, message, requestId: error.requestId }
    case "ApiResponseValidationError":
      return { code: "server", exitCode: 1, message, status: error.status, requestId: error.requestId }
    case "RequestFailedError":
      return {
        code: error.category === "user" ? "invalid" : "server",
        exitCode: 1,
        message,
        requestId: error.requestId
      }
    case "InvalidInputError":
      return error.field === "apiKey" || error.field === "credentialCommand"
        ? { code: "not_authenticated", exitCode: 3, message }
        : { code: "usage", exitCode: 2, message }
    case "SessionClosedError":
    case "BudgetExceededError":
    case "OutcomeUnknownError":
      return { code: "failed", exitCode: 1, message }
  }
}

const ofStatus = ({ reason }: ApiStatusError): Pick<Failure, "code" | "exitCode"> => {
  switch (reason) {
    case "Authentication":
      return { code: "not_authenticated", exitCode: 3 }
    case "NotFound":
      return { code: "not_found", exitCode: 4 }
    case "Unsupported":
      return { code: "unsupported", exitCode: 1 }
    case "PermissionDenied":
      return { code: "permission_denied", exitCode: 1 }
    case "Billing":
      return { code: "billing", exitCode: 1 }
    case "Conflict":
      return { code: "conflict", exitCode: 1 }
    case "RateLimit":
      return { code: "rate_limited", exitCode: 1 }
    case "BadRequest":
    case "UnprocessableEntity":
    case "Expired":
      return { code: "invalid", exitCode: 1 }
    case "RequestTimeout":
      return { code: "timeout", exitCode: 1 }
    case "InternalServer":
    case "Other":
      return { code: "server", exitCode: 1 }
  }
}

/**
 * The operation of a time limit of the command's own, for whatever it had asked.
 *
 * @since 0.1.0
 * @category config
 */
export const anyRequest = "tinker"

/** The SDK's advice is for programs, which have options; a command has variables and profiles. */
const forPeople = (error: TinkerError): string =>
  oneLine(
    error._tag === "ApiTimeoutError" && error.operation === anyRequest
      ? `the service has not answered within ${
        durationText(error.deadline)
      }. Check that it runs and can be reached (tinker doctor), or wait longer `
        + "with --timeout."
      : Credentials.isMissingKey(error)
      ? "there is no API key. Set TINKER_API_KEY, or store one with: tinker auth login. A server on this machine needs none: set "
        + "TINKER_BASE_URL to its address."
      : error.message.replace(/option apiKey, or (?=TINKER_API_KEY)/, "")
  )

const messageOf = (error: unknown): string =>
  Predicate.hasProperty(error, "message") && typeof error.message === "string"
    ? oneLine(error.message)
    : oneLine(String(error))
