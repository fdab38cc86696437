/** Handlers of what is told about sessions, and of the projects that they are in. */
import type { Answer } from "@effect-tinker/protocol/Endpoint"
import * as Endpoints from "@effect-tinker/protocol/Endpoints"
import * as ReceivedRequests from "@effect-tinker/protocol/ReceivedRequests"
import * as SessionsMessages from "@effect-tinker/protocol/SessionsMessages"
import type { SessionSummary } from "@effect-tinker/protocol/SessionSummary"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import type * as CheckpointStore from "../../CheckpointStore.js"
import type * as Sessions from "../../Sessions.js"
import * as Http from "../http/http.js"
import type * as State from "../models/serverState.js"
import * as JournalWrites from "../records/journalWrites.js"
import * as Listing from "./listing.js"
import * as Lookups from "./lookups.js"
import * as Users from "./users.js"

export const make = (state: State.ServerState) => {
  const { sessions } = state

  const sessionOf = (request: Http.Received) => Lookups.requireKnownSession(state, request.params.id ?? "")

  const listSessions: Http.Handler<Answer<typeof Endpoints.listSessions>> = (request) =>
    Effect.gen(function*() {
      const { limit, offset } = yield* Http.decodeQuery(Endpoints.listSessions.query, request)
      const isOwner = yield* Users.isOwner
      const all = sessions.list().filter(({ owner }) => isOwner(owner))
      return Http.answer(Endpoints.listSessions, { sessions: all.slice(offset, offset + limit).map(({ id }) => id) })
    })

  const getSession: Http.Handler<Answer<typeof Endpoints.getSession>> = (request) =>
    Effect.gen(function*() {
      yield* Http.decodeQuery(Endpoints.getSession.query, request)
      const session = yield* sessionOf(request)
      const idsOf = (all: Iterable<State.Model | State.Sampler>) =>
        Array.from(all).filter((one) => one.session.id === session.id).map(({ id }) => id)
      return Http.answer(Endpoints.getSession, {
        trainingRunIds: idsOf(state.models.values()),
        samplerIds: idsOf(state.samplers.values()),
        userMetadata: Listing.textsOf(session.userMetadata),
        displayName: session.displayName
      })
    })

  const assignProject: Http.Handler<Answer<typeof Endpoints.assignSessionProject>> = (request) =>
    Effect.gen(function*() {
      const { projectId } = yield* Http.decodeBody(SessionsMessages.AssignProjectRequest, request)
      if (projectId === "") return yield* Http.refuse(400, "project_id is missing")
      const session = yield* sessionOf(request)
      const current = session.projectId
      if (current !== undefined && current !== projectId) {
        return yield* Http.refuse(403, `the session ${session.id} is in another project, which it cannot leave`)
      }
      yield* JournalWrites.orUnavailable(sessions.assignProject(session, projectId))
      yield* state.audit.note("session_assign_project", { session_id: session.id, project_id: projectId })
      return Http.answer(Endpoints.assignSessionProject, {})
    })

  const search: Http.Handler<Answer<typeof Endpoints.searchSessions>> = (request) =>
    Effect.gen(function*() {
      const wanted = yield* Http.decodeBody(ReceivedRequests.SessionSearchRequest, request)
      const checkpoints = bySession(yield* state.store.list)
      const isOwner = yield* Users.isOwner
      const found: Array<Found> = []
      for (const session of sessions.list()) {
        if (!isOwner(session.owner)) continue
        const one = { session, status: session.status, projectId: session.projectId }
        if (fits(wanted, one)) found.push(one)
      }
      found.sort((a, b) => -compare(placeOf(a.session), placeOf(b.session)))
      const after = wanted.cursor && (yield* placeIn(wanted.cursor))
      const rest = after === undefined ? found : found.filter(({ session }) => compare(placeOf(session), after) < 0)
      const page = rest.slice(0, wanted.limit)
      const last = page.at(-1)?.session
      return Http.answer(Endpoints.searchSessions, {
        sessions: page.map((one) => summaryOf(one, checkpoints.get(one.session.id) ?? [])),
        nextCursor: last === undefined || rest.length <= page.length
          ? undefined
          : { last_created_at: Listing.timeOf(last.createdAt), last_session_id: last.id }
      })
    })

  /** No traces are kept, so a job to export them fails at once, which tells clients not to ask again. */
  const traceExport: Http.Handler<Answer<typeof Endpoints.exportSessionTrace>> = (request) =>
    Effect.as(
      sessionOf(request),
      Http.answer(Endpoints.exportSessionTrace, { status: "failed", error: "this server keeps no traces of sessions" })
    )

  return { listSessions, getSession, assignProject, search, traceExport }
}

interface Found {
  readonly session: Sessions.Session
  readonly status: Sessions.Status
  readonly projectId: string | undefined
}

const fits = (wanted: ReceivedRequests.SessionSearchRequest, { projectId, session, status }: Found): boolean => {
  const { displayName, owner, projectIds, sessionId, statuses, userMetadata } = wanted
  if (owner.type === "user" && !owner.ownerUrns.includes(Users.urnOf(session.owner))) return false
  if (projectIds !== undefined && !projectIds.includes(projectId ?? noProject)) return false
  if (statuses !== undefined && !statuses.some((query) => isOf(query, status))) return false
  const metadata = Listing.textsOf(session.userMetadata)
  if (!Object.entries(userMetadata).every(([name, value]) => metadata[name] === value)) return false
  if (sessionId === undefined && displayName === undefined) return true
  const name = session.displayName?.toLowerCase()
  return session.id === sessionId
    || (displayName !== undefined && name !== undefined
      && displayName.toLowerCase().split(/\s+/).every((word) => name.includes(word)))
}

const isOf = (query: SessionsMessages.StatusQuery, status: Sessions.Status): boolean =>
  query.type === "client_finished"
    ? status._tag === "Finished" && (query.reasons?.some((reason) => reason === status.reason) ?? true)
    : status._tag === (query.type === "active" ? "Active" : query.type === "cancelled" ? "Expired" : undefined)

/** Sessions that were made without one. */
const noProject = "default"

const placeOf = ({ createdAt, id }: Sessions.Session): readonly [number, string] => [createdAt, id]

/** Where the page before has ended. */
const placeIn = (
  cursor: NonNullable<ReceivedRequests.SessionSearchRequest["cursor"]>
): Effect.Effect<readonly [number, string], Http.Refusal> => {
  const createdAt = Date.parse(cursor.lastCreatedAt)
  return Number.isNaN(createdAt)
    ? Http.refuse(400, `cursor: last_created_at is ${cursor.lastCreatedAt}, which is no time`)
    : Effect.succeed([createdAt, cursor.lastSessionId])
}

const compare = (a: readonly [number, string], b: readonly [number, string]): number =>
  a[0] !== b[0] ? a[0] - b[0] : a[1] < b[1] ? -1 : a[1] > b[1] ? 1 : 0

const summaryOf = (
  { projectId, session, status }: Found,
  checkpoints: ReadonlyArray<CheckpointStore.Info>
): SessionSummary => ({
  sessionId: session.id,
  createdAt: DateTime.unsafeMake(session.createdAt),
  owner: Users.urnOf(session.owner),
  projectId: projectId ?? noProject,
  status: status._tag === "Active"
    ? { _tag: "Active" }
    : status._tag === "Expired"
    ? { _tag: "Cancelled", detail: "its client was not heard of for too long" }
    : { _tag: "ClientFinished", reason: { type: status.reason }, detail: status.detail },
  checkpointsCount: checkpoints.length,
  displayName: session.displayName,
  userMetadata: Listing.textsOf(session.userMetadata),
  checkpointStorageBytes: checkpoints.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
})

/** The id of a run begins with that of its session. */
const bySession = (
  all: ReadonlyArray<CheckpointStore.Info>
): ReadonlyMap<string, ReadonlyArray<CheckpointStore.Info>> => {
  const found = new Map<string, Array<CheckpointStore.Info>>()
  for (const info of all) {
    const id = info.path.trainingRunId.split(":")[0]!
    const known = found.get(id)
    if (known === undefined) found.set(id, [info])
    else known.push(info)
  }
  return found
}
