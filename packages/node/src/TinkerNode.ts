/**
 * What Node adds to the SDK, as one Layer.
 */
import type * as HttpClient from "@effect/platform/HttpClient"
import type * as Layer from "effect/Layer"
import * as UndiciHttpClient from "./UndiciHttpClient.js"

/**
 * Provides the `HttpClient` that `Tinker.layer` needs. Closing its scope closes the connections.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<HttpClient.HttpClient> = UndiciHttpClient.layer
