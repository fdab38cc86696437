/**
 * The Tinker protocol over HTTP: sessions, models, training, sampling and checkpoints, in JSON and protobuf, as the public
 * Python SDK 0.38.0 speaks it. What computes is an `Engine`.
 *
 * An error has a JSON body `{"detail": …}`. What cannot ever succeed is never answered with 408, 429 or 5xx, which
 * clients repeat for minutes, and with 409, which the Python SDK repeats too, only where a checkpoint is to become public that is
 * so already, or the reverse. A request whose data are wrong, or that would save under a name that is taken, is accepted, and
 * fails later with category `user`, so that the numbers of a model's requests have no gaps.
 */
import type { Engine } from "@effect-tinker/engine/Engine"
import type * as HttpApp from "@effect/platform/HttpApp"
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import type * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import { identity } from "effect/Function"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import type { CheckpointStore } from "./CheckpointStore.js"
import type * as Dialect from "./Dialect.js"
import * as Faults from "./Faults.js"
import { type Found, withDialect } from "./internal/dialects/dialectMessage.js"
import { after } from "./internal/fast/after.js"
import * as Authentication from "./internal/http/authentication.js"
import * as Body from "./internal/http/body.js"
import * as ClientSettings from "./internal/http/clientSettings.js"
import * as Http from "./internal/http/http.js"
import * as OpenApi from "./internal/http/openApi.js"
import * as OriginCheck from "./internal/http/originCheck.js"
import * as PlannedFault from "./internal/http/plannedFault.js"
import { ConnectionDropped } from "./internal/http/plannedFault.js"
import * as Routes from "./internal/http/routes.js"
import * as Sender from "./internal/http/sender.js"
import { brief } from "./internal/http/wording.js"
import * as ServerState from "./internal/models/serverState.js"
import * as Stopping from "./internal/models/stopping.js"
import * as Restoration from "./internal/records/restoration.js"
import * as AccountRoutes from "./internal/resources/accountRoutes.js"
import * as Audit from "./internal/resources/audit.js"
import * as CheckpointRoutes from "./internal/resources/checkpointRoutes.js"
import * as DownloadRoutes from "./internal/resources/downloadRoutes.js"
import * as FutureRoutes from "./internal/resources/futureRoutes.js"
import * as HubRoutes from "./internal/resources/hubRoutes.js"
import * as MetricRoutes from "./internal/resources/metricRoutes.js"
import * as Metrics from "./internal/resources/metrics.js"
import * as ModelRoutes from "./internal/resources/modelRoutes.js"
import * as SamplingRoutes from "./internal/resources/samplingRoutes.js"
import * as SessionListRoutes from "./internal/resources/sessionListRoutes.js"
import * as SessionRoutes from "./internal/resources/sessionRoutes.js"
import * as TrainingRunRoutes from "./internal/resources/trainingRunRoutes.js"
import * as Users from "./internal/resources/users.js"
import * as WeightsRoutes from "./internal/resources/weightsRoutes.js"

/**
 * @since 0.1.0
 * @category config
 */
export interface Options {
  /**
   * Keys that clients may have. What was made with one belongs to its user; keys of the same name are one user's, and one
   * without a name is somebody's own, by its place in the list. Without this option every client is welcome, with or
   * without a key, and everything is everybody's.
   */
  readonly apiKeys?: ReadonlyArray<string | ApiKey> | undefined
  /**
   * Names, with or without a port, by which clients may call a server without keys beside those of its own machine, and whose pages
   * may; `*` for any. Without this option such a server refuses the requests that web pages of others can make a browser send.
   */
  readonly allowedHosts?: ReadonlyArray<string> | undefined
  /**
   * The address by which clients reach the server, as `https://tinker.example.org`, for the addresses in its answers. Default: that
   * of the connection.
   */
  readonly publicUrl?: string | undefined
  /**
   * Clients exchange their key for a token, a JWT with a lifetime in whole seconds, and show that instead. Without this
   * option they show the key itself.
   */
  readonly jwt?: { readonly lifetime: Duration.DurationInput } | undefined
  /**
   * Settings for clients, under their names on the wire, over those that the server sends anyway; e.g.
   * `{ fwdbwd_max_chunk_len: 2 }`.
   */
  readonly clientConfig?: Readonly<Record<string, unknown>> | undefined
  /**
   * Settings that clients ask for again and again, likewise; e.g. `{ refresh_interval_sec: 10 }`. A test changes them
   * by `Faults.setDynamicConfig`.
   */
  readonly dynamicConfig?: Readonly<Record<string, unknown>> | undefined
  /** What the usage that it tells about costs. Default: it tells of no costs. */
  readonly prices?: PriceList | undefined
  /**
   * Sessions without a heartbeat, or any other request, for so long end, and their models are unloaded. Default one day; without end
   * for `Duration.infinity`.
   */
  readonly sessionTimeout?: Duration.DurationInput | undefined
  /**
   * Sessions at a time. Beyond that the empty one that was unused for longest ends for a new one, which is answered with 429 where all
   * are in use. As many that have ended are remembered. Default 10,000.
   */
  readonly maxSessions?: number | undefined
  /** Largest body of a request in bytes, as it comes and when it is decompressed. Default 256 MiB. */
  readonly maxBodyBytes?: number | undefined
  /**
   * Which log-probabilities samples have: `raw`, the default, those at temperature 1 over the whole vocabulary, which a trainer
   * computes too; or `processed`, those of the distribution that was drawn from. Those of prompts are always raw.
   */
  readonly sampleLogprobs?: "raw" | "processed" | undefined
  /** Samples that are computed at a time; those of different sessions then take turns. Default 256. */
  readonly maxConcurrentSamples?: number | undefined
  /**
   * Models that are trained at a time; the requests of later ones wait, and say so, until one is unloaded or its session ends.
   * Default: as many as there are.
   */
  readonly maxModels?: number | undefined
  /**
   * Bytes of the requests that wait or run. Beyond that a new one is answered with 429, upon which clients send it again
   * later. Default 1 GiB.
   */
  readonly maxWaitingBytes?: number | undefined
  /** Told of every answer, e.g. to write a log. */
  readonly onAnswer?: ((answered: Answered) => Effect.Effect<void>) | undefined
  /** Told at the start what there is of an earlier server, where there is a `ServerJournal`. */
  readonly onRestored?: ((restored: Restored) => Effect.Effect<void>) | undefined
  /** True: counts, and tells at `/metrics` in the text format of Prometheus. Default false. */
  readonly metrics?: boolean | undefined
  /**
   * When it stops, a server on a port takes nothing new, and gives what it has begun so long to finish. Default: it stops
   * at once.
   */
  readonly gracePeriod?: Duration.DurationInput | undefined
  /** True: a server with a grace period then saves every trained model, as `weights/stopped-<time>`. Default false. */
  readonly saveOnStop?: boolean | undefined
  /** Speaks as another server does. Default: as the hosted service. */
  readonly dialect?: Dialect.Dialect | undefined
  /** How long the address of a checkpoint's file is valid. Default 15 minutes. */
  readonly fileUrlLifetime?: Duration.DurationInput | undefined
  /** True: gives every checkpoint as one tar file too, as servers of the protocol's beginning. Default false. */
  readonly archives?: boolean | undefined
  /** How long a question for a result is held before the answer is "not yet". Default 40 seconds. */
  readonly holdTime?: Duration.DurationInput | undefined
  /** How long results are kept. Default one hour. */
  readonly retention?: Duration.DurationInput | undefined
  /**
   * Bytes of samples that are kept after they were fetched, in case an answer was lost; beyond it the oldest are forgotten.
   * Default 64 MiB.
   */
  readonly maxFetchedBytes?: number | undefined
  /** A larger result is announced by its size first, to clients who allow that. Default 1 MiB. */
  readonly maxUnannouncedBytes?: number | undefined
}

/**
 * A key that clients may have, and its name, which its holder is told.
 *
 * @since 0.1.0
 * @category config
 */
export type ApiKey = Authentication.NamedKey

/**
 * In US dollars: tokens by base model, a million of each kind; and a gigabyte stored for a month.
 *
 * @since 0.1.0
 * @category config
 */
export type PriceList = AccountRoutes.PriceList

/**
 * What became of a request. Neither body nor key nor query is in it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Answered {
  readonly method: string
  /** As it came, but for tokens in it. */
  readonly path: string
  /** With names in place of ids, e.g. `/api/v1/samplers/:id`; `unknown` for one that there is not. */
  readonly route: string
  /** 499 for a client that left before the answer was there. */
  readonly status: number
  readonly millis: number
}

/**
 * What a server has found of an earlier one, in numbers.
 *
 * @since 0.1.0
 * @category models
 */
export type Restored = Restoration.Restored

export { ConnectionDropped }

/**
 * What is wrong with settings for clients: those by which every client would fail or wait for ever, each with its option and its
 * name on the wire, e.g. `clientConfig.fwdbwd_max_chunk_len`. None when clients can go by all of them.
 *
 * @since 0.1.0
 * @category utils
 */
export const settingIssues = (
  options: Pick<Options, "clientConfig" | "dynamicConfig" | "jwt">
): ReadonlyArray<{ readonly setting: string; readonly description: string }> =>
  (["clientConfig", "dynamicConfig"] as const).flatMap((option) =>
    ClientSettings.issues(options[option] ?? {}, options.jwt !== undefined).map(({ description, setting }) => ({
      setting: `${option}.${setting}`,
      description
    }))
  )

/**
 * The routes, with a server's whole state in the scope. Faults are those of the `Faults` service, if there is one.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  options: Options = {}
): Effect.Effect<HttpApp.Default<ConnectionDropped>, never, Engine | CheckpointStore | Scope.Scope> =>
  Effect.map(makeStoppable(options), ({ app }) => app)

/**
 * The same with what brings it to its end, while the routes still answer: it takes nothing new, and finishes what it has.
 *
 * @since 0.1.0
 * @category constructors
 */
export const makeStoppable = (
  options: Options = {},
  /** The address that it listens on, for platforms that do not tell the one that a request has come to. */
  ownOrigin = "http://localhost"
): Effect.Effect<
  { readonly app: HttpApp.Default<ConnectionDropped>; readonly stop: Effect.Effect<void> },
  never,
  Engine | CheckpointStore | Scope.Scope
> =>
  Effect.gen(function*() {
    const scope = yield* Effect.scope
    const everything = yield* Scope.fork(scope, ExecutionStrategy.sequential)
    const { app, state, stop } = yield* Scope.extend(makeAll(options, ownOrigin), everything)
    // Runs before everything ends: what that interrupts nobody has cancelled.
    yield* Effect.addFinalizer(() =>
      Effect.suspend(() => {
        state.hasEnded = true
        return state.futures.release
      })
    )
    return { app, stop }
  })

const makeAll = (options: Options, ownOrigin: string) =>
  Effect.gen(function*() {
    const { records, state } = yield* ServerState.make(options)
    const faults = Option.getOrUndefined(yield* Effect.serviceOption(Faults.Faults))
    const authentication = Authentication.make({
      keys: options.apiKeys,
      lifetime: options.jwt?.lifetime,
      revocations: faults?.revocations ?? Effect.succeed(0)
    })
    const sessions = SessionRoutes.make(state, {
      clientConfig: {
        ...SessionRoutes.defaultClientConfig,
        pjwt_auth_enabled: options.jwt !== undefined,
        create_model_via_load_weights: true,
        ...options.clientConfig
      },
      dynamicConfig: Effect.map(
        faults?.dynamicConfig ?? Effect.succeed({}),
        (planned) => ({ ...SessionRoutes.defaultDynamicConfig, ...options.dynamicConfig, ...planned })
      )
    })
    const maxBodyBytes = options.maxBodyBytes ?? 256 * 2 ** 20
    const models = ModelRoutes.make(state, maxBodyBytes)
    const weights = WeightsRoutes.make(state, authentication.userOf)
    const checkpoints = CheckpointRoutes.make(state, weights.ownerOfToken)
    const downloads = DownloadRoutes.make(state, { urlLifetime: options.fileUrlLifetime, archives: options.archives })
    const hub = HubRoutes.make(state.engine.baseModels)
    const runs = TrainingRunRoutes.make(state)
    const sessionLists = SessionListRoutes.make(state)
    const results = FutureRoutes.make(state)
    const sampling = SamplingRoutes.make(state, { logprobs: options.sampleLogprobs })
    const stopping = Stopping.make(state, {
      gracePeriod: options.gracePeriod ?? 0,
      save: options.saveOnStop === true
    })
    const metrics = options.metrics === true ? Metrics.make() : undefined
    const account = AccountRoutes.make(state, options.prices ?? {})

    /** Not from what a request says of itself, which whoever sends it decides. */
    const originOf = (request: HttpServerRequest.HttpServerRequest) => () =>
      publicOrigin ?? Sender.localOrigin(request) ??
        (Sender.isInProcess(request) ? new URL(request.originalUrl).origin : ownOrigin)
    const publicOrigin = options.publicUrl?.replace(/\/+$/, "")

    const { onAnswer } = options
    /** Costs nothing where nobody wants to know. */
    const watched = <E, R>(
      request: HttpServerRequest.HttpServerRequest,
      route: string,
      answer: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>
    ): Effect.Effect<HttpServerResponse.HttpServerResponse, E, R> => {
      if (metrics === undefined && onAnswer === undefined) return answer
      const path = request.url.split("?")[0]!
      return Effect.flatMap(Clock.currentTimeNanos, (start) =>
        Effect.onExit(answer, (exit) =>
          Effect.flatMap(Clock.currentTimeNanos, (end) => {
            const answered: Answered = {
              method: request.method,
              path: brief(path.startsWith(DownloadRoutes.filesPath) ? `${DownloadRoutes.filesPath}/…` : path),
              route,
              status: exit._tag === "Success" ? exit.value.status : 499,
              millis: Number(end - start) / 1e6
            }
            metrics?.observe(answered)
            return onAnswer?.(answered) ?? Effect.void
          })))
    }

    const checked = (name: Routes.RouteName): Http.Handler => {
      const { access = "session" }: Routes.Route = Routes.routes[name]
      const handler = handlers[name]
      return (received) => {
        const credential = received.headers["x-api-key"]
        return after(
          authentication.check(access, credential),
          () =>
            stopping.refusalOf(name) ?? asUser(authentication, credential, handler(received))
        )
      }
    }
    /** What a dialect asks for elsewhere than where it was asked. */
    const find = (method: string, path: string): Found => {
      const found = Routes.find(method, path)
      return found === undefined
        ? {
          handler: () =>
            unrouted(method, path),
          params: noParams,
          route: "unknown"
        }
        : { handler: checked(found.name), params: found.params, route: found.name }
    }
    const inDialect = (handler: Http.Handler) => withDialect(handler, options.dialect, find)

    const answerOf = (name: Routes.RouteName, one: Routes.Route) => {
      const { access = "session", method, path } = one
      const pattern = Routes.pathOf(one)
      const handle = inDialect(checked(name))
      // A client that leaves must not leave half of what it asked for behind; a question alone may be dropped.
      const ended = waiting.has(name) ? identity : Effect.uninterruptible
      const settled = Effect.catchAllCause((cause: Cause.Cause<Http.Refusal>) => {
        const failure = Cause.failureOrCause(cause)
        if (failure._tag === "Left") {
          return Effect.succeed(Http.refusal(failure.left))
        }
        // Whoever left needs no answer.
        if (Cause.isInterruptedOnly(cause)) {
          return Effect.failCause(failure.right)
        }
        return Effect.as(
          Effect.logError(`${method} ${path} broke`, failure.right),
          Http.json({ detail: "an error of the server itself; see its log" }, 500)
        )
      })
      const bodyOf = (request: HttpServerRequest.HttpServerRequest) => {
        const body = Body.read(request, maxBodyBytes, state.limits)
        // One that takes long is not waited for from anybody, unless a dialect says where the key is.
        return Body.isOnItsWay(request) && options.dialect === undefined
          ? after(authentication.check(access, request.headers["x-api-key"]), () => body)
          : body
      }
      return (request: HttpServerRequest.HttpServerRequest, params: Http.Received["params"]): Answer => {
        const body = bodyOf(request)
        const answered = (fault: Faults.Fault | undefined, body: Effect.Effect<Uint8Array, Http.Refusal>) => {
          const handled = Effect.flatMap(
            body,
            (bytes) =>
              ended(handle(received(request, bytes, { params, route: name, fault, origin: originOf(request) })))
          )
          return watched(request, pattern, PlannedFault.apply(fault, settled(handled)))
        }
        if (faults === undefined) {
          return answered(undefined, body)
        }
        return Effect.flatMap(faults.next(path.slice(1)), (fault) =>
          // A body can be read once, so that of a request that is to arrive twice is remembered.
          fault?._tag === "Duplicate"
            ? Effect.flatMap(Effect.cached(body), (body) => answered(fault, body))
            : answered(fault, body))
      }
    }

    let description: unknown
    const handlers: Readonly<Record<Routes.RouteName, Http.Handler>> = {
      healthz: sessions.healthz,
      config: sessions.config,
      exchange: authentication.exchange,
      describeKey: authentication.describe,
      revokeKey: authentication.revoke,
      dynamicConfig: sessions.dynamicConfig,
      getServerCapabilities: sessions.getServerCapabilities,
      createSession: sessions.createSession,
      heartbeat: sessions.heartbeat,
      finish: sessions.finish,
      telemetry: sessions.telemetry,
      createModel: models.createModel,
      getInfo: models.getInfo,
      unloadModel: models.unloadModel,
      forwardBackward: models.forwardBackward,
      forward: models.forward,
      optimStep: models.optimStep,
      createCustomLoss: models.createCustomLoss,
      saveWeights: weights.saveWeights,
      saveWeightsForSampler: weights.saveWeightsForSampler,
      saveWeightsExternal: weights.saveWeightsExternal,
      loadWeights: weights.loadWeights,
      weightsInfo: weights.weightsInfo,
      copyWeights: checkpoints.copyWeights,
      listSessions: sessionLists.listSessions,
      searchSessions: sessionLists.search,
      getSession: sessionLists.getSession,
      assignProject: sessionLists.assignProject,
      traceExport: sessionLists.traceExport,
      usageEvents: account.usageEvents,
      currentStorage: account.currentStorage,
      audit: account.audit,
      listUserCheckpoints: checkpoints.listUserCheckpoints,
      listTrainingRuns: runs.listTrainingRuns,
      getTrainingRun: runs.getTrainingRun,
      listCheckpoints: runs.listCheckpoints,
      removeWithoutKind: checkpoints.withoutKind,
      remove: checkpoints.remove,
      publish: checkpoints.publish,
      unpublish: checkpoints.unpublish,
      setTtl: checkpoints.setTtl,
      externalWeightsUrls: downloads.externalWeightsUrls,
      archive: downloads.archive,
      file: downloads.file,
      createSamplingSession: sampling.createSamplingSession,
      joinSamplingSession: sampling.joinSamplingSession,
      getSampler: sampling.getSampler,
      asample: sampling.asample,
      retrieveFuture: results.retrieveFuture,
      retrieveFutures: results.retrieveFutures,
      cancelFuture: results.cancelFuture,
      hubFile: hub.file,
      hubModel: hub.model,
      hubRevision: hub.model,
      hubTree: hub.tree,
      hubFolder: hub.tree,
      hubFileByName: hub.file,
      hubModelByName: hub.model,
      hubRevisionByName: hub.model,
      hubTreeByName: hub.tree,
      hubFolderByName: hub.tree,
      metrics: MetricRoutes.make(state, metrics).figures,
      openApi: () => Effect.succeed(Http.json(description ??= OpenApi.make()))
    }

    const { journal } = state
    if (journal !== undefined && records !== undefined) {
      const { restored, unfinished } = yield* Restoration.restore(state, journal, records, options)
      if (options.onRestored !== undefined) {
        yield* options.onRestored(restored)
      }
      yield* Restoration.replay(state, journal, handlers, unfinished)
    }

    // Paths without parameters, as nearly all requests have, are found without a router: by method, then by path.
    const fixed = new Map<string, Map<string, ReturnType<typeof answerOf>>>()
    const routed = Routes.all.flatMap(([name, one]) => {
      const answer = answerOf(name, one)
      const path = Routes.pathOf(one)
      if (!path.includes(":")) {
        const ofMethod = fixed.get(one.method) ?? new Map()
        fixed.set(one.method, ofMethod.set(path, answer))
        return []
      }
      return [HttpRouter.makeRoute(
        one.method,
        path,
        Effect.flatMap(
          HttpServerRequest.HttpServerRequest,
          (request) => Effect.flatMap(HttpRouter.params, (params) => answer(request, params))
        )
      )]
    })
    const unrouted = (method: string, url: string): Http.Refusal => {
      const detail = `there is no ${method} ${url} here`
      const path = pathOf(url)
      const allowed = Array.from(fixed.keys()).filter((method) => fixed.get(method)!.has(path))
      return allowed.length === 0
        ? Http.refuse(404, detail)
        : Http.refuse(405, `${detail}, but ${allowed.join()}`, { allow: allowed.join(", ") })
    }
    const answerUnrouted = inDialect(({ method, url }) => unrouted(method, url))
    const router = HttpRouter.fromIterable(routed).pipe(
      Effect.catchTag("RouteNotFound", ({ request }) => {
        const body = options.dialect === undefined
          ? Effect.succeed(noBytes)
          : Body.read(request, maxBodyBytes, state.limits)
        const answer = Effect.flatMap(
          body,
          (bytes) =>
            answerUnrouted(received(request, bytes, {
              params: noParams,
              route: "unknown",
              fault: undefined,
              origin: originOf(request)
            }))
        )
        return watched(
          request,
          "unknown",
          Effect.catchTag(answer, "Refusal", (refusal) => Effect.succeed(Http.refusal(refusal)))
        )
      })
    )
    const strangers = options.apiKeys === undefined ? OriginCheck.make(options.allowedHosts ?? []) : undefined
    const app = Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => {
      const refused = strangers?.(request)
      if (refused !== undefined) return watched(request, "unknown", Effect.succeed(Http.refusal(refused)))
      const { method, url } = request
      const answer = fixed.get(method === "HEAD" ? "GET" : method)?.get(pathOf(url))
      // As in a router: where a server does not allow it, time limits would wait for what they are to end.
      return answer === undefined ? router : Effect.interruptible(answer(request, noParams))
    })
    return { app, state, stop: stopping.stop }
  })

/** What is done on the way is noted under the key's name, and belongs to its user. */
const asUser = <A, E>(
  authentication: Authentication.Authentication,
  credential: string | undefined,
  effect: Effect.Effect<A, E>
): Effect.Effect<A, E> => {
  if (credential === undefined) return effect
  const user = Option.getOrUndefined(authentication.userOf(credential))
  if (user === undefined) return effect
  return effect.pipe(
    Effect.locally(Audit.currentKey, authentication.nameOf(credential)),
    Effect.locally(Users.current, user)
  )
}

type Answer = Effect.Effect<
  HttpServerResponse.HttpServerResponse,
  ConnectionDropped,
  HttpServerRequest.HttpServerRequest
>

/** Those that wait for something which others do. */
const waiting: ReadonlySet<Routes.RouteName> = new Set(["retrieveFuture", "retrieveFutures"])

const noParams = {}

const noBytes = new Uint8Array(0)

const pathOf = (url: string): string => {
  const query = url.indexOf("?")
  return query < 0 ? url : url.slice(0, query)
}

const received = (
  request: HttpServerRequest.HttpServerRequest,
  body: Uint8Array,
  of: Pick<Http.Received, "params" | "route" | "fault" | "origin">
): Http.Received => ({
  method: request.method,
  headers: request.headers,
  body,
  params: of.params,
  url: request.url,
  origin: of.origin,
  fault: of.fault,
  route: of.route
})
