/** Endpoints of the service itself: whether it is there, its settings and capabilities, tokens, reports. */
import * as Schema from "effect/Schema"
import type { Endpoint } from "../../Endpoint.js"
import {
  AuthTokenResponse,
  ClientConfigRequest,
  GetServerCapabilitiesResponse,
  HealthResponse,
  Settings
} from "../../ServiceMessages.js"
import { TelemetryResponse, TelemetrySendRequest } from "../../TelemetryMessages.js"

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
  answer: Settings
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
