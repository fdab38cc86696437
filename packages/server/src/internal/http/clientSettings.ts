/** What the settings that a server sends to its clients may be. Names and types: the Python SDK 0.38.0. */

/** A setting under its name on the wire, and what is wrong with it. */
export interface Issue {
  readonly setting: string
  readonly description: string
}

const booleans: ReadonlySet<string> = new Set([
  "parallel_fwdbwd_chunks",
  "proto_compress_fwdbwd",
  "sample_no_retries",
  "sample_enable_stuck_detection",
  "use_pyqwest_transport",
  "sample_use_retrieve_futures",
  "sample_join_sampling_session",
  "sample_cancel_enabled",
  "create_model_via_load_weights"
])

/** The least values of settings with 0 of which clients would wait for ever, or ask without a pause. */
const counts: ReadonlyMap<string, number> = new Map([
  ["sample_dispatch_bytes_semaphore_size", 1],
  ["inflight_response_bytes_semaphore_size", 1],
  ["fwdbwd_max_chunk_len", 1],
  ["fwdbwd_max_chunk_bytes_count", 1],
  ["fwdbwd_dispatch_bytes_semaphore_size", 1],
  ["sample_max_concurrent_requests", 1],
  ["refresh_interval_sec", 1],
  ["sample_cancel_max_batch_size", 1],
  ["billing_exception_max_pause_duration_sec", 0]
])

/** What is wrong with settings. Ones that are not known here are left to the clients that know them. */
export const issues = (
  settings: Readonly<Record<string, unknown>>,
  givesTokens: boolean
): ReadonlyArray<Issue> =>
  Object.entries(settings).flatMap(([setting, value]) => {
    const description = faultOf(setting, value, givesTokens)
    return description === undefined ? [] : [{ setting, description }]
  })

const faultOf = (setting: string, value: unknown, givesTokens: boolean): string | undefined => {
  const least = counts.get(setting)
  if (least !== undefined) {
    return Number.isSafeInteger(value) && (value as number) >= least
      ? undefined
      : `must be a whole number, ${least} or more`
  }
  if (booleans.has(setting)) return typeof value === "boolean" ? undefined : "must be true or false"
  switch (setting) {
    case "pjwt_auth_enabled":
      return value === givesTokens ? undefined : givesTokens
        ? "must be true or left out, for this server wants tokens"
        : "must be false or left out, for this server gives no tokens, without which no client would come in"
    case "custom_loss_server_side":
      return value === false ? undefined : "must be false or left out, for this server computes no losses of clients"
    case "credential_default_source":
      return value === "api_key" || value === "credential_cmd" ? undefined : "must be api_key or credential_cmd"
    default:
      return undefined
  }
}
