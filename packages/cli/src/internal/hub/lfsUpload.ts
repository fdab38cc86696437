/** Uploads of large files, as Git LFS has them, whole or in parts. */
import type { PlatformError } from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { createHash } from "node:crypto"
import { type CommandFailed, failed } from "../../Failure.js"
import type * as Output from "../../Output.js"
import * as JsonObject from "../jsonObject.js"
import type { Answer, HubRequests } from "./hubRequests.js"

export interface LocalFile {
  /** The name in the repository, with slashes. */
  readonly name: string
  readonly place: string
  readonly size: number
}

export interface LfsFile extends LocalFile {
  readonly sha256: string
}

type Needs = FileSystem.FileSystem | Output.Output

const lfsType = "application/vnd.git-lfs+json"

/** How many objects are asked for at once. Source: huggingface_hub 2.4.0. */
export const askedAtOnce = 256

/** Files, or parts of them, that are on their way at once. */
const sentAtOnce = 4

const chunkSize = 2 ** 18

/** The SHA-256 of a file, in hexadecimal digits. */
export const sha256Of = (place: string): Effect.Effect<string, PlatformError, FileSystem.FileSystem> =>
  Effect.gen(function*() {
    const files = yield* FileSystem.FileSystem
    const hash = createHash("sha256")
    yield* Stream.runForEach(files.stream(place, { chunkSize }), (part) => Effect.sync(() => void hash.update(part)))
    return hash.digest("hex")
  })

/**
 * Brings the files' bytes to where the Hub wants them; those that it has already are passed over. `onSent` hears of each part of a file as it
 * goes, and how much is taken back when one is sent again.
 */
export const upload = (
  requests: HubRequests,
  { given, onSent, repo, revision }: {
    readonly repo: string
    readonly revision: string
    readonly given: ReadonlyArray<LfsFile>
    readonly onSent: (file: LfsFile, bytes: number) => Effect.Effect<void>
  }
): Effect.Effect<void, CommandFailed | PlatformError, Needs> =>
  Effect.gen(function*() {
    const files = yield* FileSystem.FileSystem
    const permits = yield* Effect.makeSemaphore(sentAtOnce)
    // The same bytes under two names are one object.
    const objects = Array.from(new Map(given.map((file) => [file.sha256, file])).values())

    const put = (file: LfsFile, url: string, begin: number, length: number) =>
      Effect.suspend(() => {
        const what = `uploading ${file.name}`
        let sent = 0
        const bytes = Stream.suspend(() => {
          const before = sent
          sent = 0
          return Stream.fromEffect(onSent(file, -before)).pipe(
            Stream.drain,
            Stream.concat(files.stream(file.place, { offset: begin, bytesToRead: length, chunkSize })),
            Stream.tap((part) => {
              sent += part.length
              return onSent(file, part.length)
            })
          )
        })
        return permits.withPermits(1)(
          requests.ask({ what, method: "PUT", url, isSigned: false, stream: { bytes, length } })
        )
      })

    const inParts = (file: LfsFile, url: string, header: JsonObject.JsonObject) =>
      Effect.gen(function*() {
        const chunk = Number(header.chunk_size)
        const parts = Object.entries(header).flatMap(([key, value]) =>
          /^\d+$/.test(key) && typeof value === "string" ? [[Number(key), value] as const] : []
        ).sort(([a], [b]) => a - b)
        if (!(chunk >= 1) || parts.length !== Math.ceil(file.size / chunk)) {
          return yield* failed(
            `uploading ${file.name} failed: the Hub gives ${parts.length} addresses for ${file.size} bytes in parts of ${
              String(header.chunk_size)
            }.`
          )
        }
        const done = yield* Effect.forEach(parts, ([, part], index) =>
          Effect.flatMap(
            put(file, part, index * chunk, Math.min(chunk, file.size - index * chunk)),
            ({ headers: { etag } }) =>
              etag === undefined
                ? failed(`uploading ${file.name} failed: part ${index + 1} was answered without its ETag.`)
                : Effect.succeed({ partNumber: index + 1, etag })
          ), { concurrency: sentAtOnce })
        yield* requests.ask({
          what: `uploading ${file.name}`,
          method: "POST",
          url,
          isSigned: false,
          headers: { accept: lfsType, "content-type": lfsType },
          json: { oid: file.sha256, parts: done }
        })
      })

    const bring = (file: LfsFile, object: JsonObject.JsonObject) =>
      Effect.gen(function*() {
        if (JsonObject.isObject(object.error)) {
          return yield* failed(`uploading ${file.name} failed: the Hub says ${String(object.error.message)}.`)
        }
        const actions = JsonObject.isObject(object.actions) ? object.actions : {}
        const upload = actionOf(actions.upload)
        if (upload === undefined) return
        yield* upload.header.chunk_size === undefined
          ? put(file, upload.href, 0, file.size)
          : inParts(file, upload.href, upload.header)
        const verify = actionOf(actions.verify)
        if (verify === undefined) return
        yield* requests.ask({
          what: `uploading ${file.name}`,
          method: "POST",
          url: verify.href,
          json: { oid: file.sha256, size: file.size }
        })
      })

    for (let at = 0; at < objects.length; at += askedAtOnce) {
      const asked = objects.slice(at, at + askedAtOnce)
      const answer = yield* requests.ask({
        what: "asking where files are to be uploaded",
        method: "POST",
        url: `/${repo}.git/info/lfs/objects/batch`,
        headers: { accept: lfsType, "content-type": lfsType },
        json: {
          operation: "upload",
          transfers: ["basic", "multipart"],
          hash_algo: "sha256",
          ref: { name: revision },
          objects: asked.map(({ sha256, size }) => ({ oid: sha256, size }))
        }
      })
      const found = new Map(objectsOf(answer).map((object) => [object.oid, object]))
      yield* Effect.forEach(asked, (file) => {
        const object = found.get(file.sha256)
        return object === undefined
          ? failed(`uploading ${file.name} failed: the Hub says nothing of it.`)
          : bring(file, object)
      }, { concurrency: sentAtOnce, discard: true })
    }
  })

const objectsOf = ({ json: { objects } }: Answer): ReadonlyArray<JsonObject.JsonObject> =>
  Array.isArray(objects) ? objects.filter(JsonObject.isObject) : []

const actionOf = (action: unknown) =>
  JsonObject.isObject(action) && typeof action.href === "string"
    ? { href: action.href, header: JsonObject.isObject(action.header) ? action.header : {} }
    : undefined
