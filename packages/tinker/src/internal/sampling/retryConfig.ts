import { type Check, flag, must, object, optional, orNull, wholeFrom } from "@effect-tinker/protocol/Checks"
import type { RetryConfig } from "../../SamplingClient.js"

const millis = (least: number): Check =>
  must((value) => typeof value === "number" && value >= least, `a number of milliseconds, ${least} or more`)

const fields: Readonly<Record<keyof RetryConfig, Check>> = {
  maxConnections: optional(orNull(wholeFrom(1))),
  progressTimeout: optional(millis(1)),
  retryDelayBase: optional(millis(0)),
  retryDelayMax: optional(millis(0)),
  jitterFactor: optional(must((value) => typeof value === "number" && value >= 0 && value <= 1, "a share from 0 to 1")),
  maxAttempts: optional(wholeFrom(1)),
  enableRetryLogic: optional(flag),
  enableStuckDetection: optional(flag)
}

const retryConfig: Check = object(fields)

/** The checks of the options with which a sampling client is made. */
export const samplerFields = { retryConfig: optional(retryConfig), recordStabilityInfo: optional(flag) }
