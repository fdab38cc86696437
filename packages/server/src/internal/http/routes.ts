/** The routes of the protocol: where they are, who may use them, and what goes in and out as JSON. */
import * as ApiKeyMessages from "@effect-tinker/protocol/ApiKeyMessages"
import * as AuditMessages from "@effect-tinker/protocol/AuditMessages"
import * as BillingMessages from "@effect-tinker/protocol/BillingMessages"
import * as CheckpointsMessages from "@effect-tinker/protocol/CheckpointsMessages"
import * as FuturesMessages from "@effect-tinker/protocol/FuturesMessages"
import * as ModelsMessages from "@effect-tinker/protocol/ModelsMessages"
import * as SamplingMessages from "@effect-tinker/protocol/SamplingMessages"
import * as ServiceMessages from "@effect-tinker/protocol/ServiceMessages"
import * as SessionsMessages from "@effect-tinker/protocol/SessionsMessages"
import * as TelemetryMessages from "@effect-tinker/protocol/TelemetryMessages"
import * as TrainingMessages from "@effect-tinker/protocol/TrainingMessages"
import { TrainingRun } from "@effect-tinker/protocol/TrainingRun"
import * as TrainingRunsMessages from "@effect-tinker/protocol/TrainingRunsMessages"
import * as WeightsMessages from "@effect-tinker/protocol/WeightsMessages"
import type { HttpMethod } from "@effect/platform/HttpMethod"
import * as Schema from "effect/Schema"
import * as AccountRoutes from "../resources/accountRoutes.js"
import * as CheckpointRoutes from "../resources/checkpointRoutes.js"
import * as FutureRoutes from "../resources/futureRoutes.js"
import * as ModelRoutes from "../resources/modelRoutes.js"
import * as SessionListRoutes from "../resources/sessionListRoutes.js"
import * as SessionRoutes from "../resources/sessionRoutes.js"
import * as TrainingJson from "../resources/trainingJson.js"
import * as TrainingRunRoutes from "../resources/trainingRunRoutes.js"
import * as WeightsRoutes from "../resources/weightsRoutes.js"
import type { Access } from "./authentication.js"

export interface Route {
  readonly method: HttpMethod
  /** Behind its prefix, with `:name` for each part that is a parameter. */
  readonly path: `/${string}`
  /** What it does, in a few words. */
  readonly summary: string
  /** Default `/api/v1`. */
  readonly prefix?: ""
  /** Default: `session`. */
  readonly access?: Access
  readonly query?: Schema.Schema.All
  /** Of the JSON body. Without it the body is not looked at. */
  readonly body?: Schema.Schema.All
  /** What may be protobuf instead of JSON. */
  readonly protobuf?: "body" | "answer"
  /** Of the JSON answer. Default: any object. */
  readonly answer?: Schema.Schema.All | "none" | "file" | "redirect" | "text"
}

const checkpoint = "/training_runs/:id/checkpoints/:kind/:name"

const Status = Schema.Struct({ status: Schema.String })

/** Numbers that JavaScript cannot hold are read as they are written. */
const SampleRequest = Schema.Struct({
  ...SamplingMessages.SampleRequest.fields,
  seqId: Schema.NonNegativeInt.pipe(Schema.propertySignature, Schema.fromKey("seq_id"))
})

/** For whoever asks, as clients of the Hugging Face hub have no key of this server. */
const hub = <Path extends `/${string}`>(path: Path, summary: string, answer?: "file") => ({
  method: "GET" as const,
  path,
  prefix: "" as const,
  access: "open" as const,
  summary,
  ...(answer === undefined ? {} : { answer })
})

export const routes = {
  healthz: { method: "GET", path: "/healthz", summary: "Is well", access: "open", answer: Status },
  config: {
    method: "POST",
    path: "/client/config",
    summary: "Settings for a client",
    access: "key",
    body: ServiceMessages.ClientConfigRequest,
    answer: ServiceMessages.ClientConfigResponse
  },
  exchange: {
    method: "POST",
    path: "/auth/token",
    summary: "Exchanges a key for a token",
    access: "key",
    answer: ServiceMessages.AuthTokenResponse
  },
  describeKey: {
    method: "GET",
    path: "/auth/apikey/me",
    summary: "Tells about the key",
    access: "key",
    answer: ApiKeyMessages.ApiKey
  },
  revokeKey: {
    method: "DELETE",
    path: "/auth/apikey/me",
    summary: "Takes the key away",
    access: "key",
    answer: "none"
  },
  dynamicConfig: {
    method: "POST",
    path: "/client/dynamic_config",
    summary: "Settings that may change",
    answer: ServiceMessages.Settings
  },
  getServerCapabilities: {
    method: "GET",
    path: "/get_server_capabilities",
    summary: "Lists base models",
    answer: ServiceMessages.GetServerCapabilitiesResponse
  },
  createSession: {
    method: "POST",
    path: "/create_session",
    summary: "Begins a session",
    body: ServiceMessages.CreateSessionRequest,
    answer: ServiceMessages.CreateSessionResponse
  },
  heartbeat: {
    method: "POST",
    path: "/session_heartbeat",
    summary: "Keeps a session alive",
    body: ServiceMessages.SessionHeartbeatRequest
  },
  finish: {
    method: "POST",
    path: "/sessions/:id/finish",
    summary: "Ends a session",
    body: SessionRoutes.FinishRequest
  },
  telemetry: {
    method: "POST",
    path: "/telemetry",
    summary: "Takes events, and keeps none",
    body: SessionRoutes.TelemetrySendRequest,
    answer: TelemetryMessages.TelemetryResponse
  },
  createModel: {
    method: "POST",
    path: "/create_model",
    summary: "Makes a model",
    body: ModelsMessages.CreateModelRequest,
    answer: ModelsMessages.UntypedFuture
  },
  getInfo: {
    method: "POST",
    path: "/get_info",
    summary: "Tells what a model is",
    body: ModelsMessages.GetInfoRequest,
    answer: ModelsMessages.GetInfoResponse
  },
  unloadModel: {
    method: "POST",
    path: "/unload_model",
    summary: "Frees a model",
    body: ModelRoutes.UnloadModelRequest,
    answer: ModelsMessages.UntypedFuture
  },
  forwardBackward: {
    method: "POST",
    path: "/forward_backward",
    summary: "Computes losses and gradients",
    body: TrainingJson.ForwardBackward,
    protobuf: "body",
    answer: ModelsMessages.UntypedFuture
  },
  forward: {
    method: "POST",
    path: "/forward",
    summary: "Computes losses",
    body: TrainingJson.Forward,
    answer: ModelsMessages.UntypedFuture
  },
  optimStep: {
    method: "POST",
    path: "/optim_step",
    summary: "Steps the optimizer",
    body: TrainingMessages.OptimStepRequest,
    answer: ModelsMessages.UntypedFuture
  },
  createCustomLoss: {
    method: "POST",
    path: "/create_custom_loss",
    summary: "Is refused: there are no losses of others"
  },
  saveWeights: {
    method: "POST",
    path: "/save_weights",
    summary: "Saves weights to train on from",
    body: WeightsMessages.SaveWeightsRequest,
    answer: ModelsMessages.UntypedFuture
  },
  saveWeightsForSampler: {
    method: "POST",
    path: "/save_weights_for_sampler",
    summary: "Saves weights to sample from",
    body: WeightsMessages.SaveWeightsForSamplerRequest,
    answer: ModelsMessages.UntypedFuture
  },
  saveWeightsExternal: {
    method: "POST",
    path: "/save_weights_external",
    summary: "Saves weights for other programs",
    body: WeightsMessages.SaveWeightsExternalRequest,
    answer: ModelsMessages.UntypedFuture
  },
  loadWeights: {
    method: "POST",
    path: "/load_weights",
    summary: "Loads weights into a new model",
    body: Schema.Union(WeightsRoutes.LoadIntoModelRequest, WeightsRoutes.CreateByLoadingRequest),
    answer: ModelsMessages.UntypedFuture
  },
  weightsInfo: {
    method: "POST",
    path: "/weights_info",
    summary: "Tells what a checkpoint is",
    body: WeightsRoutes.WeightsInfoRequest,
    answer: WeightsMessages.WeightsInfoResponse
  },
  copyWeights: {
    method: "POST",
    path: "/copy_weights",
    summary: "Copies a checkpoint into a run of its own",
    body: CheckpointsMessages.CopyWeightsRequest,
    answer: CheckpointsMessages.CopyWeightsResponse
  },
  listSessions: {
    method: "GET",
    path: "/sessions",
    summary: "Lists sessions",
    query: SessionListRoutes.SessionsQuery,
    answer: SessionsMessages.ListSessionsResponse
  },
  searchSessions: {
    method: "POST",
    path: "/sessions/search",
    summary: "Searches sessions",
    body: SessionListRoutes.SearchRequest,
    answer: SessionsMessages.SessionSearchResponse
  },
  getSession: {
    method: "GET",
    path: "/sessions/:id",
    summary: "Tells of a session",
    query: SessionListRoutes.ScopeQuery,
    answer: SessionsMessages.GetSessionResponse
  },
  assignProject: {
    method: "PUT",
    path: "/sessions/:id/project",
    summary: "Puts a session into a project",
    body: SessionsMessages.AssignProjectRequest
  },
  traceExport: {
    method: "GET",
    path: "/sessions/:id/trace_export",
    summary: "Says that there are no traces",
    answer: SessionsMessages.SessionTraceExportPollResponse
  },
  usageEvents: {
    method: "GET",
    path: "/billing/usage/events",
    summary: "What was used in each hour",
    query: AccountRoutes.WindowQuery,
    answer: BillingMessages.BillingUsageResponse
  },
  currentStorage: {
    method: "GET",
    path: "/billing/usage/checkpoints/current",
    summary: "What checkpoints take up now",
    query: AccountRoutes.StorageQuery,
    answer: BillingMessages.CurrentCheckpointStorageUsageResponse
  },
  audit: {
    method: "GET",
    path: "/audit",
    summary: "What was done on a day",
    query: AccountRoutes.AuditQuery,
    answer: AuditMessages.AuditLogResponse
  },
  listUserCheckpoints: {
    method: "GET",
    path: "/checkpoints",
    summary: "Lists the checkpoints of all runs",
    query: CheckpointRoutes.CheckpointsQuery,
    answer: CheckpointsMessages.CheckpointsListResponse
  },
  listTrainingRuns: {
    method: "GET",
    path: "/training_runs",
    summary: "Lists training runs",
    query: TrainingRunRoutes.RunsQuery,
    answer: TrainingRunsMessages.TrainingRunsResponse
  },
  getTrainingRun: {
    method: "GET",
    path: "/training_runs/:id",
    summary: "Tells of a training run",
    query: TrainingRunRoutes.ScopeQuery,
    answer: TrainingRun
  },
  listCheckpoints: {
    method: "GET",
    path: "/training_runs/:id/checkpoints",
    summary: "Lists the checkpoints of a run",
    answer: CheckpointsMessages.CheckpointsListResponse
  },
  removeWithoutKind: {
    method: "DELETE",
    path: "/training_runs/:id/checkpoints/:name",
    summary: "Is refused: a checkpoint has a kind and a name",
    answer: "none"
  },
  remove: { method: "DELETE", path: checkpoint, summary: "Deletes a checkpoint", answer: "none" },
  publish: { method: "POST", path: `${checkpoint}/publish`, summary: "Makes a checkpoint public", answer: "none" },
  unpublish: { method: "DELETE", path: `${checkpoint}/publish`, summary: "Takes that back", answer: "none" },
  setTtl: {
    method: "PUT",
    path: `${checkpoint}/ttl`,
    summary: "Sets how long a checkpoint is kept",
    body: CheckpointsMessages.SetTtlRequest,
    answer: "none"
  },
  externalWeightsUrls: {
    method: "GET",
    path: `${checkpoint}/external_weights_urls`,
    summary: "Addresses of a checkpoint's files",
    answer: CheckpointsMessages.ExternalWeightsUrls
  },
  archive: { method: "GET", path: `${checkpoint}/archive`, summary: "Address of an archive", answer: "redirect" },
  file: {
    method: "GET",
    path: "/files/:token/:name",
    prefix: "",
    access: "open",
    summary: "A file of a checkpoint",
    answer: "file"
  },
  createSamplingSession: {
    method: "POST",
    path: "/create_sampling_session",
    summary: "Makes a sampler",
    body: ServiceMessages.CreateSamplingSessionRequest,
    answer: ServiceMessages.CreateSamplingSessionResponse
  },
  joinSamplingSession: {
    method: "POST",
    path: "/join_sampling_session",
    summary: "Numbers a copy of a sampler's client",
    body: ServiceMessages.JoinSamplingSessionRequest,
    answer: ServiceMessages.JoinSamplingSessionResponse
  },
  getSampler: {
    method: "GET",
    path: "/samplers/:id",
    summary: "Tells what a sampler samples from",
    answer: ServiceMessages.GetSamplerResponse
  },
  asample: {
    method: "POST",
    path: "/asample",
    summary: "Samples",
    body: SampleRequest,
    answer: ModelsMessages.UntypedFuture
  },
  retrieveFuture: {
    method: "POST",
    path: "/retrieve_future",
    summary: "The result of a request, or that it is not there yet",
    body: FuturesMessages.FutureRetrieveRequest,
    protobuf: "answer"
  },
  retrieveFutures: {
    method: "POST",
    path: "/retrieve_futures",
    summary: "Which samples are done",
    body: FutureRoutes.FuturesRetrieveRequest,
    answer: FuturesMessages.FuturesRetrieveResponse
  },
  cancelFuture: {
    method: "POST",
    path: "/cancel_future",
    summary: "Stops a sample",
    body: FuturesMessages.FutureRetrieveRequest
  },
  metrics: {
    method: "GET",
    path: "/metrics",
    prefix: "",
    access: "key",
    summary: "Figures for Prometheus",
    answer: "text"
  },
  hubFile: hub("/:org/:model/resolve/:revision/:file", "A file of a base model's tokenizer or configuration", "file"),
  hubModel: hub("/api/models/:org/:model", "Tells which files a base model has for clients"),
  hubRevision: hub("/api/models/:org/:model/revision/:revision", "The same, by its revision"),
  hubTree: hub("/api/models/:org/:model/tree/:revision", "Lists these files"),
  hubFolder: hub("/api/models/:org/:model/tree/:revision/:folder", "Says that there are no folders of them"),
  hubFileByName: hub("/:model/resolve/:revision/:file", "A file of a base model whose name has no slash", "file"),
  hubModelByName: hub("/api/models/:model", "Tells which files it has for clients"),
  hubRevisionByName: hub("/api/models/:model/revision/:revision", "The same, by its revision"),
  hubTreeByName: hub("/api/models/:model/tree/:revision", "Lists these files"),
  hubFolderByName: hub("/api/models/:model/tree/:revision/:folder", "Says that there are no folders of them"),
  openApi: { method: "GET", path: "/openapi.json", prefix: "", access: "open", summary: "This description" }
} satisfies Record<string, Route>

export type RouteName = keyof typeof routes

/** By their names, in an order in which those with more fixed parts come first. */
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
  const found = patterns.find((route) =>
    route.method === method && route.parts.length === parts.length
    && route.parts.every((part, i) => part.startsWith(":") || part === parts[i])
  )
  if (found === undefined) return undefined
  const params = found.parts.flatMap((part, i) =>
    part.startsWith(":") ? [[part.slice(1), decodeURIComponent(parts[i]!)] as const] : []
  )
  return { name: found.name, params: Object.fromEntries(params) }
}
