/** What answers each route. */
import type { Answer } from "@effect-tinker/protocol/Endpoint"
import * as Effect from "effect/Effect"
import type * as Faults from "../../Faults.js"
import type * as TinkerProtocol from "../../TinkerProtocol.js"
import type { Authentication } from "../http/authentication.js"
import * as Http from "../http/http.js"
import * as OpenApi from "../http/openApi.js"
import type { RouteName, routes } from "../http/routes.js"
import type { ServerState } from "../models/serverState.js"
import * as AccountRoutes from "./accountRoutes.js"
import * as CheckpointRoutes from "./checkpointRoutes.js"
import * as DownloadRoutes from "./downloadRoutes.js"
import * as FutureRoutes from "./futureRoutes.js"
import * as HubRoutes from "./hubRoutes.js"
import * as MetricRoutes from "./metricRoutes.js"
import type { Metrics } from "./metrics.js"
import * as ModelRoutes from "./modelRoutes.js"
import * as SamplingRoutes from "./samplingRoutes.js"
import * as SessionListRoutes from "./sessionListRoutes.js"
import * as SessionRoutes from "./sessionRoutes.js"
import * as TrainingRunRoutes from "./trainingRunRoutes.js"
import * as WeightsRoutes from "./weightsRoutes.js"

/** A route without a handler does not compile, nor does one whose handler answers as another endpoint. */
export const make = (
  state: ServerState,
  options: TinkerProtocol.Options,
  { authentication, faults, maxBodyBytes, metrics }: {
    readonly authentication: Authentication
    readonly faults: Faults.Service | undefined
    readonly maxBodyBytes: number
    readonly metrics: Metrics | undefined
  }
): { readonly [Name in RouteName]: Http.Handler<Answer<(typeof routes)[Name]>> } => {
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
  const models = ModelRoutes.make(state, maxBodyBytes)
  const weights = WeightsRoutes.make(state, authentication.userOf)
  const checkpoints = CheckpointRoutes.make(state, weights.ownerOfToken)
  const downloads = DownloadRoutes.make(state, { urlLifetime: options.fileUrlLifetime, archives: options.archives })
  const hub = HubRoutes.make(state.engine.baseModels)
  const runs = TrainingRunRoutes.make(state)
  const sessionLists = SessionListRoutes.make(state)
  const results = FutureRoutes.make(state)
  const sampling = SamplingRoutes.make(state, { logprobs: options.sampleLogprobs })
  const account = AccountRoutes.make(state, options.prices ?? {})
  let description: unknown
  return {
    healthz: sessions.healthz,
    clientConfig: sessions.config,
    authToken: authentication.exchange,
    getApiKey: authentication.describe,
    deleteApiKey: authentication.revoke,
    dynamicConfig: sessions.dynamicConfig,
    getServerCapabilities: sessions.getServerCapabilities,
    createSession: sessions.createSession,
    sessionHeartbeat: sessions.heartbeat,
    finishSession: sessions.finish,
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
    assignSessionProject: sessionLists.assignProject,
    exportSessionTrace: sessionLists.traceExport,
    getBillingUsage: account.usageEvents,
    getCurrentCheckpointStorageUsage: account.currentStorage,
    getAuditLog: account.audit,
    listUserCheckpoints: checkpoints.listUserCheckpoints,
    listTrainingRuns: runs.listTrainingRuns,
    getTrainingRun: runs.getTrainingRun,
    listCheckpoints: runs.listCheckpoints,
    removeWithoutKind: checkpoints.withoutKind,
    deleteCheckpoint: checkpoints.remove,
    publishCheckpoint: checkpoints.publish,
    unpublishCheckpoint: checkpoints.unpublish,
    setCheckpointTtl: checkpoints.setTtl,
    getExternalWeightsUrls: downloads.externalWeightsUrls,
    getCheckpointArchiveUrl: downloads.archive,
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
}
