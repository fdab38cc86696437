/**
 * The page that the Hugging Face Hub shows of an adapter.
 */

/**
 * What is known of an adapter.
 *
 * @since 0.1.0
 * @category models
 */
export interface Adapter {
  readonly repo: string
  /** The branch it is on; none for the main one. */
  readonly revision: string | undefined
  readonly tinkerPath: string
  readonly baseModel: string | undefined
  readonly rank: number | undefined
  /** The parts of the model that were trained, where that is known. */
  readonly trained: ReadonlyArray<"attention" | "MLP" | "unembedding"> | undefined
}

/**
 * Writes the page: what the Hub reads of it in YAML, then what people do.
 *
 * @since 0.1.0
 * @category rendering
 */
export const text = ({ baseModel, rank, repo, revision, tinkerPath, trained }: Adapter): string => {
  const quoted = JSON.stringify
  // The Hub refuses a page that names what cannot be a model of its own.
  const linked = baseModel !== undefined && /^[\w.-]+(\/[\w.-]+)?$/.test(baseModel) ? baseModel : undefined
  const name = repo.split("/").at(-1)!
  const at = revision === undefined ? "" : `, revision=${quoted(revision)}`
  const facts = [
    `- Base model: ${baseModel === undefined ? "not known" : `\`${baseModel}\``}`,
    ...(rank === undefined ? [] : [`- LoRA rank: ${rank}`]),
    ...(trained === undefined ? [] : [`- Trained: ${trained.join(", ") || "nothing"}`])
  ]
  return [
    "---",
    ...(linked === undefined ? [] : [`base_model: ${quoted(linked)}`]),
    "library_name: peft",
    "tags:",
    "- tinker",
    "- peft",
    "- lora",
    ...(linked === undefined ? [] : [`- ${quoted(`base_model:adapter:${linked}`)}`]),
    `tinker_path: ${quoted(tinkerPath)}`,
    "---",
    "",
    `# ${name}`,
    "",
    "A LoRA adapter that was trained with Tinker, in the form of PEFT.",
    "",
    "```python",
    "from peft import PeftModel",
    "from transformers import AutoModelForCausalLM",
    "",
    `base = AutoModelForCausalLM.from_pretrained(${quoted(baseModel ?? "the base model")})`,
    `model = PeftModel.from_pretrained(base, ${quoted(repo)}${at})`,
    "```",
    "",
    "It was made of the checkpoint",
    "",
    "```",
    tinkerPath,
    "```",
    "",
    ...facts,
    ""
  ].join("\n")
}
