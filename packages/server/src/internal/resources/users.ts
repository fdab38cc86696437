/**
 * Whose things are whose, on a server that asks for keys: a session, what was made in it, and its checkpoints belong to the
 * holder of the key. Checkpoints that are public can be read by all. Without keys everything is everybody's.
 */
import * as Effect from "effect/Effect"
import type * as CheckpointStore from "../../CheckpointStore.js"
import * as FiberLocal from "../effect/fiberLocal.js"
import * as Http from "../http/http.js"

const asker = FiberLocal.make<string | undefined>(undefined)

/** Whose request is being answered; undefined where no keys are asked for. */
export const current: Effect.Effect<string | undefined> = FiberLocal.get(asker)

/** Answers as one of this user's requests. */
export const as = (user: string) => FiberLocal.within(asker, user)

/** What was made where nobody was asked for a key belongs to all. */
export type Owner = string | undefined

/** The name of an owner, as others write it. */
export const urnOf = (owner: Owner): string => `tml:organization_user:${owner ?? "local"}`

export const emailOf = (owner: Owner): string => `${owner ?? "user"}@localhost`

/** Tells of an owner whether the one who asks may do what owners may. */
export const isOwner: Effect.Effect<(owner: Owner) => boolean> = Effect.map(
  current,
  (user) => (owner: Owner) => owner === undefined || user === undefined || owner === user
)

export const requireOwner = (what: string, owner: Owner): Effect.Effect<void, Http.Refusal> =>
  owner === undefined ?
    Effect.void :
    Effect.flatMap(isOwner, (isOwner) =>
      isOwner(owner) ? Effect.void : Http.refuse(403, `${what} belongs to another user of this server`))

/** A checkpoint that is public, the asker's, or that of the one whose token is shown. */
export const requireReadable = (
  what: string,
  info: Pick<CheckpointStore.Info, "owner" | "public">,
  tokenOf: Owner
): Effect.Effect<void, Http.Refusal> =>
  info.public || (tokenOf !== undefined && tokenOf === info.owner) ? Effect.void : requireOwner(what, info.owner)
