import * as Options from "@effect/cli/Options"
import * as CommandTree from "../CommandTree.js"
import * as NumberOption from "../NumberOption.js"
import * as Asking from "./asking.js"

/** The command that samples. */
export const sample = CommandTree.leaf("sample", {
  summary: "Has a model go on with a text, or answer a conversation.",
  details:
    "A text is not written as a conversation: the model goes on with it as it stands. The answers are the only output; whole ones, as "
    + "the protocol gives no parts of them.",
  examples: [
    "tinker sample Qwen/Qwen3-8B --prompt \"Once upon a time\" --max-tokens 50",
    "tinker sample tinker://RUN_ID/weights/final --messages talk.json --jsonl --num-samples 4",
    "cat prompt.txt | tinker sample --local models/mine --prompt -"
  ],
  parameters: {
    ...Asking.ofModel,
    prompt: Options.text("prompt").pipe(
      Options.withPseudoName("text"),
      Options.withDescription("The text to go on with; - is the standard input"),
      Options.optional
    ),
    promptFile: Options.text("prompt-file").pipe(
      Options.withPseudoName("file"),
      Options.withDescription(
        "A file of it; - is the standard input. A JSON list of numbers, or {\"tokens\": [...]}, is token ids, and all else text"
      ),
      Options.optional
    ),
    messages: Options.text("messages").pipe(
      Options.withPseudoName("file"),
      Options.withDescription(
        "A conversation to answer instead, as JSON: [{\"role\", \"content\"}, ...], or {\"messages\": [...]}; - is the standard input"
      ),
      Options.optional
    ),
    system: Options.text("system").pipe(
      Options.withPseudoName("text"),
      Options.withDescription("With --messages: what the system says before it"),
      Options.optional
    ),
    renderer: Asking.renderer,
    ...Asking.ofSampling(256),
    stop: Options.text("stop").pipe(
      Options.withPseudoName("text"),
      Options.withDescription("Ends an answer, and is its end; again for each other"),
      Options.repeated
    ),
    numSamples: NumberOption.make("num-samples", {
      isInteger: true,
      bounds: [1, 1024],
      description: "How many answers",
      fallback: 1
    }),
    jsonl: Options.boolean("jsonl").pipe(Options.withDescription("Writes each answer as a line of JSON")),
    output: Options.text("output").pipe(
      Options.withPseudoName("file"),
      Options.withDescription("Writes the answers into a new file instead"),
      Options.optional
    ),
    force: Options.boolean("force").pipe(Options.withDescription("With --output: replaces a file that is there"))
  },
  short: { output: "o" },
  repeated: ["stop"],
  load: () => import("../handlers/sample.js").then(({ sample }) => sample)
})
