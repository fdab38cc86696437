/** Endpoints of models that are trained: making, training, saving and loading them. */
import type { Endpoint } from "../../Endpoint.js"
import {
  CreateModelRequest,
  CreateModelResponse,
  GetInfoRequest,
  GetInfoResponse,
  UnloadModelRequest,
  UnloadModelResponse,
  UnloadModelResult,
  UntypedFuture
} from "../../ModelsMessages.js"
import { OptimStepRequest, OptimStepResponse } from "../../TrainingMessages.js"
import {
  LoadWeightsRequest,
  LoadWeightsResponse,
  SaveWeightsExternalRequest,
  SaveWeightsExternalResponse,
  SaveWeightsForSamplerRequest,
  SaveWeightsForSamplerResponse,
  SaveWeightsRequest,
  SaveWeightsResponse,
  WeightsInfoRequest,
  WeightsInfoResponse
} from "../../WeightsMessages.js"

export const createModel = {
  operation: "create_model",
  method: "POST",
  path: "/create_model",
  body: CreateModelRequest,
  answer: UntypedFuture,
  result: CreateModelResponse
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
  answer: UnloadModelResponse,
  result: UnloadModelResult
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
  answer: UntypedFuture,
  result: OptimStepResponse
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
  answer: UntypedFuture,
  result: SaveWeightsResponse
} as const satisfies Endpoint

export const saveWeightsForSampler = {
  operation: "save_weights_for_sampler",
  method: "POST",
  path: "/save_weights_for_sampler",
  body: SaveWeightsForSamplerRequest,
  answer: UntypedFuture,
  result: SaveWeightsForSamplerResponse
} as const satisfies Endpoint

export const saveWeightsExternal = {
  operation: "save_weights_external",
  method: "POST",
  path: "/save_weights_external",
  body: SaveWeightsExternalRequest,
  answer: UntypedFuture,
  result: SaveWeightsExternalResponse
} as const satisfies Endpoint

export const loadWeights = {
  operation: "load_weights",
  method: "POST",
  path: "/load_weights",
  body: LoadWeightsRequest,
  answer: UntypedFuture,
  result: LoadWeightsResponse
} as const satisfies Endpoint

export const weightsInfo = {
  operation: "weights_info",
  method: "POST",
  path: "/weights_info",
  body: WeightsInfoRequest,
  answer: WeightsInfoResponse
} as const satisfies Endpoint
