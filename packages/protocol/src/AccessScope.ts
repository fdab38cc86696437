/**
 * Whose resources are meant.
 */
import * as Schema from "effect/Schema"

/**
 * `owned`: those of the user. `accessible`: also those of others that the user may see.
 *
 * @since 0.1.0
 * @category schemas
 */
export const AccessScope = Schema.Literal("owned", "accessible")

/**
 * @since 0.1.0
 * @category models
 */
export type AccessScope = typeof AccessScope.Type
