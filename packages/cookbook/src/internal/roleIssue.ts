import { roles } from "../Message.js"

/** What is wrong with a role that is none of those known; nothing if it is one. */
export const roleIssue = (role: string): string | undefined => {
  if (roles.includes(role)) return undefined
  const meant = meantRole(role)
  const advice = meant === undefined ? `It is one of ${roles.join(", ")}.` : `Did you mean ${meant}?`
  return `has the role ${JSON.stringify(role.slice(0, 40))}, which is not known. ${advice}`
}

/** The roles as other formats name them; `human` and `gpt` are those of ShareGPT. */
const otherNames: ReadonlyMap<string, string> = new Map([
  ["human", "user"],
  ["prompter", "user"],
  ["customer", "user"],
  ["gpt", "assistant"],
  ["chatgpt", "assistant"],
  ["model", "assistant"],
  ["bot", "assistant"],
  ["ai", "assistant"],
  ["chatbot", "assistant"],
  ["function", "tool"],
  ["observation", "tool"]
])

const meantRole = (role: string): string | undefined => {
  const plain = role.trim().toLowerCase()
  return roles.includes(plain) ? plain : otherNames.get(plain)
}
