/** The sessions of SkyRL, each with one of this server behind it. */
import * as Effect from "effect/Effect"
import type { Answer } from "../../../Dialect.js"
import { answer, detail, type Endpoint, type Received, text } from "../foreignServer.js"
import * as Foreign from "../foreignServer.js"
import * as State from "./state.js"

export const createSession = (state: State.State): Endpoint => (received) => {
  const id = State.newId(state, "session")
  const session: State.Session = { localId: undefined }
  return Effect.map(
    Foreign.post(received, "create_session", received.call.json),
    (created) => {
      if (created.status !== 200) return created
      session.localId = text(created.body, "session_id")
      state.sessions.set(id, session)
      return answer({
        type: "create_session",
        info_message: null,
        warning_message: null,
        error_message: null,
        session_id: id
      })
    }
  )
}

export const heartbeat = (state: State.State): Endpoint => (received) => {
  const session = state.sessions.get(text(received.call.json, "session_id") ?? "")
  if (session === undefined) return Effect.succeed(detail(404, "Session not found"))
  const beat = session.localId === undefined
    ? Effect.void
    : Foreign.post(received, "session_heartbeat", { session_id: session.localId })
  return Effect.as(beat, answer({ type: "session_heartbeat" }))
}

/** Asks for something in a session of this server, which may have been started anew. */
export const inSession = (
  received: Received,
  session: State.Session,
  ask: (sessionId: string) => Effect.Effect<Answer>
): Effect.Effect<Answer> => {
  const inNewSession = Effect.flatMap(
    Foreign.post(received, "create_session", { tags: [], sdk_version: "0.38.0" }),
    (created) => {
      session.localId = text(created.body, "session_id")
      return session.localId === undefined ? Effect.succeed(created) : ask(session.localId)
    }
  )
  if (session.localId === undefined) return inNewSession
  return Effect.flatMap(
    ask(session.localId),
    (response) => Foreign.isGone(response) ? inNewSession : Effect.succeed(response)
  )
}
