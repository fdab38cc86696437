/** Handlers of checkpoints that exist: listing them, and changing what holds for them. */
import * as CheckpointsMessages from "@effect-tinker/protocol/CheckpointsMessages"
import type { Answer } from "@effect-tinker/protocol/Endpoint"
import * as Endpoints from "@effect-tinker/protocol/Endpoints"
import type { ModelId } from "@effect-tinker/protocol/Identifiers"
import * as TinkerPath from "@effect-tinker/protocol/TinkerPath"
import * as Effect from "effect/Effect"
import * as Http from "../http/http.js"
import * as KeyedMutex from "../models/keyedMutex.js"
import type * as State from "../models/serverState.js"
import * as JournalWrites from "../records/journalWrites.js"
import * as Records from "../records/records.js"
import * as Repeats from "./idempotency.js"
import * as Listing from "./listing.js"
import * as Users from "./users.js"
import { uuid } from "./uuid.js"

export const make = (
  state: State.ServerState,
  ownerOfToken: (token: string | undefined) => Effect.Effect<Users.Owner, Http.Refusal>
) => {
  const { store } = state

  const pathOf = (request: Http.Received): Effect.Effect<TinkerPath.TinkerPath, Http.Refusal> => {
    const { id, kind, name } = request.params
    return Http.tinkerPath(`tinker://${id}/${kind}/${name}`)
  }

  const listUserCheckpoints: Http.Handler<Answer<typeof Endpoints.listUserCheckpoints>> = (request) =>
    Effect.gen(function*() {
      const { limit, offset } = yield* Http.decodeQuery(Endpoints.listUserCheckpoints.query, request)
      const isOwner = yield* Users.isOwner
      const mine = (yield* store.list).filter(({ owner }) => isOwner(owner))
      const newestFirst = Array.from(Listing.readableBy(request.headers, mine)).reverse()
      return Http.answer(Endpoints.listUserCheckpoints, {
        checkpoints: newestFirst.slice(offset, offset + limit).map(Listing.checkpointOf),
        cursor: { offset, limit, totalCount: newestFirst.length }
      })
    })

  /** A checkpoint of the one who asks, which may be changed. */
  const mineAt = (request: Http.Received) =>
    Effect.gen(function*() {
      const path = yield* pathOf(request)
      const info = yield* Http.known(store.info(path))
      yield* Users.requireOwner(TinkerPath.format(path), info.owner)
      return info
    })

  const remove: Http.Handler = (request) =>
    Effect.flatMap(mineAt(request), ({ path }) => Effect.as(Http.known(store.remove(path)), Http.noContent))

  const setPublic = (value: boolean): Http.Handler => (request) =>
    Effect.gen(function*() {
      const { path, ...info } = yield* mineAt(request)
      if (info.public === value) {
        return yield* Http.refuse(409, `${TinkerPath.format(path)} is ${value ? "public already" : "not public"}`)
      }
      yield* Http.known(store.update(path, { public: value }))
      return Http.noContent
    })

  const setTtl: Http.Handler = (request) =>
    Effect.gen(function*() {
      const { path } = yield* mineAt(request)
      const { ttlSeconds } = yield* Http.decodeBody(CheckpointsMessages.SetTtlRequest, request)
      if (ttlSeconds !== null) yield* requireTtl(ttlSeconds)
      yield* Http.known(store.update(path, { ttlSeconds }))
      return Http.noContent
    })

  const { copies } = state

  /** A request that its user sends again gets the copy that it made before. */
  const copyWeights: Http.Handler<Answer<typeof Endpoints.copyWeights>> = (request) =>
    Effect.gen(function*() {
      const wanted = yield* Http.decodeBody(CheckpointsMessages.CopyWeightsRequest, request)
      const tokenOwner = yield* ownerOfToken(request.headers["x-tinker-weights-access-token"])
      if (wanted.ttlSeconds !== undefined) yield* requireTtl(wanted.ttlSeconds)
      const source = yield* Http.tinkerPath(wanted.sourcePath)
      const owner = yield* Users.current
      const key = Repeats.keyOf(request, owner)
      const body = Http.fingerprint(request.body)
      const copy = Effect.gen(function*() {
        const before = key === undefined ? undefined : copies.get(key)
        if (before?.body === body) return copied(before.path)
        const info = yield* Http.known(store.info(source))
        yield* Users.requireReadable(wanted.sourcePath, info, tokenOwner)
        const snapshot = yield* Http.known(store.load(source))
        const trainingRunId = yield* uuid
        const copy = { ...source, trainingRunId: trainingRunId as ModelId }
        yield* Http.known(
          store.save(copy, snapshot, { ttlSeconds: wanted.ttlSeconds, userMetadata: info.userMetadata, owner })
        )
        const projectId = wanted.destinationProjectId
        if (projectId !== undefined) state.projectsOfCopies.set(trainingRunId, projectId)
        const path = TinkerPath.format(copy)
        yield* JournalWrites.commit(state, [
          Records.copy({
            runId: trainingRunId,
            projectId,
            request: key === undefined ? undefined : { key, body, path }
          })
        ])
        if (key !== undefined) copies.set(key, { body, path })
        return copied(path)
      })
      return yield* key === undefined ? copy : copying(key, copy)
    })

  /** Makes one copy of a key at a time: of two requests that come at once, the second finds the copy of the first. */
  const copying = KeyedMutex.make()

  const withoutKind: Http.Handler = (request) =>
    Http.refuse(400, `${request.params.name} is no id of a checkpoint; it is made of kind and name, as weights/0001`)

  return {
    listUserCheckpoints,
    remove,
    publish: setPublic(true),
    unpublish: setPublic(false),
    setTtl,
    copyWeights,
    withoutKind
  }
}

const copied = (tinkerPath: string) => Http.answer(Endpoints.copyWeights, { tinkerPath })

/** The bounds of a time to live, in seconds. Source of the range: the Tinker documentation. */
const shortestTtl = 3600
const longestTtl = 10 * 365 * 24 * 3600

/** What is wrong with how long a checkpoint is to be kept, if anything is. */
export const invalidTtl = (seconds: number): string | undefined =>
  seconds >= shortestTtl && seconds <= longestTtl
    ? undefined
    : `ttl_seconds is ${seconds}; it must be from ${shortestTtl} to ${longestTtl}`

const requireTtl = (seconds: number): Effect.Effect<void, Http.Refusal> => {
  const invalid = invalidTtl(seconds)
  return invalid === undefined ? Effect.void : Http.refuse(400, invalid)
}
