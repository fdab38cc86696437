import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Stream from "effect/Stream"
import type { Chat } from "../ChatDataset.js"
import { DatasetError, type Issue } from "../DatasetError.js"
import type * as ChatLine from "./chatLine.js"

/** The most issues that are told: of a file whose lines are all wrong, so many say enough. */
export const mostIssues = 100

/** What `take` makes of each line, or one error with everything that is wrong with them. */
export const gather = <A, E, R>(
  lines: Stream.Stream<Either.Either<Chat, Issue>, E, R>,
  take: (chat: Chat) => Either.Either<A, ChatLine.Issue>
): Effect.Effect<ReadonlyArray<A>, E | DatasetError, R> =>
  Effect.suspend(() => {
    const taken: Array<A> = []
    const issues: Array<Issue> = []
    let totalLines = 0
    return lines.pipe(
      Stream.runForEachWhile((line) =>
        Effect.sync(() => {
          totalLines += 1
          const one = Either.flatMap(
            line,
            (chat) => Either.mapLeft(take(chat), (issue): Issue => ({ ...issue, file: chat.file, line: chat.line }))
          )
          if (Either.isLeft(one)) issues.push(one.left)
          else if (issues.length === 0) taken.push(one.right)
          return issues.length < mostIssues
        })
      ),
      Effect.zipRight(Effect.suspend(() =>
        issues.length === 0 ? Effect.succeed(taken) : new DatasetError({
          ...issues[0]!,
          others: issues.slice(1),
          totalLines: issues.length < mostIssues ? totalLines : undefined
        })
      ))
    )
  })
