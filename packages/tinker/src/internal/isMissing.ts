import type { TinkerError } from "@effect-tinker/protocol/TinkerError"

/** Whether the server has no such endpoint: some lack settings, descriptions of models and samplers, and more. */
export const isMissing = (error: TinkerError): boolean =>
  error._tag === "ApiStatusError" && (error.status === 404 || error.status === 405)
