/**
 * What an organization uses and does, for those with the right to see it. Needs no session.
 */
import * as AuditMessages from "@effect-tinker/protocol/AuditMessages"
import * as BillingMessages from "@effect-tinker/protocol/BillingMessages"
import { named } from "@effect-tinker/protocol/CallOptions"
import { type Check, none, oneOf, optional, optionsOf, text } from "@effect-tinker/protocol/Checks"
import { invalidInput, type Issue, type TinkerError } from "@effect-tinker/protocol/TinkerError"
import { parseTime } from "@effect-tinker/protocol/WireTime"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as AuditApi from "./AuditApi.js"
import * as BillingApi from "./BillingApi.js"
import type * as ClientConfig from "./ClientConfig.js"
import { operations } from "./internal/call/operation.js"
import * as Sessionless from "./internal/call/sessionless.js"

/**
 * @since 0.1.0
 * @category tags
 */
export class AdminClient extends Context.Tag("effect-tinker/AdminClient")<AdminClient, Service>() {}

/**
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /**
   * Who did what in the organization on one day in UTC, today by default, the earliest first. Needs an administrator.
   */
  readonly getAuditLog: (options?: {
    /** Default `all`. */
    readonly eventType?: AuditMessages.EventType | undefined
    /** `YYYY-MM-DD`, or any time of the day. */
    readonly day?: Time | undefined
  }) => Effect.Effect<AuditMessages.AuditLogResponse, TinkerError>

  /**
   * What the organization used in each hour, and what that costs (see `UsageEvent.totalCost`). Hours late. The window begins
   * and ends on the hour and is 14 days long at most.
   */
  readonly getBillingUsage: (window: {
    /** Inclusive. */
    readonly startingOn: Time
    /** Exclusive. */
    readonly endingBefore: Time
  }) => Effect.Effect<BillingMessages.BillingUsageResponse, TinkerError>

  /** What the checkpoints that are kept now take up, by project and owner. */
  readonly getCurrentCheckpointStorageUsage: (options?: {
    /** The project whose checkpoints are counted. Default: those of all. */
    readonly projectId?: string | undefined
  }) => Effect.Effect<BillingMessages.CurrentCheckpointStorageUsageResponse, TinkerError>
}

/**
 * A time, as a text in RFC 3339; without a zone it is UTC.
 *
 * @since 0.1.0
 * @category models
 */
export type Time = DateTime.DateTime | Date | string

type Requirements = AuditApi.AuditApi | BillingApi.BillingApi | ClientConfig.ClientConfig

/**
 * Sends nothing until it is used.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<Service, never, Requirements> = Effect.gen(function*() {
  const audit = yield* AuditApi.AuditApi
  const billing = yield* BillingApi.BillingApi
  const { request } = yield* Sessionless.make
  const { checked, operation } = yield* operations

  return AdminClient.of({
    getAuditLog: checked("AdminClient.getAuditLog", { options: optional(optionsOf(auditFields)) }, (options = {}) => {
      const { day, eventType = "all" } = options
      return request(
        { name: "AdminClient.getAuditLog" },
        audit.auditLog({
          eventType,
          day: day === undefined ? undefined : DateTime.formatIsoDateUtc(DateTime.unsafeMake(millisOf(day)))
        })
      )
    }),
    getBillingUsage: checked("AdminClient.getBillingUsage", {
      window: optionsOf({ startingOn: time, endingBefore: time })
    }, (
      { endingBefore, startingOn }
    ) => {
      const name = "AdminClient.getBillingUsage"
      const start = millisOf(startingOn)
      const end = millisOf(endingBefore)
      const issues = windowIssues(start, end)
      return issues.length > 0 ? operation(name)(invalidInput(name, issues)) : request(
        { name },
        billing.billingUsage({ startingOn: DateTime.unsafeMake(start), endingBefore: DateTime.unsafeMake(end) })
      )
    }),
    getCurrentCheckpointStorageUsage: checked(
      "AdminClient.getCurrentCheckpointStorageUsage",
      { options: optional(optionsOf({ projectId: optional(text) })) },
      (options = {}) =>
        request(
          { name: "AdminClient.getCurrentCheckpointStorageUsage" },
          billing.currentCheckpointStorageUsage({ projectId: options.projectId })
        )
    )
  })
})

/**
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<AdminClient, never, Requirements> = Layer.effect(AdminClient, make)

const hour = Duration.toMillis("1 hour")

/** Source: the Tinker documentation. */
const longestWindow = Duration.toMillis("14 days")

const windowIssues = (start: number, end: number): ReadonlyArray<Issue> => {
  const issues: Array<Issue> = []
  for (const [field, millis] of [["startingOn", start], ["endingBefore", end]] as const) {
    if (millis % hour !== 0) issues.push({ field, description: "must be on the hour, in UTC." })
  }
  if (end <= start) issues.push({ field: "endingBefore", description: "must be later than startingOn." })
  if (end - start > longestWindow) {
    issues.push({ field: "endingBefore", description: "must be at most 14 days later than startingOn." })
  }
  return issues
}

/** Or NaN. */
const millisOf = (time: unknown): number =>
  typeof time === "string"
    ? parseTime(time)
    : time instanceof Date
    ? time.getTime()
    : DateTime.isDateTime(time)
    ? DateTime.toEpochMillis(time)
    : NaN

const timeLike = (example: string, what: string): Check => (value, field) =>
  Number.isNaN(millisOf(value))
    ? [{ field, description: `is ${named(value)}, which is no ${what}; write it as ${example}.` }]
    : none

const time = timeLike("2025-12-31T23:00:00Z", "time")

const auditFields = {
  eventType: optional(oneOf(...AuditMessages.EventType.literals)),
  day: optional(timeLike("2025-12-31", "day"))
}
