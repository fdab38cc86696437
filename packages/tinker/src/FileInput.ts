/**
 * Files that are sent along with a request.
 */
import { anyText, fitting, optional, optionsOf, text } from "@effect-tinker/protocol/Checks"
import { InvalidInputError } from "@effect-tinker/protocol/TinkerError"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { concatBytes } from "./internal/concatBytes.js"
import * as Given from "./internal/given.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface FileInput {
  readonly bytes: Uint8Array
  readonly name: string
  readonly contentType: string
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** What the server sees; by default the path's last part, or `upload`. */
  readonly name?: string | undefined
  /** Default `application/octet-stream`. */
  readonly contentType?: string | undefined
}

/**
 * @since 0.1.0
 * @category constructors
 */
export const fromBytes = (bytes: Uint8Array, options: Options = {}): FileInput => ({
  bytes,
  name: options?.name ?? "upload",
  contentType: options?.contentType || "application/octet-stream",
  // Nothing is thrown here: what is no option becomes a part of a file that there is not, which is refused where the file is sent.
  ...(checkOptions(options, "options").length === 0 ? {} : { options })
})

const checkOptions = optional(optionsOf({ name: optional(text), contentType: optional(anyText) }))

/**
 * The blob's own type counts, and the name of a `File`, unless the options say otherwise.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromBlob = (blob: Blob, options: Options = {}): Effect.Effect<FileInput> =>
  Given.around("FileInput.fromBlob", [blob, options], { blob: blobCheck, options: checkOptions }, () =>
    Effect.map(
      Effect.promise(() => blob.arrayBuffer()),
      (buffer) =>
        fromBytes(new Uint8Array(buffer), {
          name: options.name ?? ("name" in blob && typeof blob.name === "string" ? blob.name : undefined),
          contentType: options.contentType ?? blob.type
        })
    ))

const blobCheck = fitting((value) => value instanceof Blob, "pass a Blob")

/**
 * The whole stream, read into memory.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromStream = <E, R>(
  stream: Stream.Stream<Uint8Array, E, R>,
  options: Options = {}
): Effect.Effect<FileInput, E, R> =>
  Given.around(
    "FileInput.fromStream",
    [stream, options],
    { stream: Given.stream, options: checkOptions },
    () =>
      Effect.map(Stream.runCollect(stream), (parts) => fromBytes(concatBytes(Chunk.toReadonlyArray(parts)), options))
  )

/**
 * Fails with `InvalidInputError` when the file cannot be read.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromPath = (
  path: string,
  options: Options = {}
): Effect.Effect<FileInput, InvalidInputError, FileSystem.FileSystem | Path.Path> =>
  Given.around(
    "FileInput.fromPath",
    [path, options],
    { path: text, options: checkOptions },
    () =>
      Effect.gen(function*() {
        const fs = yield* FileSystem.FileSystem
        const bytes = yield* Effect.mapError(
          fs.readFile(path),
          ({ message }) =>
            new InvalidInputError({
              operation: "FileInput.fromPath",
              field: "path",
              description: `${JSON.stringify(path)} cannot be read: ${message}`
            })
        )
        const name = options.name ?? (yield* Path.Path).basename(path)
        return fromBytes(bytes, { name, contentType: options.contentType })
      })
  )
