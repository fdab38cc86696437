/** A sampling client as a text, to be restored in another process. It holds no credential. */
import { SamplingSessionId, SessionId } from "@effect-tinker/protocol/Identifiers"
import { InvalidInputError } from "@effect-tinker/protocol/TinkerError"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { samplerFields } from "./retryConfig.js"

const count = Schema.optional(Schema.Number)

export const SamplerHandle = Schema.Struct({
  sessionId: SessionId,
  samplingSessionId: SamplingSessionId,
  baseModel: Schema.String,
  recordStabilityInfo: Schema.Boolean,
  /** The settings of `SamplingClient.RetryConfig`. */
  retryConfig: Schema.optional(Schema.Struct({
    maxConnections: Schema.optional(Schema.NullOr(Schema.Number)),
    progressTimeout: count,
    retryDelayBase: count,
    retryDelayMax: count,
    jitterFactor: count,
    maxAttempts: count,
    enableRetryLogic: Schema.optional(Schema.Boolean),
    enableStuckDetection: Schema.optional(Schema.Boolean)
  }))
})

export type SamplerHandle = typeof SamplerHandle.Type

const Text = Schema.compose(Schema.StringFromBase64Url, Schema.parseJson(SamplerHandle))

const decodeText = Schema.decodeUnknown(Text)

export const encode: (handle: SamplerHandle) => string = Schema.encodeSync(Text)

/** `InvalidInputError` for a text that is no handle. */
export const decode = (text: string): Effect.Effect<SamplerHandle, InvalidInputError> =>
  decodeText(text).pipe(
    Effect.filterOrFail(({ retryConfig }) => samplerFields.retryConfig(retryConfig, "retryConfig").length === 0),
    Effect.mapError(() =>
      new InvalidInputError({
        operation: "SamplerHandle.decode",
        field: "handle",
        description: "is damaged. Pass on the whole text that SamplingClient.handle gave."
      })
    )
  )
