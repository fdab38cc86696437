import * as Args from "@effect/cli/Args"
import * as Options from "@effect/cli/Options"
import * as CommandTree from "../CommandTree.js"
import * as Listing from "./listing.js"

/** The commands of training runs. */
export const run = CommandTree.group("run", {
  summary: "Training runs: what was trained, and what was saved of it.",
  commands: [
    CommandTree.leaf("list", {
      summary: "Lists training runs, the newest first.",
      examples: ["tinker run list --limit 0 --json", "tinker run list -c id,model,checkpoint"],
      parameters: {
        ...Listing.parameters,
        accessScope: Listing.accessScope,
        columns: Options.text("columns").pipe(
          Options.withPseudoName("list"),
          Options.withDescription(
            "Columns of the table, separated by commas: id, model, owner, lora, updated, status, checkpoint, checkpoint_time. "
              + "Default: id,model,lora,updated,status"
          ),
          Options.optional
        )
      },
      short: { columns: "c" },
      load: () => import("../handlers/runList.js").then(({ list }) => list)
    }),
    CommandTree.leaf("info", {
      summary: "Tells all that is known of a training run.",
      parameters: {
        id: Args.text({ name: "RUN_ID" }).pipe(
          Args.withDescription("The run's id, or the path of one of its checkpoints")
        ),
        accessScope: Listing.accessScope
      },
      load: () => import("../handlers/runInfo.js").then(({ info }) => info)
    })
  ]
})
