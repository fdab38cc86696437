import * as Options from "@effect/cli/Options"
import * as CommandTree from "../CommandTree.js"
import * as Asking from "./asking.js"

/** The command that talks with a model. */
export const chat = CommandTree.leaf("chat", {
  summary: "Talks with a model, in the terminal.",
  details:
    "Each line is a message; /help lists what else can be typed. Without a terminal each line of the standard input is a message. Ctrl-C "
    + "stops an answer, and leaves when none is awaited, as does Ctrl-D. Only the model's words go to the standard output.",
  examples: [
    "tinker chat",
    "tinker chat --local runs/mine --system \"You keep a lighthouse.\"",
    "tinker chat tinker://RUN_ID/weights/final --temperature 0"
  ],
  parameters: {
    ...Asking.ofModel,
    system: Options.text("system").pipe(
      Options.withPseudoName("text"),
      Options.withDescription("What the system says before the conversation"),
      Options.optional
    ),
    renderer: Asking.renderer,
    ...Asking.ofSampling(512)
  },
  load: () => import("../handlers/chat.js").then(({ chat }) => chat)
})
