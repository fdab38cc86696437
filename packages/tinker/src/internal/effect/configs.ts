/** Settings whose texts are looked at when they are read, and what is said of those that are wrong. */
import * as Config from "effect/Config"
import * as ConfigError from "effect/ConfigError"
import * as Either from "effect/Either"

/** Makes of a setting what its text stands for; a `Left` says what is wrong with the variable of this name. */
export const checked = <A, B>(
  config: Config.Config<A>,
  name: string,
  check: (value: A) => Either.Either<B, string>
): Config.Config<B> =>
  Config.mapOrFail(
    config,
    (value) => Either.mapLeft(check(value), (description) => ConfigError.InvalidData([name], description))
  )

/** The first variable that is wrong, and what is wrong with it. */
export const issueOf = (
  error: ConfigError.ConfigError
): { readonly field: string; readonly description: string } => {
  switch (error._op) {
    case "And":
    case "Or":
      return issueOf(error.left)
    default:
      return { field: error.path.join("."), description: error.message }
  }
}
