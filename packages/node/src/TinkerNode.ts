/**
 * The HTTP client that the SDK uses on Node: undici, with connections of its own.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import type * as HttpClient from "@effect/platform/HttpClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Agent } from "undici"

/**
 * Long polls hold a connection each, so there are as many as requests in flight; idle ones close after a while.
 */
const acquireAgent = Effect.acquireRelease(
  Effect.sync(() => new Agent({ headersTimeout: 0, bodyTimeout: 0, connect: { timeout: 5000 } })),
  // Requests still open belong to fibers that ended with the same scope.
  (agent) => Effect.promise(() => agent.destroy())
)

/**
 * Provides the `HttpClient` that `Tinker.layer` needs. Closing its scope closes the connections.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<HttpClient.HttpClient> = NodeHttpClient.layerUndiciWithoutDispatcher.pipe(
  Layer.provide(Layer.scoped(NodeHttpClient.Dispatcher, acquireAgent))
)
