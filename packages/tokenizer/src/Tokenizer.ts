/**
 * Text to tokens and back, with the vocabulary of a model.
 */
import type { ModelInfo } from "@effect-tinker/protocol/Tokenizers"
import * as Tokenizers from "@effect-tinker/protocol/Tokenizers"
import type * as FileSystem from "@effect/platform/FileSystem"
import type * as Path from "@effect/platform/Path"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { fileIssue } from "./internal/fileIssue.js"
import { type Files, parsed } from "./internal/files.js"
import { findModel } from "./internal/findModel.js"
import { givingWay } from "./internal/givingWay.js"
import { madeOfKimi } from "./internal/madeOfKimi.js"
import { Refusal } from "./internal/part.js"
import { pipeline } from "./internal/pipeline.js"
import { readFolder } from "./internal/readFolder.js"
import { serviceOf } from "./internal/service.js"
import { StreamDecoder } from "./internal/streamDecoder.js"
import { decodeConfigFile, decodeTokenizerFile } from "./internal/tokenizerFile.js"
import { TokenizerError } from "./TokenizerError.js"

/**
 * The tokenizer of the model that a program works with.
 *
 * @since 0.1.0
 * @category tags
 */
export class Tokenizer extends Context.Tag("@effect-tinker/tokenizer/Tokenizer")<Tokenizer, Service>() {}

/**
 * What a tokenizer can do.
 *
 * @since 0.1.0
 * @category models
 */
export type Service = Tokenizers.Tokenizer

/**
 * A tokenizer from the contents of its files: `tokenizerJson` is the parsed `tokenizer.json`, `configJson` the parsed
 * `tokenizer_config.json`, if there is one. Fails with `Malformed` or `Unsupported`; `path` names the source in errors.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: {
  readonly tokenizerJson: unknown
  readonly configJson?: unknown
  readonly path?: string | undefined
}): Effect.Effect<Service, TokenizerError> => {
  const path = options.path ?? "tokenizer.json"
  return Effect.gen(function*() {
    const file = yield* decodeTokenizerFile(options.tokenizerJson).pipe(
      Effect.mapError((cause) =>
        new TokenizerError({
          reason: "Malformed",
          path,
          description: "is not a tokenizer.json: it needs a model and a list of added_tokens. Save it again with "
            + "save_pretrained of the Python library transformers.",
          cause
        })
      )
    )
    const issue = fileIssue(file)
    if (issue !== undefined) return yield* new TokenizerError({ ...issue, path })
    const config = yield* decodeConfigFile(options.configJson ?? {}).pipe(
      Effect.mapError((cause) =>
        new TokenizerError({
          reason: "Malformed",
          path: path.replace(/tokenizer\.json$/, "tokenizer_config.json"),
          description: "is not a tokenizer_config.json: it must be an object. Without the file the defaults hold.",
          cause
        })
      )
    )
    const read = yield* Effect.try({
      try: () => pipeline(file),
      catch: (cause) =>
        cause instanceof Refusal
          ? new TokenizerError({ reason: cause.reason, path, description: cause.description })
          : new TokenizerError({ reason: "Malformed", path, description: "cannot be read. Save it again.", cause })
    })
    return serviceOf(read, { ...config, bosToken: config.addBosToken === false ? undefined : config.bosToken })
  })
}

/**
 * The tokens of a text of any length, as `encode` gives them, with room for timers and other fibers every few milliseconds. One piece of
 * more than 100,000 letters that no pattern cuts takes longer at a time.
 *
 * @since 0.1.0
 * @category encoding
 */
export const encodeLong = (
  tokenizer: Service,
  text: string,
  options?: Tokenizers.EncodeOptions
): Effect.Effect<Int32Array> =>
  Effect.suspend(() =>
    tokenizer.encodeSteps === undefined
      ? Effect.succeed(tokenizer.encode(text, options))
      : givingWay(tokenizer.encodeSteps(text, options))
  )

/**
 * The text of tokens as they come. No piece ends in the middle of a character, and together they are what `decode` gives, unless a
 * decoder changes what was written before.
 *
 * @example
 * ```ts
 * import { Stream } from "effect"
 * import { Tokenizer } from "@effect-tinker/tokenizer"
 *
 * export const spoken = (tokenizer: Tokenizer.Service, tokens: Stream.Stream<ReadonlyArray<number>>) =>
 *   tokens.pipe(Tokenizer.decodeStream(tokenizer, { skipSpecialTokens: true }))
 * ```
 *
 * @since 0.1.0
 * @category decoding
 */
export const decodeStream =
  (tokenizer: Service, options?: Tokenizers.DecodeOptions) =>
  <E, R>(tokens: Stream.Stream<ArrayLike<number>, E, R>): Stream.Stream<string, E, R> =>
    Stream.suspend(() => {
      const decoder = new StreamDecoder(tokenizer, options)
      return tokens.pipe(
        Stream.map((some) => decoder.push(some)),
        Stream.concat(Stream.suspend(() => Stream.make(decoder.end()))),
        Stream.filter((text) => text !== "")
      )
    })

/**
 * The tokenizer of a Hugging Face folder: its `tokenizer.json` and, where there is one, its `tokenizer_config.json`.
 * Nothing is fetched.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerFolder = (
  folder: string
): Layer.Layer<Tokenizer, TokenizerError, FileSystem.FileSystem | Path.Path> =>
  Layer.effect(Tokenizer, Effect.flatMap(readFolder(folder), fromFiles))

/**
 * The tokenizer of a model as a Tinker server describes it, e.g. `training.info`. It is named by the tokenizer's id, else by
 * the model's name, and comes from {@link Overrides}, from a folder of that name, from the cache of the Hugging Face libraries, or, if
 * an `HttpClient` is provided, from their Hub, and is then kept in that cache. The Tinker server is not asked.
 *
 * What came from the Hub stays loaded, for all who ask with the same client; many who ask at once wait for one download.
 *
 * @since 0.1.0
 * @category constructors
 */
export const forModel = (
  info: ModelInfo
): Effect.Effect<Service, TokenizerError, FileSystem.FileSystem | Path.Path> =>
  Effect.flatMap(Overrides, (overrides) => findModel(info, overrides, fromFiles))

/**
 * What `training.tokenizer` and `sampling.tokenizer` need: tokenizers by {@link forModel}.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerTokenizers: Layer.Layer<Tokenizers.Tokenizers, never, FileSystem.FileSystem | Path.Path> = Layer
  .effect(
    Tokenizers.Tokenizers,
    Effect.map(
      Effect.context<FileSystem.FileSystem | Path.Path>(),
      (context) => ({ forModel: (info) => Effect.provide(forModel(info), context) })
    )
  )

/**
 * What loads the tokenizers of these names, in place of the Hub. The result is kept as long as the effect is.
 *
 * @example
 * ```ts
 * import { Effect } from "effect"
 * import { Tiktoken, Tokenizer } from "@effect-tinker/tokenizer"
 *
 * const own = Effect.provide(Tokenizer.Tokenizer, Tiktoken.layerFile("o200k_base.tiktoken", Tiktoken.o200kBase))
 *
 * export const tokenizer = Tokenizer.forModel({ modelName: "example/own" }).pipe(
 *   Effect.provideService(Tokenizer.Overrides, { "example/own": own })
 * )
 * ```
 *
 * @since 0.1.0
 * @category references
 */
export class Overrides extends Context.Reference<Overrides>()("@effect-tinker/tokenizer/Overrides", {
  defaultValue: (): Readonly<
    Record<string, Effect.Effect<Service, TokenizerError, FileSystem.FileSystem | Path.Path>>
  > => ({})
}) {}

/**
 * What is asked of a model to find its tokenizer.
 *
 * @since 0.1.0
 * @category models
 */
export type { ModelInfo }

/** A tokenizer of its files. */
const fromFiles = (files: Files): Effect.Effect<Service, TokenizerError> =>
  Effect.gen(function*() {
    const configJson = files.config === undefined ? undefined : yield* parsed(files.config, files.configPath)
    if (files.name === "tokenizer.json") {
      return yield* make({ path: files.path, tokenizerJson: yield* parsed(files.tokenizer, files.path), configJson })
    }
    return yield* madeOfKimi(files, configJson)
  })
