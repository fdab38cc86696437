/**
 * The commands there are.
 */
import { auth } from "./commands/auth.js"
import { billing } from "./commands/billing.js"
import { chat } from "./commands/chat.js"
import { checkpoint } from "./commands/checkpoint.js"
import { completions } from "./commands/completions.js"
import { cost } from "./commands/cost.js"
import { data } from "./commands/data.js"
import { doctor } from "./commands/doctor.js"
import { model } from "./commands/model.js"
import { run } from "./commands/run.js"
import { sample } from "./commands/sample.js"
import { serve } from "./commands/serve.js"
import { session } from "./commands/session.js"
import { train } from "./commands/train.js"
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
  commands: [
    auth,
    billing,
    chat,
    checkpoint,
    completions,
    cost,
    data,
    doctor,
    model,
    run,
    sample,
    serve,
    session,
    train,
    version
  ]
})
