/**
 * Figures as people read them: sizes, times, yes and no. Units and bounds are those of the Python SDK's command line 0.38.0.
 */
import * as DateTime from "effect/DateTime"

/** The units of sizes, each 1024 times the one before. */
const units = ["B", "KB", "MB", "GB", "TB", "PB", "EB"] as const

/**
 * A number of bytes, e.g. `1.5 KB`: whole below 1024, else with one digit behind the point. `N/A` for one that is not known.
 *
 * @since 0.1.0
 * @category formatting
 */
export const size = (bytes: number | undefined): string => {
  if (bytes === undefined || bytes < 0) return "N/A"
  let value = bytes
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit += 1
  }
  return `${unit === 0 ? Math.trunc(value) : value.toFixed(1)} ${units[unit]}`
}

const second = 1000
const day = 86_400 * second

/**
 * A time as seen from `now`, both in UTC, e.g. `3 hours ago` or `in 2 days`; the date alone when it is more than 30 days away. `N/A` for one
 * that is not known.
 *
 * @since 0.1.0
 * @category formatting
 */
export const relativeTime = (time: DateTime.Utc | undefined, now: DateTime.Utc): string => {
  if (time === undefined) return "N/A"
  const ahead = DateTime.toEpochMillis(time) - DateTime.toEpochMillis(now)
  const distance = Math.abs(ahead)
  const days = Math.floor(distance / day)
  const seconds = Math.floor((distance % day) / second)
  if (days > 30) return DateTime.formatIsoDateUtc(time)
  const [count, unit] = days > 7
    ? [Math.floor(days / 7), "week"]
    : days > 0
    ? [days, "day"]
    : seconds > 3600
    ? [Math.floor(seconds / 3600), "hour"]
    : seconds > 60
    ? [Math.floor(seconds / 60), "minute"]
    : [0, ""]
  if (count === 0) return ahead > 0 ? "in less than a minute" : "just now"
  const amount = `${count} ${unit}${count > 1 ? "s" : ""}`
  return ahead > 0 ? `in ${amount}` : `${amount} ago`
}

/**
 * A time in full, e.g. `2026-11-30 08:15 UTC`, and as seen from `now`.
 *
 * @since 0.1.0
 * @category formatting
 */
export const fullTime = (time: DateTime.Utc | undefined, now: DateTime.Utc): string =>
  time === undefined
    ? "N/A"
    : `${DateTime.formatIso(time).slice(0, 16).replace("T", " ")} UTC (${relativeTime(time, now)})`

/**
 * When something is removed, as seen from `now`; `Never` without a time.
 *
 * @since 0.1.0
 * @category formatting
 */
export const expiry = (time: DateTime.Utc | undefined, now: DateTime.Utc): string =>
  time === undefined ? "Never" : relativeTime(time, now)

/**
 * @since 0.1.0
 * @category formatting
 */
export const yesNo = (value: boolean): string => value ? "Yes" : "No"

/**
 * So many of something, e.g. `1 checkpoint` or `No checkpoints`.
 *
 * @since 0.1.0
 * @category formatting
 */
export const counted = (count: number, noun: string): string =>
  count === 0 ? `No ${noun}s` : `${count.toLocaleString("en-US")} ${noun}${count === 1 ? "" : "s"}`

/**
 * A title of a listing of `shown` out of `total`, e.g. `20 training runs (110 more not shown; --limit 0 lists all)`; `ofWhich` says of which.
 *
 * @since 0.1.0
 * @category formatting
 */
export const listed = (shown: number, total: number, noun: string, ofWhich = ""): string =>
  shown === 0
    ? `No ${noun}s found${ofWhich}`
    : `${counted(shown, noun)}${ofWhich}${
      total > shown ? ` (${(total - shown).toLocaleString("en-US")} more not shown; --limit 0 lists all)` : ""
    }`

/**
 * Whether a model has an adapter, and of which rank, e.g. `Yes (Rank 32)`.
 *
 * @since 0.1.0
 * @category formatting
 */
export const lora = ({ isLora, loraRank }: {
  readonly isLora?: boolean | undefined
  readonly loraRank?: number | undefined
}): string => isLora === undefined ? "N/A" : !isLora ? "No" : loraRank === undefined ? "Yes" : `Yes (Rank ${loraRank})`
