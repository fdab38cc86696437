/** What a sampler is made of, so that an engine that does not have it is given it back. */
import * as TinkerPath from "effect-tinker/TinkerPath"
import * as Effect from "effect/Effect"
import type * as CheckpointStore from "../CheckpointStore.js"
import type * as Engine from "../Engine.js"
import * as Safetensors from "../Safetensors.js"
import { ServerError } from "../ServerError.js"
import type { Service as Journal } from "../ServerJournal.js"
import * as CheckpointFiles from "./checkpointFiles.js"
import type * as Records from "./records.js"

interface Sampler {
  readonly id: string
  readonly baseModel: Engine.BaseModel
  readonly modelPath: string | undefined
  readonly adapter: Records.Sampler["adapter"]
}

export const restore = (
  { engine, journal, store }: {
    readonly engine: Engine.Service
    readonly journal: Journal | undefined
    readonly store: CheckpointStore.Service
  },
  { adapter, baseModel, id, modelPath }: Sampler
): Effect.Effect<void, Engine.EngineError | ServerError> =>
  Effect.gen(function*() {
    const snapshot = adapter !== undefined && journal !== undefined
      ? yield* adapterOf(journal, baseModel.name, adapter)
      : modelPath === undefined
      ? undefined
      : yield* Effect.flatMap(Effect.mapError(TinkerPath.parse(modelPath), invalidPath), store.load)
    yield* engine.createSampler(id, { baseModel: baseModel.name, snapshot })
  })

const invalidPath = ({ description }: { readonly description: string }) =>
  new ServerError({ reason: "InvalidName", description })

const adapterOf = (
  journal: Journal,
  baseModel: string,
  { file, lora }: NonNullable<Records.Sampler["adapter"]>
): Effect.Effect<Engine.Snapshot, ServerError> =>
  Effect.map(
    Effect.flatMap(journal.readState(file), Safetensors.decode),
    (tensors) => CheckpointFiles.snapshotOf({ baseModel, lora, step: 0 }, tensors)
  )
