/** What the environment says of a client. */
import { decimalIn } from "@effect-tinker/protocol/Checks"
import { InvalidInputError } from "@effect-tinker/protocol/TinkerError"
import * as Config from "effect/Config"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as LogLevel from "effect/LogLevel"
import * as Schema from "effect/Schema"
import type { Options, Parity } from "../TinkerConfig.js"
import * as Configs from "./effect/configs.js"

const optional = <A>(config: Config.Config<A>) => Config.withDefault(config, undefined)

const nonEmpty = (name: string) =>
  Config.map(optional(Config.string(name)), (value) => value?.trim() === "" ? undefined : value)

/** A number of seconds, more than zero. */
const seconds = (name: string): Config.Config<Duration.Duration | undefined> =>
  Configs.checked(nonEmpty(name), name, (value) => {
    if (value === undefined) return Either.right(undefined)
    const number = decimalIn(value)
    return number !== undefined && number > 0 && number < Infinity
      ? Either.right(Duration.seconds(number))
      : Either.left(
        `${JSON.stringify(value)} is no number of seconds, more than 0 and in decimal digits, such as 60 or 7.5.`
      )
  })

const secret = (name: string) =>
  Config.map(
    Config.all([nonEmpty(name), optional(Config.redacted(name))]),
    ([present, value]) => present === undefined ? undefined : value
  )

/** A JSON object of texts. */
const texts = (name: string): Config.Config<Readonly<Record<string, string>> | undefined> =>
  Configs.checked(nonEmpty(name), name, (value) => {
    if (value === undefined) return Either.right(undefined)
    const parsed = parseTexts(value)
    return Either.isRight(parsed)
      ? Either.right(parsed.right)
      // What it is may be secret.
      : Either.left(`${name} is no JSON object of texts, such as {"name":"value"}.`)
  })

const parseTexts = Schema.decodeUnknownEither(
  Schema.parseJson(Schema.Record({ key: Schema.String, value: Schema.String }))
)

/** Who has said no in the environment has said it to every client. Words: the Python SDK 0.38.0. */
export const telemetryWanted: Effect.Effect<boolean> = Effect.match(Config.string("TINKER_TELEMETRY"), {
  onFailure: () => true,
  onSuccess: (word) => word.trim() === "" || ["1", "true", "yes", "on"].includes(word.trim().toLowerCase())
})

/** The settings that the environment makes for every client, also where the other options are values. */
export const defaults: Effect.Effect<{
  readonly timeout: Duration.Duration | undefined
  readonly maxRetries: number | undefined
  readonly parity: Parity | undefined
}, InvalidInputError> = Effect.suspend(() =>
  Effect.mapError(
    Config.all({
      timeout: seconds("TINKER_TIMEOUT"),
      maxRetries: Configs.checked(nonEmpty("TINKER_MAX_RETRIES"), "TINKER_MAX_RETRIES", (value) =>
        value === undefined || /^\d+$/.test(value.trim())
          ? Either.right(value === undefined ? undefined : Number(value))
          : Either.left(`${JSON.stringify(value)} is no number of retries, such as 10.`)),
      parity: Configs.checked(nonEmpty("TINKER_PARITY"), "TINKER_PARITY", (word) => {
        if (word === undefined) {
          return Either.right(undefined)
        }
        const parity = parityWords.get(word.trim().toLowerCase())
        return parity === undefined
          ? Either.left(`${JSON.stringify(word)} is neither python nor beam.`)
          : Either.right(parity)
      })
    }),
    (error) =>
      new InvalidInputError({ operation: "TinkerConfig", ...Configs.issueOf(error) })
  )
)

const parityWords = new Map<string, Parity>([["python", "python"], ["beam", "beam"], ["elixir", "beam"]])

/** The options, each by its variable; `profiles` are the names of the kinds of servers. */
export const options = (profiles: ReadonlyArray<string>): Config.Config.Wrap<Options> => ({
  apiKey: secret("TINKER_API_KEY"),
  credentialCommand: nonEmpty("TINKER_CREDENTIAL_CMD"),
  baseUrl: nonEmpty("TINKER_BASE_URL"),
  headers: texts("TINKER_HEADERS"),
  query: texts("TINKER_QUERY"),
  tags: Config.map(nonEmpty("TINKER_TAGS"), (tags) => tags?.split(",")),
  projectId: nonEmpty("TINKER_PROJECT_ID"),
  serverProfile: Configs.checked(
    nonEmpty("TINKER_SERVER_PROFILE"),
    "TINKER_SERVER_PROFILE",
    (name) =>
      name === undefined || profiles.includes(name)
        ? Either.right(name as Options["serverProfile"])
        : Either.left(`${JSON.stringify(name)} is no kind of server. There are ${profiles.join(", ")}.`)
  ),
  cloudflareAccess: {
    clientId: nonEmpty("CLOUDFLARE_ACCESS_CLIENT_ID"),
    clientSecret: secret("CLOUDFLARE_ACCESS_CLIENT_SECRET")
  }
})

/** The level by `TINKER_LOG`, if it is set. */
export const logLevel: Config.Config<LogLevel.LogLevel | undefined> = Configs.checked(
  nonEmpty("TINKER_LOG"),
  "TINKER_LOG",
  (word) => {
    if (word === undefined) return Either.right(undefined)
    const level = logLevels.get(word.trim().toLowerCase())
    return level === undefined
      ? Either.left(`${JSON.stringify(word)} is no level. There are ${Array.from(logLevels.keys()).join(", ")}.`)
      : Either.right(level)
  }
)

const logLevels = new Map([
  ["trace", LogLevel.Trace],
  ["debug", LogLevel.Debug],
  ["info", LogLevel.Info],
  ["warning", LogLevel.Warning],
  ["warn", LogLevel.Warning],
  ["error", LogLevel.Error],
  ["none", LogLevel.None]
])
