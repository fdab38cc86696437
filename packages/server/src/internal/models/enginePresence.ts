/**
 * Whether the engine has a model or a sampler, and how that comes back to it: what an earlier server had, and what the
 * engine has lost because what computed it has ended.
 */
import * as Engine from "@effect-tinker/engine/Engine"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { ServerError } from "../../ServerError.js"
import type * as State from "./serverState.js"
import type * as Work from "./work.js"

export interface EnginePresence {
  readonly isThere: () => boolean
  /** Why it cannot come back; nothing if it is there or can. */
  readonly lost: () => string | undefined
  /** Has it not come back any more. */
  readonly lose: (why: string) => void
  /** Gives it back where it is not there. */
  readonly ready: () => Effect.Effect<void, Work.WorkError>
}

export const make = (
  engine: Engine.Service,
  what: "model" | "sampler",
  id: string,
  options: {
    /** Whether the engine has it, or is about to. */
    readonly isLoaded: boolean
    readonly lost: string | undefined
    /** Whether there is what `reload` needs. */
    readonly isSaved: () => boolean
    readonly reload: Effect.Effect<void, Engine.EngineError | ServerError>
  }
): EnginePresence => {
  const { reload, isSaved } = options
  let { isLoaded, lost } = options
  const hasLost = () => engine.hasLost?.(what, id) === true
  const isThere = () => isLoaded && lost === undefined && !hasLost()
  const whyLost = () => {
    // Remembered, for the engine forgets it when it is unloaded.
    if (lost === undefined && isLoaded && !isSaved() && hasLost()) lost = notSaved
    return lost
  }
  const lose = (why: string) => {
    lost ??= why
  }
  const failLost = Effect.suspend(() =>
    new Engine.EngineError({ reason: "Unavailable", description: `the ${what} ${id} is lost: ${whyLost()}` })
  )
  const give = Effect.suspend(() => {
    if (isThere()) return Effect.void
    if (lost !== undefined || !isSaved()) return failLost
    return reload.pipe(
      Effect.map(() => {
        isLoaded = true
      }),
      Effect.catchIf(
        (error) => error._tag === "ServerError" && error.reason === "DamagedFile",
        () => Effect.zipRight(Effect.sync(() => lose(damaged(what))), failLost)
      )
    )
  })
  // Of two that need it at once one waits for the other, and none is left half way by the end of either.
  const revive = Effect.unsafeMakeSemaphore(1).withPermits(1)(Effect.uninterruptible(give))
  return { isThere, lost: whyLost, lose, ready: () => isThere() ? Effect.void : revive }
}

const notSaved =
  "what computed it has ended and was started anew, and the server had not kept it. Go on from its last checkpoint"

/** Why something is lost whose files are not as they were written. */
export const damaged = (what: "session" | "model" | "sampler"): string =>
  `what the server had kept of it is damaged; see the server's log. ${remedies[what]}`

const remedies = {
  session: "Begin a new one",
  model: "Go on from its last checkpoint",
  sampler: "Make a new sampling session"
}

/** Closes models when the engine has lost them for good, so that they hold nothing up. */
export const closeLost = (engine: Engine.Service, models: ReadonlyMap<string, State.Model>): Effect.Effect<void> =>
  engine.losses === undefined ? Effect.void : Effect.ignore(
    Stream.runForEach(engine.losses, () =>
      Effect.forEach(
        Array.from(models.values()).filter(({ lost, unloaded }) => lost !== undefined && !unloaded),
        ({ scope }) => Scope.close(scope, Exit.void),
        { discard: true }
      ))
  )
