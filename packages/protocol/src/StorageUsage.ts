/**
 * What checkpoints that are kept now take up, and what that costs a month.
 */
import * as Schema from "effect/Schema"
import { field, fieldNullable, optional } from "./WireField.js"

/**
 * The checkpoints of one owner in one project.
 *
 * @since 0.1.0
 * @category schemas
 */
export const StorageUsage = Schema.Struct({
  projectId: fieldNullable(Schema.String, "project_id"),
  orgUserUrn: optional(Schema.String, "org_user_urn"),
  userEmail: optional(Schema.String, "user_email"),
  userName: optional(Schema.String, "user_name"),
  checkpointCount: field(Schema.Int, "checkpoint_count"),
  sizeBytes: field(Schema.Number, "size_bytes"),
  sizeGigabytes: field(Schema.Number, "size_gigabytes"),
  /** US dollars for 720 hours; absent when not known. */
  estimatedMonthlyCostUsd: fieldNullable(Schema.Number, "estimated_monthly_cost_usd")
})

/**
 * @since 0.1.0
 * @category models
 */
export type StorageUsage = typeof StorageUsage.Type
