import * as Either from "effect/Either"
import type { MarkedIssue } from "./marks.js"

/**
 * What `read` makes of something when it leaves out no keys, or what is wrong with it; and then with all the keys that have to be
 * left out until nothing is wrong, or with none where that does not help.
 */
export const retryIgnoringKeys = <A>(
  read: (leftOut: ReadonlyArray<string>) => Either.Either<A, MarkedIssue>
): Either.Either<A, MarkedIssue> => {
  const first = read([])
  if (Either.isRight(first) || first.left.keys === undefined) return first
  const leftOut: Array<string> = []
  let next: Either.Either<A, MarkedIssue> = first
  while (Either.isLeft(next)) {
    const more = next.left.keys?.filter((key) => !leftOut.includes(key)) ?? []
    if (more.length === 0 || leftOut.length > mostKeys) {
      return Either.left({ ...first.left, keys: undefined, marks: first.left.marks ?? next.left.marks })
    }
    leftOut.push(...more)
    next = read(leftOut)
  }
  return Either.left({ ...first.left, keys: leftOut })
}

const mostKeys = 50
