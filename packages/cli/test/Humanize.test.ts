import { assert, it } from "@effect/vitest"
import { DateTime } from "effect"
import * as Humanize from "../src/Humanize.js"

it("writes sizes in units of 1024, with one digit behind the point from a kilobyte on", () => {
  const sizes: ReadonlyArray<readonly [bytes: number | undefined, text: string]> = [
    [undefined, "N/A"],
    [-1, "N/A"],
    [0, "0 B"],
    [500, "500 B"],
    [1023, "1023 B"],
    [1024, "1.0 KB"],
    [1536, "1.5 KB"],
    [1_572_864, "1.5 MB"],
    [1024 ** 3, "1.0 GB"],
    [1024 ** 4, "1.0 TB"],
    [1024 ** 5, "1.0 PB"],
    [1024 ** 6, "1.0 EB"],
    [1024 ** 7, "1024.0 EB"]
  ]
  for (const [bytes, text] of sizes) assert.strictEqual(Humanize.size(bytes), text)
})

it("writes times as they are seen from now, and those more than thirty days away as a date", () => {
  const now = DateTime.unsafeMake("2026-11-30T12:00:00Z")
  const minute = 60
  const hour = 60 * minute
  const day = 24 * hour
  const times: ReadonlyArray<readonly [secondsAgo: number, text: string]> = [
    [0, "just now"],
    [60, "just now"],
    [61, "1 minute ago"],
    [119, "1 minute ago"],
    [120, "2 minutes ago"],
    [hour, "60 minutes ago"],
    [hour + 1, "1 hour ago"],
    [day - 1, "23 hours ago"],
    [day, "1 day ago"],
    [7 * day, "7 days ago"],
    [8 * day, "1 week ago"],
    [14 * day, "2 weeks ago"],
    [30 * day, "4 weeks ago"],
    [31 * day, "2026-10-30"],
    [-1, "in less than a minute"],
    [-61, "in 1 minute"],
    [-2 * hour, "in 2 hours"],
    [-7 * day, "in 7 days"],
    [-31 * day, "2026-12-31"]
  ]
  for (const [seconds, text] of times) {
    assert.strictEqual(Humanize.relativeTime(DateTime.subtract(now, { seconds }), now), text)
  }
  assert.strictEqual(Humanize.relativeTime(undefined, now), "N/A")
  assert.strictEqual(Humanize.expiry(undefined, now), "Never")
  assert.strictEqual(
    Humanize.fullTime(DateTime.subtract(now, { seconds: 2 * hour }), now),
    "2026-11-30 10:00 UTC (2 hours ago)"
  )
})

it("says how many there are, and how many of them are not shown", () => {
  assert.strictEqual(Humanize.listed(0, 0, "training run"), "No training runs found")
  assert.strictEqual(Humanize.listed(1, 1, "training run"), "1 training run")
  assert.strictEqual(Humanize.listed(20, 20, "checkpoint", " for run r"), "20 checkpoints for run r")
  assert.strictEqual(
    Humanize.listed(20, 1130, "training run"),
    "20 training runs (1,110 more not shown; --limit 0 lists all)"
  )
})
