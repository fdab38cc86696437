/** What a disk refused, in words for clients: without where on this machine, which is for the log. */
import type * as PlatformError from "@effect/platform/Error"

/** Whether a file or a folder is not there. */
export const isMissing = (error: PlatformError.PlatformError): boolean =>
  error._tag === "SystemError" && error.reason === "NotFound"

/** The trouble as `ENOSPC: no space left on device`: what Node says before it names a file. */
export const errnoText = (error: PlatformError.PlatformError): string =>
  error._tag === "SystemError" ? /^[A-Z0-9]+: [^,'/]+/.exec(error.description ?? "")?.[0] ?? error.reason : error._tag

export const refused = (error: PlatformError.PlatformError): string =>
  `the server's disk refused it (${errnoText(error)}); see the server's log`
