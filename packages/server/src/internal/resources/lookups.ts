/** What a request names, or why it cannot have it. */
import type * as Engine from "@effect-tinker/engine/Engine"
import * as Effect from "effect/Effect"
import type * as Sessions from "../../Sessions.js"
import { after } from "../fast/after.js"
import * as Http from "../http/http.js"
import type * as State from "../models/serverState.js"
import * as LiveSampler from "../records/liveSampler.js"
import * as Users from "./users.js"

/** Finished ones too. */
export const requireKnownSession = (
  state: State.ServerState,
  sessionId: string
): Effect.Effect<Sessions.Session, Http.Refusal> =>
  Effect.suspend(() => {
    const session = state.sessions.get(sessionId)
    return session === undefined
      ? unknown(state, "session", sessionId)
      : Effect.as(Users.requireOwner(`the session ${sessionId}`, session.owner), session)
  })

export const requireSession = (
  state: State.ServerState,
  sessionId: string
): Effect.Effect<Sessions.Session, Http.Refusal> =>
  Effect.tap(requireKnownSession(state, sessionId), (session) => requireActive(state, session))

const unknown = (state: State.ServerState, what: string, id: string): Http.Refusal => {
  const lost = state.lost.get(id)
  return lost === undefined
    ? Http.refuse(404, `there is no ${what} ${id}`)
    : Http.refuse(410, `the ${what} ${id} is lost: ${lost}`)
}

const requireActive = (state: State.ServerState, session: Sessions.Session): Effect.Effect<void, Http.Refusal> => {
  const { id, status } = session
  switch (status._tag) {
    case "Active":
      state.sessions.use(session)
      return Effect.void
    case "Expired":
      return Http.refuse(410, `the session ${id} has ended, as its client was not heard of for too long`)
    case "Finished":
      return Http.refuse(410, `the session ${id} is finished (${status.reason})`)
  }
}

export const requireModel = (state: State.ServerState, modelId: string): Effect.Effect<State.Model, Http.Refusal> =>
  Effect.gen(function*() {
    const model = state.models.get(modelId)
    if (model === undefined) return yield* unknown(state, "model", modelId)
    yield* Users.requireOwner(`the model ${modelId}`, model.session.owner)
    yield* requireActive(state, model.session)
    if (model.unloaded) return yield* Http.refuse(404, `the model ${modelId} was unloaded`)
    if (model.lost !== undefined) return yield* Http.refuse(410, `the model ${modelId} is lost: ${model.lost}`)
    return model
  })

export const requireSampler = (
  state: State.ServerState,
  samplerId: string
): Effect.Effect<State.Sampler, Http.Refusal> =>
  ownSampler(state, samplerId, (sampler) =>
    after(
      requireActive(state, sampler.session),
      () =>
        sampler.lost === undefined
          ? after(requireCheckpoint(state, sampler), () => Effect.succeed(sampler))
          : lostSampler(samplerId, sampler.lost)
    ))

/** Ended and lost ones too. */
export const requireKnownSampler = (
  state: State.ServerState,
  samplerId: string
): Effect.Effect<State.Sampler, Http.Refusal> => ownSampler(state, samplerId, Effect.succeed)

const ownSampler = (
  state: State.ServerState,
  samplerId: string,
  next: (sampler: State.Sampler) => Effect.Effect<State.Sampler, Http.Refusal>
): Effect.Effect<State.Sampler, Http.Refusal> => {
  const sampler = state.samplers.get(samplerId)
  return sampler === undefined
    ? unknown(state, "sampler", samplerId)
    : after(Users.requireOwner(`the sampler ${samplerId}`, sampler.session.owner), () => next(sampler))
}

/** What the engine has keeps its weights, whatever becomes of the checkpoint that they are from. */
const requireCheckpoint = (state: State.ServerState, sampler: State.Sampler): Effect.Effect<void, Http.Refusal> =>
  sampler.modelPath === undefined || sampler.ready === Effect.void
    ? Effect.void
    : Effect.flatMap(
      LiveSampler.missingCheckpointReason(state.store, sampler),
      (why) => why === undefined ? Effect.void : lostSampler(sampler.id, why)
    )

const lostSampler = (samplerId: string, why: string) => Http.refuse(410, `the sampler ${samplerId} is lost: ${why}`)

/** The result of a request is told to whoever may have asked for it. */
export const requireRequest = (state: State.ServerState, requestId: string): Effect.Effect<void, Http.Refusal> => {
  const session = state.sessions.get(requestId.slice(0, requestId.indexOf(":")))
  if (session !== undefined) state.sessions.use(session)
  return Users.requireOwner(`the request ${requestId}`, session?.owner)
}

export const requireBaseModel = (
  state: State.ServerState,
  name: string
): Effect.Effect<Engine.BaseModel, Http.Refusal> => {
  const baseModel = state.engine.baseModels.find((model) => model.name === name)
  if (baseModel !== undefined) return Effect.succeed(baseModel)
  const names = state.engine.baseModels.map((model) => model.name).join(", ")
  return Http.refuse(400, `there is no base model ${name} on this server; it has ${names}`)
}
