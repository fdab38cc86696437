/** What a reader of an error does next, by what the server refused. */
import type { StatusReason } from "../../TinkerError.js"

export const advise = (refused: {
  readonly isForeign?: boolean | undefined
  readonly status: number
  readonly reason: StatusReason
  readonly operation: string
  readonly subject?: string | undefined
  readonly detail: string
}): string => {
  const byStatus = ofStatus.get(refused.status)
  if (byStatus !== undefined) return byStatus
  if (refused.isForeign === true && refused.status < 500) return advice.Other
  switch (refused.reason) {
    case "PermissionDenied":
      return `The key is valid but may not do this${rights.get(refused.operation) ?? "."}`
    case "NotFound":
      if (refused.detail === noRoute) return advice.Unsupported
      if (refused.subject === undefined) return advice.NotFound
      return saysMissing.test(refused.detail)
        ? "Check the id, and that this key may see it; it may have been deleted or have expired."
        : `There is no ${refused.subject} that this key may see: check the id; it may have been deleted or have expired.`
    case "Conflict":
      if (publications.has(refused.operation) && saysPublic.test(refused.detail)) return "There is nothing to do."
      return conflicts.get(refused.operation) ?? advice.Conflict
    case "Authentication":
      return keyOperations.has(refused.operation) ? "Check the key that was passed." : advice.Authentication
    case "Unsupported":
      return refused.operation === archive
        ? "Either there is no such checkpoint, or this server makes no archives: save external weights instead "
          + "(saveWeightsExternal), and get their addresses."
        : advice.Unsupported
    default:
      return advice[refused.reason]
  }
}

/** What servers made with FastAPI, as all that are known, say of a path that they do not have. */
const noRoute = "Not Found"

/** Then the server has said itself what there is not. */
const saysMissing = /\b(no|not|unknown)\b/i

/** Whoever answered so. */
const ofStatus: ReadonlyMap<number, string> = new Map([
  [
    413,
    "Send less at a time: fewer data in a call, shorter ones, or smaller images; or raise the limit of the server or of what "
    + "stands before it."
  ],
  [431, "Send fewer or shorter headers (option headers), or raise the limit of what stands before the server."]
])

const archive = "get_checkpoint_archive_url"

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
  Unsupported: "This server has no such endpoint. Check that the base URL is that of a Tinker server, and that it is "
    + "new enough.",
  Other: "Check that the base URL is that of a Tinker server, and what stands before it."
}

const owner = ": only the checkpoint's owner may."
const billing = ": it needs the right to view the organization's billing."

/** What is needed, as the end of a sentence. */
const rights: ReadonlyMap<string, string> = new Map([
  ["list_training_runs", ": it needs the right to read the project."],
  ["delete_checkpoint", owner],
  ["publish_checkpoint", owner],
  ["unpublish_checkpoint", owner],
  ["set_checkpoint_ttl", owner],
  [
    "copy_weights",
    ": it needs the right to read the checkpoint, which its owner's weightsAccessToken gives, and to write to the project."
  ],
  ["search_sessions", ": it needs the right to list each of the projects."],
  ["assign_session_project", ": it needs the right to write to the project, and to be the session's owner."],
  ["get_audit_log", ": it needs an administrator of the organization."],
  ["get_billing_usage", billing],
  ["get_current_checkpoint_storage_usage", billing]
])

const publications: ReadonlySet<string> = new Set(["publish_checkpoint", "unpublish_checkpoint"])

/** Then the server has said itself how it is. */
const saysPublic = /\bpublic\b/i

const conflicts: ReadonlyMap<string, string> = new Map([
  ["save_weights", "Take another name, or pass overwrite: true to saveState."],
  ["save_weights_for_sampler", "Take another name."],
  ["save_weights_external", "Take another name."],
  ["publish_checkpoint", "It is public already."],
  ["unpublish_checkpoint", "It is not public."]
])

/** These send a key that was passed to them. */
const keyOperations: ReadonlySet<string> = new Set(["get_api_key", "delete_api_key"])
