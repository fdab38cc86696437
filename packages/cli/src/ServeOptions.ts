/**
 * What the server is told in files: who may use it, and settings beyond the command line.
 */
import type * as LlamaEngine from "@effect-tinker/llama/LlamaEngine"
import * as TinkerProtocol from "@effect-tinker/server/TinkerProtocol"
import type * as PlatformError from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as ParseResult from "effect/ParseResult"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as Net from "node:net"
import * as PlatformErrors from "./internal/effect/platformErrors.js"
import * as JsonFile from "./JsonFile.js"
import * as Stopping from "./Stopping.js"
import { UsageError } from "./UsageError.js"

/**
 * Keys of a text with one a line. What follows a `#` is the key's name; lines that begin with it are comments.
 *
 * @since 0.1.0
 * @category constructors
 */
export const parseKeys = (text: string): ReadonlyArray<TinkerProtocol.ApiKey> =>
  text.split(/\r?\n/).flatMap((line) => {
    const [key = "", ...rest] = line.split("#")
    const name = rest.join("#").trim()
    return key.trim() === "" ? [] : [{ key: key.trim(), name: name === "" ? undefined : name }]
  })

/**
 * Keys of a file. Fails when it has none, as a server without keys is open to everybody.
 *
 * @since 0.1.0
 * @category constructors
 */
export const readKeys = (
  file: string
): Effect.Effect<ReadonlyArray<TinkerProtocol.ApiKey>, UsageError, FileSystem.FileSystem> =>
  Effect.gen(function*() {
    const keys = parseKeys(yield* read("--key-file", file))
    if (keys.length === 0) {
      return yield* new UsageError({
        description: `--key-file ${file} has no key. Write one a line, or leave the option out to ask for none.`
      })
    }
    const broken = keys.findIndex(({ key }) => !/^[\x21-\x7e]+$/.test(key))
    if (broken >= 0) {
      return yield* new UsageError({
        description: `--key-file ${file}: key ${broken + 1} has a blank or a letter that headers cannot carry. `
          + "Write one key a line, of plain letters, digits and signs."
      })
    }
    const again = keys.findIndex(({ key }, i) => keys.findIndex((other) => other.key === key) < i)
    if (again >= 0) {
      return yield* new UsageError({
        description: `--key-file ${file}: key ${
          again + 1
        } is there before. Write each key once, with the one name that it has.`
      })
    }
    return keys
  })

const Count = Schema.Int.pipe(Schema.positive())

const Price = Schema.NonNegative.pipe(Schema.finite())

/**
 * @since 0.1.0
 * @category schemas
 */
export const Settings = Schema.parseJson(Schema.Struct({
  /** Settings for clients, under their names on the wire. */
  client_config: Schema.optional(Schema.Record({ key: Schema.String, value: Schema.Unknown })),
  /** The same for those that clients ask for again and again. */
  dynamic_config: Schema.optional(Schema.Record({ key: Schema.String, value: Schema.Unknown })),
  /** Clients exchange their key for a token of this lifetime; each asks anew a minute before the end. */
  token_lifetime_seconds: Schema.optional(Schema.Int.pipe(Schema.greaterThanOrEqualTo(120))),
  /** US dollars: tokens by base model, a million of each kind; and a gigabyte stored for a month. */
  prices: Schema.optional(Schema.Struct({
    tokens: Schema.optional(Schema.Record({
      key: Schema.String,
      value: Schema.Struct({ training: Price, prefill: Price, sampled: Price })
    })),
    gigabyte_month: Schema.optional(Price)
  })),
  /** Sessions without a heartbeat for so long end. */
  session_timeout_seconds: Schema.optional(Schema.Positive.pipe(Schema.finite())),
  /** Sessions at a time. */
  max_sessions: Schema.optional(Count),
  /** Whether training goes on after the server was killed, where it has a folder. */
  keep_live_models: Schema.optional(Schema.Boolean),
  /** Largest body of a request. */
  max_body_bytes: Schema.optional(Count),
  /** The kind of log-probabilities that samples have. */
  sample_logprobs: Schema.optional(Schema.Literal("raw", "processed")),
  /** Samples that are computed at a time. */
  max_concurrent_samples: Schema.optional(Count),
  /** Models that are trained at a time. */
  max_models: Schema.optional(Count),
  /** The most bytes of the requests that wait or run. */
  max_waiting_bytes: Schema.optional(Count),
  /** The settings of each base model's process: threads of one computation, bytes in all, and how far it stands back for others. */
  engine: Schema.optional(Schema.Struct({
    threads: Schema.optional(Count),
    max_memory_bytes: Schema.optional(Count),
    niceness: Schema.optional(Schema.Int.pipe(Schema.between(0, 19)))
  }))
}))

/**
 * Settings beyond those of the protocol.
 *
 * @since 0.1.0
 * @category models
 */
export interface LocalOptions {
  /** Whether a server with a folder keeps models that are trained. Default true. */
  readonly keepLiveModels?: boolean | undefined
  readonly engine?: LlamaEngine.Options | undefined
}

/**
 * What a server has found of an earlier one, in a line; nothing when that is nothing.
 *
 * @since 0.1.0
 * @category utils
 */
export const restoredLine = (restored: TinkerProtocol.Restored): string | undefined => {
  const { liveModels, lostModels, requests, results, samplers, sessions } = restored
  const parts = [
    count(sessions, "session"),
    count(liveModels, "live model"),
    count(samplers, "sampler"),
    count(results, "result"),
    requests === 0 ? undefined : `${count(requests, "request")} to be done`,
    lostModels === 0 ? undefined : `${count(lostModels, "model")} lost, to be gone on with from a checkpoint`
  ].filter((part) => part !== undefined)
  return parts.length === 0 ? undefined : `goes on with ${parts.join(", ")}`
}

/**
 * The variables with which Python programs find a server. Tinker's own client there wants a key of its kind also where none is asked
 * for; those of a file are never shown.
 *
 * @since 0.1.0
 * @category utils
 */
export const pythonLine = (url: string, asksForKeys: boolean): string =>
  `Python programs find models and their tokenizers here with TINKER_BASE_URL=${url} HF_ENDPOINT=${url} TINKER_API_KEY=${
    asksForKeys ? "KEY, one of --key-file that begins with tml-" : "tml-local"
  }`

/**
 * What the server says when it is told to stop, and when it is told again, and ends at once: what becomes of what it has accepted.
 *
 * @since 0.1.0
 * @category utils
 */
export const stoppingWords = ({ data, gracePeriod, keepLiveModels = true }: {
  /** The folder of `--data`. */
  readonly data: string | undefined
  readonly gracePeriod: Duration.Duration
  readonly keepLiveModels?: boolean | undefined
}): { readonly first: string; readonly second: string } => {
  const finishes = `what runs is given ${Duration.format(gracePeriod)} to finish`
  if (data === undefined) {
    return {
      first: Stopping.announcement(`${finishes}; nothing is kept, as there is no --data`),
      second: "Stopped at once. Nothing is kept, as there is no --data: requests, models and checkpoints are lost."
    }
  }
  const first = Stopping.announcement(`${finishes}, and every trained model is saved`)
  const stopped = "Stopped at once, maybe before every trained model was saved as a checkpoint."
  const lost = keepLiveModels
    ? "What training has accepted is not lost: the same command does it, and trains on from the last finished request. Samples that "
      + "were not done are lost, and clients ask for them again."
    : "As keep_live_models is false, requests that were not done are lost, and what models have learned since their last checkpoint. "
      + "What else is written down the same command goes on with."
  return { first, second: `${stopped} ${lost} Kept in: ${data}` }
}

/**
 * What a server without a folder says at its start.
 *
 * @since 0.1.0
 * @category utils
 */
export const inMemoryLine =
  "Models and checkpoints are kept in memory alone, and are gone when this server ends; --data FOLDER keeps them."

const count = (number: number, what: string): string | undefined =>
  number === 0 ? undefined : `${number} ${what}${number === 1 ? "" : "s"}`

/**
 * Settings of a JSON file, with names as on the wire. A name that there is not is an error.
 *
 * @since 0.1.0
 * @category constructors
 */
export const readSettings = (
  file: string
): Effect.Effect<TinkerProtocol.Options & LocalOptions, UsageError, FileSystem.FileSystem> =>
  Effect.gen(function*() {
    const text = yield* read("--settings", file)
    const wrong = JsonFile.issueOf(text)
    if (wrong !== undefined) {
      return yield* new UsageError({ description: `--settings ${file} is no JSON to go by: ${wrong}` })
    }
    const settings = yield* Effect.mapError(
      Schema.decodeUnknown(Settings, { onExcessProperty: "error" })(text),
      (error) => {
        const [issue] = ParseResult.ArrayFormatter.formatErrorSync(error)
        const place = issue === undefined || issue.path.length === 0 ? "" : ` ${issue.path.join(".")}:`
        return new UsageError({
          description: `--settings ${file}:${place} ${issue?.message ?? error.message}`,
          cause: error
        })
      }
    )
    const timeout = settings.session_timeout_seconds
    const lifetime = settings.token_lifetime_seconds
    const jwt = lifetime === undefined ? undefined : { lifetime: lifetime * 1000 }
    const { client_config: clientConfig, dynamic_config: dynamicConfig } = settings
    const [issue] = TinkerProtocol.settingIssues({ clientConfig, dynamicConfig, jwt })
    if (issue !== undefined) {
      const setting = issue.setting.replace("Config", "_config")
      return yield* new UsageError({ description: `--settings ${file}: ${setting} ${issue.description}` })
    }
    return {
      jwt,
      clientConfig,
      dynamicConfig,
      prices: settings.prices && { tokens: settings.prices.tokens, gigabyteMonth: settings.prices.gigabyte_month },
      sessionTimeout: timeout === undefined ? undefined : timeout * 1000,
      maxSessions: settings.max_sessions,
      maxBodyBytes: settings.max_body_bytes,
      keepLiveModels: settings.keep_live_models,
      sampleLogprobs: settings.sample_logprobs,
      maxConcurrentSamples: settings.max_concurrent_samples,
      maxModels: settings.max_models,
      maxWaitingBytes: settings.max_waiting_bytes,
      engine: settings.engine && {
        threads: settings.engine.threads,
        maxMemoryBytes: settings.engine.max_memory_bytes,
        niceness: settings.engine.niceness
      }
    }
  })

/**
 * A base model of the command line: a folder, or the name by which clients ask for it and the folder, with = between them.
 *
 * @since 0.1.0
 * @category constructors
 */
export const parseModel = (text: string): Effect.Effect<string | LlamaEngine.NamedFolder, UsageError> => {
  const [name = "", ...rest] = text.split("=")
  const folder = rest.join("=")
  if (rest.length === 0) return Effect.succeed(text)
  if (!modelName.test(name)) {
    return new UsageError({
      description: `--model ${text}: ${JSON.stringify(name)} is no name of a model. Give NAME=FOLDER with a name as `
        + "Qwen/Qwen3-8B, also for a folder that has a = in its path."
    })
  }
  return folder === ""
    ? new UsageError({ description: `--model ${text} names no folder. Give NAME=FOLDER.` })
    : Effect.succeed({ name, folder })
}

/** Up to three parts, as of the hosted service, and a variant. */
const modelName = /^[A-Za-z0-9][\w.-]*(\/[A-Za-z0-9][\w.-]*){0,2}(:[\w.-]+)?$/

/**
 * Base models of the command line. Fails for two of one name.
 *
 * @since 0.1.0
 * @category constructors
 */
export const parseModels = (
  texts: ReadonlyArray<string>
): Effect.Effect<ReadonlyArray<string | LlamaEngine.NamedFolder>, UsageError> =>
  Effect.flatMap(Effect.forEach(texts, parseModel), (models) => {
    const names = models.flatMap((model) => typeof model === "string" ? [] : [model.name])
    const twice = names.find((name, i) => names.indexOf(name) < i)
    return twice === undefined
      ? Effect.succeed(models)
      : new UsageError({ description: `--model ${twice} was given twice. Give each folder a name of its own.` })
  })

/**
 * Whether only programs of this machine can reach the address.
 *
 * @since 0.1.0
 * @category guards
 */
export const isLoopback = (host: string): boolean =>
  host === "localhost" || host === "::1" || /^127(\.\d{1,3}){3}$/.test(host)

/**
 * Fails for an address that others can reach, unless there are keys.
 *
 * @since 0.1.0
 * @category utils
 */
export const checkExposure = (host: string, hasKeys: boolean): Effect.Effect<void, UsageError> =>
  hasKeys || isLoopback(host)
    ? Effect.void
    : new UsageError({
      description: `on ${host}, whoever can reach this machine could train, sample and delete without a key. `
        + "Give --key-file FILE with one key a line, or listen on this machine alone with --host 127.0.0.1."
    })

/**
 * Fails for an address that cannot be listened on, before anything that takes long is done for it.
 *
 * @since 0.1.0
 * @category utils
 */
export const checkAddress = (host: string, port: number): Effect.Effect<void, UsageError> =>
  Effect.async((resume) => {
    // Whoever calls meanwhile is not kept waiting for the server that comes.
    const server = Net.createServer((socket) => socket.destroy())
    server.once("error", (cause) => resume(unheard(host, port, cause)))
    server.listen({ host, port }, () => server.close(() => resume(Effect.void)))
  })

/**
 * Why an address cannot be listened on, and what to do.
 *
 * @since 0.1.0
 * @category errors
 */
export const unheard = (host: string, port: number, cause: unknown): UsageError => {
  const code = Predicate.hasProperty(cause, "code") ? cause.code : undefined
  const why = code === "EADDRINUSE"
    ? "another program, maybe another server, listens there. Stop it, or choose another port with --port."
    : code === "EACCES"
    ? "this user may not listen there. Choose a port from 1024 on with --port."
    : code === "EADDRNOTAVAIL" || code === "ENOTFOUND" || code === "EAI_AGAIN"
    ? "that is no address of this machine. Give another with --host, as 127.0.0.1."
    : `${cause instanceof Error ? cause.message : String(cause)}. Choose another with --host and --port.`
  return new UsageError({ description: `cannot listen on ${host}:${port}: ${why}`, cause })
}

/**
 * The address by which clients reach the server. Fails for one that is no address of a server as a whole.
 *
 * @since 0.1.0
 * @category utils
 */
export const checkPublicUrl = (text: string): Effect.Effect<string, UsageError> => {
  const url = URL.canParse(text) ? new URL(text) : undefined
  return url !== undefined && /^https?:$/.test(url.protocol) && url.pathname === "/" && url.search === "" &&
      url.hash === ""
    ? Effect.succeed(url.origin)
    : new UsageError({
      description:
        `--public-url ${text} is no address of a server. Give scheme, host and port alone, as https://tinker.example.org.`
    })
}

/** The text of a file, without the mark that some editors put at the beginning. */
const read = (option: string, file: string): Effect.Effect<string, UsageError, FileSystem.FileSystem> =>
  Effect.flatMap(FileSystem.FileSystem, (fs) =>
    Effect.mapBoth(fs.readFileString(file), {
      onSuccess: (text) => text.replace(/^\uFEFF/, ""),
      onFailure: (cause: PlatformError.PlatformError) =>
        new UsageError({ description: `${option} ${file} cannot be read: ${whyUnreadable(cause)}`, cause })
    }))

const whyUnreadable = (error: PlatformError.PlatformError): string => {
  switch (PlatformErrors.kindOf(error)) {
    case "NotFound":
      return "there is no such file."
    case "PermissionDenied":
      return "this user may not read it. Change its permissions."
    case "BadResource":
      return "it is a folder. Give a file."
    default:
      return error.message
  }
}
