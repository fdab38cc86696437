/** Reads the body of a request, up to a limit; those that are on their way count among the bytes that a server holds. */
import type * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import { joined } from "../fast/bytes.js"
import type { Limits } from "../models/limits.js"
import * as Http from "./http.js"

/**
 * The whole body. One that is too large is refused with 413 before it is read to its end, on a connection that closes then;
 * one that breaks off with 400.
 */
export const read = (
  request: HttpServerRequest.HttpServerRequest,
  maxBytes: number,
  limits: Pick<Limits, "requireRoom" | "occupy" | "free">
): Effect.Effect<Uint8Array, Http.Refusal> => {
  // Made when needed: an error takes a trace of the stack with it.
  const tooLarge = () =>
    Http.refuse(413, `the body is larger than ${maxBytes} bytes, the most that this server takes`, {
      connection: "close"
    })
  const announced = request.headers["content-length"]
  if (announced !== undefined && Number(announced) > maxBytes) return tooLarge()
  if (isWhole(request.source)) {
    const { bytes } = request.source
    return bytes.length > maxBytes ? tooLarge() : Effect.succeed(bytes)
  }
  if (isReadable(request.source)) return readAll(request.source, Number(announced ?? 0), maxBytes, tooLarge, limits)
  return Effect.flatMap(
    Effect.mapError(request.arrayBuffer, () => brokenOff),
    (body) => body.byteLength > maxBytes ? tooLarge() : Effect.succeed(new Uint8Array(body))
  )
}

const brokenOff = Http.refuse(400, "the body ended before it was complete")

/** A request that never was on the way has all of its body. */
export interface Whole {
  readonly bytes: Uint8Array
}

/** Whether there is still something to read, which can take long and much memory. */
export const isStreaming = ({ source }: HttpServerRequest.HttpServerRequest): boolean => !isWhole(source)

const isWhole = (source: unknown): source is Whole =>
  Predicate.hasProperty(source, "bytes") && source.bytes instanceof Uint8Array

/** What is read of a Node stream. The platform would break the connection of a body that is too large, without an answer. */
interface Readable {
  readonly on: (event: string, listener: (chunk: Uint8Array) => void) => unknown
  readonly off: (event: string, listener: (chunk: Uint8Array) => void) => unknown
  readonly pause: () => unknown
}

const isReadable = (source: unknown): source is Readable =>
  Predicate.hasProperty(source, "on") && Predicate.hasProperty(source, "off") && Predicate.hasProperty(source, "pause")

/** Fewer bytes are joined without a thought. */
const largestChunks = 2 ** 20

const readAll = (
  source: Readable,
  announced: number,
  maxBytes: number,
  tooLarge: () => Http.Refusal,
  limits: Pick<Limits, "requireRoom" | "occupy" | "free">
): Effect.Effect<Uint8Array, Http.Refusal> =>
  Effect.async((resume) => {
    let chunks: Array<Uint8Array> = []
    let size = 0
    /**
     * All of it, once an eighth of what was announced is there: parts that are kept until they are joined are not collected soon, and
     * who announces much and sends little is given no more than eight times as much.
     */
    let whole: Uint8Array | undefined
    const keep = (chunk: Uint8Array) => {
      if (whole !== undefined && size <= whole.length) return whole.set(chunk, size - chunk.length)
      chunks.push(chunk)
      if (announced <= largestChunks || size < announced / 8 || size > announced) return
      whole = new Uint8Array(announced)
      let at = 0
      for (const part of chunks) {
        whole.set(part, at)
        at += part.length
      }
      chunks = []
    }
    const onData = (chunk: Uint8Array) => {
      const room = limits.requireRoom({ connection: "close" })
      size += chunk.length
      limits.occupy(chunk.length)
      if (size <= maxBytes && room === Effect.void) return keep(chunk)
      chunks = []
      whole = undefined
      source.pause()
      end(size > maxBytes ? tooLarge() : Effect.zipRight(room, brokenOff))
    }
    const onEnd = () =>
      end(Effect.succeed(
        whole === undefined
          ? joined(chunks)
          : chunks.length === 0
          ? whole.subarray(0, size)
          : joined([whole, ...chunks])
      ))
    const onBroken = () => end(brokenOff)
    const listeners = [["data", onData], ["end", onEnd], ["error", onBroken], ["close", onBroken]] as const
    const stop = () => {
      limits.free(size)
      size = 0
      for (const [event, listener] of listeners) if (event !== "error") source.off(event, listener)
    }
    const end = (result: Effect.Effect<Uint8Array, Http.Refusal>) => {
      stop()
      resume(result)
    }
    for (const [event, listener] of listeners) source.on(event, listener)
    return Effect.sync(stop)
  })
