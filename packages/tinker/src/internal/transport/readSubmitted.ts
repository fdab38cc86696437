import type { RequestId } from "@effect-tinker/protocol/Identifiers"
import { UntypedFuture } from "@effect-tinker/protocol/ModelsMessages"
import type { TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import type * as TinkerHttpClient from "../../TinkerHttpClient.js"
import { decodeValue, parseJson } from "./decodeJson.js"

/** The answer to a submission. Thousands come a second, so the usual form is read without a schema. */
export const readSubmitted = (response: TinkerHttpClient.Response): Effect.Effect<UntypedFuture, TinkerError> => {
  const origin = { operation: response.request.operation, response }
  return Effect.flatMap(parseJson(origin), (value) => {
    if (Predicate.isRecord(value)) {
      const { model_id: modelId, request_id: requestId, sample_sequence_ids: ids } = value
      const usual = typeof requestId === "string" && requestId !== ""
        && (typeof modelId === "string" || modelId === undefined || modelId === null)
        && (ids === undefined || ids === null || (Array.isArray(ids) && ids.every(Predicate.isString)))
      if (usual) {
        return Effect.succeed({
          requestId: requestId as RequestId,
          ...(typeof modelId === "string" ? { modelId } : {}),
          ...(Array.isArray(ids) ? { sampleSequenceIds: ids } : {})
        })
      }
    }
    return decodeValue(origin, value, UntypedFuture)
  })
}
