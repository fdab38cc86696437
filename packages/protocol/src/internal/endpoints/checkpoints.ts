/** Endpoints of training runs and their checkpoints. */
import {
  CheckpointsListResponse,
  CopyWeightsRequest,
  CopyWeightsResponse,
  ExternalWeightsUrls,
  SetTtlRequest
} from "../../CheckpointsMessages.js"
import type { Endpoint } from "../../Endpoint.js"
import { TrainingRun } from "../../TrainingRun.js"
import { TrainingRunsResponse } from "../../TrainingRunsMessages.js"
import * as Queries from "../queries.js"

export const copyWeights = {
  operation: "copy_weights",
  method: "POST",
  path: "/copy_weights",
  body: CopyWeightsRequest,
  answer: CopyWeightsResponse
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
