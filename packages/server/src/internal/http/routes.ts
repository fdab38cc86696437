/** The routes of a server: the endpoints of the protocol, with what older clients send, and those that are this server's own. */
import type { Endpoint } from "@effect-tinker/protocol/Endpoint"
import * as Endpoints from "@effect-tinker/protocol/Endpoints"
import * as ReceivedRequests from "@effect-tinker/protocol/ReceivedRequests"
import * as Schema from "effect/Schema"

export interface Route extends Omit<Endpoint, "answer" | "operation"> {
  /** The operation of the protocol. A route without one is no endpoint of it. */
  readonly operation?: string
  /** Default `/api/v1`. */
  readonly prefix?: ""
  readonly answer?: Endpoint["answer"] | "file" | "text"
}

/** A route that is open for whoever asks, as clients of the Hugging Face hub have no key of this server. */
const hub = <Path extends `/${string}`>(path: Path, answer?: "file") => ({
  method: "GET" as const,
  path,
  prefix: "" as const,
  access: "open" as const,
  ...(answer === undefined ? {} : { answer })
})

export const routes = {
  ...Endpoints,
  telemetry: { ...Endpoints.telemetry, body: ReceivedRequests.TelemetrySendRequest },
  searchSessions: { ...Endpoints.searchSessions, body: ReceivedRequests.SessionSearchRequest },
  forwardBackward: { ...Endpoints.forwardBackward, body: ReceivedRequests.ForwardBackwardRequest },
  forward: { ...Endpoints.forward, body: ReceivedRequests.ForwardRequest },
  loadWeights: {
    ...Endpoints.loadWeights,
    body: Schema.Union(ReceivedRequests.LoadIntoModelRequest, ReceivedRequests.CreateByLoadingRequest)
  },
  asample: { ...Endpoints.asample, body: ReceivedRequests.SampleRequest },
  removeWithoutKind: {
    method: "DELETE",
    path: "/training_runs/:id/checkpoints/:name",
    answer: "none"
  },
  file: {
    method: "GET",
    path: "/files/:token/:name",
    prefix: "",
    access: "open",
    answer: "file"
  },
  metrics: {
    method: "GET",
    path: "/metrics",
    prefix: "",
    access: "key",
    answer: "text"
  },
  hubFile: hub("/:org/:model/resolve/:revision/:file", "file"),
  hubModel: hub("/api/models/:org/:model"),
  hubRevision: hub("/api/models/:org/:model/revision/:revision"),
  hubTree: hub("/api/models/:org/:model/tree/:revision"),
  hubFolder: hub("/api/models/:org/:model/tree/:revision/:folder"),
  hubFileByName: hub("/:model/resolve/:revision/:file", "file"),
  hubModelByName: hub("/api/models/:model"),
  hubRevisionByName: hub("/api/models/:model/revision/:revision"),
  hubTreeByName: hub("/api/models/:model/tree/:revision"),
  hubFolderByName: hub("/api/models/:model/tree/:revision/:folder"),
  openApi: { method: "GET", path: "/openapi.json", prefix: "", access: "open" }
} satisfies Record<string, Route>

export type RouteName = keyof typeof routes

/** All routes with their names, in an order in which those with more fixed parts come first. */
export const all: ReadonlyArray<readonly [RouteName, Route]> = Object.entries(routes) as ReadonlyArray<
  readonly [RouteName, Route]
>

export const pathOf = (
  { path, prefix = "/api/v1" }: { readonly path: `/${string}`; readonly prefix?: "" | "/api/v1" }
) => `${prefix}${path}` as `/${string}`

/** The route of a request, and the parameters of its path. */
export interface Found {
  readonly name: RouteName
  readonly params: Readonly<Record<string, string>>
}

interface Pattern {
  readonly name: RouteName
  readonly method: string
  readonly parts: ReadonlyArray<string>
}

/** Nearly all requests are for paths without parameters: by method and path. */
const fixed = new Map<string, Found>()

const patterns: Array<Pattern> = []

for (const [name, route] of all) {
  const path = pathOf(route)
  if (path.includes(":")) patterns.push({ name, method: route.method, parts: path.split("/") })
  else fixed.set(`${route.method} ${path}`, { name, params: {} })
}

/** Finds the route of a request. One that asks for the head of an answer has that of the answer. */
export const find = (method: string, path: string): Found | undefined => {
  const asked = method === "HEAD" ? "GET" : method
  return fixed.get(`${asked} ${path}`) ?? findPattern(asked, path.split("/"))
}

const findPattern = (method: string, parts: ReadonlyArray<string>): Found | undefined => {
  const found = patterns.find((pattern) => pattern.method === method && fits(pattern.parts, parts))
  const params = found && paramsOf(found.parts, parts)
  return params && { name: found.name, params }
}

/** Undefined where one of them is empty, longer than any name, or has an escape that is none. */
const paramsOf = (
  pattern: ReadonlyArray<string>,
  parts: ReadonlyArray<string>
): Readonly<Record<string, string>> | undefined => {
  const params: Record<string, string> = {}
  for (const [i, part] of pattern.entries()) {
    if (!part.startsWith(":")) continue
    const value = unescaped(parts[i]!)
    if (value === undefined || value === "" || value.length > longestName) return undefined
    params[part.slice(1)] = value
  }
  return params
}

/** Undefined for a text with a % that begins no escape of UTF-8. */
export const unescaped = (text: string): string | undefined => {
  if (!text.includes("%")) return text
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}

const longestName = 100

/** The methods of the routes that a path has. */
export const methodsOf = (path: string): ReadonlyArray<string> => {
  const parts = path.split("/")
  const methods = all.flatMap(([, route]) => fits(pathOf(route).split("/"), parts) ? [route.method] : [])
  return Array.from(new Set(methods))
}

const fits = (pattern: ReadonlyArray<string>, parts: ReadonlyArray<string>): boolean =>
  pattern.length === parts.length && pattern.every((part, i) => part.startsWith(":") || part === parts[i])
