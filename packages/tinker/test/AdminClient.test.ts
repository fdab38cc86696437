import { assert, it } from "@effect/vitest"
import { DateTime, Effect, Redacted } from "effect"
import { AdminClient, UsageEvent } from "effect-tinker"
import type { TinkerConfig, TinkerError } from "effect-tinker"
import { json, stub } from "./stub.js"

const use = <A, E>(
  handlers: Parameters<typeof stub>[0],
  f: (admin: AdminClient.Service, server: ReturnType<typeof stub>) => Effect.Effect<A, E>,
  options?: TinkerConfig.Options
) => {
  const server = stub(handlers, options)
  return Effect.provide(Effect.flatMap(AdminClient.AdminClient, (admin) => f(admin, server)), server.layer)
}

const field = (error: TinkerError.TinkerError) => error._tag === "InvalidInputError" ? error.field : error._tag

const event = (info: Record<string, unknown>, costs: Record<string, unknown> = {}) => ({
  bucket_start: "2025-06-01T00:00:00Z",
  bucket_end: "2025-06-01T01:00:00Z",
  base_model: null,
  event_info: info,
  ...costs
})

const window = { startingOn: "2025-06-01T00:00:00Z", endingBefore: "2025-06-02T00:00:00Z" }

const usage = (data: ReadonlyArray<unknown>, rest: Record<string, unknown> = {}) => ({
  "billing/usage/events": () => json({ data, ...rest })
})

it.effect("reads all kinds of usage, and keeps a kind that it does not know as it came", () =>
  use(
    usage([
      event({ type: "training", token_count: 5, later: true }, { user_name: "Ann", session_id: "S" }),
      event({ type: "sampling_prefill", cached: true, token_count: 6 }),
      event({ type: "sampling_sample", token_count: 7 }),
      event({ type: "checkpoint", count: 2 }),
      event({ type: "storage", gigabyte_hours: 1.5 }),
      event({ type: "evaluation", runs: [1] })
    ], { sessions: { S: { user_metadata: { team: "a" } }, T: {} }, cost_data_through: "2025-06-01T00:00:00" }),
    (admin) =>
      Effect.gen(function*() {
        const { costDataThrough, data, sessions } = yield* admin.getBillingUsage(window)
        assert.deepStrictEqual(data.map((one) => one.eventInfo), [
          { _tag: "Training", tokenCount: 5 },
          { _tag: "SamplingPrefill", cached: true, tokenCount: 6 },
          { _tag: "SamplingSample", tokenCount: 7 },
          { _tag: "Checkpoint", count: 2 },
          { _tag: "Storage", gigabyteHours: 1.5, free: false },
          { _tag: "Unknown", type: "evaluation", raw: { type: "evaluation", runs: [1] } }
        ])
        assert.deepStrictEqual([data[0]!.userName, data[0]!.sessionId, data[0]!.baseModel], ["Ann", "S", undefined])
        assert.strictEqual(DateTime.formatIso(data[0]!.bucketEnd), "2025-06-01T01:00:00.000Z")
        assert.deepStrictEqual(sessions, { S: { userMetadata: { team: "a" } }, T: {} })
        assert.strictEqual(costDataThrough && DateTime.formatIso(costDataThrough), "2025-06-01T00:00:00.000Z")
      })
  ))

it.effect("cannot read a known kind of usage without what belongs to it", () =>
  use(usage([event({ type: "training" })]), (admin) =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(admin.getBillingUsage(window))
      assert.strictEqual(error._tag, "ApiResponseValidationError")
      assert.include(error.message, "event_info")
    })))

it.effect("sends a window in RFC 3339, whatever it was given as", () =>
  use(usage([]), (admin, server) =>
    Effect.gen(function*() {
      const windows = [
        { startingOn: new Date("2025-06-01T05:00:00Z"), endingBefore: "2025-06-01T08:00:00+02:00" },
        {
          startingOn: DateTime.unsafeMake("2025-06-01T05:00:00Z"),
          endingBefore: DateTime.unsafeMakeZoned("2025-06-01T06:00:00Z", { timeZone: 0 })
        },
        { startingOn: "2025-06-01 05:00:00", endingBefore: "2025-06-01T06:00" }
      ]
      for (const window of windows) yield* admin.getBillingUsage(window)
      assert.deepStrictEqual(
        server.to("billing/usage/events").map(({ query }) => query),
        windows.map(() => ({ starting_on: "2025-06-01T05:00:00.000Z", ending_before: "2025-06-01T06:00:00.000Z" }))
      )
    })))

const badWindows: ReadonlyArray<readonly [string, string, string, string]> = [
  ["begins off the hour", "2025-06-01T00:30:00Z", "2025-06-02", "startingOn"],
  ["ends off the hour", "2025-06-01", "2025-06-02T00:00:01Z", "endingBefore"],
  ["is longer than 14 days", "2025-06-01", "2025-06-15T01:00:00Z", "endingBefore"],
  ["ends before it begins", "2025-06-02", "2025-06-01", "endingBefore"],
  ["begins at no time", "yesterday", "2025-06-02", "startingOn"],
  ["begins on a day that there is not", "2025-02-30", "2025-03-02", "startingOn"]
]

for (const [what, startingOn, endingBefore, name] of badWindows) {
  it.effect(`refuses a window that ${what} before sending`, () =>
    use({}, (admin, server) =>
      Effect.gen(function*() {
        assert.strictEqual(field(yield* Effect.flip(admin.getBillingUsage({ startingOn, endingBefore }))), name)
        assert.deepStrictEqual(server.seen, [])
      })))
}

it.effect("costs what the server says, else the rate times millions of tokens or months of gigabytes", () =>
  use(
    usage([
      event({ type: "training", token_count: 2_000_000 }, { effective_rate_usd_per_million_tokens: 1.5 }),
      event({ type: "sampling_sample", token_count: 500 }, { effective_rate_usd_per_million_tokens: 4 }),
      event({ type: "storage", gigabyte_hours: 1440, free: null }, { effective_rate_usd_per_gigabyte_month: 0.25 }),
      event({ type: "sampling_prefill", cached: false, token_count: 9 }, { estimated_cost_usd: 0.125 }),
      event({ type: "training", token_count: 9 }, { estimated_cost_usd: null }),
      event({ type: "storage", gigabyte_hours: 9 }),
      event({ type: "checkpoint", count: 9 }),
      event({ type: "evaluation" })
    ]),
    (admin) =>
      Effect.gen(function*() {
        const { data } = yield* admin.getBillingUsage(window)
        assert.deepStrictEqual(data.map(UsageEvent.costUsd), [
          3,
          0.002,
          0.5,
          0.125,
          undefined,
          undefined,
          undefined,
          undefined
        ])
        assert.deepStrictEqual(UsageEvent.totalCost(data), { knownUsd: 3.627, unknown: 4 })
        assert.deepStrictEqual(UsageEvent.totalCost([]), { knownUsd: 0, unknown: 0 })
      })
  ))

it.effect("reads what checkpoints take up, by project and owner, of one project only if asked to", () =>
  use({
    "billing/usage/checkpoints/current": () =>
      json({
        effective_rate_usd_per_gigabyte_month: 0.1,
        data: [
          {
            project_id: "p",
            org_user_urn: "urn",
            user_email: "a@b",
            user_name: "Ann",
            checkpoint_count: 3,
            size_bytes: 2e9,
            size_gigabytes: 2,
            estimated_monthly_cost_usd: 0.2
          },
          { project_id: null, checkpoint_count: 1, size_bytes: 5, size_gigabytes: 0, estimated_monthly_cost_usd: null }
        ]
      })
  }, (admin, server) =>
    Effect.gen(function*() {
      const all = yield* admin.getCurrentCheckpointStorageUsage()
      assert.strictEqual(all.effectiveRateUsdPerGigabyteMonth, 0.1)
      assert.deepStrictEqual(all.data, [
        {
          projectId: "p",
          orgUserUrn: "urn",
          userEmail: "a@b",
          userName: "Ann",
          checkpointCount: 3,
          sizeBytes: 2e9,
          sizeGigabytes: 2,
          estimatedMonthlyCostUsd: 0.2
        },
        { checkpointCount: 1, sizeBytes: 5, sizeGigabytes: 0 }
      ])
      yield* admin.getCurrentCheckpointStorageUsage({ projectId: "p" })
      assert.deepStrictEqual(server.to("billing/usage/checkpoints/current").map(({ query }) => query), [
        {},
        { project_id: "p" }
      ])
      assert.strictEqual(
        field(yield* Effect.flip(admin.getCurrentCheckpointStorageUsage({ projectId: "" }))),
        "projectId"
      )
    })))

it.effect("reads the audit log with whatever belongs to its entries", () =>
  use({
    audit: () =>
      json({
        entries: [
          {
            timestamp: "2025-06-01T12:00:00",
            event: "checkpoint_published",
            event_details: { path: "tinker://r/weights/n", by: { id: 7 } },
            model_id: "r",
            tinker_path: null
          },
          { timestamp: "2025-06-01T13:00:00+01:00", event: "project_created" }
        ]
      })
  }, (admin) =>
    Effect.gen(function*() {
      const { entries } = yield* admin.getAuditLog()
      assert.deepStrictEqual(entries[0]!.eventDetails, { path: "tinker://r/weights/n", by: { id: 7 } })
      assert.deepStrictEqual([entries[0]!.modelId, entries[0]!.tinkerPath], ["r", undefined])
      assert.deepStrictEqual(entries[1]!.eventDetails, {})
      assert.deepStrictEqual(entries.map(({ timestamp }) => DateTime.formatIso(timestamp)), [
        "2025-06-01T12:00:00.000Z",
        "2025-06-01T12:00:00.000Z"
      ])
    })))

it.effect("sends the day in UTC of a date, a time or a text, and refuses what is none", () =>
  use({ audit: () => json({ entries: [] }) }, (admin, server) =>
    Effect.gen(function*() {
      for (const day of ["2025-06-01", "2025-06-02T00:30:00+02:00", new Date("2025-06-01T23:59:59Z")]) {
        yield* admin.getAuditLog({ eventType: "checkpoints", day })
      }
      assert.deepStrictEqual(
        server.to("audit").map(({ query }) => query),
        Array.from({ length: 3 }, () => ({ event_type: "checkpoints", day: "2025-06-01" }))
      )
      for (const day of ["2025-6-1", "2025-02-30", "today"]) {
        assert.strictEqual(field(yield* Effect.flip(admin.getAuditLog({ day }))), "day")
      }
      assert.strictEqual(field(yield* Effect.flip(admin.getAuditLog({ eventType: "runs" as "all" }))), "eventType")
      assert.strictEqual(server.to("audit").length, 3)
    })))

it.effect("follows the audit log to another address with the key, and to another origin without", () => {
  const moved = (location: string) => json({}, 302, { location })
  return use({
    audit: () => moved("http://localhost/api/v1/here"),
    here: () => moved("https://files.example/api/v1/there"),
    there: () => json({ entries: [] })
  }, (admin, server) =>
    Effect.gen(function*() {
      yield* admin.getAuditLog()
      assert.deepStrictEqual(
        ["audit", "here", "there"].map((path) => server.to(path)[0]?.headers["x-api-key"]),
        ["tml-key", "tml-key", undefined]
      )
    }), { apiKey: Redacted.make("tml-key") })
})
