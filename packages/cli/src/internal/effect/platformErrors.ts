/** What the platform's file system fails with, as far as the commands tell one trouble from another. */
import type * as PlatformError from "@effect/platform/Error"

/** The kind of trouble that the system has named, or `BadArgument`. */
export const kindOf = (error: PlatformError.PlatformError): PlatformError.SystemErrorReason | "BadArgument" =>
  error._tag === "SystemError" ? error.reason : error._tag
