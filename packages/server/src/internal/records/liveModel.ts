/**
 * What is kept of a model that is being trained, so that a later server goes on with it: the requests that it has taken,
 * and its state after each one that is done.
 *
 * The state is written to a file of its own first. The journal then takes, as one change, the name of that file, the
 * result of the request, and that it is no longer to be done: whenever a server dies, either all of it has happened or the
 * request is done again from the state before.
 */
import type * as Engine from "@effect-tinker/engine/Engine"
import * as ModelState from "@effect-tinker/engine/ModelState"
import * as Safetensors from "@effect-tinker/engine/Safetensors"
import * as Effect from "effect/Effect"
import type { ServerError } from "../../ServerError.js"
import type { Change, Service as Journal, StateFile } from "../../ServerJournal.js"
import type * as Http from "../http/http.js"
import * as Records from "./records.js"
import * as StateTensors from "./stateTensors.js"

export interface Kept {
  progress: Records.Progress | undefined
  /** The record that the model is there, as long as it is not known to be written down. */
  record: Records.Model | undefined
  /** Numbers of requests that were taken and are not done. */
  readonly accepted: Set<number>
  /** Numbers that were refused. */
  readonly rejected: Set<number>
  /** Requests that were taken, are not done, and are not known to be written down. */
  readonly accepting: Map<number, Accepting>
  /** Whether nobody can tell any more what became of its requests. */
  isGivenUp: boolean
}

interface Accepting {
  readonly changes: ReadonlyArray<Change>
  /** Waits until these are. */
  written: Effect.Effect<void, ServerError>
}

interface Model {
  readonly id: string
  readonly lastRequestAt: number
  readonly kept: Kept
}

export const emptyKept = (progress: Records.Progress | undefined): Kept => ({
  progress,
  record: undefined,
  accepted: new Set(),
  rejected: new Set(),
  accepting: new Map(),
  isGivenUp: false
})

/** Has the request written down before any of its results, where anything is kept. */
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
  if (!journal.isPersistent) return
  if (journal.liveModels) kept.accepted.add(seqId)
  if (request.replayed !== undefined) return
  kept.record = first?.record ?? kept.record
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
  if (changes.length > 0) kept.accepting.set(seqId, { changes, written: journal.unsafeCommit(changes) })
}

/**
 * Waits until a request that was taken is written down, or is done. Where it cannot be written that is tried again the next
 * time.
 */
export const accepted = (journal: Journal, { kept }: Model, seqId: number): Effect.Effect<void, ServerError> => {
  const accepting = kept.accepting.get(seqId)
  if (accepting === undefined) return Effect.void
  return accepting.written.pipe(
    Effect.map(() => {
      if (seqId === 0) kept.record = undefined
      kept.accepting.delete(seqId)
    }),
    Effect.tapError(() => Effect.sync(() => writeAgain(journal, kept, seqId, accepting)))
  )
}

const writeAgain = (journal: Journal, kept: Kept, seqId: number, accepting: Accepting): void => {
  accepting.written = Effect.suspend(() => {
    // What is done meanwhile must not be there as if it were to be done.
    if (kept.accepting.get(seqId) !== accepting) return Effect.void
    return accepting.written = journal.unsafeCommit(accepting.changes)
  })
}

/** Lets that a request was taken wait for something else that is being written of it, or for changes that will be. */
const acceptWith = (
  journal: Journal,
  kept: Kept,
  seqId: number,
  changes: ReadonlyArray<Change>,
  written?: Effect.Effect<void, ServerError>
): void => {
  const accepting: Accepting = { changes, written: written ?? Effect.void }
  if (written === undefined) writeAgain(journal, kept, seqId, accepting)
  kept.accepting.set(seqId, accepting)
}

/** A token that a request shows was looked at when it came. */
const withoutSecret = ({ body, route }: Http.Received): Uint8Array => {
  if (route !== "loadWeights") return body
  const { weights_access_token: _, ...rest } = JSON.parse(new TextDecoder().decode(body)) as Record<string, unknown>
  return new TextEncoder().encode(JSON.stringify(rest))
}

export const noteRejected = (journal: Journal, { id, kept }: Model, seqId: number): Effect.Effect<void> => {
  if (!journal.liveModels || seqId < (kept.progress?.next ?? 0)) return Effect.void
  kept.rejected.add(seqId)
  const changes = [Records.rejected({ modelId: id, seqId })]
  return Effect.catchAll(journal.unsafeCommit(changes), () => Effect.sync(() => journal.unsafeOwe(changes)))
}

interface Done {
  readonly seqId: number
  readonly at: number
  readonly changed: "weights" | "gradient" | undefined
}

/** Keeps what a request has changed, and with it the changes of the journal that belong to its result. */
export const keep = (
  engine: Engine.Service,
  journal: Journal,
  model: Model,
  done: Done,
  changes: ReadonlyArray<Change>
): Effect.Effect<void, Engine.EngineError | ServerError> =>
  Effect.gen(function*() {
    const { id, kept } = model
    const { changed, seqId } = done
    const before = kept.progress
    let { gradient, step = 0, weights } = before ?? {}
    if (journal.liveModels && changed !== undefined) {
      // State of a request that the journal does not know would say that the journal is not whole.
      const accepting = kept.accepting.get(seqId)
      if (accepting !== undefined) yield* Effect.exit(accepting.written)
      const written = yield* writeState(engine, journal, id, changed, fileName(journal, id, done))
      if (changed === "weights") ({ step } = written)
      weights = changed === "weights" ? written.file : weights
      gradient = changed === "weights" ? undefined : written.file
    }
    const progress = progressOf(model, done, { step, weights, gradient })
    const written = journal.unsafeCommit([...changes, ...changesOf(model, progress)])
    const accepting = kept.accepting.get(seqId)
    if (accepting !== undefined) acceptWith(journal, kept, seqId, accepting.changes, written)
    yield* written
    kept.accepting.delete(seqId)
    noteDone(kept, progress)
    for (const old of filesOf(before)) {
      if (old.name !== weights?.name && old.name !== gradient?.name) yield* journal.removeState(old.name)
    }
  })

/** Has it kept as soon as may be that a request is done which changed nothing. */
export const keepLater = (
  journal: Journal,
  model: Model,
  done: Omit<Done, "changed">,
  changes: ReadonlyArray<Change>
): void => {
  const { step = 0, weights, gradient } = model.kept.progress ?? {}
  const progress = progressOf(model, done, { step, weights, gradient })
  const all = [...changes, ...changesOf(model, progress)]
  journal.unsafeOwe(all)
  const { kept } = model
  if (kept.accepting.has(done.seqId)) {
    // Its client is told that it was taken once this is written, and not before: there is nothing else of it.
    acceptWith(journal, kept, done.seqId, all)
  }
  noteDone(kept, progress)
}

/** Removes what was written of a request that could not be kept. */
export const removeUnkept = (journal: Journal, id: string, done: Done): Effect.Effect<void> =>
  done.changed === undefined ? Effect.void : journal.removeState(fileName(journal, id, done))

const fileName = (journal: Journal, id: string, { changed, seqId }: Done): string =>
  `${encodeURIComponent(id)}.${seqId}.${journal.life}.${changed}`

/** Whose state a file is of, by its name, and of which request; that of a sampler has no number. */
export const ownerOf = (name: string): { readonly id: string; readonly seqId: number } | undefined => {
  const [, id, seqId] = /^([^.]+)\.(?:(\d+)\.[^.]+\.(?:weights|gradient)|adapter)$/.exec(name) ?? []
  try {
    return id === undefined ? undefined : { id: decodeURIComponent(id), seqId: Number(seqId ?? 0) }
  } catch {
    return undefined
  }
}

const progressOf = (
  { id, lastRequestAt }: Model,
  { at, seqId }: Omit<Done, "changed">,
  state: Pick<Records.Progress, "step" | "weights" | "gradient">
): Records.Progress => ({ modelId: id, next: seqId + 1, ...state, lastRequestAt: Math.max(at, lastRequestAt) })

const changesOf = ({ id, kept }: Model, progress: Records.Progress): ReadonlyArray<Change> => [
  ...kept.record === undefined ? [] : [Records.model(kept.record)],
  Records.progress(progress),
  Records.withoutRequest(id, progress.next - 1),
  ...passedBy(kept, progress).map((number) => Records.withoutRejected(id, number))
]

const passedBy = (kept: Kept, { next }: Records.Progress): ReadonlyArray<number> =>
  Array.from(kept.rejected).filter((number) => number < next - 1)

const noteDone = (kept: Kept, progress: Records.Progress): void => {
  kept.progress = progress
  kept.record = undefined
  kept.accepted.delete(progress.next - 1)
  for (const number of passedBy(kept, progress)) kept.rejected.delete(number)
}

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
      const { bytes, step } = yield* Effect.tapError(
        engine.writeState(id, what, journal.statePath(name)),
        () => Effect.logError(`${journal.statePath(name)} was not written`)
      )
      return { step, file: bytes === 0 ? undefined : { name, bytes } }
    }
    if (what === "gradient") {
      const gradient = yield* engine.accumulated(id)
      return { step: 0, file: gradient && (yield* journal.writeState(name, Safetensors.encode(gradient))) }
    }
    const snapshot = yield* engine.snapshot(id)
    const bytes = Safetensors.encode(ModelState.tensorsOf(snapshot))
    return { step: snapshot.step, file: yield* journal.writeState(name, bytes) }
  })

export const filesOf = (progress: Records.Progress | undefined): ReadonlyArray<StateFile> =>
  [progress?.weights, progress?.gradient].filter((file) => file !== undefined)

/** What the journal need not hold any more once a model has ended. */
export const given = ({ id, kept }: Model): ReadonlyArray<Change> => [
  Records.withoutProgress(id),
  Records.withoutLost(id),
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
    const snapshot = ModelState.snapshotOf(
      { baseModel: model.baseModel.name, lora: model.lora, step },
      yield* StateTensors.read(journal, weights)
    )
    const accumulated = gradient === undefined
      ? undefined
      : ModelState.toTensors(yield* StateTensors.read(journal, gradient))
    yield* engine.restore(model.id, snapshot, { optimizer: true, accumulated })
  })
