/**
 * Ids of the service. Each has a brand of its own, so that one cannot be passed for another. Only the service makes them.
 */
import * as Schema from "effect/Schema"

/**
 * @since 0.1.0
 * @category schemas
 */
export const SessionId = Schema.NonEmptyString.pipe(Schema.brand("effect-tinker/SessionId"))

/**
 * @since 0.1.0
 * @category models
 */
export type SessionId = typeof SessionId.Type

/**
 * A model being trained; the same id names its training run.
 *
 * @since 0.1.0
 * @category schemas
 */
export const ModelId = Schema.NonEmptyString.pipe(Schema.brand("effect-tinker/ModelId"))

/**
 * @since 0.1.0
 * @category models
 */
export type ModelId = typeof ModelId.Type

/**
 * @since 0.1.0
 * @category schemas
 */
export const SamplingSessionId = Schema.NonEmptyString.pipe(Schema.brand("effect-tinker/SamplingSessionId"))

/**
 * @since 0.1.0
 * @category models
 */
export type SamplingSessionId = typeof SamplingSessionId.Type

/**
 * A submitted request, by which its result is fetched.
 *
 * @since 0.1.0
 * @category schemas
 */
export const RequestId = Schema.NonEmptyString.pipe(Schema.brand("effect-tinker/RequestId"))

/**
 * @since 0.1.0
 * @category models
 */
export type RequestId = typeof RequestId.Type
