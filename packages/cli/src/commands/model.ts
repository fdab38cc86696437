import * as Args from "@effect/cli/Args"
import * as CommandTree from "../CommandTree.js"

/** The commands of base models. */
export const model = CommandTree.group("model", {
  summary: "Base models: what the service can train and sample.",
  commands: [
    CommandTree.leaf("list", {
      summary: "Lists the models of the service.",
      examples: ["tinker model list qwen"],
      parameters: {
        filter: Args.text({ name: "TEXT" }).pipe(
          Args.withDescription("Lists those whose names have this in them, in capitals or not"),
          Args.optional
        )
      },
      load: () => import("../handlers/modelList.js").then(({ list }) => list)
    })
  ]
})
