import type * as ChatLine from "./chatLine.js"
import { plain } from "./plainKey.js"

/** What else a line says beside its messages that changes what is to be learned, and is not honoured; nothing if it is. */
export const metadataIssue = (
  metadata: Readonly<Record<string, unknown>>
): ChatLine.Issue | undefined => {
  for (const [key, value] of Object.entries(metadata)) {
    const advice = unhonoured.get(plain(key))
    if (advice === undefined || (asksForMore.has(plain(key)) ? value === false || value === 0 : isAsEver(value))) {
      continue
    }
    if (isNothing(value)) continue
    const isOther = ofOthers.get(plain(key))
    if (isOther?.(value) === true) continue
    return { reason: "Unsupported", description: `has ${key}, which is not honoured. ${advice}`, key }
  }
  return undefined
}

const isNothing = (value: unknown): boolean =>
  value === null || value === "" || value === "[]" || (Array.isArray(value) && value.length === 0)

/** Whether a weight, or a mark of what is learned, changes nothing. */
const isAsEver = (value: unknown): boolean => value === 1 || value === true

/** What these turn on is off without them; as {@link plain} writes them. */
const asksForMore: ReadonlySet<string> = new Set(["trainoninput", "trainoninputs", "trainonprompt"])

/**
 * What these are elsewhere is of no account here: many a classifier's data have classes under `label`, where only an answer to be
 * avoided is one of training, and a report has its numbers under `loss`.
 */
const ofOthers: ReadonlyMap<string, (value: unknown) => boolean> = new Map([
  ["label", (value) => value !== false],
  ["labels", (value) => !Array.isArray(value) || !value.includes(-100)],
  ["loss", (value) => value !== false]
])

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
    "train_on_output",
    "train_on_outputs",
    "train_on_completion",
    "train_on_completions",
    "train_on_response",
    "train_on_responses",
    "is_trainable",
    "should_train",
    "learn",
    "loss",
    "masks",
    "completion_mask",
    "response_mask",
    "assistant_mask",
    "assistant_masks",
    "label",
    "labels"
  ]],
  [context, ["context", "documents", "prefix", "suffix"]],
  [media, ["images", "image", "videos", "video", "audios", "audio"]],
  [reasoning, ["reasoning", "reasoning_content", "thinking", "enable_thinking", "reasoning_effort"]],
  [template, ["chat_template", "chat_template_kwargs", "response_format"]]
]

const unhonoured: ReadonlyMap<string, string> = new Map(
  adviceOfKeys.flatMap(([advice, keys]) => keys.map((key) => [plain(key), advice] as const))
)
