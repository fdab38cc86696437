/** What else a line says beside its messages that changes what is to be learned, and is not honoured; nothing if it is. */
export const metadataIssue = (metadata: Readonly<Record<string, unknown>>): string | undefined => {
  for (const [key, value] of Object.entries(metadata)) {
    const advice = unhonoured.get(key)
    if (advice !== undefined && !isNothing(value)) return `has ${key}, which is not honoured. ${advice}`
  }
  return undefined
}

const isNothing = (value: unknown): boolean =>
  value === null || value === "" || value === "[]" || value === 1 || value === true
  || (Array.isArray(value) && value.length === 0)

const tools = "Plain text has no place for tools; leave it out, and the line if it needs them."

const weight = "Say which messages are learned in the messages themselves, or leave the line out."

const unhonoured: ReadonlyMap<string, string> = new Map([
  ["tools", tools],
  ["functions", tools],
  ["system", "Make it the first of the messages, of the role system."],
  ["weight", weight],
  ["trainable", weight],
  ["train", weight]
])
