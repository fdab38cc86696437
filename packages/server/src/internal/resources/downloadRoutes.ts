/**
 * Handlers of checkpoints' files: addresses that are valid for a while, for whoever has them, and what is there.
 */
import type { Answer } from "@effect-tinker/protocol/Endpoint"
import * as Endpoints from "@effect-tinker/protocol/Endpoints"
import * as TinkerPath from "@effect-tinker/protocol/TinkerPath"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as FileAnswer from "../http/fileAnswer.js"
import * as Http from "../http/http.js"
import * as StoredFile from "../http/storedFile.js"
import type * as State from "../models/serverState.js"
import { secret } from "./secret.js"
import * as Users from "./users.js"

export interface Options {
  /** Default 15 minutes. */
  readonly urlLifetime?: Duration.DurationInput | undefined
  /** Whether checkpoints are given as one archive too. */
  readonly archives?: boolean | undefined
}

/** Where files are, before a token and a name. */
export const filesPath = "/files"

export const make = (state: State.ServerState, options: Options) => {
  const { store } = state
  const lifetime = Duration.toMillis(options.urlLifetime ?? Duration.minutes(15))
  const granted = new Map<string, Grant>()

  const pathOf = ({ params }: Http.Received): Effect.Effect<TinkerPath.TinkerPath, Http.Refusal> =>
    Http.tinkerPath(`tinker://${params.id}/${params.kind}/${params.name}`)

  /** Lets whoever has the token read the files of a checkpoint that the one who asks may read. */
  const grant = (path: TinkerPath.TinkerPath) =>
    Effect.gen(function*() {
      const info = yield* Http.known(store.info(path))
      yield* Users.requireReadable(TinkerPath.format(path), info, undefined)
      const isOwner = yield* Users.isOwner
      const now = yield* Clock.currentTimeMillis
      for (const [token, { expiresAt }] of granted) if (expiresAt <= now) granted.delete(token)
      const token = secret()
      const expiresAt = now + lifetime
      granted.set(token, { path, expiresAt, asPublic: !isOwner(info.owner) })
      return { token, expires: new Date(expiresAt) }
    })

  const addressOf = ({ origin }: Http.Received, token: string, name: string) =>
    `${origin()}${filesPath}/${token}/${encodeURIComponent(name)}`

  const externalWeightsUrls: Http.Handler<Answer<typeof Endpoints.getExternalWeightsUrls>> = (request) =>
    Effect.gen(function*() {
      const path = yield* pathOf(request)
      if (path.checkpointType !== "external") {
        return yield* Http.refuse(
          400,
          `${TinkerPath.format(path)} has no files to download; those saved by save_weights_external have`
        )
      }
      const { expires, token } = yield* grant(path)
      const files = yield* Http.known(store.files(path))
      return Http.answer(Endpoints.getExternalWeightsUrls, {
        urls: Object.fromEntries(files.map(({ name }) => [name, Redacted.make(addressOf(request, token, name))])),
        expires: DateTime.unsafeFromDate(expires)
      })
    })

  const archive: Http.Handler = (request) =>
    Effect.gen(function*() {
      if (options.archives !== true) return yield* Http.refuse(404, "this server makes no archives")
      const path = yield* pathOf(request)
      const { expires, token } = yield* grant(path)
      return HttpServerResponse.empty({
        status: 302,
        headers: {
          location: addressOf(request, token, archiveName),
          expires: expires.toUTCString(),
          "content-length": "0"
        }
      })
    })

  const file: Http.Handler = (request) =>
    Effect.gen(function*() {
      const { name, token } = request.params
      const grant = granted.get(token ?? "")
      if (grant === undefined || (yield* Clock.currentTimeMillis) >= grant.expiresAt) {
        return yield* Http.refuse(403, "the address is not valid, or not any more")
      }
      const info = yield* Http.known(store.info(grant.path))
      if (grant.asPublic && !info.public) {
        return yield* Http.refuse(403, "the address was for everybody, and the checkpoint is not public any more")
      }
      const { createdAt } = info
      const files = yield* Http.known(store.files(grant.path))
      const wanted = yield* Effect.try({
        try: () => decodeURIComponent(name ?? ""),
        catch: () => Http.refuse(400, "the name of the file has a % that begins no letter")
      })
      const found = wanted === archiveName && options.archives === true
        ? StoredFile.tar(files)
        : files.find(({ name }) => name === wanted)
      if (found === undefined) return yield* Http.refuse(404, `the checkpoint has no file ${wanted}`)
      // A checkpoint never changes once it is there.
      const etag = `"${createdAt.toString(36)}-${found.sizeBytes.toString(36)}"`
      return yield* FileAnswer.send(request, found, { etag, "last-modified": new Date(createdAt).toUTCString() })
    })

  return { externalWeightsUrls, archive, file }
}

interface Grant {
  readonly path: TinkerPath.TinkerPath
  readonly expiresAt: number
  /** Given to somebody who may read the checkpoint only as long as all may. */
  readonly asPublic: boolean
}

/** No checkpoint's file is called so. */
const archiveName = "archive.tar"
