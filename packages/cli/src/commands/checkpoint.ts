import * as Args from "@effect/cli/Args"
import * as Options from "@effect/cli/Options"
import * as CommandTree from "../CommandTree.js"
import * as Listing from "./listing.js"

const path = Args.text({ name: "PATH" }).pipe(
  Args.withDescription("The checkpoint's path, as tinker://<run id>/weights/<name>")
)

/** The commands of checkpoints. */
export const checkpoint = CommandTree.group("checkpoint", {
  summary: "Checkpoints: what there is of them, who may use them, and for how long.",
  commands: [
    CommandTree.leaf("list", {
      summary: "Lists checkpoints, the newest first.",
      examples: ["tinker checkpoint list --limit 0 --json", "tinker checkpoint list --run-id RUN_ID"],
      parameters: {
        ...Listing.parameters,
        runId: Options.text("run-id").pipe(
          Options.withPseudoName("id"),
          Options.withDescription(
            "Lists all checkpoints of this training run, whatever --limit says. Default: those of all runs"
          ),
          Options.optional
        )
      },
      load: () => import("../handlers/checkpointList.js").then(({ list }) => list)
    }),
    CommandTree.leaf("info", {
      summary: "Tells all that is known of a checkpoint.",
      details: "Of a public one of others it tells what is needed to load it.",
      parameters: { path },
      load: () => import("../handlers/checkpointInfo.js").then(({ info }) => info)
    })
  ]
})
