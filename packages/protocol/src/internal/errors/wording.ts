/** The messages of errors: what happened, to what, and what to do. */
import * as DateTime from "effect/DateTime"
import type * as Duration from "effect/Duration"
import { durationText, phrase, sentence } from "../../Prose.js"
import type {
  ApiConnectionError,
  ApiResponseValidationError,
  ApiStatusError,
  ApiTimeoutError,
  BudgetExceededError,
  InvalidInputError,
  OutcomeUnknownError,
  RequestFailedError,
  SessionClosedError
} from "../../TinkerError.js"
import { advise } from "./advice.js"
import { isNameTaken } from "./judgements.js"

export const ofConnection = (error: ApiConnectionError): string => {
  const next = error.isUntrusted === true
    ? "Its certificate is not trusted here: if it is your company's own, name the file of its authority in "
      + "NODE_EXTRA_CA_CERTS before the program starts; otherwise check TINKER_BASE_URL and the clock of this machine."
    : "Check that the server is running there, and TINKER_BASE_URL."
  return `${error.operation}: no response from ${error.url} (${phrase(error.description)})${afterAttempts(error)}. `
    + `${next}${unlessTaken(error)}`
}

export const ofStatus = (error: ApiStatusError): string => {
  const who = error.isForeign === true ? "something before the server" : "the server"
  const said = error.detail === "" ? "" : `: ${phrase(error.detail)}`
  const until = error.retryAt === undefined
    ? ""
    : `It asks not to be asked again before ${DateTime.formatIso(error.retryAt)}. `
  return `${error.operation}: ${who} answered ${error.status} (${error.reason})${said}${afterAttempts(error)}. ${until}`
    + advise(error) + unlessTaken(error)
}

export const ofTimeout = (error: ApiTimeoutError): string => {
  const within = durationText(error.deadline)
  const request = error.requestId === undefined
    ? `the call (${error.state ?? "not accepted yet"})`
    : `request ${error.requestId} (${error.state ?? "submitted"})`
  switch (error.reason) {
    case "request":
      return `${error.operation}: no answer within ${within}${afterAttempts(error)}. `
        + `Try again, or allow more time (option requestTimeout).${unlessTaken(error)}`
    case "waiting":
      return `${error.operation}: ${request} has no result after ${within}. `
        + "It may still run on the server; wait longer with WaitingPolicy, or go on from a checkpoint."
    case "stuck":
      return `${error.operation}: ${request} made no progress for ${within}. `
        + "It may still run on the server; report its id, or go on from a checkpoint."
  }
}

export const ofAnswer = (error: ApiResponseValidationError): string => {
  const where = error.path === undefined ? "" : ` (${error.status ?? "no status"} from ${error.path})`
  return `${error.operation}: the answer could not be read${where}: ${phrase(error.description)}${
    afterAttempts(error)
  }. `
    + `Check that the base URL is that of a Tinker server; if it is, please report this.${unlessTaken(error)}`
}

export const ofFailure = (error: RequestFailedError): string => {
  const next = error.category !== "user"
    ? "Try again; if it stays, report the request id."
    : isOfMissingModel(error.description)
    ? "The server does not have the model, or no longer: make a new client from a checkpoint."
    : /load|FromState/i.test(error.operation)
    ? "Pass the path of a state that is there, as the first request of a model; "
      + "ServiceClient.createTrainingClientFromState makes a model for it."
    : isNameTaken(error)
    ? saysWhatToDo.test(error.description)
      ? ""
      : `Take another name${/saveState$/.test(error.operation) ? ", or pass overwrite: true to saveState" : ""}.`
    : /sampl|save/i.test(error.operation)
    ? "Fix the request."
    : "Fix the data."
  return `${error.operation}: request ${error.requestId} failed (${error.category}): ${
    sentence(error.description)
  } ${next}`.trimEnd()
}

export const ofInput = (error: InvalidInputError): string => {
  const told = error.others.slice(0, mostIssuesTold).map((issue) => `\n  ${issue.field}: ${issue.description}`)
  const rest = error.others.length - told.length
  return `${error.operation}: ${error.field}: ${error.description}${told.join("")}${
    rest > 0 ? `\n  and ${rest} more` : ""
  }`
}

export const ofSession = (error: SessionClosedError): string => {
  const session = error.sessionId === undefined ? "the session" : `the session ${error.sessionId}`
  const next = error.reason === "closed"
    ? "Make a new client and go on from a checkpoint."
    : "Make a new training client from a checkpoint; the ServiceClient starts a new session for it."
  return `${error.operation}: ${session} ${sessionEnds[error.reason]}. ${next}`
}

export const ofBudget = (error: BudgetExceededError): string => {
  const left = `${amount(error.left)} of the budget of ${amount(error.budget)} ${error.unit} are left`
  return error.asked === undefined
    ? `${error.operation}: nothing bounds what the call may use, and ${left}. Set maxTokens, and expectedTokens of images.`
    : `${error.operation}: the call may use ${amount(error.asked)} ${error.unit}, and ${left}. `
      + "Ask for fewer tokens, await the calls that are under way, or raise the budget of the UsageMeter."
}

export const ofOutcome = (error: OutcomeUnknownError): string => {
  const call = error.isEarlier === true ? `an earlier call, ${error.unknownCall}` : "this call"
  return `${error.operation}: it is not known whether the server has taken ${call} (number ${error.seqId} of the model): `
    + `${sentence(error.description)} Go on from a checkpoint to be sure of what the model has learned.`
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
    : ` (${error.attempts} attempts in ${durationText(error.elapsed)})`

/** Then the server has said itself what to do about a name that is taken. */
const saysWhatToDo = /\banother name\b/i

/** No part of a request is called a model, so whoever says that there is none means the one that was made. */
const isOfMissingModel = (description: string): boolean =>
  /\b(model|adapter)\b.*\b(not found|not loaded|does not exist|no longer|unknown|unloaded|evicted)\b|\b(no such|unknown|there is no) model\b/i
    .test(description)

const mostIssuesTold = 9

const amount = (value: number): string => Number(value.toPrecision(6)).toString()

const sessionEnds = {
  closed: "was closed by this client",
  finished: "is finished",
  expired: "has ended, as the server had not heard of this client for too long",
  lost: "is no longer known to the server"
} as const
