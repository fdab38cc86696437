/** Handlers of checkpoints that models make and are made of. */
import type { LoraSpec } from "@effect-tinker/engine/Engine"
import * as AgeRecipient from "@effect-tinker/protocol/AgeRecipient"
import type { Answer } from "@effect-tinker/protocol/Endpoint"
import * as Endpoints from "@effect-tinker/protocol/Endpoints"
import type { ModelId, SamplingSessionId } from "@effect-tinker/protocol/Identifiers"
import * as ModelsMessages from "@effect-tinker/protocol/ModelsMessages"
import * as ReceivedRequests from "@effect-tinker/protocol/ReceivedRequests"
import * as TinkerPath from "@effect-tinker/protocol/TinkerPath"
import * as WeightsMessages from "@effect-tinker/protocol/WeightsMessages"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import type * as CheckpointStore from "../../CheckpointStore.js"
import * as Eithers from "../effect/eithers.js"
import * as Http from "../http/http.js"
import * as ModelQueue from "../models/modelQueue.js"
import * as Models from "../models/models.js"
import * as Samplers from "../models/samplers.js"
import type * as State from "../models/serverState.js"
import type * as Work from "../models/work.js"
import * as CheckpointRoutes from "./checkpointRoutes.js"
import * as Lookups from "./lookups.js"
import * as Users from "./users.js"

/** The handlers, and what a token opens. `userOf` tells whose a credential is, if it is one of this server's. */
export const make = (
  state: State.ServerState,
  userOf: (credential: string) => Option.Option<Users.Owner>
) => {
  const ownerOfToken = ownerOfTokens(userOf)
  return {
    saveWeights: saveWeights(state),
    saveWeightsForSampler: saveWeightsForSampler(state),
    saveWeightsExternal: saveWeightsExternal(state),
    loadWeights: loadWeights(state, ownerOfToken),
    weightsInfo: weightsInfo(state),
    ownerOfToken
  }
}

const pathOf = (
  model: State.Model,
  checkpointType: TinkerPath.CheckpointType,
  wanted: { readonly path?: string | undefined; readonly seqId: number }
): TinkerPath.TinkerPath => ({
  trainingRunId: model.id as ModelId,
  checkpointType,
  name: wanted.path ?? String(wanted.seqId).padStart(6, "0")
})

const save = (
  state: State.ServerState,
  model: State.Model,
  path: TinkerPath.TinkerPath,
  { overwrite, recipients, ttlSeconds, userMetadata }: CheckpointStore.SaveOptions,
  request: Http.Received
) =>
  Effect.gen(function*() {
    yield* checkTtl(ttlSeconds)
    const savedBy = Http.fingerprintOf(request)
    const existing = yield* Effect.option(state.store.info(path))
    if (Option.isSome(existing)) {
      // A server that was killed has saved it, and not told.
      if (existing.value.savedBy === savedBy) return existing.value
      if (overwrite !== true) return yield* ModelQueue.userError(takenName(path))
    }
    return yield* state.store.save(path, yield* state.engine.snapshot(model.id), {
      overwrite,
      ttlSeconds,
      userMetadata,
      savedBy,
      owner: model.session.owner,
      recipients
    })
  })

const saveWeights = (state: State.ServerState): Http.Handler<Answer<typeof Endpoints.saveWeights>> =>
  ModelQueue.handler(state, WeightsMessages.SaveWeightsRequest, {
    work: (wanted, model, request) =>
      Effect.map(
        save(state, model, pathOf(model, "training", wanted), wanted, request),
        ({ path }) => ModelQueue.completed(Endpoints.saveWeights, { path: TinkerPath.format(path) })
      )
  })

const saveWeightsForSampler = (
  state: State.ServerState
): Http.Handler<Answer<typeof Endpoints.saveWeightsForSampler>> =>
  ModelQueue.handler(state, WeightsMessages.SaveWeightsForSamplerRequest, {
    work: (wanted, model, request) =>
      Effect.gen(function*() {
        if (wanted.kind !== "snapshot" && wanted.kind !== "inflight") {
          return yield* ModelQueue.userError(`kind is ${wanted.kind}; it must be snapshot or inflight`)
        }
        if (wanted.samplingSessionSeqId === undefined) {
          if (wanted.kind === "inflight") return yield* ModelQueue.userError("weights of kind inflight have no name")
          const { path } = yield* save(state, model, pathOf(model, "sampler", wanted), wanted, request)
          return ModelQueue.completed(Endpoints.saveWeightsForSampler, { path: TinkerPath.format(path) })
        }
        yield* checkTtl(wanted.ttlSeconds)
        if (wanted.path !== undefined) {
          return yield* ModelQueue.userError("either path or sampling_session_seq_id, not both")
        }
        const id = Samplers.idOf(model.session, wanted.samplingSessionSeqId)
        // Weights in flight are these or newer ones, so these alone will do.
        const snapshot = yield* state.engine.snapshot(model.id)
        const { baseModel, session } = model
        const isNew = yield* Samplers.create(state, { id, session, baseModel, snapshot, checkpoint: undefined })
        if (!isNew) return yield* ModelQueue.userError(takenSampler(wanted.samplingSessionSeqId))
        return {
          ...ModelQueue.completed(Endpoints.saveWeightsForSampler, { samplingSessionId: id as SamplingSessionId }),
          sampler: { id, snapshot }
        }
      }),
    admit: (wanted, model) =>
      wanted.samplingSessionSeqId !== undefined
        && state.samplers.has(Samplers.idOf(model.session, wanted.samplingSessionSeqId))
        ? Http.refuse(400, takenSampler(wanted.samplingSessionSeqId))
        : Effect.void
  })

const saveWeightsExternal = (state: State.ServerState): Http.Handler<Answer<typeof Endpoints.saveWeightsExternal>> =>
  ModelQueue.handler(state, WeightsMessages.SaveWeightsExternalRequest, {
    work: (wanted, model, request) =>
      Effect.gen(function*() {
        const { ageEncryptionRecipients: recipients = [] } = wanted
        yield* checkRecipients(recipients)
        const options = recipients.length === 0 ? wanted : { ...wanted, recipients }
        const { path, sizeBytes } = yield* save(state, model, pathOf(model, "external", wanted), options, request)
        return ModelQueue.completed(Endpoints.saveWeightsExternal, { path: TinkerPath.format(path), sizeBytes })
      })
  })

/** Whose checkpoints a token opens, beside those of the one who asks. */
type OwnerOfToken = (token: string | undefined) => Effect.Effect<Users.Owner, Http.Refusal>

const ownerOfTokens = (userOf: (credential: string) => Option.Option<Users.Owner>): OwnerOfToken => (token) =>
  token === undefined ? Effect.succeed(undefined) : Option.match(userOf(token), {
    onNone: () => Http.refuse(403, "weights_access_token is no key of this server"),
    onSome: Effect.succeed
  })

/** A checkpoint that may be read. */
const checkpointAt = (
  state: State.ServerState,
  path: string,
  tokenOwner: Effect.Effect<Users.Owner, Http.Refusal>
) =>
  Effect.gen(function*() {
    const info = yield* Http.known(state.store.info(yield* Http.tinkerPath(path)))
    yield* Users.requireReadable(path, info, yield* tokenOwner)
    return info
  })

/** One that there is not is told of when the request's turn comes. */
const requireReadableIfThere = (
  state: State.ServerState,
  path: string,
  tokenOwner: Effect.Effect<Users.Owner, Http.Refusal>
) =>
  Effect.gen(function*() {
    const owner = yield* tokenOwner
    const info = yield* Effect.option(Effect.flatMap(Eithers.toEffect(TinkerPath.parse(path)), state.store.info))
    if (Option.isSome(info)) yield* Users.requireReadable(path, info.value, owner)
  })

/** Into a model that has done nothing yet. */
const loadIntoModel = (
  state: State.ServerState,
  ownerOfToken: OwnerOfToken
): Http.Handler<Answer<typeof Endpoints.loadWeights>> =>
  ModelQueue.handler(state, ReceivedRequests.LoadIntoModelRequest, {
    work: (wanted, model) =>
      Effect.gen(function*() {
        if (wanted.seqId !== 1) {
          return yield* ModelQueue.userError(
            `weights can be loaded by the first request of a model alone, and this is number ${wanted.seqId}`
          )
        }
        const path = yield* ModelQueue.orUserError(
          Either.mapLeft(TinkerPath.parse(wanted.path), (error) => error.description)
        )
        if (path.checkpointType !== "training") {
          return yield* ModelQueue.userError(
            `${wanted.path} is a ${path.checkpointType} checkpoint; training goes on from weights alone`
          )
        }
        const snapshot = yield* state.store.load(path)
        if (snapshot.baseModel !== model.baseModel.name) {
          return yield* ModelQueue.userError(
            `the checkpoint is of ${snapshot.baseModel}, the model of ${model.baseModel.name}`
          )
        }
        if (snapshot.lora.rank !== model.lora.rank) {
          return yield* ModelQueue.userError(
            `the checkpoint has rank ${snapshot.lora.rank}, the model rank ${model.lora.rank}`
          )
        }
        const differing = differingParts(snapshot.lora, model.lora)
        if (differing !== undefined) return yield* ModelQueue.userError(differing)
        yield* state.engine.restore(model.id, snapshot, { optimizer: wanted.optimizer })
        return {
          ...ModelQueue.completed(Endpoints.loadWeights, { path: wanted.path, modelId: model.id }),
          changed: "weights" as const
        }
      }),
    admit: (wanted) => requireReadableIfThere(state, wanted.path, ownerOfToken(wanted.weightsAccessToken))
  })

/** Makes the model by the same request. */
const createByLoading = (
  state: State.ServerState,
  wanted: ReceivedRequests.CreateByLoadingRequest,
  request: Http.Received,
  tokenOwner: Effect.Effect<Users.Owner, Http.Refusal>
) =>
  Effect.gen(function*() {
    const session = yield* Lookups.requireSession(state, wanted.sessionId)
    const { baseModel: name, lora, path } = yield* checkpointAt(state, wanted.path, tokenOwner)
    if (path.checkpointType !== "training") {
      return yield* Http.refuse(
        400,
        `${wanted.path} is a ${path.checkpointType} checkpoint; training goes on from weights alone`
      )
    }
    const baseModel = yield* Lookups.requireBaseModel(state, name)
    if (wanted.baseModel !== undefined && wanted.baseModel !== name) {
      return yield* Http.refuse(400, `the checkpoint is of ${name}, not of ${wanted.baseModel}`)
    }
    yield* ModelQueue.requireAdamW(wanted.optimizerConfig)
    return yield* Models.create(state, {
      session,
      modelSeqId: wanted.modelSeqId,
      baseModel,
      lora,
      userMetadata: wanted.userMetadata,
      request,
      work: (modelId) =>
        Effect.gen(function*() {
          yield* state.engine.restore(modelId, yield* state.store.load(path), { optimizer: wanted.optimizer })
          return {
            ...ModelQueue.completed(Endpoints.loadWeights, { path: wanted.path, modelId }),
            changed: "weights" as const
          }
        })
    })
  })

const loadWeights = (
  state: State.ServerState,
  ownerOfToken: OwnerOfToken
): Http.Handler<Answer<typeof Endpoints.loadWeights>> => {
  const load = loadIntoModel(state, ownerOfToken)
  return (request) =>
    Effect.gen(function*() {
      const value = yield* Eithers.toEffect(Http.parseJson(request.body))
      if (!Predicate.hasProperty(value, "session_id") || value.session_id === null) return yield* load(request)
      const wanted = yield* Eithers.toEffect(Http.decode(ReceivedRequests.CreateByLoadingRequest, value))
      return yield* createByLoading(state, wanted, request, ownerOfToken(wanted.weightsAccessToken))
    })
}

const weightsInfo = (state: State.ServerState): Http.Handler<Answer<typeof Endpoints.weightsInfo>> => (request) =>
  Effect.gen(function*() {
    const { tinkerPath } = yield* Http.decodeBody(WeightsMessages.WeightsInfoRequest, request)
    const { baseModel, lora } = yield* checkpointAt(state, tinkerPath, Effect.succeed(undefined))
    return Http.answer(Endpoints.weightsInfo, {
      baseModel,
      isLora: true,
      loraRank: lora.rank,
      trainUnembed: lora.trainUnembed,
      trainMlp: lora.trainMlp,
      trainAttn: lora.trainAttn,
      optimizerConfig: ModelsMessages.adamw
    })
  })

/** Clients of all languages show it as it is. Only saves of states can be told to overwrite. */
const takenName = (path: TinkerPath.TinkerPath): string =>
  `the checkpoint ${TinkerPath.format(path)} exists already: take another name${
    path.checkpointType === "training" ? ", or set overwrite to replace it" : ""
  }`

const takenSampler = (seqId: number): string =>
  `sampling_session_seq_id ${seqId} of this session is taken by a sampler that is there already; take another number`

const checkTtl = (ttlSeconds: number | undefined): Effect.Effect<void, Work.UserError> => {
  const invalid = ttlSeconds === undefined ? undefined : CheckpointRoutes.invalidTtl(ttlSeconds)
  return invalid === undefined ? Effect.void : ModelQueue.userError(invalid)
}

const checkRecipients = (recipients: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    if (recipients.length > maxRecipients) {
      return yield* ModelQueue.userError(
        `age_encryption_recipients has ${recipients.length} recipients, and may have ${maxRecipients}`
      )
    }
    for (const [i, recipient] of recipients.entries()) {
      const kind = AgeRecipient.kindOf(recipient)
      if (kind !== "native") {
        return yield* ModelQueue.userError(`age_encryption_recipients[${i}] ${refusedRecipients[kind]}`)
      }
    }
  })

const passKey = "pass a public key of age, which begins with age1"

/** What is wrong with each kind of recipient. The key itself is not repeated. */
const refusedRecipients: Readonly<Record<Exclude<AgeRecipient.Kind, "native">, string>> = {
  ...AgeRecipient.mistakes,
  other: `is a key of a plugin or of another kind of age, to which this server does not encrypt; ${passKey}`,
  ssh: `is a key of SSH, to which this server does not encrypt; ${passKey}`,
  unknown: `is no public key of age; ${passKey}`
}

/** Source: the Python SDK 0.38.0. */
const maxRecipients = 10

/** The parts of the base model that may have an adapter, each with its name on the wire and its name here. */
const parts = [["train_attn", "trainAttn"], ["train_mlp", "trainMlp"], ["train_unembed", "trainUnembed"]] as const

/** How the parts that a checkpoint has trained differ from those that a model trains, if they do. */
const differingParts = (checkpoint: LoraSpec, model: LoraSpec): string | undefined => {
  const differing = parts.filter(([, part]) => checkpoint[part] !== model[part])
  if (differing.length === 0) return undefined
  const flagsOf = (lora: LoraSpec) => differing.map(([name, part]) => `${name} ${lora[part]}`).join(", ")
  return `the checkpoint has ${flagsOf(checkpoint)}, the model ${flagsOf(model)}`
}
