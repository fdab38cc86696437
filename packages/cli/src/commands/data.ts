import * as CommandTree from "../CommandTree.js"
import * as ParsedOption from "../ParsedOption.js"
import * as Reading from "./reading.js"

const count = (name: string, description: string) =>
  ParsedOption.make(name, {
    description,
    kind: "integer",
    wanted: "a whole number, 1 or more",
    parse: (text) => /^[1-9][0-9]{0,14}$/.test(text) ? Number(text) : undefined
  })

/** The commands of training data. */
export const data = CommandTree.group("data", {
  summary: "Training data: what a file of conversations teaches.",
  commands: [
    CommandTree.leaf("check", {
      summary: "Says what each line teaches, and what is wrong with which lines.",
      details:
        "Reads the file as training does, and trains nothing. Exits with 1 where a line cannot be learned. Lines that say the same as an "
        + "earlier one are told, and are no fault.",
      examples: ["tinker data check data.jsonl", "tinker data check data.jsonl --base-model Qwen/Qwen3-8B --example 3"],
      parameters: {
        ...Reading.parameters,
        context: count("context", "The most tokens that a conversation may have. Default: what the model has room for"),
        example: count("example", "The line that is shown with what is learned of it. Default: the first")
      },
      load: () => import("../handlers/dataCheck.js").then(({ check }) => check)
    })
  ]
})
