/**
 * What can go wrong with a download beside the requests themselves, which fail with a `TinkerError`.
 */
import * as Schema from "effect/Schema"

/**
 * - `TargetExists`: the target is there already; nothing was fetched
 * - `NotDownloadable`: the checkpoint is of a kind that has no files to fetch; nothing was fetched
 * - `UnsafeName`: a file would not end up in the target, or not as itself on every system
 * - `UnsafeArchive`: an archive holds something other than files and directories, or inflates beyond measure
 * - `TooLarge`: more files or bytes than the limits allow
 * - `Truncated`: the body kept ending before its announced length
 * - `Damaged`: the bytes do not have the hash that came with them, or are no archive
 * - `Changed`: the checkpoint's files are no longer those that the download began with
 * - `FileSystem`: this machine could not write or read a file
 *
 * @since 0.1.0
 * @category models
 */
export const DownloadReason = Schema.Literal(
  "TargetExists",
  "NotDownloadable",
  "UnsafeName",
  "UnsafeArchive",
  "TooLarge",
  "Truncated",
  "Damaged",
  "Changed",
  "FileSystem"
)

/**
 * @since 0.1.0
 * @category models
 */
export type DownloadReason = typeof DownloadReason.Type

const advice: Record<DownloadReason, string> = {
  TargetExists: "Choose another directory, or pass overwrite to replace this one when the new one is complete.",
  NotDownloadable: "Save with saveWeightsExternal, or export a training checkpoint.",
  UnsafeName: "Nothing was kept. Do not use these files unless you know who made them.",
  UnsafeArchive: "Nothing was kept. Do not use this archive unless you know who made it.",
  TooLarge: "Raise maxBytes or maxFiles if this is what you want.",
  Truncated: "Try again; with keepParts it goes on from what is here.",
  Damaged: "Try again; if it stays, save the checkpoint again.",
  Changed: "Try again.",
  FileSystem: "Check the free space and the permissions of the target's directory."
}

/**
 * @since 0.1.0
 * @category errors
 */
export class DownloadError extends Schema.TaggedError<DownloadError>("effect-tinker/DownloadError")("DownloadError", {
  reason: DownloadReason,
  /** What was being downloaded: a checkpoint's path, or a target. */
  subject: Schema.String,
  /** The file at fault, by its name in the checkpoint. */
  file: Schema.optional(Schema.String),
  description: Schema.String,
  cause: Schema.optional(Schema.Defect)
}) {
  override get message() {
    const file = this.file === undefined ? "" : `, file ${JSON.stringify(this.file)}`
    return `download of ${this.subject}${file}: ${this.description}. ${advice[this.reason]}`
  }
}
