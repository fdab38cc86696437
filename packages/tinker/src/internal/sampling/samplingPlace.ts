import type * as ServiceMessages from "@effect-tinker/protocol/ServiceMessages"
import type { TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as Effect from "effect/Effect"
import * as RetryPolicy from "../../RetryPolicy.js"
import type * as ServiceApi from "../../ServiceApi.js"
import type { Session } from "../../SessionManager.js"
import type { Place } from "./sampler.js"

/** Makes a sampling session of a model or a checkpoint in a session. */
export const samplingPlace =
  (api: ServiceApi.Service, source: Pick<ServiceMessages.CreateSamplingSessionRequest, "baseModel" | "modelPath">) =>
  (session: Session): Effect.Effect<Place, TinkerError> =>
    Effect.flatMap(session.nextSamplingSessionSeqId, (samplingSessionSeqId) =>
      Effect.map(
        RetryPolicy.retry(api.createSamplingSession({
          sessionId: session.sessionId,
          samplingSessionSeqId,
          ...source,
          type: "create_sampling_session"
        }, { session })),
        ({ samplingSessionId }) => ({ samplingSessionId, session })
      ))
