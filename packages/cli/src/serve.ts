/**
 * The local server by itself, as `npm run serve` starts it.
 */
import * as Command from "@effect/cli/Command"
import * as CommandLine from "./CommandLine.js"
import { flags } from "./commands/serveFlags.js"
import { serve } from "./handlers/serve.js"
import * as Main from "./Main.js"

if (Main.isEntry(import.meta.url)) {
  Main.run(
    CommandLine.run(
      Command.make("serve", flags, serve).pipe(
        Command.withDescription("Starts a Tinker server that trains on this machine.")
      ),
      {
        name: "effect-tinker serve",
        known: CommandLine.known(flags, ["model", "allowHost"])
      }
    )(process.argv),
    Main.exitCodeOfServer
  )
}
