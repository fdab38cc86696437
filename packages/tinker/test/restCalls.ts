import { Effect, Redacted, Stream } from "effect"
import { AdminClient, RestClient } from "effect-tinker"
import type { TinkerError } from "effect-tinker"

/** One call of the clients without a session, with what it sends and an answer that satisfies it. */
export interface RestCall {
  /** As it is written in programs. */
  readonly name: string
  readonly method: string
  /** Behind `/api/v1/`, without the query. */
  readonly path: string
  readonly query?: Readonly<Record<string, string>>
  readonly body?: unknown
  /** Undefined when whatever the server says is as good. */
  readonly answer: unknown
  /** What is not there when the answer is 404; undefined for addresses that name no one thing. */
  readonly subject?: string
  readonly run: Effect.Effect<unknown, TinkerError.TinkerError, RestClient.RestClient | AdminClient.AdminClient>
}

export const checkpoint = {
  checkpoint_id: "weights/0001",
  checkpoint_type: "training",
  time: "2025-06-01T12:00:00Z",
  tinker_path: "tinker://S:train:0/weights/0001",
  size_bytes: 1024,
  public: true,
  user_metadata: { note: "n" },
  expires_at: "2025-07-01T12:00:00.123456+02:00"
}

export const trainingRun = {
  training_run_id: "S:train:0",
  base_model: "m",
  model_owner: "u",
  is_lora: true,
  corrupted: true,
  lora_rank: 16,
  last_request_time: "2025-06-01T12:00:00Z",
  last_checkpoint: checkpoint,
  last_sampler_checkpoint: { ...checkpoint, checkpoint_id: "sampler_weights/w", checkpoint_type: "sampler" },
  user_metadata: { team: "a" }
}

export const cursor = { offset: 0, limit: 20, total_count: 1 }

const rest = <A>(f: (rest: RestClient.Service) => Effect.Effect<A, TinkerError.TinkerError>) =>
  Effect.flatMap(RestClient.RestClient, f)

const admin = <A>(f: (admin: AdminClient.Service) => Effect.Effect<A, TinkerError.TinkerError>) =>
  Effect.flatMap(AdminClient.AdminClient, f)

const owned = { access_scope: "owned" }
const path = "tinker://S:train:0/weights/0001"
const base = "training_runs/S:train:0"
const external = "tinker://S:train:0/external_weights/e"
const summary = {
  session_id: "S",
  created_at: "2025-06-01T12:00:00",
  owner: "u",
  project_id: "p",
  checkpoints_count: 2
}
const search = { user_metadata: {}, owner: { type: "own" }, limit: 50 }
const key = Redacted.make("tml-other")

export const calls: ReadonlyArray<RestCall> = [
  {
    name: "getServerCapabilities",
    method: "GET",
    path: "get_server_capabilities",
    answer: { supported_models: [] },
    run: rest((client) => client.getServerCapabilities)
  },
  {
    name: "listTrainingRuns",
    method: "GET",
    path: "training_runs",
    query: { limit: "20", offset: "0", ...owned },
    answer: { training_runs: [trainingRun], cursor },
    run: rest((client) => client.listTrainingRuns())
  },
  {
    name: "trainingRuns",
    method: "GET",
    path: "training_runs",
    query: { limit: "100", offset: "0", ...owned },
    answer: { training_runs: [trainingRun], cursor },
    run: rest((client) => Stream.runDrain(client.trainingRuns()))
  },
  {
    name: "getTrainingRun",
    method: "GET",
    path: base,
    query: owned,
    answer: trainingRun,
    subject: "training run S:train:0",
    run: rest((client) => client.getTrainingRun("S:train:0"))
  },
  {
    name: "listCheckpoints",
    method: "GET",
    path: `${base}/checkpoints`,
    answer: { checkpoints: [checkpoint] },
    subject: "training run S:train:0",
    run: rest((client) => client.listCheckpoints("S:train:0"))
  },
  {
    name: "listUserCheckpoints",
    method: "GET",
    path: "checkpoints",
    query: { limit: "100", offset: "0" },
    answer: { checkpoints: [checkpoint], cursor },
    run: rest((client) => client.listUserCheckpoints())
  },
  {
    name: "userCheckpoints",
    method: "GET",
    path: "checkpoints",
    query: { limit: "100", offset: "0" },
    answer: { checkpoints: [checkpoint], cursor },
    run: rest((client) => Stream.runDrain(client.userCheckpoints()))
  },
  {
    name: "getWeightsInfo",
    method: "POST",
    path: "weights_info",
    body: { tinker_path: path },
    answer: { base_model: "m" },
    subject: `checkpoint ${path}`,
    run: rest((client) => client.getWeightsInfo(path))
  },
  {
    name: "deleteCheckpoint",
    method: "DELETE",
    path: `${base}/checkpoints/weights/0001`,
    answer: undefined,
    subject: `checkpoint ${path}`,
    run: rest((client) => client.deleteCheckpoint(path))
  },
  {
    name: "publishCheckpoint",
    method: "POST",
    path: `${base}/checkpoints/weights/0001/publish`,
    answer: undefined,
    subject: `checkpoint ${path}`,
    run: rest((client) => client.publishCheckpoint(path))
  },
  {
    name: "unpublishCheckpoint",
    method: "DELETE",
    path: `${base}/checkpoints/weights/0001/publish`,
    answer: undefined,
    subject: `checkpoint ${path}`,
    run: rest((client) => client.unpublishCheckpoint(path))
  },
  {
    name: "setCheckpointTtl",
    method: "PUT",
    path: `${base}/checkpoints/weights/0001/ttl`,
    body: { ttl_seconds: 3600 },
    answer: undefined,
    subject: `checkpoint ${path}`,
    run: rest((client) => client.setCheckpointTtl(path, "1 hour"))
  },
  {
    name: "copyWeights",
    method: "POST",
    path: "copy_weights",
    body: { source_path: path, destination_project_id: "p", ttl_seconds: 7200 },
    answer: { tinker_path: "tinker://copy/weights/0001" },
    subject: `checkpoint ${path}`,
    run: rest((client) => client.copyWeights(path, { destinationProjectId: "p", ttl: "2 hours" }))
  },
  {
    name: "getExternalWeightsUrls",
    method: "GET",
    path: `${base}/checkpoints/external_weights/e/external_weights_urls`,
    answer: { urls: { "a.json": "https://files.example/a?signature=s" }, expires: "2025-06-01T12:00:00Z" },
    subject: `checkpoint ${external}`,
    run: rest((client) => client.getExternalWeightsUrls(external))
  },
  {
    name: "getCheckpointArchiveUrl",
    method: "GET",
    path: `${base}/checkpoints/weights/0001/archive`,
    answer: { url: "https://files.example/a.tar?signature=s", expires: "2025-06-01T12:00:00Z" },
    run: rest((client) => client.getCheckpointArchiveUrl(path))
  },
  {
    name: "getSession",
    method: "GET",
    path: "sessions/S",
    query: owned,
    answer: { training_run_ids: ["S:train:0"], sampler_ids: ["S:sample:0"] },
    subject: "session S",
    run: rest((client) => client.getSession("S"))
  },
  {
    name: "listSessions",
    method: "GET",
    path: "sessions",
    query: { limit: "20", offset: "0", ...owned },
    answer: { sessions: ["S"] },
    run: rest((client) => client.listSessions())
  },
  {
    name: "sessions",
    method: "GET",
    path: "sessions",
    query: { limit: "100", offset: "0", ...owned },
    answer: { sessions: ["S"] },
    run: rest((client) => Stream.runDrain(client.sessions()))
  },
  {
    name: "searchSessions",
    method: "POST",
    path: "sessions/search",
    body: search,
    answer: { sessions: [summary] },
    run: rest((client) => client.searchSessions())
  },
  {
    name: "foundSessions",
    method: "POST",
    path: "sessions/search",
    body: search,
    answer: { sessions: [summary] },
    run: rest((client) => Stream.runDrain(client.foundSessions()))
  },
  {
    name: "assignSessionProject",
    method: "PUT",
    path: "sessions/S/project",
    body: { project_id: "p" },
    answer: undefined,
    subject: "session S, or project p",
    run: rest((client) => client.assignSessionProject("S", "p"))
  },
  {
    name: "exportSessionTrace",
    method: "GET",
    path: "sessions/S/trace_export",
    answer: { status: "ready", url: "https://files.example/t.pftrace?signature=s" },
    subject: "session S",
    run: rest((client) => client.exportSessionTrace("S"))
  },
  {
    name: "getSampler",
    method: "GET",
    path: "samplers/S:sample:0",
    answer: { sampler_id: "S:sample:0", base_model: "m" },
    subject: "sampler S:sample:0",
    run: rest((client) => client.getSampler("S:sample:0"))
  },
  {
    name: "getApiKey",
    method: "GET",
    path: "auth/apikey/me",
    answer: { key_id: 7 },
    run: rest((client) => client.getApiKey(key))
  },
  {
    name: "deleteApiKey",
    method: "DELETE",
    path: "auth/apikey/me",
    answer: undefined,
    run: rest((client) => client.deleteApiKey(key))
  },
  {
    name: "getAuditLog",
    method: "GET",
    path: "audit",
    query: { event_type: "all" },
    answer: { entries: [] },
    run: admin((client) => client.getAuditLog())
  },
  {
    name: "getBillingUsage",
    method: "GET",
    path: "billing/usage/events",
    query: { starting_on: "2025-06-01T00:00:00.000Z", ending_before: "2025-06-15T00:00:00.000Z" },
    answer: { data: [] },
    run: admin((client) => client.getBillingUsage({ startingOn: "2025-06-01", endingBefore: "2025-06-15" }))
  },
  {
    name: "getCurrentCheckpointStorageUsage",
    method: "GET",
    path: "billing/usage/checkpoints/current",
    answer: { data: [] },
    run: admin((client) => client.getCurrentCheckpointStorageUsage())
  }
]
