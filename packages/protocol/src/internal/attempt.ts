import type * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as ParseResult from "effect/ParseResult"

/** What a function makes of a value, or the issue of a schema that the `Error` which it throws tells of. */
export const attempt = <A>(
  ast: ConstructorParameters<typeof ParseResult.Type>[0],
  input: unknown,
  f: () => A
): Effect.Effect<A, ParseResult.ParseIssue> =>
  Either.try({
    try: f,
    catch: (error) => new ParseResult.Type(ast, input, error instanceof Error ? error.message : String(error))
  })
