/**
 * A Tinker server as Layers: on a port, or in process as the `HttpClient` that a client of it uses.
 */
import type * as Engine from "@effect-tinker/engine/Engine"
import { DefaultBaseUrl } from "@effect-tinker/protocol/DefaultBaseUrl"
import type * as HttpApp from "@effect/platform/HttpApp"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientError from "@effect/platform/HttpClientError"
import type * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as HttpMiddleware from "@effect/platform/HttpMiddleware"
import * as HttpServer from "@effect/platform/HttpServer"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as Context from "effect/Context"
import * as DefaultServices from "effect/DefaultServices"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import { constTrue, identity } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as Tracer from "effect/Tracer"
import * as CheckpointStore from "./CheckpointStore.js"
import * as InProcess from "./internal/http/inProcess.js"
import { breakConnection } from "./internal/http/plannedFault.js"
import { inUrl } from "./internal/http/sender.js"
import * as TinkerProtocol from "./TinkerProtocol.js"

/**
 * Serves the protocol on an `HttpServer`, e.g. that of `@effect/platform-node`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  options?: TinkerProtocol.Options
): Layer.Layer<never, never, HttpServer.HttpServer | Engine.Engine | CheckpointStore.CheckpointStore> =>
  Layer.unwrapScoped(
    Effect.gen(function*() {
      // Forked before anything else, so that it closes last.
      const scope = yield* Scope.fork(yield* Scope.Scope, ExecutionStrategy.sequential)
      // Clients of a server that is started anew are there before it is ready: until then they wait.
      const ready = yield* Deferred.make<HttpApp.Default<TinkerProtocol.ConnectionDropped>>()
      let running: HttpApp.Default<TinkerProtocol.ConnectionDropped> = Effect.flatten(Deferred.await(ready))
      // A span of each request, with all its headers, costs much where nobody collects spans.
      const isTraced = (yield* Effect.tracer) !== Context.get(DefaultServices.liveServices, Tracer.Tracer)
      const serving = HttpServer.serve(
        // There is no answer for "no answer".
        Effect.catchTag(
          Effect.suspend(() => running),
          "ConnectionDropped",
          () =>
            Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => breakConnection(request, Effect.interrupt))
        )
      ).pipe(isTraced ? identity : HttpMiddleware.withTracerDisabledWhen(constTrue))
      const beginning = Layer.scopedDiscard(Effect.gen(function*() {
        const { address } = yield* HttpServer.HttpServer
        const own = address._tag === "TcpAddress" ? `http://${inUrl(address.hostname)}:${address.port}` : undefined
        const { app, stop } = yield* Scope.extend(TinkerProtocol.makeStoppable(options, own), scope)
        running = app
        yield* Deferred.succeed(ready, app)
        // Ends before the serving does: those who wait for results still get answers.
        if (options?.gracePeriod !== undefined) yield* Effect.addFinalizer(() => stop)
      }))
      return Layer.provideMerge(beginning, serving)
    })
  )

/**
 * An `HttpClient` that calls the protocol in process: no socket, no serialization beyond the protocol's own, time from the
 * `Clock` of the caller. Whatever the address of a request, it comes here; as the default address is one of this machine, a
 * client needs no key. Checkpoints are kept where the
 * `CheckpointStore` says.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerClientWithStore = (
  options?: TinkerProtocol.Options
): Layer.Layer<
  HttpClient.HttpClient | DefaultBaseUrl,
  never,
  Engine.Engine | CheckpointStore.CheckpointStore
> =>
  Layer.scoped(HttpClient.HttpClient, Effect.map(TinkerProtocol.make(options), (app) => clientOf(app))).pipe(
    Layer.merge(Layer.succeed(DefaultBaseUrl, "http://localhost"))
  )

/**
 * The same with checkpoints in memory: all that a test of a training program needs beside an engine.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerClient: Layer.Layer<HttpClient.HttpClient | DefaultBaseUrl, never, Engine.Engine> =
  layerClientWithStore().pipe(
    Layer.provide(CheckpointStore.layerMemory)
  )

const clientOf = (app: HttpApp.Default<TinkerProtocol.ConnectionDropped>): HttpClient.HttpClient =>
  HttpClient.make((request, url) =>
    Effect.flatMap(bodyOf(request), (body) =>
      Effect.scoped(app).pipe(
        Effect.provideService(HttpServerRequest.HttpServerRequest, InProcess.serverRequest(request, url, body)),
        Effect.mapBoth({
          onFailure: () => transportError(request, "the connection broke"),
          onSuccess: (response) => InProcess.clientResponse(request, response)
        })
      ))
  )

const bodyOf = (
  request: HttpClientRequest.HttpClientRequest
): Effect.Effect<Uint8Array, HttpClientError.RequestError> => {
  switch (request.body._tag) {
    case "Empty":
      return Effect.succeed(new Uint8Array(0))
    case "Uint8Array":
      return Effect.succeed(request.body.body)
    default:
      return transportError(request, `a body of the kind ${request.body._tag} cannot be sent in process`)
  }
}

const transportError = (request: HttpClientRequest.HttpClientRequest, description: string) =>
  new HttpClientError.RequestError({ request, reason: "Transport", description })
