/**
 * Where the protocol is spoken to when nobody says so: at the hosted service, or in this very process.
 */
import * as Context from "effect/Context"

/**
 * The address of the hosted service. Source: the Python SDK 0.38.0.
 *
 * @since 0.1.0
 * @category config
 */
export const hosted = "https://tinker.thinkingmachines.dev/services/tinker-prod"

/**
 * The address used when none is given: the hosted service, unless a Layer that answers requests itself says otherwise.
 *
 * @since 0.1.0
 * @category config
 */
export class DefaultBaseUrl extends Context.Reference<DefaultBaseUrl>()("@effect-tinker/protocol/DefaultBaseUrl", {
  defaultValue: () => hosted
}) {}
