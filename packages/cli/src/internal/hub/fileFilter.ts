/**
 * Patterns of files as the Hub's own client has them: `*` also goes over slashes, `?` is one character, `[ab]` and `[!ab]` one of some, and a
 * slash at the end means all that is under it.
 */
import * as Either from "effect/Either"

/** Makes a test of paths: one fits that is allowed, and not ignored. */
export const make = ({ allow, ignore }: {
  /** None: all. */
  readonly allow: ReadonlyArray<string>
  readonly ignore: ReadonlyArray<string>
}): (path: string) => boolean => {
  const allowed = allow.map(patternOf)
  const ignored = ignore.map(patternOf)
  return (path) =>
    (allowed.length === 0 || allowed.some((pattern) => pattern.test(path))) &&
    !ignored.some((pattern) => pattern.test(path))
}

const patternOf = (given: string): RegExp => {
  const glob = given.endsWith("/") ? `${given}*` : given
  let pattern = ""
  for (let at = 0; at < glob.length; at++) {
    const character = glob[at]!
    const set = character === "[" ? /^\[(!?)(\]?[^\]]*)\]/.exec(glob.slice(at)) : null
    if (character === "*") pattern += "[^]*"
    else if (character === "?") pattern += "[^]"
    else if (set !== null) {
      pattern += `[${set[1] === "!" ? "^" : ""}${set[2]!.replace(/[\\\]^[]/g, "\\$&")}]`
      at += set[0].length - 1
    } else pattern += character.replace(/[\\^$.|+(){}[\]/-]/g, "\\$&")
  }
  return Either.getOrElse(Either.try(() => new RegExp(`^${pattern}$`, "s")), () => nothing)
}

/** What a range that runs backwards fits. */
const nothing = /[]/
