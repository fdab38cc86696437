/**
 * How the programs are called by whoever started this one, for advice that can be typed.
 */
import * as Context from "effect/Context"

/**
 * @since 0.1.0
 * @category config
 */
export class ProgramNames extends Context.Reference<ProgramNames>()("@effect-tinker/cli/ProgramNames", {
  defaultValue: () => ({ train: "tinker train", serve: "tinker serve" })
}) {}

/**
 * The names in the repository, where npm starts them.
 *
 * @since 0.1.0
 * @category config
 */
export const ofNpm = { train: "npm start --", serve: "npm run serve --" }
