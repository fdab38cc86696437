/**
 * The way of one request through a server: its origin, its route, a planned fault, its body, a dialect, who asks, its handler, its
 * answer.
 */
import type * as HttpApp from "@effect/platform/HttpApp"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import type * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Option from "effect/Option"
import type * as Dialect from "../../Dialect.js"
import type * as Faults from "../../Faults.js"
import { type Found, withDialect } from "../dialects/dialectMessage.js"
import { after } from "../fast/after.js"
import type { Limits } from "../models/limits.js"
import * as Audit from "../resources/audit.js"
import * as Users from "../resources/users.js"
import type * as Authentication from "./authentication.js"
import * as Body from "./body.js"
import * as Http from "./http.js"
import type { Observe } from "./observation.js"
import * as OriginCheck from "./originCheck.js"
import * as PlannedFault from "./plannedFault.js"
import * as Routes from "./routes.js"

export interface Options {
  readonly handlers: Readonly<Record<Routes.RouteName, Http.Handler<unknown>>>
  readonly authentication: Authentication.Authentication
  /** Why a route takes nothing now. */
  readonly refusalOf: (route: Routes.RouteName) => Http.Refusal | undefined
  readonly faults: Faults.Service | undefined
  readonly dialect: Dialect.Dialect | undefined
  readonly limits: Limits
  readonly maxBodyBytes: number
  /** The hosts by whose names pages may ask too, of a server that asks for no keys. */
  readonly allowedHosts: ReadonlyArray<string> | undefined
  readonly observe: Observe
  /** The address of the server, as the client of a request sees it. */
  readonly originOf: (request: HttpServerRequest.HttpServerRequest) => () => string
}

export const make = (options: Options): HttpApp.Default<PlannedFault.ConnectionDropped> => {
  const { observe, originOf } = options
  const answerOf = answers(options)

  const routed = new Map(Routes.all.map(([name, one]) => [name, answerOf(name, one)]))

  const answerUnrouted = withDialect(({ method, url }) => notHere(method, url), options.dialect, finder(options))
  const unrouted: AnswerOf = (request) => {
    const body = options.dialect === undefined
      ? Effect.succeed(noBytes)
      : Body.read(request, options.maxBodyBytes, options.limits)
    const answer = Effect.flatMap(body, (bytes) =>
      answerUnrouted(received(request, bytes, {
        params: noParams,
        route: "unknown",
        fault: undefined,
        origin: originOf(request)
      })))
    return observe(
      request,
      "unknown",
      Effect.catchTag(answer, "Refusal", (refusal) => Effect.succeed(Http.refusal(refusal)))
    )
  }

  const strangers = options.allowedHosts === undefined ? undefined : OriginCheck.make(options.allowedHosts, originOf)
  return Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => {
    const refused = strangers?.(request)
    if (refused !== undefined) return observe(request, "unknown", Effect.succeed(Http.refusal(refused)))
    const found = Routes.find(request.method, pathOf(request.url))
    return found === undefined
      ? unrouted(request, noParams)
      // Where a server does not allow that, time limits would wait for what they are to end.
      : Effect.interruptible(routed.get(found.name)!(request, found.params))
  })
}

type Answer = Effect.Effect<
  HttpServerResponse.HttpServerResponse,
  PlannedFault.ConnectionDropped,
  HttpServerRequest.HttpServerRequest
>

type AnswerOf = (request: HttpServerRequest.HttpServerRequest, params: Http.Received["params"]) => Answer

/** A route's handler, for those who may ask it now. */
const guarded = (
  { authentication, handlers, refusalOf }: Options,
  name: Routes.RouteName
): Http.Handler<unknown> => {
  const { access = "session" }: Routes.Route = Routes.routes[name]
  const handler = handlers[name]
  return (received) => {
    const credential = received.headers["x-api-key"]
    return after(
      authentication.check(access, credential),
      () => refusalOf(name) ?? asUser(authentication, credential, handler(received))
    )
  }
}

/** What a dialect asks for elsewhere than where it was asked. */
const finder = (options: Options) => (method: string, path: string): Found => {
  const found = Routes.find(method, path)
  return found === undefined
    ? { handler: () => notHere(method, path), params: noParams, route: "unknown" }
    : { handler: guarded(options, found.name), params: found.params, route: found.name }
}

const answers = (options: Options) => (name: Routes.RouteName, one: Routes.Route): AnswerOf => {
  const { authentication, dialect, faults, limits, maxBodyBytes, observe, originOf } = options
  const { access = "session", method, path } = one
  const pattern = Routes.pathOf(one)
  const handle = withDialect(guarded(options, name), dialect, finder(options))
  // A client that leaves must not leave half of what it asked for behind; a question alone may be dropped.
  const ended = waiting.has(name) ? identity : Effect.uninterruptible
  const settled = settledAs(`${method} ${path}`)
  const bodyOf = (request: HttpServerRequest.HttpServerRequest) => {
    const body = Body.read(request, maxBodyBytes, limits)
    // One that takes long is not waited for from anybody, unless a dialect says where the key is.
    return Body.isStreaming(request) && dialect === undefined
      ? after(authentication.check(access, request.headers["x-api-key"]), () => body)
      : body
  }
  return (request, params) => {
    const body = bodyOf(request)
    const answered = (fault: Faults.Fault | undefined, body: Effect.Effect<Uint8Array, Http.Refusal>) => {
      const handled = Effect.flatMap(
        body,
        (bytes) => ended(handle(received(request, bytes, { params, route: name, fault, origin: originOf(request) })))
      )
      return observe(request, pattern, PlannedFault.apply(fault, settled(handled)))
    }
    if (faults === undefined) return answered(undefined, body)
    return Effect.flatMap(faults.next(path.slice(1)), (fault) =>
      // A body can be read once, so that of a request that is to arrive twice is remembered.
      fault?._tag === "Duplicate"
        ? Effect.flatMap(Effect.cached(body), (body) => answered(fault, body))
        : answered(fault, body))
  }
}

/** Refusals and defects as answers; whoever left needs none. */
const settledAs = (what: string) =>
  Effect.catchAllCause((cause: Cause.Cause<Http.Refusal>) => {
    const failure = Cause.failureOption(cause)
    if (Option.isSome(failure)) return Effect.succeed(Http.refusal(failure.value))
    // A cause without a failure is one of nothing but interruptions and defects.
    if (Cause.isInterruptedOnly(cause)) return Effect.failCause(cause as Cause.Cause<never>)
    return Effect.as(
      Effect.logError(`${what} broke`, cause),
      Http.refusal(Http.refuse(500, "an error of the server itself; see its log"))
    )
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
    Audit.underKey(authentication.nameOf(credential)),
    Users.as(user)
  )
}

const notHere = (method: string, url: string): Http.Refusal => {
  const detail = `there is no ${method} ${url} here`
  const allowed = Routes.methodsOf(pathOf(url))
  if (allowed.length === 0) return Http.refuse(404, detail)
  // No name may be empty or very long, or have escapes that are none.
  if (!allowed.includes(method)) {
    return Http.refuse(405, `${detail}, but ${allowed.join()}`, { allow: allowed.join(", ") })
  }
  return Routes.unescaped(pathOf(url)) !== undefined
    ? Http.refuse(404, `${detail}: a name in the path is empty, or longer than any`)
    : Http.refuse(400, `${detail}: the path has a % that begins no escape of UTF-8`)
}

/** The routes whose requests wait for something that others do. */
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
