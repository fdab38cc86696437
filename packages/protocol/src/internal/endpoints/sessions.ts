/** Endpoints of sessions, of this program and of others. */
import type { Endpoint } from "../../Endpoint.js"
import {
  CreateSessionRequest,
  CreateSessionResponse,
  FinishSessionRequest,
  SessionHeartbeatRequest,
  SessionHeartbeatResponse
} from "../../ServiceMessages.js"
import {
  AssignProjectRequest,
  GetSessionResponse,
  ListSessionsResponse,
  SessionSearchRequest,
  SessionSearchResponse,
  SessionTraceExportPollResponse
} from "../../SessionsMessages.js"
import * as Queries from "../queries.js"

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
  body: SessionHeartbeatRequest,
  answer: SessionHeartbeatResponse
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
