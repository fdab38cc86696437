import type { ModelInfo } from "@effect-tinker/protocol/Tokenizers"

/** A repository of the Hub that has a tokenizer. */
export interface TokenizerId {
  readonly repository: string
  /** The commit that is read, where it must be one. */
  readonly revision?: string | undefined
}

/** Names of which the Hub has another repository that anyone may read. Source: the Python SDK 0.38.0. */
const substitutes: ReadonlyArray<readonly [RegExp, string]> = [
  [/^meta-llama\/Llama-3/, "thinkingmachineslabinc/meta-llama-3-instruct-tokenizer"]
]

/** Repositories whose tokenizers are code, and the commits that were looked at. Source: the Python SDK 0.38.0. */
const pinned: Readonly<Record<string, readonly [repository: string, revision: string]>> = {
  "moonshotai/Kimi-K2-Thinking": ["moonshotai/Kimi-K2-Thinking", "612681931a8c906ddb349f8ad0f582cb552189cd"],
  "moonshotai/Kimi-K2.5": ["moonshotai/Kimi-K2.5", "4d01dfe0332d63057c186e0b262165819efb6611"],
  "moonshotai/Kimi-K2.5-Text-Only": ["moonshotai/Kimi-K2.5", "4d01dfe0332d63057c186e0b262165819efb6611"],
  "moonshotai/Kimi-K2.6": ["moonshotai/Kimi-K2.6", "b5aabbfb20227ed42becbf5541dbffd213942c58"],
  "moonshotai/Kimi-K3": ["moonshotai/Kimi-K3", "f831ab66814297da540d832a5235f8e904f29d06"]
}

/** The id that the service names, without a suffix behind a colon; else one derived from the model's name. */
export const nameOf = (info: ModelInfo): string | undefined => {
  const told = info.modelData?.tokenizerId?.split(":")[0]
  if (told !== undefined && told !== "") return told
  const name = (info.modelData?.modelName ?? info.modelName)?.split(":")[0]
  if (name === undefined || name === "") return undefined
  const substitute = substitutes.find(([pattern]) => pattern.test(name))
  if (substitute !== undefined) return substitute[1]
  // A third part names a variant of the model, which has the tokenizer of the others.
  return /^[^/]+\/[^/]+\/[^/]+$/.test(name) ? name.split("/").slice(0, 2).join("/") : name
}

/** Where the Hub has the tokenizer of this name. */
export const repositoryOf = (name: string): TokenizerId => {
  const known = Object.hasOwn(pinned, name) ? pinned[name] : undefined
  return known === undefined ? { repository: name } : { repository: known[0], revision: known[1] }
}

/** Whether it is one that its makers give out in a Python package alone. */
export const isPrivate = (name: string): boolean => /^(?:TML|thinkingmachines)\//.test(name)

/** Whether the Hub could have a repository of this name. */
export const isRepository = (name: string): boolean =>
  /^[\w.-]+(?:\/[\w.-]+)?$/.test(name) && !name.split("/").some((part) => /^\.+$/.test(part))
