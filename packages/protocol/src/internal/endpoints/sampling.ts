/** Endpoints of sampling sessions and samples. */
import type { Endpoint } from "../../Endpoint.js"
import { UntypedFuture } from "../../ModelsMessages.js"
import { SampleRequest } from "../../SamplingMessages.js"
import {
  CreateSamplingSessionRequest,
  CreateSamplingSessionResponse,
  GetSamplerResponse,
  JoinSamplingSessionRequest,
  JoinSamplingSessionResponse
} from "../../ServiceMessages.js"

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
