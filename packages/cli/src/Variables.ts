/**
 * The variables of the process's environment.
 */
import * as Context from "effect/Context"

/**
 * @since 0.1.0
 * @category config
 */
export class Variables extends Context.Reference<Variables>()("@effect-tinker/cli/Variables", {
  defaultValue: (): Readonly<Record<string, string | undefined>> => process.env
}) {}
