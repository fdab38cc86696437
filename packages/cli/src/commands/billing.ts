import * as Args from "@effect/cli/Args"
import * as Options from "@effect/cli/Options"
import * as CommandTree from "../CommandTree.js"
import * as ParsedOption from "../ParsedOption.js"

const csv = Options.text("csv").pipe(
  Options.withPseudoName("file"),
  Options.withDescription("Writes the rows as CSV into a file instead; - is the standard output"),
  Options.optional
)

const force = Options.boolean("force").pipe(Options.withDescription("Replaces a file that is there"))

/** The commands of bills. */
export const billing = CommandTree.group("billing", {
  summary: "Bills: what was used, and what that costs. Needs the right to see them.",
  commands: [
    CommandTree.leaf("usage", {
      summary: "Lists what was used in each hour, with the estimated cost.",
      details: "Figures come hours late. Times are on the hour, in UTC.",
      examples: [
        "tinker billing usage 2026-11-01T00:00:00Z 2026-11-08T00:00:00Z --csv usage.csv",
        "tinker billing usage --last 7d --group-by model,type"
      ],
      parameters: {
        startingOn: Args.text({ name: "STARTING_ON" }).pipe(Args.withDescription("The first hour"), Args.optional),
        endingBefore: Args.text({ name: "ENDING_BEFORE" }).pipe(
          Args.withDescription("The hour behind the last"),
          Args.optional
        ),
        last: ParsedOption.duration("last", "The time up to now, as 24h or 30d, instead of the two"),
        groupBy: Options.text("group-by").pipe(
          Options.withPseudoName("list"),
          Options.withDescription("Sums by model, type, session, project, user or day, or several of them"),
          Options.optional
        ),
        csv,
        sessionsCsv: Options.text("sessions-csv").pipe(
          Options.withPseudoName("file"),
          Options.withDescription("Writes what is kept with the sessions as CSV"),
          Options.optional
        ),
        force
      },
      load: () => import("../handlers/billingUsage.js").then(({ usage }) => usage)
    }),
    CommandTree.leaf("checkpoint-storage", {
      summary: "Says what the checkpoints that are kept now take up, and cost in a month.",
      parameters: {
        projectId: Options.text("project-id").pipe(
          Options.withPseudoName("id"),
          Options.withDescription("Those of this project. Default: those of all"),
          Options.optional
        ),
        csv,
        force
      },
      load: () => import("../handlers/billingStorage.js").then(({ storage }) => storage)
    })
  ]
})
