/** What SkyRL says against requests before it looks at anything else. */
import type { Answer } from "../../../Dialect.js"
import { detail, field, type Received } from "../foreignServer.js"

export const namePattern = /^[a-zA-Z0-9_-]{1,255}$/

export const required = (received: Received, name: string): Answer | undefined =>
  field(received.call.json, name) === undefined ? missing(received, name) : undefined

export const missing = ({ call }: Received, name: string): Answer =>
  invalid("missing", [name], "Field required", call.json)

export const badName = ({ call }: Received): Answer | undefined => {
  const name = field(call.json, "path")
  if (name === undefined || (typeof name === "string" && namePattern.test(name))) return undefined
  return typeof name === "string"
    ? invalid("string_pattern_mismatch", ["path"], "String should match pattern '^[a-zA-Z0-9_-]+$'", name)
    : invalid("string_type", ["path"], "Input should be a valid string", name)
}

export const badSamplingParams = (params: unknown): string | undefined => {
  const maxTokens = field(params, "max_tokens")
  if (maxTokens === undefined) return "max_tokens is currently required"
  if (Number(maxTokens) <= 0) return "max_tokens must be a positive number"
  const stop = field(params, "stop")
  const isMixed = Array.isArray(stop) && new Set(stop.map((item) => typeof item)).size > 1
  return isMixed ? "stop must be either all integers (token IDs) or all strings, not mixed" : undefined
}

export const invalid = (type: string, loc: ReadonlyArray<string>, msg: string, input: unknown): Answer =>
  detail(422, [{ type, loc: ["body", ...loc], msg, input }])
