/**
 * The commands there are.
 */
import { checkpoint } from "./commands/checkpoint.js"
import { run } from "./commands/run.js"
import { version } from "./commands/version.js"
import * as CommandTree from "./CommandTree.js"

/**
 * All of them, under the program's name.
 *
 * @since 0.1.0
 * @category config
 */
export const root: CommandTree.Group = CommandTree.group("tinker", {
  summary: "Trains language models at a Tinker service or on this machine, and looks after what was trained.",
  commands: [checkpoint, run, version]
})
