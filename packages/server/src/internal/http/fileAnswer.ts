/** Files as answers: whole, or a part of them, or not at all for whoever has them. */
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { joined } from "../fast/bytes.js"
import * as Http from "./http.js"
import type * as StoredFile from "./storedFile.js"

/** Source: RFC 9110, sections 13 and 14. A question for several parts gets the whole. */
export const send = (
  { headers, method }: Http.Received,
  { read, sizeBytes }: StoredFile.Content,
  marks: { readonly etag: string } & Readonly<Record<string, string>>
): Effect.Effect<HttpServerResponse.HttpServerResponse, Http.Refusal> => {
  const always = { ...marks, "accept-ranges": "bytes" }
  if (isOther(headers, marks)) {
    return Http.refuse(412, "the file is not the one that the request is for: ask for it without conditions", always)
  }
  if (isKnown(headers, marks)) return Effect.succeed(HttpServerResponse.empty({ status: 304, headers: always }))
  const condition = headers["if-range"]
  const applies = method === "GET"
    && (condition === undefined || condition === marks.etag || condition === marks["last-modified"])
  const range = applies ? rangeOf(headers.range ?? "", sizeBytes) : undefined
  const { from, to } = range ?? { from: 0, to: sizeBytes }
  if (from >= to && range !== undefined) {
    return Http.refuse(416, `the file has ${sizeBytes} bytes, and none of those that were asked for`, {
      ...always,
      "content-range": `bytes */${sizeBytes}`
    })
  }
  const length = to - from
  const options = {
    status: range === undefined ? 200 : 206,
    contentType: "application/octet-stream",
    headers: range === undefined ? always : { ...always, "content-range": `bytes ${from}-${to - 1}/${sizeBytes}` }
  }
  const bytes = to === sizeBytes ? read(from) : firstOf(read(from), length)
  return length > largestWhole
    ? Effect.succeed(
      HttpServerResponse.stream(bytes, {
        ...options,
        contentLength: length,
        headers: { ...options.headers, "content-length": String(length) }
      })
    )
    : Effect.map(
      Http.known(Stream.runCollect(bytes)),
      (parts) => HttpServerResponse.uint8Array(joined(Chunk.toReadonlyArray(parts)), options)
    )
}

/** What tells one state of a file from others. */
interface Marks {
  readonly etag: string
  readonly "last-modified"?: string
}

type Headers = Http.Received["headers"]

/** Whether the client wants the file in a state that it is not in. */
const isOther = (headers: Headers, marks: Marks): boolean => {
  const match = headers["if-match"]
  if (match !== undefined) return match.trim() !== "*" && !tagsOf(match).includes(marks.etag)
  return isLater(marks["last-modified"], headers["if-unmodified-since"]) === true
}

/** Whether the client says that it has the file as it is. */
const isKnown = (headers: Headers, marks: Marks): boolean => {
  const noneMatch = headers["if-none-match"]
  // A weak tag is as good here.
  if (noneMatch !== undefined) {
    return noneMatch.trim() === "*" || tagsOf(noneMatch).some((tag) => strong(tag) === marks.etag)
  }
  return isLater(marks["last-modified"], headers["if-modified-since"]) === false
}

/** The tags of a list, which may have commas in them. */
const tagsOf = (list: string): ReadonlyArray<string> => list.match(/(W\/)?"[\x21\x23-\x7e\x80-\xff]*"/g) ?? []

const strong = (tag: string): string => tag.replace(/^W\//, "")

/** Whether one date is behind another; nothing where one is not there, or is no date of HTTP. */
const isLater = (modified: string | undefined, since: string | undefined): boolean | undefined => {
  const [a, b] = [modified, since].map((date) => date?.endsWith(" GMT") === true ? Date.parse(date) : NaN) as [
    number,
    number
  ]
  return Number.isNaN(a) || Number.isNaN(b) ? undefined : a > b
}

/** The bytes from one to before another. */
interface Range {
  readonly from: number
  readonly to: number
}

/**
 * The one part of a file that is asked for, which has no bytes if they are all behind its end. Nothing where the whole is to be
 * sent: several parts, what is no range, and any part of an empty file.
 */
const rangeOf = (header: string, sizeBytes: number): Range | undefined => {
  const [, listed] = /^bytes=(.*)$/i.exec(header) ?? []
  const [only, ...others] = (listed ?? "").split(",").map((one) => one.trim()).filter((one) => one !== "")
  const [, first, last] = /^(\d*)-(\d*)$/.exec(only ?? "") ?? []
  if (first === undefined || last === undefined || others.length > 0 || sizeBytes === 0) return undefined
  if (first === "") return last === "" ? undefined : { from: Math.max(0, sizeBytes - Number(last)), to: sizeBytes }
  const from = Number(first)
  if (last === "") return { from, to: sizeBytes }
  return Number(last) < from ? undefined : { from, to: Math.min(Number(last) + 1, sizeBytes) }
}

const firstOf = <E>(bytes: Stream.Stream<Uint8Array, E>, length: number): Stream.Stream<Uint8Array, E> =>
  bytes.pipe(
    Stream.mapAccum(length, (left, part) => {
      const isLast = part.length >= left
      return [left - part.length, { part: isLast ? part.subarray(0, left) : part, isLast }]
    }),
    Stream.takeUntil(({ isLast }) => isLast),
    Stream.map(({ part }) => part)
  )

/** The largest file that is read whole, in bytes; what is larger is sent as it is read. */
const largestWhole = 256 * 1024
