/**
 * The endpoints of the protocol, by their names in camelCase. Clients make their requests from these values, servers their routes and
 * the description of them.
 */
import * as Schema from "effect/Schema"
import { ApiKey } from "./ApiKeyMessages.js"
import { AuditLogResponse, AuditQuery } from "./AuditMessages.js"
import {
  BillingUsageResponse,
  CurrentCheckpointStorageUsageResponse,
  StorageQuery,
  UsageQuery
} from "./BillingMessages.js"
import {
  CheckpointsListResponse,
  CopyWeightsRequest,
  CopyWeightsResponse,
  ExternalWeightsUrls,
  SetTtlRequest
} from "./CheckpointsMessages.js"
import type { Endpoint } from "./Endpoint.js"
import {
  CancelFutureRequest,
  FutureRetrieveRequest,
  FuturesRetrieveRequest,
  FuturesRetrieveResponse
} from "./FuturesMessages.js"
import * as Queries from "./internal/queries.js"
import {
  CreateModelRequest,
  GetInfoRequest,
  GetInfoResponse,
  UnloadModelRequest,
  UnloadModelResponse,
  UntypedFuture
} from "./ModelsMessages.js"
import { SampleRequest } from "./SamplingMessages.js"
import {
  AuthTokenResponse,
  ClientConfigRequest,
  ClientConfigResponse,
  CreateSamplingSessionRequest,
  CreateSamplingSessionResponse,
  CreateSessionRequest,
  CreateSessionResponse,
  FinishSessionRequest,
  GetSamplerResponse,
  GetServerCapabilitiesResponse,
  HealthResponse,
  JoinSamplingSessionRequest,
  JoinSamplingSessionResponse,
  SessionHeartbeatRequest,
  Settings
} from "./ServiceMessages.js"
import {
  AssignProjectRequest,
  GetSessionResponse,
  ListSessionsResponse,
  SessionSearchRequest,
  SessionSearchResponse,
  SessionTraceExportPollResponse
} from "./SessionsMessages.js"
import { TelemetryResponse, TelemetrySendRequest } from "./TelemetryMessages.js"
import { OptimStepRequest } from "./TrainingMessages.js"
import { TrainingRun } from "./TrainingRun.js"
import { TrainingRunsResponse } from "./TrainingRunsMessages.js"
import {
  LoadWeightsRequest,
  SaveWeightsExternalRequest,
  SaveWeightsForSamplerRequest,
  SaveWeightsRequest,
  WeightsInfoRequest,
  WeightsInfoResponse
} from "./WeightsMessages.js"

export const healthz = {
  operation: "healthz",
  method: "GET",
  path: "/healthz",
  access: "open",
  answer: HealthResponse
} as const satisfies Endpoint

export const clientConfig = {
  operation: "client/config",
  method: "POST",
  path: "/client/config",
  traffic: "session",
  access: "key",
  body: ClientConfigRequest,
  answer: ClientConfigResponse
} as const satisfies Endpoint

export const dynamicConfig = {
  operation: "client/dynamic_config",
  method: "POST",
  path: "/client/dynamic_config",
  traffic: "session",
  body: ClientConfigRequest,
  answer: Settings
} as const satisfies Endpoint

export const authToken = {
  operation: "auth/token",
  method: "POST",
  path: "/auth/token",
  traffic: "session",
  access: "key",
  body: Schema.Struct({}),
  answer: AuthTokenResponse
} as const satisfies Endpoint

export const getApiKey = {
  operation: "get_api_key",
  method: "GET",
  path: "/auth/apikey/me",
  access: "key",
  answer: ApiKey
} as const satisfies Endpoint

export const deleteApiKey = {
  operation: "delete_api_key",
  method: "DELETE",
  path: "/auth/apikey/me",
  access: "key",
  answer: "none"
} as const satisfies Endpoint

export const getServerCapabilities = {
  operation: "get_server_capabilities",
  method: "GET",
  path: "/get_server_capabilities",
  answer: GetServerCapabilitiesResponse
} as const satisfies Endpoint

export const telemetry = {
  operation: "telemetry",
  method: "POST",
  path: "/telemetry",
  traffic: "telemetry",
  body: TelemetrySendRequest,
  answer: TelemetryResponse
} as const satisfies Endpoint

export const createSession = {
  operation: "create_session",
  method: "POST",
  path: "/create_session",
  traffic: "session",
  body: CreateSessionRequest,
  answer: CreateSessionResponse
} as const satisfies Endpoint

export const sessionHeartbeat = {
  operation: "session_heartbeat",
  method: "POST",
  path: "/session_heartbeat",
  traffic: "session",
  body: SessionHeartbeatRequest
} as const satisfies Endpoint

export const finishSession = {
  operation: "finish_session",
  method: "POST",
  path: "/sessions/:id/finish",
  traffic: "session",
  body: FinishSessionRequest
} as const satisfies Endpoint

export const listSessions = {
  operation: "list_sessions",
  method: "GET",
  path: "/sessions",
  query: Queries.scopedPage(20),
  answer: ListSessionsResponse
} as const satisfies Endpoint

export const searchSessions = {
  operation: "search_sessions",
  method: "POST",
  path: "/sessions/search",
  body: SessionSearchRequest,
  answer: SessionSearchResponse
} as const satisfies Endpoint

export const getSession = {
  operation: "get_session",
  method: "GET",
  path: "/sessions/:id",
  query: Queries.scope(),
  answer: GetSessionResponse
} as const satisfies Endpoint

export const assignSessionProject = {
  operation: "assign_session_project",
  method: "PUT",
  path: "/sessions/:id/project",
  body: AssignProjectRequest
} as const satisfies Endpoint

export const exportSessionTrace = {
  operation: "export_session_trace",
  method: "GET",
  path: "/sessions/:id/trace_export",
  answer: SessionTraceExportPollResponse
} as const satisfies Endpoint

export const createModel = {
  operation: "create_model",
  method: "POST",
  path: "/create_model",
  body: CreateModelRequest,
  answer: UntypedFuture
} as const satisfies Endpoint

export const getInfo = {
  operation: "get_info",
  method: "POST",
  path: "/get_info",
  body: GetInfoRequest,
  answer: GetInfoResponse
} as const satisfies Endpoint

export const unloadModel = {
  operation: "unload_model",
  method: "POST",
  path: "/unload_model",
  body: UnloadModelRequest,
  answer: UnloadModelResponse
} as const satisfies Endpoint

export const forwardBackward = {
  operation: "forward_backward",
  method: "POST",
  path: "/forward_backward",
  protobuf: "body",
  answer: UntypedFuture
} as const satisfies Endpoint

export const forward = {
  operation: "forward",
  method: "POST",
  path: "/forward",
  answer: UntypedFuture
} as const satisfies Endpoint

export const optimStep = {
  operation: "optim_step",
  method: "POST",
  path: "/optim_step",
  body: OptimStepRequest,
  answer: UntypedFuture
} as const satisfies Endpoint

export const createCustomLoss = {
  operation: "create_custom_loss",
  method: "POST",
  path: "/create_custom_loss"
} as const satisfies Endpoint

export const saveWeights = {
  operation: "save_weights",
  method: "POST",
  path: "/save_weights",
  body: SaveWeightsRequest,
  answer: UntypedFuture
} as const satisfies Endpoint

export const saveWeightsForSampler = {
  operation: "save_weights_for_sampler",
  method: "POST",
  path: "/save_weights_for_sampler",
  body: SaveWeightsForSamplerRequest,
  answer: UntypedFuture
} as const satisfies Endpoint

export const saveWeightsExternal = {
  operation: "save_weights_external",
  method: "POST",
  path: "/save_weights_external",
  body: SaveWeightsExternalRequest,
  answer: UntypedFuture
} as const satisfies Endpoint

export const loadWeights = {
  operation: "load_weights",
  method: "POST",
  path: "/load_weights",
  body: LoadWeightsRequest,
  answer: UntypedFuture
} as const satisfies Endpoint

export const weightsInfo = {
  operation: "weights_info",
  method: "POST",
  path: "/weights_info",
  body: WeightsInfoRequest,
  answer: WeightsInfoResponse
} as const satisfies Endpoint

export const copyWeights = {
  operation: "copy_weights",
  method: "POST",
  path: "/copy_weights",
  body: CopyWeightsRequest,
  answer: CopyWeightsResponse
} as const satisfies Endpoint

export const createSamplingSession = {
  operation: "create_sampling_session",
  method: "POST",
  path: "/create_sampling_session",
  traffic: "session",
  body: CreateSamplingSessionRequest,
  answer: CreateSamplingSessionResponse
} as const satisfies Endpoint

export const joinSamplingSession = {
  operation: "join_sampling_session",
  method: "POST",
  path: "/join_sampling_session",
  body: JoinSamplingSessionRequest,
  answer: JoinSamplingSessionResponse
} as const satisfies Endpoint

export const getSampler = {
  operation: "get_sampler",
  method: "GET",
  path: "/samplers/:id",
  answer: GetSamplerResponse
} as const satisfies Endpoint

export const asample = {
  operation: "asample",
  method: "POST",
  path: "/asample",
  traffic: "sample",
  body: SampleRequest,
  answer: UntypedFuture
} as const satisfies Endpoint

export const retrieveFuture = {
  operation: "retrieve_future",
  method: "POST",
  path: "/retrieve_future",
  traffic: "poll",
  body: FutureRetrieveRequest,
  protobuf: "answer"
} as const satisfies Endpoint

export const retrieveFutures = {
  operation: "retrieve_futures",
  method: "POST",
  path: "/retrieve_futures",
  traffic: "poll",
  body: FuturesRetrieveRequest,
  answer: FuturesRetrieveResponse
} as const satisfies Endpoint

export const cancelFuture = {
  operation: "cancel_future",
  method: "POST",
  path: "/cancel_future",
  traffic: "session",
  body: CancelFutureRequest
} as const satisfies Endpoint

export const listTrainingRuns = {
  operation: "list_training_runs",
  method: "GET",
  path: "/training_runs",
  query: Queries.projectPage(20),
  answer: TrainingRunsResponse
} as const satisfies Endpoint

export const getTrainingRun = {
  operation: "get_training_run",
  method: "GET",
  path: "/training_runs/:id",
  query: Queries.scope(),
  answer: TrainingRun
} as const satisfies Endpoint

export const listCheckpoints = {
  operation: "list_checkpoints",
  method: "GET",
  path: "/training_runs/:id/checkpoints",
  answer: CheckpointsListResponse
} as const satisfies Endpoint

export const listUserCheckpoints = {
  operation: "list_user_checkpoints",
  method: "GET",
  path: "/checkpoints",
  query: Queries.page(100),
  answer: CheckpointsListResponse
} as const satisfies Endpoint

export const deleteCheckpoint = {
  operation: "delete_checkpoint",
  method: "DELETE",
  path: "/training_runs/:id/checkpoints/:kind/:name",
  answer: "none"
} as const satisfies Endpoint

export const publishCheckpoint = {
  operation: "publish_checkpoint",
  method: "POST",
  path: "/training_runs/:id/checkpoints/:kind/:name/publish",
  answer: "none"
} as const satisfies Endpoint

export const unpublishCheckpoint = {
  operation: "unpublish_checkpoint",
  method: "DELETE",
  path: "/training_runs/:id/checkpoints/:kind/:name/publish",
  answer: "none"
} as const satisfies Endpoint

export const setCheckpointTtl = {
  operation: "set_checkpoint_ttl",
  method: "PUT",
  path: "/training_runs/:id/checkpoints/:kind/:name/ttl",
  body: SetTtlRequest,
  answer: "none"
} as const satisfies Endpoint

export const getExternalWeightsUrls = {
  operation: "get_external_weights_urls",
  method: "GET",
  path: "/training_runs/:id/checkpoints/:kind/:name/external_weights_urls",
  answer: ExternalWeightsUrls
} as const satisfies Endpoint

export const getCheckpointArchiveUrl = {
  operation: "get_checkpoint_archive_url",
  method: "GET",
  path: "/training_runs/:id/checkpoints/:kind/:name/archive",
  answer: "redirect"
} as const satisfies Endpoint

export const getBillingUsage = {
  operation: "get_billing_usage",
  method: "GET",
  path: "/billing/usage/events",
  query: UsageQuery,
  answer: BillingUsageResponse
} as const satisfies Endpoint

export const getCurrentCheckpointStorageUsage = {
  operation: "get_current_checkpoint_storage_usage",
  method: "GET",
  path: "/billing/usage/checkpoints/current",
  query: StorageQuery,
  answer: CurrentCheckpointStorageUsageResponse
} as const satisfies Endpoint

export const getAuditLog = {
  operation: "get_audit_log",
  method: "GET",
  path: "/audit",
  query: AuditQuery,
  answer: AuditLogResponse
} as const satisfies Endpoint
