/**
 * Values of the protocol as JSON writes them: under the names that the service itself gives them.
 */
import { BillingUsageResponse } from "@effect-tinker/protocol/BillingMessages"
import { Checkpoint } from "@effect-tinker/protocol/Checkpoint"
import { GetSessionResponse } from "@effect-tinker/protocol/SessionsMessages"
import { StorageUsage } from "@effect-tinker/protocol/StorageUsage"
import { TrainingRun } from "@effect-tinker/protocol/TrainingRun"
import { UsageEvent } from "@effect-tinker/protocol/UsageEvent"
import { WeightsInfoResponse } from "@effect-tinker/protocol/WeightsMessages"
import * as Schema from "effect/Schema"

/**
 * @since 0.1.0
 * @category encoding
 */
export const trainingRun = Schema.encodeSync(TrainingRun)

/**
 * @since 0.1.0
 * @category encoding
 */
export const checkpoint = Schema.encodeSync(Checkpoint)

/**
 * @since 0.1.0
 * @category encoding
 */
export const weightsInfo = Schema.encodeSync(WeightsInfoResponse)

/**
 * @since 0.1.0
 * @category encoding
 */
export const session = Schema.encodeSync(GetSessionResponse)

/**
 * @since 0.1.0
 * @category encoding
 */
export const billingUsage = Schema.encodeSync(BillingUsageResponse)

/**
 * @since 0.1.0
 * @category encoding
 */
export const storageUsage = Schema.encodeSync(StorageUsage)

/**
 * What an event counts, as the service calls it.
 *
 * @since 0.1.0
 * @category encoding
 */
export const usageType = (event: UsageEvent): string =>
  String((usageEvent(event).event_info as { readonly type?: unknown }).type)

const usageEvent = Schema.encodeSync(UsageEvent)
