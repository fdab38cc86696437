/**
 * What an organization uses and does, for those with the right to see it. Needs no session.
 */
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as AuditApi from "./AuditApi.js"
import * as BillingApi from "./BillingApi.js"
import type * as ClientConfig from "./ClientConfig.js"
import { checkFields, oneOf, optional, text } from "./internal/checkFields.js"
import * as Sessionless from "./internal/sessionless.js"
import { parseTime } from "./internal/wireTime.js"
import type { Issue, TinkerError } from "./TinkerError.js"

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
    readonly eventType?: AuditApi.EventType | undefined
    /** `YYYY-MM-DD`, or any time of the day. */
    readonly day?: Time | undefined
  }) => Effect.Effect<AuditApi.AuditLogResponse, TinkerError>

  /**
   * What the organization used in each hour, and what that costs (see `UsageEvent.totalCost`). Hours late. The window begins
   * and ends on the hour and is 14 days long at most.
   */
  readonly getBillingUsage: (window: {
    /** Inclusive. */
    readonly startingOn: Time
    /** Exclusive. */
    readonly endingBefore: Time
  }) => Effect.Effect<BillingApi.BillingUsageResponse, TinkerError>

  /** What the checkpoints that are kept now take up, by project and owner. */
  readonly getCurrentCheckpointStorageUsage: (options?: {
    /** Of one project. Default: of all. */
    readonly projectId?: string | undefined
  }) => Effect.Effect<BillingApi.CurrentCheckpointStorageUsageResponse, TinkerError>
}

/**
 * A time, as a text in RFC 3339; without a zone it is UTC.
 *
 * @since 0.1.0
 * @category models
 */
export type Time = DateTime.DateTime | Date | string

/**
 * @since 0.1.0
 * @category models
 */
export type Requirements = AuditApi.AuditApi | BillingApi.BillingApi | ClientConfig.ClientConfig

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

  const getAuditLog: Service["getAuditLog"] = ({ day, eventType = "all" } = {}) => {
    const millis = day === undefined ? undefined : millisOf(day)
    const issues = [...checkFields({ eventType }, { eventType: oneOf(...AuditApi.EventType.literals) })]
    if (Number.isNaN(millis)) issues.push({ field: "day", description: "is no day; write it as 2025-12-31." })
    return request(
      { name: "AdminClient.getAuditLog", issues },
      Effect.suspend(() =>
        audit.auditLog({
          eventType,
          day: millis === undefined ? undefined : DateTime.formatIsoDateUtc(DateTime.unsafeMake(millis))
        })
      )
    )
  }

  const getBillingUsage: Service["getBillingUsage"] = (window) => {
    const start = millisOf(window.startingOn)
    const end = millisOf(window.endingBefore)
    return request(
      { name: "AdminClient.getBillingUsage", issues: windowIssues(start, end) },
      Effect.suspend(() =>
        billing.billingUsage({ startingOn: DateTime.unsafeMake(start), endingBefore: DateTime.unsafeMake(end) })
      )
    )
  }

  return AdminClient.of({
    getAuditLog,
    getBillingUsage,
    getCurrentCheckpointStorageUsage: ({ projectId } = {}) =>
      request(
        {
          name: "AdminClient.getCurrentCheckpointStorageUsage",
          issues: checkFields({ projectId }, { projectId: optional(text) })
        },
        billing.currentCheckpointStorageUsage({ projectId })
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
    if (Number.isNaN(millis)) issues.push({ field, description: "is no time; write it as 2025-12-31T23:00:00Z." })
    else if (millis % hour !== 0) issues.push({ field, description: "must be on the hour, in UTC." })
  }
  if (end <= start) issues.push({ field: "endingBefore", description: "must be later than startingOn." })
  if (end - start > longestWindow) {
    issues.push({ field: "endingBefore", description: "must be at most 14 days later than startingOn." })
  }
  return issues
}

/** Or NaN. */
const millisOf = (time: Time): number =>
  typeof time === "string" ? parseTime(time) : time instanceof Date ? time.getTime() : DateTime.toEpochMillis(time)
