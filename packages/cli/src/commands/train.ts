import * as Args from "@effect/cli/Args"
import * as Options from "@effect/cli/Options"
import * as CommandTree from "../CommandTree.js"
import { flags } from "./trainFlags.js"

const { data: _, ...others } = flags

/** The command that trains. */
export const train = CommandTree.leaf("train", {
  summary: "Fine-tunes a language model on a file of conversations, and shows what it learned.",
  details:
    "At the service of TINKER_BASE_URL where that is set or --remote is given, else on this machine. Ctrl-C keeps what was "
    + "learned, and the same command with the same --out goes on.",
  examples: [
    "tinker train data.jsonl",
    "tinker train data.jsonl --remote --base-model Qwen/Qwen3-8B --rank 32 --out runs/mine"
  ],
  parameters: {
    file: Args.text({ name: "FILE" }).pipe(
      Args.withDescription("JSON lines of conversations to learn. Default: the data that ship"),
      Args.optional
    ),
    ...others,
    local: Options.boolean("local").pipe(
      Options.withDescription("Trains on this machine, whatever TINKER_BASE_URL says")
    )
  },
  load: () => import("../handlers/train.js").then(({ train }) => train)
})
