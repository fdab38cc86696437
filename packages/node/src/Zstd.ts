/**
 * Compresses request bodies with zstd: by Node itself where it can, else by WebAssembly that comes with this package.
 */
import * as TinkerHttpClient from "effect-tinker/TinkerHttpClient"
import * as Layer from "effect/Layer"
import { compress } from "./internal/zstd.js"

/**
 * Provides zstd to the SDK, which compresses request bodies by it.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<TinkerHttpClient.Zstd> = Layer.succeed(TinkerHttpClient.Zstd, { compress })
