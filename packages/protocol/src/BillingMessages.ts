/**
 * Messages of what an organization has used.
 */
import * as Schema from "effect/Schema"
import { StorageUsage } from "./StorageUsage.js"
import { UsageEvent } from "./UsageEvent.js"
import { field, fieldNullable, missable, nullishDefaulted, optional } from "./WireField.js"
import { Time } from "./WireTime.js"

/**
 * @since 0.1.0
 * @category schemas
 */
export const BillingUsageResponse = Schema.Struct({
  data: Schema.Array(UsageEvent),
  /** What is kept with the sessions of the events, by id. */
  sessions: nullishDefaulted(
    Schema.Record({
      key: Schema.String,
      value: Schema.Struct({
        userMetadata: optional(Schema.Record({ key: Schema.String, value: Schema.String }), "user_metadata")
      })
    }),
    () => ({})
  ),
  /** Costs before this time are from invoices, later ones from published prices. */
  costDataThrough: fieldNullable(Time, "cost_data_through")
})

/**
 * @since 0.1.0
 * @category models
 */
export type BillingUsageResponse = typeof BillingUsageResponse.Type

/**
 * @since 0.1.0
 * @category schemas
 */
export const CurrentCheckpointStorageUsageResponse = Schema.Struct({
  effectiveRateUsdPerGigabyteMonth: fieldNullable(Schema.Number, "effective_rate_usd_per_gigabyte_month"),
  data: Schema.Array(StorageUsage)
})

/**
 * @since 0.1.0
 * @category models
 */
export type CurrentCheckpointStorageUsageResponse = typeof CurrentCheckpointStorageUsageResponse.Type

/**
 * The window of which usage is wanted, from a whole hour to before another, in ISO 8601.
 *
 * @since 0.1.0
 * @category schemas
 */
export const UsageQuery = Schema.Struct({
  startingOn: field(Schema.String, "starting_on"),
  endingBefore: field(Schema.String, "ending_before")
})

/**
 * The project of which storage is wanted; without one it is that of all.
 *
 * @since 0.1.0
 * @category schemas
 */
export const StorageQuery = Schema.Struct({
  projectId: missable(Schema.String, "project_id")
})
