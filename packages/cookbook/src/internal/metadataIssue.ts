import type { DatasetError } from "../DatasetError.js"
import { plain } from "./plainKey.js"

/** What else a line says beside its messages that changes what is to be learned, and is not honoured; nothing if it is. */
export const metadataIssue = (
  metadata: Readonly<Record<string, unknown>>
): Pick<DatasetError, "reason" | "description" | "key"> | undefined => {
  for (const [key, value] of Object.entries(metadata)) {
    const advice = unhonoured.get(plain(key))
    if (advice === undefined || (asksForMore.has(plain(key)) ? value === false || value === 0 : isAsEver(value))) {
      continue
    }
    if (isNothing(value)) continue
    // Many a classifier's data have a class under this name; only that of an answer to be avoided is one of training.
    if (plain(key) === "label" && value !== false) continue
    return { reason: "Unsupported", description: `has ${key}, which is not honoured. ${advice}`, key }
  }
  return undefined
}

const isNothing = (value: unknown): boolean =>
  value === null || value === "" || value === "[]" || (Array.isArray(value) && value.length === 0)

/** Of a weight, or of whether something is learned. */
const isAsEver = (value: unknown): boolean => value === 1 || value === true

/** What these turn on is off without them; as {@link plain} writes them. */
const asksForMore: ReadonlySet<string> = new Set(["trainoninput", "trainoninputs", "trainonprompt"])

const tools = "Plain text has no place for tools; leave it out, and the line if it needs them."

const system = "Make it the first of the messages, of the role system."

const weight = "Say which messages are learned in the messages themselves, or leave the line out."

const context = "Write it into the message that it belongs to."

const media = "Only text can be learned; leave the line out if it needs it."

const reasoning = "Plain text has no place for reasoning beside the answer; write it into the answer, or leave it out."

const template = "Conversations are written as plain text; leave it out, and the line if it needs it."

const adviceOfKeys: ReadonlyArray<readonly [advice: string, keys: ReadonlyArray<string>]> = [
  [tools, ["tools", "functions", "tool_choice", "parallel_tool_calls", "function_call", "tool_calls"]],
  [system, [
    "system",
    "system_prompt",
    "system_message",
    "system_instruction",
    "systemInstruction",
    "developer",
    "instructions",
    "preamble"
  ]],
  [weight, [
    "weight",
    "weights",
    "loss_weight",
    "loss_weights",
    "sample_weight",
    "example_weight",
    "trainable",
    "train",
    "mask",
    "loss_mask",
    "train_on",
    "train_on_input",
    "train_on_inputs",
    "train_on_prompt",
    "label"
  ]],
  [context, ["context", "documents", "prefix", "suffix"]],
  [media, ["images", "image", "videos", "video", "audios", "audio"]],
  [reasoning, ["reasoning", "reasoning_content", "thinking", "enable_thinking", "reasoning_effort"]],
  [template, ["chat_template", "chat_template_kwargs", "response_format"]]
]

const unhonoured: ReadonlyMap<string, string> = new Map(
  adviceOfKeys.flatMap(([advice, keys]) => keys.map((key) => [plain(key), advice] as const))
)
