/** Endpoints of an account: its keys, what it used, and who did what. */
import { ApiKey } from "../../ApiKeyMessages.js"
import { AuditLogResponse, AuditQuery } from "../../AuditMessages.js"
import {
  BillingUsageResponse,
  CurrentCheckpointStorageUsageResponse,
  StorageQuery,
  UsageQuery
} from "../../BillingMessages.js"
import type { Endpoint } from "../../Endpoint.js"

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
