/** What the journal of a server holds, by the kinds of its keys. */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import type { Change, Entry } from "../../ServerJournal.js"

const Lora = Schema.Struct({
  rank: Schema.Int,
  seed: Schema.Number,
  trainAttn: Schema.Boolean,
  trainMlp: Schema.Boolean,
  trainUnembed: Schema.Boolean
})

const StateFile = Schema.Struct({ name: Schema.String, bytes: Schema.Int })

const AnyRecord = Schema.Record({ key: Schema.String, value: Schema.Unknown })

const Status = Schema.Union(
  Schema.TaggedStruct("Active", {}),
  Schema.TaggedStruct("Finished", { reason: Schema.String, detail: Schema.optional(Schema.String) }),
  Schema.TaggedStruct("Expired", {})
)

const Session = Schema.Struct({
  id: Schema.String,
  tags: Schema.Array(Schema.String),
  userMetadata: AnyRecord,
  displayName: Schema.UndefinedOr(Schema.String),
  owner: Schema.optional(Schema.String),
  projectId: Schema.UndefinedOr(Schema.String),
  createdAt: Schema.Number,
  status: Status
})

const Model = Schema.Struct({
  id: Schema.String,
  sessionId: Schema.String,
  baseModel: Schema.String,
  lora: Lora,
  userMetadata: Schema.UndefinedOr(AnyRecord),
  /** The fingerprint of the request that made it. */
  fingerprint: Schema.String,
  createdAt: Schema.Number,
  unloaded: Schema.Boolean
})

/** How far a model has come. */
const Progress = Schema.Struct({
  modelId: Schema.String,
  /** Number of the first request that is not done. */
  next: Schema.Int,
  /** Optimizer steps taken. */
  step: Schema.Int,
  lastRequestAt: Schema.Number,
  /** Its weights and moments, if they are kept. */
  weights: Schema.UndefinedOr(StateFile),
  /** What was accumulated since. */
  gradient: Schema.UndefinedOr(StateFile)
})

const Sampler = Schema.Struct({
  id: Schema.String,
  sessionId: Schema.String,
  baseModel: Schema.String,
  modelPath: Schema.UndefinedOr(Schema.String),
  /** The adapter of weights that are saved under no path. */
  adapter: Schema.UndefinedOr(Schema.Struct({ lora: Lora, file: StateFile })),
  /** The checkpoint that was under its path. Earlier versions did not write it down; null where none was found then. */
  checkpoint: Schema.optional(
    Schema.NullOr(Schema.Struct({ createdAt: Schema.Number, savedBy: Schema.optional(Schema.String) }))
  ),
  joinedClients: Schema.Int
})

/** A request of a model that was accepted; its payload is its body. */
const Request = Schema.Struct({
  modelId: Schema.String,
  seqId: Schema.Int,
  route: Schema.String,
  contentType: Schema.String,
  fingerprint: Schema.String,
  /** The seed that the server chose for the model. */
  seed: Schema.UndefinedOr(Schema.Number),
  /** Who made it. */
  keyName: Schema.UndefinedOr(Schema.String)
})

/** The number of a request of a model that was refused. */
const Rejected = Schema.Struct({ modelId: Schema.String, seqId: Schema.Int })

/** A session, a model or a sampler that cannot be gone on with, and why. */
const Lost = Schema.Struct({ id: Schema.String, reason: Schema.String })

/** A sample that was accepted. */
const Asked = Schema.Struct({ samplerId: Schema.String, seqId: Schema.String })

/** The bytes of a result are its payload. */
const Result = Schema.Struct({
  /** The id of the model or sampler. */
  ownerId: Schema.String,
  seqId: Schema.String,
  fingerprint: Schema.String,
  at: Schema.Number,
  outcome: Schema.Union(
    Schema.TaggedStruct("Failed", { error: Schema.String, category: Schema.Literal("unknown", "server", "user") }),
    Schema.TaggedStruct("Json", { value: Schema.Unknown }),
    Schema.TaggedStruct("Bytes", { form: Schema.Literal("pass", "sample") }),
    // The server was started anew before there was one.
    Schema.TaggedStruct("Lost", {})
  ),
  sequences: Schema.UndefinedOr(Schema.Int)
})

const Usage = Schema.Struct({
  hour: Schema.Number,
  kind: Schema.Literal("training", "sampling_prefill", "sampling_sample"),
  sessionId: Schema.String,
  baseModel: Schema.String,
  tokens: Schema.Number
})

const Audit = Schema.Struct({ number: Schema.Int, at: Schema.Number, event: Schema.String, details: AnyRecord })

/** A checkpoint that was removed, for the account of what was stored. */
const Removed = Schema.Struct({
  path: Schema.String,
  baseModel: Schema.String,
  lora: Lora,
  step: Schema.Int,
  createdAt: Schema.Number,
  expiresAt: Schema.UndefinedOr(Schema.Number),
  sizeBytes: Schema.Number,
  owner: Schema.optional(Schema.String),
  removedAt: Schema.Number
})

/** A run that a copy of a checkpoint made. */
const Copy = Schema.Struct({
  runId: Schema.String,
  projectId: Schema.UndefinedOr(Schema.String),
  /** The key of the request, its body's fingerprint, and what it was answered. */
  request: Schema.UndefinedOr(Schema.Struct({ key: Schema.String, body: Schema.String, path: Schema.String }))
})

export type Session = typeof Session.Type
export type Model = typeof Model.Type
export type Progress = typeof Progress.Type
export type Sampler = typeof Sampler.Type
export type Request = typeof Request.Type
export type Rejected = typeof Rejected.Type
export type Lost = typeof Lost.Type
export type Asked = typeof Asked.Type
export type Result = typeof Result.Type
export type Usage = typeof Usage.Type
export type Audit = typeof Audit.Type
export type Removed = typeof Removed.Type
export type Copy = typeof Copy.Type

export const requestIdOf = (ownerId: string, seqId: number | string): string => `${ownerId}:${seqId}`

export const session = (value: Session): Change => ({ key: `session:${value.id}`, value })

export const model = (value: Model): Change => ({ key: `model:${value.id}`, value })

export const progress = (value: Progress): Change => ({ key: `progress:${value.modelId}`, value })

export const withoutProgress = (modelId: string): Change => ({ key: `progress:${modelId}` })

export const sampler = (value: Sampler): Change => ({ key: `sampler:${value.id}`, value })

const requestKey = (modelId: string, seqId: number) => `request:${requestIdOf(modelId, seqId)}`

export const request = (value: Request, payload: Uint8Array): Change => ({
  key: requestKey(value.modelId, value.seqId),
  value,
  payload
})

export const withoutRequest = (modelId: string, seqId: number): Change => ({ key: requestKey(modelId, seqId) })

const rejectedKey = (modelId: string, seqId: number) => `rejected:${requestIdOf(modelId, seqId)}`

export const rejected = (value: Rejected): Change => ({ key: rejectedKey(value.modelId, value.seqId), value })

export const withoutRejected = (modelId: string, seqId: number): Change => ({ key: rejectedKey(modelId, seqId) })

export const lost = (value: Lost): Change => ({ key: `lost:${value.id}`, value })

export const withoutLost = (id: string): Change => ({ key: `lost:${id}` })

export const asked = (value: Asked): Change => ({ key: `asked:${requestIdOf(value.samplerId, value.seqId)}`, value })

export const removeSampleRequest = (requestId: string): Change => ({ key: `asked:${requestId}` })

export const resultKey = (requestId: string): string => `result:${requestId}`

export const result = (value: Result, payload: Uint8Array | undefined): Change => ({
  key: resultKey(requestIdOf(value.ownerId, value.seqId)),
  value,
  payload
})

export const withoutResult = (requestId: string): Change => ({ key: resultKey(requestId) })

export const usage = (value: Usage): Change => ({
  key: `usage:${value.hour} ${value.kind} ${value.sessionId} ${value.baseModel}`,
  value
})

export const audit = (value: Audit): Change => ({ key: `audit:${value.number}`, value })

export const withoutAudit = (number: number): Change => ({ key: `audit:${number}` })

export const removed = (value: Removed): Change => ({ key: `removed:${value.path} ${value.createdAt}`, value })

export const copy = (value: Copy): Change => ({ key: `copy:${value.runId}`, value })

export interface Records {
  readonly sessions: ReadonlyArray<Session>
  readonly models: ReadonlyArray<Model>
  readonly progress: ReadonlyMap<string, Progress>
  readonly samplers: ReadonlyArray<Sampler>
  /** Requests that were not done, and refused numbers, in the order in which they came. */
  readonly arrivals: ReadonlyArray<
    | { readonly _tag: "Request"; readonly request: Request; readonly key: string }
    | { readonly _tag: "Rejected"; readonly rejected: Rejected }
  >
  /** Reasons by ids. */
  readonly lost: ReadonlyMap<string, string>
  readonly asked: ReadonlyArray<Asked>
  readonly results: ReadonlyArray<Result>
  readonly usage: ReadonlyArray<Usage>
  readonly audit: ReadonlyArray<Audit>
  readonly removed: ReadonlyArray<Removed>
  readonly copies: ReadonlyArray<Copy>
}

/** Sorts the entries of a journal. One that cannot be read, as that of another version, is left out with a warning. */
export const read = (entries: ReadonlyArray<Entry>): Effect.Effect<Records> =>
  Effect.gen(function*() {
    const sessions: Array<Session> = []
    const models: Array<Model> = []
    const progress = new Map<string, Progress>()
    const samplers: Array<Sampler> = []
    const arrivals: Array<Records["arrivals"][number]> = []
    const lost = new Map<string, string>()
    const asked: Array<Asked> = []
    const results: Array<Result> = []
    const usage: Array<Usage> = []
    const audit: Array<Audit> = []
    const removed: Array<Removed> = []
    const copies: Array<Copy> = []

    const readers: Readonly<Record<string, (entry: Entry) => boolean>> = {
      session: reader(Session, (value) => sessions.push(value)),
      model: reader(Model, (value) => models.push(value)),
      progress: reader(Progress, (value) => progress.set(value.modelId, value)),
      sampler: reader(Sampler, (value) => samplers.push(value)),
      request: reader(Request, (request, key) => arrivals.push({ _tag: "Request", request, key })),
      rejected: reader(Rejected, (rejected) => arrivals.push({ _tag: "Rejected", rejected })),
      lost: reader(Lost, ({ id, reason }) => lost.set(id, reason)),
      asked: reader(Asked, (value) => asked.push(value)),
      result: reader(Result, (value) => results.push(value)),
      usage: reader(Usage, (value) => usage.push(value)),
      audit: reader(Audit, (value) => audit.push(value)),
      removed: reader(Removed, (value) => removed.push(value)),
      copy: reader(Copy, (value) => copies.push(value))
    }
    for (const entry of entries) {
      const kind = entry.key.slice(0, entry.key.indexOf(":"))
      if (readers[kind]?.(entry) !== true) yield* Effect.logWarning(`the journal's ${entry.key} cannot be read`)
    }
    // The newest change of something is not where it was made.
    const byAge = (a: { readonly createdAt: number }, b: { readonly createdAt: number }) => a.createdAt - b.createdAt
    return {
      sessions: sessions.sort(byAge),
      models: models.sort(byAge),
      progress,
      samplers,
      arrivals,
      lost,
      asked,
      results: results.sort((a, b) => a.at - b.at),
      usage,
      audit: audit.sort((a, b) => a.number - b.number),
      removed,
      copies
    }
  })

const reader = <A, I>(schema: Schema.Schema<A, I>, take: (value: A, key: string) => void) => {
  const decode = Schema.decodeUnknownEither(schema)
  return ({ key, value }: Entry): boolean => {
    const decoded = decode(value)
    if (Either.isLeft(decoded)) return false
    take(decoded.right, key)
    return true
  }
}
