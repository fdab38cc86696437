/** How data become training requests: split, encoded once, within the budget of bytes, and submitted in their turn. */
import * as Datum from "@effect-tinker/protocol/Datum"
import type { ForwardBackwardOutput } from "@effect-tinker/protocol/ForwardBackwardOutput"
import type { ModelId } from "@effect-tinker/protocol/Identifiers"
import * as LossFn from "@effect-tinker/protocol/LossFn"
import * as ModelInput from "@effect-tinker/protocol/ModelInput"
import type { UntypedFuture } from "@effect-tinker/protocol/ModelsMessages"
import type { ClientConfigResponse } from "@effect-tinker/protocol/ServiceMessages"
import * as TensorData from "@effect-tinker/protocol/TensorData"
import { ApiStatusError, type TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as TrainingMessages from "@effect-tinker/protocol/TrainingMessages"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as HttpRuntime from "../../HttpRuntime.js"
import type { Session } from "../../SessionManager.js"
import type * as TinkerHttpClient from "../../TinkerHttpClient.js"
import * as TrainingApi from "../../TrainingApi.js"
import { type Track, untraced } from "../call/callTrace.js"
import type { WatchedCall } from "../call/watchedCall.js"
import type * as DispatchLimiter from "../dispatch/dispatchLimiter.js"
import type { Decoder, Submitted } from "../futures/submitted.js"
import * as Monotonic from "../monotonic.js"
import { chunkData } from "./chunkData.js"
import type * as RequestSequence from "./requestSequence.js"
import type { Resending } from "./resending.js"

export interface Pass {
  readonly data: ReadonlyArray<Datum.Datum>
  readonly lossFn: LossFn.LossFn
  readonly lossFnConfig?: LossFn.LossFnConfig | undefined
}

export interface Passes {
  /** The call in parts that the server takes. */
  readonly chunksOf: (pass: Pass) => ReadonlyArray<Pass>
  /** Submits the parts of a call, begun at `started`, in milliseconds of the monotonic clock. */
  readonly send: (
    operation: string,
    chunks: ReadonlyArray<Pass>,
    forwardOnly: boolean,
    turn: RequestSequence.Turn,
    started: number,
    watch: WatchedCall
  ) => Effect.Effect<ReadonlyArray<Submitted<ForwardBackwardOutput>>, TinkerError>
  /**
   * Requests that compute one token and change nothing: without gradients, and, for servers that have no such request, with one
   * that is zero.
   */
  readonly fillers: ReadonlyArray<RequestSequence.Numbered<UntypedFuture>>
}

export const make = (options: {
  readonly modelId: ModelId
  readonly training: TrainingApi.Service
  readonly limiter: DispatchLimiter.Service
  readonly settings: () => ClientConfigResponse
  readonly session: Session
  /** How requests are sent again. */
  readonly resending: Resending
  readonly zstd: Option.Option<HttpRuntime.Zstd["Type"]>
}): Passes => {
  const { limiter, modelId, resending, session, settings, training, zstd } = options

  /** Encodes once; the number is put in front when the request is sent. */
  const passRequest = (
    pass: Pass,
    forwardOnly: boolean,
    call?: string,
    track: Track = untraced,
    onSend?: () => void
  ): RequestSequence.Numbered<UntypedFuture> => {
    const { data, lossFnConfig = {} } = pass
    const lossFn = LossFn.nameOf(pass.lossFn)
    return (seqId, note) => {
      track.enter("wait for budget", { seqId })
      return limiter.training.withPermits(data.reduce((bytes, datum) => bytes + Datum.byteLength(datum), 0))(
        Effect.suspend(() => {
          track.enter("submit", { seqId })
          onSend?.()
          const head = { modelId, seqId, forwardOnly }
          const bytes = TrainingMessages.encodeForwardBackwardData({ data, lossFn, lossFnConfig }).withHead(head)
          const json = () => TrainingMessages.encodeForwardBackwardJson({ ...head, data, lossFn, lossFnConfig })
          return Effect.flatMap(
            compressed(bytes),
            (protobuf) =>
              resending({ seqId, call }, (attempts) =>
                Effect.suspend(() => {
                  track.attribute("attempt", attempts.retryCount + 1)
                  return Effect.tapError(
                    training.forwardBackward({ forwardOnly, protobuf, json }, { attempts, call, session }),
                    (error) => Effect.sync(() => note(error))
                  )
                }))
          )
        })
      )
    }
  }

  const compressed = (bytes: Uint8Array): Effect.Effect<TinkerHttpClient.Body> =>
    Option.isSome(zstd) && settings().protoCompressFwdbwd
      ? Effect.map(zstd.value.compress(bytes), (bytes) => ({ contentType, bytes, encoding: "zstd" }))
      : Effect.succeed({ contentType, bytes })

  const send: Passes["send"] = (operation, chunks, forwardOnly, turn, started, { sent: onSend, track }) => {
    const tracks = chunks.length === 1 ? [track] : chunks.map((_, i) => track.part(i))
    const requests = chunks.map((chunk, i) => passRequest(chunk, forwardOnly, operation, tracks[i], onSend))
    const partly = (error: TinkerError, accepted: number) =>
      accepted === 0 ? error : withPartsTold(error, accepted, chunks.length, forwardOnly)
    const sent = chunks.length > 1 && settings().parallelFwdbwdChunks
      ? turn.sendAll(requests, partly)
      : Effect.forEach(requests, (request, i) => Effect.mapError(turn.send(request), (error) => partly(error, i)))
    return Effect.zipWith(sent, Monotonic.now, (accepted, now) =>
      accepted.map(({ requestId }, i) => ({
        requestId,
        track: tracks[i],
        requestType: forwardOnly ? "Forward" : "ForwardBackward",
        operation,
        roundTrip: (now - started) / 1000,
        began: started,
        session,
        decode
      })))
  }

  const chunksOf = (pass: Pass): ReadonlyArray<Pass> => {
    const { fwdbwdMaxChunkBytes, fwdbwdMaxChunkLen } = settings()
    return chunkData(pass.data, { maxLength: fwdbwdMaxChunkLen, maxBytes: fwdbwdMaxChunkBytes })
      .map((data) => ({ ...pass, data }))
  }

  const filler: Pass = { data: [nothing], lossFn: "cross_entropy" }
  return { chunksOf, send, fillers: [passRequest(filler, true), passRequest(filler, false)] }
}

const contentType = "application/x-protobuf"

const nothing: Datum.Datum = {
  modelInput: ModelInput.fromTokens([0]),
  lossFnInputs: { targetTokens: TensorData.int64([0]), weights: TensorData.float32([0]) }
}

const decode: Decoder<ForwardBackwardOutput> = {
  protobuf: TrainingMessages.decodeForwardBackwardOutput,
  json: (value) => Effect.succeed(TrainingMessages.decodeForwardBackwardOutputJson(value))
}

/** The gradients of the parts that were accepted are in the model, which the caller must know. */
const withPartsTold = (error: TinkerError, accepted: number, parts: number, forwardOnly: boolean): TinkerError => {
  const told = `${accepted} of ${parts} parts of the call were accepted`
    + (forwardOnly ? "" : ", and their gradients have been accumulated")
  return error._tag === "ApiStatusError"
    ? new ApiStatusError({ ...error, detail: error.detail === "" ? told : `${error.detail}; ${told}` })
    : error
}
