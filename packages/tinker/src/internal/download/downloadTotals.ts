import * as Effect from "effect/Effect"
import { DownloadError } from "./downloadError.js"

/** What several files have come to, and what they may come to. */
export interface DownloadTotals {
  readonly bytes: () => number
  /** Absent while a file has not told its length. */
  readonly totalBytes: () => number | undefined
  /** Takes the length of a file that is told. */
  readonly announce: (file: string, bytes: number | undefined) => Effect.Effect<void, DownloadError>
  /** Takes bytes of a file; less than none when it begins anew. */
  readonly add: (file: string, bytes: number) => Effect.Effect<void, DownloadError>
}

export const make = (options: {
  readonly subject: string
  readonly files: ReadonlyArray<string>
  readonly maxBytes: number
  /** Called after every whole {@link interval}, and when asked to. */
  readonly report: (file: string) => void
}): DownloadTotals => {
  const { files, maxBytes, report, subject } = options
  const announced = new Map<string, number>()
  let bytes = 0
  let reported = 0

  const tooLarge = (file: string, what: string) =>
    new DownloadError({ reason: "TooLarge", subject, file, description: `${what} more than ${maxBytes} bytes` })

  const announcedBytes = () => {
    let sum = 0
    for (const size of announced.values()) sum += size
    return sum
  }

  return {
    bytes: () => bytes,
    totalBytes: () => announced.size === files.length ? announcedBytes() : undefined,
    announce: (file, size) => {
      if (size === undefined) announced.delete(file)
      else announced.set(file, size)
      return announcedBytes() > maxBytes ? tooLarge(file, "with it the files have") : Effect.void
    },
    add: (file, size) => {
      bytes += size
      if (size < 0 || bytes - reported >= interval) {
        reported = bytes
        report(file)
      }
      return bytes > maxBytes ? tooLarge(file, "the files turn out to have") : Effect.void
    }
  }
}

/** Often enough for a display, seldom enough to cost nothing. */
const interval = 1024 * 1024
