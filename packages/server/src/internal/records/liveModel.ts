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

export interface Journaled {
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
  readonly journaled: Journaled
}

export const makeJournaled = (progress: Records.Progress | undefined): Journaled => ({
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
  { id, journaled }: Model,
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
  if (journal.liveModels) journaled.accepted.add(seqId)
  if (request.replayed !== undefined) return
  journaled.record = first?.record ?? journaled.record
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
  if (changes.length > 0) journaled.accepting.set(seqId, { changes, written: journal.unsafeCommit(changes) })
}

/**
 * Waits until a request that was taken is written down, or is done. Where it cannot be written that is tried again the next
 * time.
 */
export const accepted = (journal: Journal, { journaled }: Model, seqId: number): Effect.Effect<void, ServerError> => {
  const accepting = journaled.accepting.get(seqId)
  if (accepting === undefined) return Effect.void
  return accepting.written.pipe(
    Effect.map(() => {
      if (seqId === 0) journaled.record = undefined
      journaled.accepting.delete(seqId)
    }),
    Effect.tapError(() => Effect.sync(() => writeAgain(journal, journaled, seqId, accepting)))
  )
}

const writeAgain = (journal: Journal, journaled: Journaled, seqId: number, accepting: Accepting): void => {
  accepting.written = Effect.suspend(() => {
    // What is done meanwhile must not be there as if it were to be done.
    if (journaled.accepting.get(seqId) !== accepting) return Effect.void
    return accepting.written = journal.unsafeCommit(accepting.changes)
  })
}

/** Lets that a request was taken wait for something else that is being written of it, or for changes that will be. */
const acceptWith = (
  journal: Journal,
  journaled: Journaled,
  seqId: number,
  changes: ReadonlyArray<Change>,
  written?: Effect.Effect<void, ServerError>
): void => {
  const accepting: Accepting = { changes, written: written ?? Effect.void }
  if (written === undefined) writeAgain(journal, journaled, seqId, accepting)
  journaled.accepting.set(seqId, accepting)
}

/** A token that a request shows was looked at when it came. */
const withoutSecret = ({ body, route }: Http.Received): Uint8Array => {
  if (route !== "loadWeights") return body
  const { weights_access_token: _, ...rest } = JSON.parse(new TextDecoder().decode(body)) as Record<string, unknown>
  return new TextEncoder().encode(JSON.stringify(rest))
}

export const noteRejected = (journal: Journal, { id, journaled }: Model, seqId: number): Effect.Effect<void> => {
  if (!journal.liveModels || seqId < (journaled.progress?.next ?? 0)) return Effect.void
  journaled.rejected.add(seqId)
  const changes = [Records.rejected({ modelId: id, seqId })]
  return Effect.catchAll(journal.unsafeCommit(changes), () => Effect.sync(() => journal.unsafeDefer(changes)))
}

interface Done {
  readonly seqId: number
  readonly at: number
  readonly changed: "weights" | "gradient" | undefined
}

/** Keeps what a request has changed, and with it the changes of the journal that belong to its result. */
export const save = (
  engine: Engine.Service,
  journal: Journal,
  model: Model,
  done: Done,
  changes: ReadonlyArray<Change>
): Effect.Effect<void, Engine.EngineError | ServerError> =>
  Effect.gen(function*() {
    const { id, journaled } = model
    const { changed, seqId } = done
    const before = journaled.progress
    let { gradient, step = 0, weights } = before ?? {}
    if (journal.liveModels && changed !== undefined) {
      // State of a request that the journal does not know would say that the journal is not whole.
      const accepting = journaled.accepting.get(seqId)
      if (accepting !== undefined) yield* Effect.exit(accepting.written)
      const written = yield* writeState(engine, journal, id, changed, fileName(journal, id, done))
      if (changed === "weights") ({ step } = written)
      weights = changed === "weights" ? written.file : weights
      gradient = changed === "weights" ? undefined : written.file
    }
    const progress = progressOf(model, done, { step, weights, gradient })
    const written = journal.unsafeCommit([...changes, ...changesOf(model, progress)])
    const accepting = journaled.accepting.get(seqId)
    if (accepting !== undefined) acceptWith(journal, journaled, seqId, accepting.changes, written)
    yield* written
    journaled.accepting.delete(seqId)
    noteDone(journaled, progress)
    for (const old of filesOf(before)) {
      if (old.name !== weights?.name && old.name !== gradient?.name) yield* journal.removeState(old.name)
    }
  })

/** Has it kept as soon as may be that a request is done which changed nothing. */
export const saveLater = (
  journal: Journal,
  model: Model,
  done: Omit<Done, "changed">,
  changes: ReadonlyArray<Change>
): void => {
  const { step = 0, weights, gradient } = model.journaled.progress ?? {}
  const progress = progressOf(model, done, { step, weights, gradient })
  const all = [...changes, ...changesOf(model, progress)]
  journal.unsafeDefer(all)
  const { journaled } = model
  if (journaled.accepting.has(done.seqId)) {
    // Its client is told that it was taken once this is written, and not before: there is nothing else of it.
    acceptWith(journal, journaled, done.seqId, all)
  }
  noteDone(journaled, progress)
}

/** Removes what was written of a request that could not be kept. */
export const removeUnsaved = (journal: Journal, id: string, done: Done): Effect.Effect<void> =>
  done.changed === undefined ? Effect.void : journal.removeState(fileName(journal, id, done))

const fileName = (journal: Journal, id: string, { changed, seqId }: Done): string =>
  `${encodeURIComponent(id)}.${seqId}.${journal.instanceId}.${changed}`

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

const changesOf = ({ id, journaled }: Model, progress: Records.Progress): ReadonlyArray<Change> => [
  ...journaled.record === undefined ? [] : [Records.model(journaled.record)],
  Records.progress(progress),
  Records.withoutRequest(id, progress.next - 1),
  ...passedBy(journaled, progress).map((number) => Records.withoutRejected(id, number))
]

const passedBy = (journaled: Journaled, { next }: Records.Progress): ReadonlyArray<number> =>
  Array.from(journaled.rejected).filter((number) => number < next - 1)

const noteDone = (journaled: Journaled, progress: Records.Progress): void => {
  journaled.progress = progress
  journaled.record = undefined
  journaled.accepted.delete(progress.next - 1)
  for (const number of passedBy(journaled, progress)) journaled.rejected.delete(number)
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
export const changesAtEnd = ({ id, journaled }: Model): ReadonlyArray<Change> => [
  Records.withoutProgress(id),
  Records.withoutLost(id),
  ...Array.from(journaled.accepted, (seqId) => Records.withoutRequest(id, seqId)),
  ...Array.from(journaled.rejected, (seqId) => Records.withoutRejected(id, seqId))
]

export const removeFiles = (journal: Journal, journaled: Journaled): Effect.Effect<void> =>
  Effect.forEach(filesOf(journaled.progress), ({ name }) => journal.removeState(name), { discard: true })

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
