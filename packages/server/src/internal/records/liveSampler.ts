/**
 * What a sampler is made of, so that an engine that does not have it is given it back: the same weights or none. Under the
 * path of its checkpoint there may be another one by then.
 */
import type * as Engine from "@effect-tinker/engine/Engine"
import * as ModelState from "@effect-tinker/engine/ModelState"
import * as TinkerPath from "@effect-tinker/protocol/TinkerPath"
import * as Effect from "effect/Effect"
import type * as CheckpointStore from "../../CheckpointStore.js"
import { ServerError } from "../../ServerError.js"
import type { Service as Journal } from "../../ServerJournal.js"
import * as Eithers from "../effect/eithers.js"
import type * as Records from "./records.js"
import * as StateTensors from "./stateTensors.js"

interface Sampler {
  readonly id: string
  readonly baseModel: Engine.BaseModel
  readonly modelPath: string | undefined
  readonly checkpoint: Checkpoint
  readonly adapter: Records.Sampler["adapter"]
}

/** Tells a checkpoint from another that was saved under the same path. */
export type Checkpoint = Records.Sampler["checkpoint"]

export const identityOf = ({ createdAt, savedBy }: CheckpointStore.Info): Checkpoint => ({ createdAt, savedBy })

/** The checkpoint that is under a path now; null when there is none. */
export const checkpointAt = (store: CheckpointStore.Service, path: string): Effect.Effect<Checkpoint> =>
  Effect.match(Effect.flatMap(Eithers.toEffect(TinkerPath.parse(path)), store.info), {
    onSuccess: identityOf,
    onFailure: () => null
  })

/** Why the checkpoint of a sampler is not there any more; nothing if it is, or if there never was one. */
export const missingCheckpointReason = (
  store: CheckpointStore.Service,
  { checkpoint: made, modelPath }: Pick<Sampler, "modelPath" | "checkpoint">
): Effect.Effect<string | undefined> => {
  if (modelPath === undefined) return Effect.succeed(undefined)
  return Effect.map(checkpointAt(store, modelPath), (found) => {
    if (found && made?.createdAt === found.createdAt && made.savedBy === found.savedBy) return undefined
    const what = found && made ? "was overwritten" : "was deleted or has expired"
    return `its checkpoint ${modelPath} ${what}, and its weights were kept nowhere else. Make a new sampling session`
  })
}

export const restore = (
  { engine, journal, store }: {
    readonly engine: Engine.Service
    readonly journal: Journal
    readonly store: CheckpointStore.Service
  },
  sampler: Sampler
): Effect.Effect<void, Engine.EngineError | ServerError> =>
  Effect.gen(function*() {
    const { adapter, baseModel, id, modelPath } = sampler
    const snapshot = adapter !== undefined
      ? yield* adapterOf(journal, baseModel.name, adapter)
      : modelPath === undefined
      ? undefined
      : yield* loadOwn(store, sampler, modelPath)
    yield* engine.createSampler(id, { baseModel: baseModel.name, snapshot })
  })

/** Looks before, to say why it cannot be, and after, as it may have been overwritten in between. */
const loadOwn = (store: CheckpointStore.Service, sampler: Sampler, modelPath: string) =>
  Effect.gen(function*() {
    const requireThere = Effect.flatMap(missingCheckpointReason(store, sampler), (why) =>
      why === undefined
        ? Effect.void
        : new ServerError({ reason: "NotFound", description: `the sampler ${sampler.id} is lost: ${why}` }))
    const path = yield* Effect.mapError(Eithers.toEffect(TinkerPath.parse(modelPath)), invalidPath)
    yield* requireThere
    const snapshot = yield* store.load(path)
    yield* requireThere
    return snapshot
  })

const invalidPath = ({ description }: { readonly description: string }) =>
  new ServerError({ reason: "InvalidName", description })

const adapterOf = (
  journal: Journal,
  baseModel: string,
  { file, lora }: NonNullable<Records.Sampler["adapter"]>
): Effect.Effect<Engine.Snapshot, ServerError> =>
  Effect.map(
    StateTensors.read(journal, file),
    (tensors) => ModelState.snapshotOf({ baseModel, lora, step: 0 }, tensors)
  )
