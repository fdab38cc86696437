/**
 * Text to tokens and back, with the vocabulary of a model.
 */
import type * as FileSystem from "@effect/platform/FileSystem"
import type * as Path from "@effect/platform/Path"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { fileIssue } from "./internal/fileIssue.js"
import { findModel, type ModelInfo } from "./internal/findModel.js"
import { givingWay } from "./internal/givingWay.js"
import { Refusal } from "./internal/part.js"
import { pipeline } from "./internal/pipeline.js"
import { readFolder } from "./internal/readFolder.js"
import { serviceOf } from "./internal/service.js"
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
export interface Service {
  /** The number of tokens: one more than the highest. A model's own table may be larger, padded with tokens that mean nothing. */
  readonly vocabularySize: number

  /** The token a sequence begins with, where the tokenizer names one and does not say that it is left out (`add_bos_token`). */
  readonly bosToken: number | undefined

  /** The token a text ends with, where the tokenizer names one. */
  readonly eosToken: number | undefined

  /**
   * The tokens of `text`, `[tokens] int32`, with nothing put before or after. The name of a special token in `text` is
   * plain text, so that no user's message can forge the end of a turn, unless `parseSpecialTokens` is set.
   */
  readonly encode: (
    text: string,
    options?: { readonly parseSpecialTokens?: boolean | undefined }
  ) => Int32Array

  /**
   * The same, stopping for a moment wherever it yields: what {@link encodeLong} runs. Without it that runs `encode` at one go.
   */
  readonly encodeSteps?:
    | ((
      text: string,
      options?: { readonly parseSpecialTokens?: boolean | undefined }
    ) => Generator<undefined, Int32Array, undefined>)
    | undefined

  /**
   * The text of `tokens`. Special tokens are written out unless `skipSpecialTokens` is set; tokens beyond the
   * vocabulary have no text; bytes that are no UTF-8 become U+FFFD.
   */
  readonly decode: (
    tokens: ArrayLike<number>,
    options?: { readonly skipSpecialTokens?: boolean | undefined }
  ) => string

  /** The token with exactly this name in the vocabulary, e.g. `<|endoftext|>`. */
  readonly tokenId: (name: string) => number | undefined
}

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
 * The tokens of a text of any length, as {@link Service.encode} gives them, with room for timers and other fibers every few milliseconds.
 *
 * @since 0.1.0
 * @category encoding
 */
export const encodeLong = (
  tokenizer: Service,
  text: string,
  options?: { readonly parseSpecialTokens?: boolean | undefined }
): Effect.Effect<Int32Array> =>
  Effect.suspend(() =>
    tokenizer.encodeSteps === undefined
      ? Effect.succeed(tokenizer.encode(text, options))
      : givingWay(tokenizer.encodeSteps(text, options))
  )

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
  Layer.effect(Tokenizer, Effect.flatMap(readFolder(folder), make))

/**
 * The tokenizer of a model as a Tinker server describes it, e.g. `training.info`. It is named by the tokenizer's id, else by
 * the model's name, and comes from a folder of that name, from the cache of the Hugging Face libraries, or, if an
 * `HttpClient` is provided, from their Hub. The Tinker server is not asked.
 *
 * @since 0.1.0
 * @category constructors
 */
export const forModel = (
  info: ModelInfo
): Effect.Effect<Service, TokenizerError, FileSystem.FileSystem | Path.Path> => Effect.flatMap(findModel(info), make)

/**
 * What is asked of a model to find its tokenizer.
 *
 * @since 0.1.0
 * @category models
 */
export type { ModelInfo }
