/** Files as answers: whole, or from a byte on, or not at all for whoever has them. */
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { joined } from "../fast/bytes.js"
import * as Http from "./http.js"
import type * as StoredFile from "./storedFile.js"

/** Source: RFC 9110, sections 13 and 14; of ranges those that go to the end, as downloads go on by them. */
export const send = (
  { headers }: Http.Received,
  { read, sizeBytes }: StoredFile.Content,
  marks: { readonly etag: string } & Readonly<Record<string, string>>
): Effect.Effect<HttpServerResponse.HttpServerResponse, Http.Refusal> => {
  const always = { ...marks, "accept-ranges": "bytes" }
  if (headers["if-none-match"] === marks.etag) {
    return Effect.succeed(HttpServerResponse.empty({ status: 304, headers: always }))
  }
  const range = /^bytes=(\d+)-$/.exec(headers.range ?? "")
  const condition = headers["if-range"]
  const applies = condition === undefined || condition === marks.etag || condition === marks["last-modified"]
  const from = range !== null && applies ? Number(range[1]) : 0
  if (from > 0 && from >= sizeBytes) {
    return Http.refuse(416, "the file ends before", { ...always, "content-range": `bytes */${sizeBytes}` })
  }
  const length = sizeBytes - from
  const options = {
    status: from > 0 ? 206 : 200,
    contentType: "application/octet-stream",
    headers: from > 0 ? { ...always, "content-range": `bytes ${from}-${sizeBytes - 1}/${sizeBytes}` } : always
  }
  return length > largestWhole
    ? Effect.succeed(
      HttpServerResponse.stream(read(from), {
        ...options,
        contentLength: length,
        headers: { ...options.headers, "content-length": String(length) }
      })
    )
    : Effect.map(
      Http.known(Stream.runCollect(read(from))),
      (parts) => HttpServerResponse.uint8Array(joined(Chunk.toReadonlyArray(parts)), options)
    )
}

/** In bytes; what is larger is sent as it is read. */
const largestWhole = 256 * 1024
