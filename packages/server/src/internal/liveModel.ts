/**
 * What is kept of a model that is being trained, so that a later server goes on with it: the requests that it has taken,
 * and its state after each one that is done.
 *
 * The state is written to a file of its own first. The journal then takes, as one change, the name of that file, the
 * result of the request, and that it is no longer to be done: whenever a server dies, either all of it has happened or the
 * request is done again from the state before.
 */
import * as Effect from "effect/Effect"
import type * as Engine from "../Engine.js"
import * as Safetensors from "../Safetensors.js"
import type { ServerError } from "../ServerError.js"
import type { Change, Service as Journal, StateFile } from "../ServerJournal.js"
import * as CheckpointFiles from "./checkpointFiles.js"
import type * as Http from "./http.js"
import * as Records from "./records.js"

export interface Kept {
  progress: Records.Progress | undefined
  /** Numbers of requests that were taken and are not done. */
  readonly accepted: Set<number>
  /** Numbers that were refused. */
  readonly rejected: Set<number>
  /** Waits until a request that was taken is written down. */
  readonly accepting: Map<number, Effect.Effect<void, ServerError>>
}

interface Model {
  readonly id: string
  readonly lastRequestAt: number
  readonly kept: Kept
}

export const emptyKept = (progress: Records.Progress | undefined): Kept => ({
  progress,
  accepted: new Set(),
  rejected: new Set(),
  accepting: new Map()
})

/** Has the request written down before any of its results. */
export const noteAccepted = (
  journal: Journal,
  { id, kept }: Model,
  options: {
    readonly seqId: number
    readonly fingerprint: string
    readonly request: Http.Received
    readonly keyName: string | undefined
    readonly first: { readonly record: Records.Model; readonly seed: number } | undefined
  }
): void => {
  const { fingerprint, first, keyName, request, seqId } = options
  if (journal.liveModels) kept.accepted.add(seqId)
  if (request.replayed !== undefined) return
  const changes: Array<Change> = first === undefined ? [] : [Records.model(first.record)]
  if (journal.liveModels) {
    const contentType = request.headers["content-type"] ?? "application/json"
    changes.push(
      Records.request(
        { modelId: id, seqId, route: request.route, contentType, fingerprint, seed: first?.seed, keyName },
        withoutSecret(request)
      )
    )
  }
  if (changes.length > 0) kept.accepting.set(seqId, journal.unsafeCommit(changes))
}

/** A token that a request shows was looked at when it came. */
const withoutSecret = ({ body, route }: Http.Received): Uint8Array => {
  if (route !== "loadWeights") return body
  const { weights_access_token: _, ...rest } = JSON.parse(new TextDecoder().decode(body)) as Record<string, unknown>
  return new TextEncoder().encode(JSON.stringify(rest))
}

export const noteRejected = (journal: Journal | undefined, { id, kept }: Model, seqId: number): Effect.Effect<void> => {
  if (journal?.liveModels !== true || seqId < (kept.progress?.next ?? 0)) return Effect.void
  kept.rejected.add(seqId)
  return Effect.ignore(journal.unsafeCommit([Records.rejected({ modelId: id, seqId })]))
}

/** Keeps what a request has changed, and with it the changes of the journal that belong to its result. */
export const keep = (
  engine: Engine.Service,
  journal: Journal,
  model: Model,
  done: { readonly seqId: number; readonly at: number; readonly changed: "weights" | "gradient" | undefined },
  changes: ReadonlyArray<Change>
): Effect.Effect<void, Engine.EngineError | ServerError> =>
  Effect.gen(function*() {
    const { id, kept } = model
    const { at, changed, seqId } = done
    const before = kept.progress
    let { gradient, step = 0, weights } = before ?? {}
    const fileName = (kind: string) => `${encodeURIComponent(id)}.${seqId}.${journal.life}.${kind}`
    if (journal.liveModels && changed !== undefined) {
      const written = yield* writeState(engine, journal, id, changed, fileName(changed))
      if (changed === "weights") ({ step } = written)
      weights = changed === "weights" ? written.file : weights
      gradient = changed === "weights" ? undefined : written.file
    }
    const passed = Array.from(kept.rejected).filter((number) => number < seqId)
    const progress: Records.Progress = {
      modelId: id,
      next: seqId + 1,
      step,
      lastRequestAt: Math.max(at, model.lastRequestAt),
      weights,
      gradient
    }
    yield* journal.unsafeCommit([
      ...changes,
      Records.progress(progress),
      Records.withoutRequest(id, seqId),
      ...passed.map((number) => Records.withoutRejected(id, number))
    ])
    kept.progress = progress
    kept.accepted.delete(seqId)
    for (const number of passed) kept.rejected.delete(number)
    for (const old of filesOf(before)) {
      if (old.name !== weights?.name && old.name !== gradient?.name) yield* journal.removeState(old.name)
    }
  })

interface Written {
  /** None of a gradient that there is not. */
  readonly file: StateFile | undefined
  readonly step: number
}

const writeState = (
  engine: Engine.Service,
  journal: Journal,
  id: string,
  what: "weights" | "gradient",
  name: string
): Effect.Effect<Written, Engine.EngineError | ServerError> =>
  Effect.gen(function*() {
    if (engine.writeState !== undefined) {
      const { bytes, step } = yield* engine.writeState(id, what, journal.statePath(name))
      return { step, file: bytes === 0 ? undefined : { name, bytes } }
    }
    if (what === "gradient") {
      const gradient = yield* engine.accumulated(id)
      return { step: 0, file: gradient && (yield* journal.writeState(name, Safetensors.encode(gradient))) }
    }
    const snapshot = yield* engine.snapshot(id)
    const bytes = Safetensors.encode(CheckpointFiles.stateTensors(snapshot))
    return { step: snapshot.step, file: yield* journal.writeState(name, bytes) }
  })

export const filesOf = (progress: Records.Progress | undefined): ReadonlyArray<StateFile> =>
  [progress?.weights, progress?.gradient].filter((file) => file !== undefined)

/** What the journal need not hold any more once a model has ended. */
export const given = ({ id, kept }: Model): ReadonlyArray<Change> => [
  Records.withoutProgress(id),
  ...Array.from(kept.accepted, (seqId) => Records.withoutRequest(id, seqId)),
  ...Array.from(kept.rejected, (seqId) => Records.withoutRejected(id, seqId))
]

export const removeFiles = (journal: Journal, kept: Kept): Effect.Effect<void> =>
  Effect.forEach(filesOf(kept.progress), ({ name }) => journal.removeState(name), { discard: true })

/** Gives the engine back a model as it was. */
export const restore = (
  engine: Engine.Service,
  journal: Journal,
  model: { readonly id: string; readonly baseModel: Engine.BaseModel; readonly lora: Engine.LoraSpec },
  { gradient, step, weights }: Records.Progress
): Effect.Effect<void, Engine.EngineError | ServerError> =>
  Effect.gen(function*() {
    if (weights === undefined) return
    const snapshot = CheckpointFiles.snapshotOf(
      { baseModel: model.baseModel.name, lora: model.lora, step },
      yield* Effect.flatMap(journal.readState(weights), Safetensors.decode)
    )
    const accumulated = gradient === undefined
      ? undefined
      : tensorsOf(yield* Effect.flatMap(journal.readState(gradient), Safetensors.decode))
    yield* engine.restore(model.id, snapshot, { optimizer: true, accumulated })
  })

const tensorsOf = (raw: ReadonlyMap<string, Safetensors.RawTensor>): ReadonlyMap<string, Engine.Tensor> =>
  new Map(Array.from(raw, ([name, tensor]) => [name, { shape: tensor.shape, data: Safetensors.toFloat32(tensor) }]))
