/** Sampling sessions. */
import type * as Engine from "@effect-tinker/engine/Engine"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import type * as Sessions from "../../Sessions.js"
import * as LiveSampler from "../records/liveSampler.js"
import * as Completions from "./completions.js"
import * as EnginePresence from "./enginePresence.js"
import type * as State from "./serverState.js"

/** The id of the sampling session with this number in its session. */
export const idOf = (session: Sessions.Session, seqId: number): string => `${session.id}:sample:${seqId}`

/** Makes a sampler, unless there is one of this id already, which stays as it is. Tells whether it did. */
export const create = (
  state: State.ServerState,
  options: Pick<State.Sampler, "id" | "session" | "baseModel"> & {
    readonly snapshot: Engine.Snapshot | undefined
    /** Where the weights are from, if from a path. */
    readonly checkpoint: { readonly path: string; readonly identity: LiveSampler.Checkpoint } | undefined
  }
): Effect.Effect<boolean, Engine.EngineError> =>
  state.creating(
    options.id,
    Effect.gen(function*() {
      const { checkpoint, snapshot, ...sampler } = options
      if (state.samplers.has(options.id)) return false
      yield* state.engine.createSampler(options.id, { baseModel: options.baseModel.name, snapshot })
      yield* open(state, {
        ...sampler,
        completions: Completions.make(),
        joinedClients: 0,
        isLoaded: true,
        lost: undefined,
        modelPath: checkpoint?.path,
        checkpoint: checkpoint?.identity,
        hasOwnWeights: checkpoint === undefined && snapshot !== undefined,
        adapter: undefined
      })
      return true
    })
  )

/** Makes a sampler known, which the engine has or is given back. */
export const open = (
  state: State.ServerState,
  options: Omit<State.Sampler, "requests" | "ready"> & {
    readonly isLoaded: boolean
  }
): Effect.Effect<State.Sampler> =>
  Effect.gen(function*() {
    const requests = new Map<string, State.SampleTicket>()
    const { id, isLoaded, lost, ...rest } = options
    const presence = EnginePresence.make(state.engine, "sampler", id, {
      isLoaded,
      lost,
      isSaved: () => !sampler.hasOwnWeights || sampler.adapter !== undefined,
      reload: Effect.suspend(() => LiveSampler.restore(state, sampler))
    })
    const sampler: State.Sampler = {
      ...rest,
      id,
      requests,
      get lost() {
        return presence.lost()
      },
      get ready() {
        return presence.ready()
      }
    }
    state.samplers.set(sampler.id, sampler)
    yield* Scope.addFinalizer(
      sampler.session.scope,
      interruptSamples(state, sampler).pipe(
        Effect.zipRight(Effect.sync(() => requests.clear())),
        Effect.zipRight(Effect.ignoreLogged(state.engine.unloadSampler(sampler.id)))
      )
    )
    return sampler
  })

/** Has a sampler not be there any more, as if it had not been made. */
export const remove = (state: State.ServerState, id: string): Effect.Effect<void> =>
  Effect.suspend(() => state.samplers.delete(id) ? Effect.ignoreLogged(state.engine.unloadSampler(id)) : Effect.void)

const interruptSamples = (state: State.ServerState, { id }: State.Sampler): Effect.Effect<void> =>
  Effect.suspend(() => {
    const ofSampler = Array.from(state.sampling).filter(([requestId]) => requestId.startsWith(`${id}:`))
    return Fiber.interruptAll(ofSampler.map(([, fiber]) => fiber))
  })
