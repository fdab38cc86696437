/** What the dialects of whole servers have in common: the endpoints that there are, and how they ask this server. */
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Predicate from "effect/Predicate"
import type { Answer, Ask, Call, Dialect } from "../../Dialect.js"

/** A call with the parameters of its path, and what is behind the dialect. */
export interface Received {
  readonly call: Call
  readonly ask: Ask
  readonly params: Readonly<Record<string, string>>
}

export type Endpoint = (received: Received) => Effect.Effect<Answer>

/**
 * A server of FastAPI with these endpoints, named as `POST create_model` or `GET samplers/:id`, and no others. A last part `*`
 * stands for all that follows. What lies outside of the protocol's prefix passes.
 */
export const fastApi = (endpoints: Readonly<Record<string, Endpoint>>): Dialect => {
  const patterns = Object.entries(endpoints).map(([name, endpoint]) => {
    const [method, path] = name.split(" ") as [string, string]
    return { method, parts: path.split("/"), endpoint }
  })
  return {
    answer: (call, ask) => {
      if (call.path.startsWith("/")) return ask(call)
      const parts = call.path.split("/")
      const ofPath = patterns.filter((pattern) => matches(pattern.parts, parts))
      const found = ofPath.find(({ method }) => method === call.method)
      if (found !== undefined) return found.endpoint({ call, ask, params: paramsOf(found.parts, parts) })
      return Effect.succeed(ofPath.length === 0 ? detail(404, "Not Found") : detail(405, "Method Not Allowed"))
    }
  }
}

const matches = (pattern: ReadonlyArray<string>, parts: ReadonlyArray<string>): boolean =>
  (pattern.at(-1) === "*" ? parts.length >= pattern.length : parts.length === pattern.length)
  && pattern.every((part, i) => part === "*" || part.startsWith(":") || part === parts[i])

const paramsOf = (pattern: ReadonlyArray<string>, parts: ReadonlyArray<string>): Record<string, string> =>
  Object.fromEntries(
    pattern.flatMap((part, i) => {
      if (part === "*") return [[part, decodeURIComponent(parts.slice(i).join("/"))] as const]
      return part.startsWith(":") ? [[part.slice(1), decodeURIComponent(parts[i]!)] as const] : []
    })
  )

export const answer = (body: unknown, status = 200): Answer => ({ status, body })

/** A refusal of FastAPI. */
export const detail = (status: number, detail: unknown): Answer => ({ status, body: { detail } })

export const internalServerError: Answer = { status: 500, body: "Internal Server Error" }

/** Asks this server with JSON, as the one whose call it is. */
export const post = ({ ask, call }: Received, path: string, json: unknown): Effect.Effect<Answer> =>
  ask({
    ...call,
    method: "POST",
    path,
    query: "",
    headers: { ...call.headers, "content-type": "application/json" },
    json
  })

export const get = ({ ask, call }: Received, path: string): Effect.Effect<Answer> =>
  ask({ ...call, method: "GET", path, query: "", json: undefined, body: new Uint8Array(0) })

/** Asks for a result, again and again, until it is there or so much time is over; whoever leaves need not wait for it. */
export const retrieve = (received: Received, requestId: string, millis: number): Effect.Effect<Answer> =>
  post(received, "retrieve_future", { request_id: requestId, allow_metadata_only: false }).pipe(
    Effect.repeat({ while: isNotYet }),
    Effect.timeoutTo({ duration: millis, onSuccess: identity, onTimeout: () => answer({ type: "try_again" }) }),
    Effect.interruptible
  )

export const isNotYet = ({ body }: Answer): boolean => Predicate.hasProperty(body, "type") && body.type === "try_again"

/** A field of JSON; `undefined` also where it is `null`. */
export const field = (json: unknown, name: string): unknown =>
  Predicate.hasProperty(json, name) ? json[name] ?? undefined : undefined

export const text = (json: unknown, name: string): string | undefined => {
  const value = field(json, name)
  return typeof value === "string" ? value : undefined
}

/** What this server says against a call. */
export const refusalOf = ({ body }: Answer): string => {
  const why = field(body, "detail")
  return typeof why === "string" ? why : JSON.stringify(why ?? body)
}

/** The model or session is not there any more, e.g. because the server was started anew. */
export const isGone = ({ status }: Answer): boolean => status === 404 || status === 410

/** Not taken for now, so that the same may be sent again. */
export const isRetryable = ({ status }: Answer): boolean => status === 429 || status >= 500

/** The numbers of a model's requests as this server is to see them: as they come, without gaps. */
export interface SequenceNumbers {
  readonly take: () => number
  readonly release: (number: number) => void
}

export const sequenceNumbers = (): SequenceNumbers => {
  const free: Array<number> = []
  let taken = 0
  return {
    take: () => free.shift() ?? ++taken,
    release: (number) => void free.push(number)
  }
}
