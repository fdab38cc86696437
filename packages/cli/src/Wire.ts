/**
 * Values of the protocol as JSON writes them: under the names that the service itself gives them.
 */
import { Checkpoint } from "@effect-tinker/protocol/Checkpoint"
import { TrainingRun } from "@effect-tinker/protocol/TrainingRun"
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
