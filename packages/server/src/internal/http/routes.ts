/** The routes of a server: the endpoints of the protocol, with what older clients send, and those that are this server's own. */
import type { Endpoint } from "@effect-tinker/protocol/Endpoint"
import * as Endpoints from "@effect-tinker/protocol/Endpoints"
import * as SamplingMessages from "@effect-tinker/protocol/SamplingMessages"
import { field } from "@effect-tinker/protocol/WireField"
import * as Schema from "effect/Schema"
import * as FutureRoutes from "../resources/futureRoutes.js"
import * as ModelRoutes from "../resources/modelRoutes.js"
import * as SessionListRoutes from "../resources/sessionListRoutes.js"
import * as SessionRoutes from "../resources/sessionRoutes.js"
import * as TrainingJson from "../resources/trainingJson.js"
import * as WeightsRoutes from "../resources/weightsRoutes.js"

export interface Route extends Omit<Endpoint, "answer" | "operation"> {
  /** The operation of the protocol. A route without one is no endpoint of it. */
  readonly operation?: string
  /** Default `/api/v1`. */
  readonly prefix?: ""
  readonly answer?: Endpoint["answer"] | "file" | "text"
}

/** Numbers that JavaScript cannot hold are read as they are written. */
const SampleRequest = Schema.Struct({
  ...SamplingMessages.SampleRequest.fields,
  seqId: field(Schema.NonNegativeInt, "seq_id")
})

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
  finishSession: { ...Endpoints.finishSession, body: SessionRoutes.FinishRequest },
  telemetry: { ...Endpoints.telemetry, body: SessionRoutes.TelemetrySendRequest },
  searchSessions: { ...Endpoints.searchSessions, body: SessionListRoutes.SearchRequest },
  unloadModel: { ...Endpoints.unloadModel, body: ModelRoutes.UnloadModelRequest },
  forwardBackward: { ...Endpoints.forwardBackward, body: TrainingJson.ForwardBackward },
  forward: { ...Endpoints.forward, body: TrainingJson.Forward },
  loadWeights: {
    ...Endpoints.loadWeights,
    body: Schema.Union(WeightsRoutes.LoadIntoModelRequest, WeightsRoutes.CreateByLoadingRequest)
  },
  asample: { ...Endpoints.asample, body: SampleRequest },
  retrieveFutures: { ...Endpoints.retrieveFutures, body: FutureRoutes.FuturesRetrieveRequest },
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

const patterns = all.map(([name, route]) => ({ name, method: route.method, parts: pathOf(route).split("/") }))

/** The route of a request, as the router finds it, and the parameters of its path. */
export const find = (
  method: string,
  path: string
): { readonly name: RouteName; readonly params: Readonly<Record<string, string>> } | undefined => {
  const parts = path.split("/")
  const found = patterns.find((route) => route.method === method && fits(route.parts, parts))
  if (found === undefined) return undefined
  const params = found.parts.flatMap((part, i) =>
    part.startsWith(":") ? [[part.slice(1), decodeURIComponent(parts[i]!)] as const] : []
  )
  return { name: found.name, params: Object.fromEntries(params) }
}

/** The methods of the routes that a path has. */
export const methodsOf = (path: string): ReadonlyArray<string> => {
  const parts = path.split("/")
  return Array.from(new Set(patterns.filter((route) => fits(route.parts, parts)).map(({ method }) => method)))
}

const fits = (pattern: ReadonlyArray<string>, parts: ReadonlyArray<string>): boolean =>
  pattern.length === parts.length && pattern.every((part, i) => part.startsWith(":") || part === parts[i])
