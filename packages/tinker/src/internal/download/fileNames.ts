/**
 * The names that a server may give to files that are written here. A name must end up below the target, and be the same file on every
 * system, whatever the present one would allow.
 */

/** Says what is wrong with a name, in the light of those before it. */
export type Checker = (name: string, kind?: "file" | "directory") => string | undefined

/** A checker of all names together, as two may be one file. */
export const makeChecker = (): Checker => {
  const kinds = new Map<string, { readonly kind: "file" | "directory"; readonly name: string }>()
  return (name, kind = "file") => {
    const wrong = wrongWith(name)
    if (wrong !== undefined) return wrong
    const segments = name.split("/")
    for (let i = 1; i <= segments.length; i++) {
      const key = fold(segments.slice(0, i).join("/"))
      const wanted = i < segments.length ? "directory" : kind
      const taken = kinds.get(key)
      if (taken === undefined) kinds.set(key, { kind: wanted, name })
      else if (taken.kind === "file" || wanted === "file") return `it is the same as ${JSON.stringify(taken.name)}`
    }
    return undefined
  }
}

/** Some systems do not tell upper from lower case, or one way of writing an accent from another. */
const fold = (name: string): string => name.normalize("NFC").toLowerCase().normalize("NFC")

const wrongWith = (name: string): string | undefined => {
  if (name === "") return "it is empty"
  if (encoder.encode(name).length > mostPathBytes) return `it is longer than ${mostPathBytes} bytes`
  if (name.startsWith("/")) return "it is absolute"
  if (name.includes("\\")) return "it has a backslash"
  if (/^[A-Za-z]:/.test(name)) return "it begins with a drive"

  if (/[\u0000-\u001f\u007f]/.test(name)) return "it has a control character"
  if (/[<>:"|?*]/.test(name)) return "it has a character that not every system allows in names"
  for (const segment of name.split("/")) {
    if (segment === "") return "a part of it is empty"
    if (segment === "." || segment === "..") return `it has the part ${JSON.stringify(segment)}`
    if (encoder.encode(segment).length > mostSegmentBytes) {
      return `a part of it is longer than ${mostSegmentBytes} bytes`
    }
    if (/[. ]$/.test(segment)) return "a part of it ends with a dot or a space"
    if (reserved.test(segment)) return `${JSON.stringify(segment)} is the name of a device on some systems`
  }
  return undefined
}

const encoder = new TextEncoder()

/** What common file systems take. */
const mostSegmentBytes = 255
const mostPathBytes = 1024

/** Source: Microsoft, "Naming Files, Paths, and Namespaces". Whatever follows a dot makes no difference. */
const reserved = /^(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])\s*(\.|$)/i
