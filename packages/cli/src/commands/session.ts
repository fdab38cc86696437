import * as Args from "@effect/cli/Args"
import * as Options from "@effect/cli/Options"
import * as CommandTree from "../CommandTree.js"
import * as ParsedOption from "../ParsedOption.js"
import * as Listing from "./listing.js"

const id = Args.text({ name: "SESSION_ID" }).pipe(Args.withDescription("The session's id"))

/** The commands of sessions. */
export const session = CommandTree.group("session", {
  summary: "Sessions: what programs did at the service.",
  commands: [
    CommandTree.leaf("list", {
      summary: "Lists sessions, the newest first.",
      parameters: { ...Listing.parameters, accessScope: Listing.accessScope },
      load: () => import("../handlers/sessionList.js").then(({ list }) => list)
    }),
    CommandTree.leaf("info", {
      summary: "Tells which runs and samplers a session has.",
      parameters: { id, accessScope: Listing.accessScope },
      load: () => import("../handlers/sessionInfo.js").then(({ info }) => info)
    }),
    CommandTree.leaf("export-trace", {
      summary: "Writes down what happened in a session, for ui.perfetto.dev.",
      examples: ["tinker session export-trace SESSION_ID -o trace.pftrace"],
      parameters: {
        id,
        output: Options.text("output").pipe(
          Options.withPseudoName("file"),
          Options.withDescription("Where to; - is the standard output. Default: SESSION_ID.pftrace"),
          Options.optional
        ),
        urlOnly: Options.boolean("url-only").pipe(
          Options.withDescription("Says from where the file can be fetched for about an hour, and fetches nothing")
        ),
        force: Options.boolean("force").pipe(Options.withDescription("Replaces a file that is there")),
        wait: ParsedOption.duration("wait", "How long the service may take to make it. Default: 10m")
      },
      short: { output: "o" },
      load: () => import("../handlers/sessionTrace.js").then(({ exportTrace }) => exportTrace)
    })
  ]
})
