import type * as FuturesApi from "../../FuturesApi.js"

/** What is logged, once a minute, while the server says that a queue stands still: who waits, and why, in words. */
export const queueWarning = (
  label: string,
  { queueState = "unknown", reason }: Pick<FuturesApi.Pending, "queueState" | "reason">
): string => `${label} stands still: ${reason ?? reasons[queueState]}`

const reasons: Record<FuturesApi.QueueState, string> = {
  active: "no reason is given",
  paused_capacity: "the server is short of capacity",
  paused_rate_limit: "the limit of models or samplers at once is reached",
  unknown: "no reason is given"
}
