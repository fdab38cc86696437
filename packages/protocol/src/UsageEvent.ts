/**
 * What was used in an hour, and what that costs.
 */
import * as Schema from "effect/Schema"
import { otherVariant, variant } from "./internal/variant.js"
import { field, fieldNullable, flag, optional } from "./WireField.js"
import { Time } from "./WireTime.js"

const tokenCount = field(Schema.Number, "token_count")

/**
 * What was used. `Unknown`: something that newer servers count, as it came.
 *
 * @since 0.1.0
 * @category schemas
 */
export const UsageInfo = Schema.Union(
  variant("training", "Training", { tokenCount }),
  variant("sampling_prefill", "SamplingPrefill", { cached: Schema.Boolean, tokenCount }),
  variant("sampling_sample", "SamplingSample", { tokenCount }),
  variant("checkpoint", "Checkpoint", { count: Schema.Number }),
  variant("storage", "Storage", {
    gigabyteHours: field(Schema.Number, "gigabyte_hours"),
    free: flag
  }),
  otherVariant(["training", "sampling_prefill", "sampling_sample", "checkpoint", "storage"])
)

/**
 * @since 0.1.0
 * @category models
 */
export type UsageInfo = typeof UsageInfo.Type

/**
 * Costs and rates are in US dollars before credits, and absent where they are not known yet.
 *
 * @since 0.1.0
 * @category schemas
 */
export const UsageEvent = Schema.Struct({
  /** Inclusive. */
  bucketStart: field(Time, "bucket_start"),
  /** Exclusive. */
  bucketEnd: field(Time, "bucket_end"),
  baseModel: optional(Schema.String, "base_model"),
  userId: optional(Schema.String, "user_id"),
  userName: optional(Schema.String, "user_name"),
  sessionId: optional(Schema.String, "session_id"),
  projectId: fieldNullable(Schema.String, "project_id"),
  estimatedCostUsd: optional(Schema.Number, "estimated_cost_usd"),
  effectiveRateUsdPerMillionTokens: optional(Schema.Number, "effective_rate_usd_per_million_tokens"),
  effectiveRateUsdPerGigabyteMonth: optional(Schema.Number, "effective_rate_usd_per_gigabyte_month"),
  eventInfo: field(UsageInfo, "event_info")
})

/**
 * @since 0.1.0
 * @category models
 */
export type UsageEvent = typeof UsageEvent.Type

/** Hours of the month that storage is priced by. Source: the Python SDK 0.38.0. */
const hoursPerMonth = 720

/**
 * US dollars: what the server estimates, else what its rate gives. Undefined when neither is known.
 *
 * @since 0.1.0
 * @category utils
 */
export const costUsd = (event: UsageEvent): number | undefined => {
  const { effectiveRateUsdPerGigabyteMonth: perMonth, effectiveRateUsdPerMillionTokens: perMillion } = event
  if (event.estimatedCostUsd !== undefined) return event.estimatedCostUsd
  switch (event.eventInfo._tag) {
    case "Training":
    case "SamplingPrefill":
    case "SamplingSample":
      return perMillion === undefined ? undefined : perMillion * event.eventInfo.tokenCount / 1e6
    case "Storage":
      return perMonth === undefined ? undefined : perMonth * event.eventInfo.gigabyteHours / hoursPerMonth
    case "Checkpoint":
    case "Unknown":
      return undefined
  }
}

/**
 * A sum of costs that does not hide what it leaves out.
 *
 * @since 0.1.0
 * @category models
 */
export interface TotalCost {
  /** US dollars, of the events whose cost is known. */
  readonly knownUsd: number
  /** How many events have a cost that is not known. */
  readonly unknown: number
}

/**
 * The cost of many events.
 *
 * @since 0.1.0
 * @category utils
 */
export const totalCost = (events: Iterable<UsageEvent>): TotalCost => {
  let knownUsd = 0
  let unknown = 0
  for (const event of events) {
    const cost = costUsd(event)
    if (cost === undefined) unknown += 1
    else knownUsd += cost
  }
  return { knownUsd, unknown }
}
