/**
 * Compresses request bodies with zstd: by Node itself where it can, else by WebAssembly that comes with this package.
 */
import * as HttpRuntime from "effect-tinker/HttpRuntime"
import * as Layer from "effect/Layer"
import { compress } from "./internal/zstd.js"

/**
 * Provides zstd to the SDK, which compresses request bodies by it.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<HttpRuntime.Zstd> = Layer.succeed(HttpRuntime.Zstd, { compress })
