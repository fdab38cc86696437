import * as Predicate from "effect/Predicate"
import { backtracksExponentially } from "./exponentialBacktracking.js"
import type { TokenizerFile } from "./tokenizerFile.js"

/** What keeps a tokenizer file from being read at all. */
export interface FileIssue {
  readonly reason: "Malformed" | "Unsupported"
  readonly description: string
}

/** The first thing that is wrong, if anything is. */
export const fileIssue = (file: TokenizerFile): FileIssue | undefined =>
  idIssue(file) ?? modelIssue(file.model) ?? patternsIssue(file)

const malformed = (description: string): FileIssue => ({ reason: "Malformed", description })
const unsupported = (description: string): FileIssue => ({ reason: "Unsupported", description })

/** Tokens travel as 32-bit integers. */
const isId = (id: unknown): boolean => Number.isInteger(id) && (id as number) >= 0 && (id as number) < 2 ** 31

const idIssue = (file: TokenizerFile): FileIssue | undefined => {
  const wrong = (name: string, id: unknown) =>
    malformed(
      `gives the token ${JSON.stringify(name)} the id ${String(id)}; ids are whole numbers from 0 on. Save it again.`
    )
  for (const { content, id } of file.added_tokens) if (!isId(id)) return wrong(content, id)
  const { vocab } = file.model
  // A list has its ids by its order.
  if (Array.isArray(vocab)) {
    const at = vocab.findIndex((entry) =>
      !Array.isArray(entry) || typeof entry[0] !== "string" || !Number.isFinite(entry[1])
    )
    return at < 0
      ? undefined
      : malformed(`has an entry ${at} in model.vocab that is no token with its score. Save it again.`)
  }
  if (!Predicate.isReadonlyRecord(vocab)) return malformed("has no model.vocab. Save it again.")
  for (const name in vocab) if (!isId(vocab[name])) return wrong(name, vocab[name])
  return undefined
}

const models = ["BPE", "WordPiece", "Unigram"]

const modelIssue = (model: TokenizerFile["model"]): FileIssue | undefined => {
  const { type } = model
  // Older files name none, but have what belongs to one alone.
  const isKnown = type === undefined || type === null
    ? Array.isArray(model["merges"]) || Array.isArray(model["vocab"]) || "max_input_chars_per_word" in model
    : models.includes(String(type))
  if (!isKnown) {
    return unsupported(
      `has a model of the type ${JSON.stringify(type) ?? "none"}, which is not implemented here. ${
        models.join(", ")
      } are.`
    )
  }
  return undefined
}

const patternsIssue = (file: TokenizerFile): FileIssue | undefined => {
  for (const name of ["normalizer", "pre_tokenizer", "decoder"] as const) {
    for (const part of partsIn(file[name])) {
      const issue = patternIssue(name, part)
      if (issue !== undefined) return issue
    }
  }
  return undefined
}

const patternIssue = (name: string, part: Readonly<Record<string, unknown>>): FileIssue | undefined => {
  const { pattern } = part
  if (!Predicate.hasProperty(pattern, "Regex") || typeof pattern.Regex !== "string") return undefined
  return backtracksExponentially(pattern.Regex)
    ? unsupported(
      `has a pattern in its ${name} that can take time without end, as a part that it repeats can read one text in two ways.`
    )
    : undefined
}

/** A part, and all in it. */
function* partsIn(part: unknown): Generator<Readonly<Record<string, unknown>>> {
  const left: Array<unknown> = [part]
  while (left.length > 0) {
    const one = left.pop()
    if (typeof one !== "object" || one === null) continue
    if (Predicate.isReadonlyRecord(one) && typeof one["type"] === "string") yield one
    for (const inner of Object.values(one)) left.push(inner)
  }
}
