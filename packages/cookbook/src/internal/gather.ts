import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Stream from "effect/Stream"
import { DatasetError, type Issue } from "../DatasetError.js"
import { makeKeptLines } from "./keptLines.js"
import { kindOf, mostKinds } from "./kindOf.js"
import type { MarkedIssue } from "./marks.js"

/** So many lines are told of one by one. */
const mostLines = 100

/** Takes each line that is right, until one is wrong, and looks at all: one error tells of everything that is wrong with them. */
export const gather = <A, E, R>(
  lines: Stream.Stream<Either.Either<A, MarkedIssue>, E, R>,
  take: (line: A) => void
): Effect.Effect<void, E | DatasetError, R> =>
  Effect.suspend(() => {
    const issues: Array<{ -readonly [K in keyof Issue]: Issue[K] }> = []
    const firsts = new Map<string, typeof issues[number]>()
    let totalLines = 0
    let wrongLines = 0
    const kept = makeKeptLines()
    let isMalformed = false
    const add = ({ marks, ...issue }: MarkedIssue): void => {
      wrongLines += 1
      if (marks !== undefined) kept.add(marks)
      isMalformed ||= issue.reason === "MalformedLine"
      const kind = kindOf(issue)
      const first = firsts.get(kind)
      if (first !== undefined) first.lines = (first.lines ?? 1) + 1
      const isNew = first === undefined && firsts.size < mostKinds
      if (wrongLines > mostLines && !isNew) return
      const told = { ...issue }
      issues.push(told)
      if (isNew) firsts.set(kind, told)
    }
    return Stream.runForEachChunk(lines, (chunk) =>
      Effect.sync(() => {
        for (const line of chunk) {
          totalLines += 1
          if (Either.isLeft(line)) add(line.left)
          else if (wrongLines === 0) take(line.right)
        }
      })).pipe(
        Effect.zipRight(Effect.suspend(() => {
          const [first, ...others] = issues
          return first === undefined
            ? Effect.void
            : new DatasetError({
              ...first,
              others,
              wrongLines,
              totalLines,
              advice: kept.advice(totalLines, isMalformed)
            })
        }))
      )
  })

/** What all lines are, or one error with everything that is wrong with them. */
export const gatherAll = <A, E, R>(
  lines: Stream.Stream<Either.Either<A, MarkedIssue>, E, R>
): Effect.Effect<ReadonlyArray<A>, E | DatasetError, R> =>
  Effect.suspend(() => {
    const all: Array<A> = []
    return Effect.as(gather(lines, (line) => all.push(line)), all)
  })
