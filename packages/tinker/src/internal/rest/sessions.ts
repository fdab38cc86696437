/** Sessions, of all programs. */
import { duration, id, optional, optionsOf, text } from "@effect-tinker/protocol/Checks"
import type * as SessionsMessages from "@effect-tinker/protocol/SessionsMessages"
import type { SessionSummary } from "@effect-tinker/protocol/SessionSummary"
import * as Effect from "effect/Effect"
import type * as ClientConfig from "../../ClientConfig.js"
import type { PageOptions, ScopeOptions, Service } from "../../RestClient.js"
import * as RetryPolicy from "../../RetryPolicy.js"
import * as SessionsApi from "../../SessionsApi.js"
import { operations } from "../call/operation.js"
import * as Sessionless from "../call/sessionless.js"
import { exportTrace } from "../download/exportTrace.js"
import { searchCursor, searchFields } from "../searchFields.js"
import { accessScope, pageFields, pageSize, scopeOptions } from "./listing.js"

type Methods = Pick<
  Service,
  | "getSession"
  | "listSessions"
  | "sessions"
  | "searchSessions"
  | "foundSessions"
  | "assignSessionProject"
  | "exportSessionTrace"
>

export const make: Effect.Effect<Methods, never, SessionsApi.SessionsApi | ClientConfig.ClientConfig> = Effect.gen(
  function*() {
    const sessions = yield* SessionsApi.SessionsApi
    const { call, request } = yield* Sessionless.make
    const { checked, checkedStream } = yield* operations

    const sessionsPage = (
      name: string,
      { accessScope = "owned", limit = 20, offset = 0 }: ScopeOptions & PageOptions
    ) => request({ name }, sessions.listSessions({ limit, offset, accessScope }))

    const searchPage = (name: string, options: Partial<SessionsMessages.SessionSearchRequest>) =>
      request(
        { name },
        sessions.searchSessions({
          ...options,
          userMetadata: options.userMetadata ?? {},
          owner: options.owner ?? { type: "own" },
          limit: options.limit ?? 50
        })
      )

    const ofSession = (method: string, sessionId: string) => ({
      name: `RestClient.${method}`,
      attributes: { sessionId }
    })

    return {
      getSession: checked(
        "RestClient.getSession",
        { sessionId: id, options: scopeOptions },
        (sessionId, { accessScope = "owned" } = {}) =>
          request(ofSession("getSession", sessionId), sessions.getSession(sessionId, accessScope))
      ),
      listSessions: checked(
        "RestClient.listSessions",
        { options: optional(optionsOf({ ...pageFields, accessScope })) },
        (options = {}) => sessionsPage("RestClient.listSessions", options)
      ),
      sessions: checkedStream(
        "RestClient.sessions",
        { options: scopeOptions },
        (options = {}) =>
          Sessionless.pages(0, (offset) =>
            Effect.map(
              sessionsPage("RestClient.sessions", { ...options, limit: pageSize, offset }),
              ({ sessions }) => ({
                entries: sessions,
                next: sessions.length < pageSize ? undefined : offset + pageSize
              })
            ))
      ),
      searchSessions: checked(
        "RestClient.searchSessions",
        { options: optional(optionsOf({ ...searchFields, cursor: optional(searchCursor) })) },
        (options = {}) => searchPage("RestClient.searchSessions", options)
      ),
      foundSessions: checkedStream(
        "RestClient.foundSessions",
        { options: optional(optionsOf(searchFields)) },
        (options = {}) =>
          Sessionless.pages<SessionSummary, SessionsMessages.SearchCursor | "begin">("begin", (cursor) =>
            Effect.map(
              searchPage("RestClient.foundSessions", cursor === "begin" ? options : { ...options, cursor }),
              ({ nextCursor, sessions }) => ({ entries: sessions, next: nextCursor })
            ))
      ),
      assignSessionProject: checked(
        "RestClient.assignSessionProject",
        { sessionId: id, projectId: text },
        (sessionId, projectId) =>
          request(ofSession("assignSessionProject", sessionId), sessions.assignSessionProject(sessionId, projectId))
      ),
      exportSessionTrace: checked(
        "RestClient.exportSessionTrace",
        { sessionId: id, options: optional(optionsOf({ deadline: optional(duration) })) },
        (sessionId, options = {}) =>
          call(
            ofSession("exportSessionTrace", sessionId),
            exportTrace(RetryPolicy.retry(sessions.traceExport(sessionId)), sessionId, options.deadline)
          )
      )
    }
  }
)
