/**
 * Addresses of the web console, where people look at what programs did. They are made of ids alone; nothing is asked.
 *
 * The protocol names the console's host, but no page of it: the paths below name things as the API itself does. Pass a
 * `base` where they differ. What is no id, or no address as `base`, throws an `InvalidInputError`.
 */
import { argumentIssues, type Fields, id, must, optional, optionsOf } from "@effect-tinker/protocol/Checks"
import type { ModelId, SessionId } from "@effect-tinker/protocol/Identifiers"
import { invalidInput, InvalidInputError } from "@effect-tinker/protocol/TinkerError"
import * as TinkerPath from "@effect-tinker/protocol/TinkerPath"
import * as Either from "effect/Either"

/**
 * The console of the hosted service, whatever the address of its API. Source: the Python SDK 0.38.0.
 *
 * @since 0.1.0
 * @category config
 */
export const hosted = "https://tinker.thinkingmachines.ai"

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** Address of the console. Default: {@link hosted}. */
  readonly base?: string | undefined
}

/**
 * The list of all sessions.
 *
 * @since 0.1.0
 * @category utils
 */
export const sessions = (options?: Options): string =>
  checked("ConsoleUrl.sessions", [options], { options: optionsCheck }, () => url(options, ["sessions"]))

/**
 * A session, with its training runs and samplers.
 *
 * @since 0.1.0
 * @category utils
 */
export const session = (sessionId: SessionId, options?: Options): string =>
  checked(
    "ConsoleUrl.session",
    [sessionId, options],
    { sessionId: id, options: optionsCheck },
    () => url(options, ["sessions", sessionId])
  )

/**
 * A training run; its id is that of the model.
 *
 * @since 0.1.0
 * @category utils
 */
export const trainingRun = (modelId: ModelId, options?: Options): string =>
  checked(
    "ConsoleUrl.trainingRun",
    [modelId, options],
    { modelId: id, options: optionsCheck },
    () => url(options, ["training-runs", modelId])
  )

/**
 * A checkpoint, by its `tinker://` path. Left: `InvalidInputError` for what is no such path, or options that are none.
 *
 * @since 0.1.0
 * @category utils
 */
export const checkpoint = (path: string, options?: Options): Either.Either<string, InvalidInputError> =>
  Either.map(parsed("ConsoleUrl.checkpoint", path, options), (parsed) =>
    url(options, [
      "training-runs",
      parsed.trainingRunId,
      "checkpoints",
      ...TinkerPath.checkpointId(parsed).split("/")
    ]))

/**
 * The page where a person talks to a checkpoint that was saved for sampling. Left: `InvalidInputError` for any other path.
 *
 * @since 0.1.0
 * @category utils
 */
export const playground = (path: string, options?: Options): Either.Either<string, InvalidInputError> =>
  Either.flatMap(parsed("ConsoleUrl.playground", path, options), ({ checkpointType }) =>
    checkpointType === "sampler"
      ? Either.right(`${url(options, ["playground"])}?model=${encodeURIComponent(path)}`)
      : Either.left(
        new InvalidInputError({
          operation: "ConsoleUrl.playground",
          field: "path",
          description: `${JSON.stringify(path)} was not saved for sampling. Save with saveWeightsForSampler.`
        })
      ))

const parsed = (
  operation: string,
  path: string,
  options: Options | undefined
): Either.Either<TinkerPath.TinkerPath, InvalidInputError> => {
  const issues = argumentIssues([options], { options: optionsCheck })
  return issues.length === 0 ? TinkerPath.parse(path) : Either.left(invalidInput(operation, issues))
}

/** An address has no failure, and one of something else would lead astray. */
const checked = (operation: string, given: ReadonlyArray<unknown>, parameters: Fields, run: () => string): string => {
  const issues = argumentIssues(given, parameters)
  if (issues.length > 0) throw invalidInput(operation, issues)
  return run()
}

const address = must(
  (value) => typeof value === "string" && /^https?:\/\/[^/?#]/.test(value) && URL.canParse(value),
  "an address, as https://example.org"
)

const optionsCheck = optional(optionsOf({ base: optional(address) }))

const url = ({ base = hosted }: Options = {}, segments: ReadonlyArray<string>): string =>
  // Ids contain colons, which paths may.
  `${base.replace(/\/+$/, "")}/${
    segments.map((segment) => encodeURIComponent(segment).replaceAll("%3A", ":")).join("/")
  }`
