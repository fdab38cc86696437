/** The checkpoints of SkyRL: how they are saved, loaded, given away and removed. */
import * as Effect from "effect/Effect"
import type { Answer } from "../../../Dialect.js"
import { answer, detail, type Endpoint, field, type Received, text } from "../foreignServer.js"
import * as Foreign from "../foreignServer.js"
import * as Models from "./models.js"
import * as State from "./state.js"
import * as Validation from "./validation.js"

export const saveWeights = (state: State.State): Endpoint => (received) => {
  const refused = Validation.required(received, "model_id") ?? Validation.required(received, "path") ??
    Validation.badName(received)
  if (refused !== undefined) return Effect.succeed(refused)
  const model = State.modelOf(state, received)
  const name = text(received.call.json, "path")!
  return model === undefined
    ? Effect.succeed(detail(404, `Model '${text(received.call.json, "model_id")}' not found`))
    : save(state, received, model, "weights", name, {
      path: `tinker://${model.id}/weights/${name}`,
      type: "save_weights"
    })
}

export const saveWeightsForSampler = (state: State.State): Endpoint => (received) => {
  const { json } = received.call
  const seqId = field(json, "seq_id")
  const samplerSeqId = field(json, "sampling_session_seq_id")
  const name = text(json, "path")
  const isTransient = seqId !== undefined && samplerSeqId !== undefined
  const refused = Validation.required(received, "model_id") ?? Validation.badName(received) ??
    (name === undefined && !isTransient
      ? Validation.invalid(
        "value_error",
        [],
        "Value error, Either 'path' or both 'sampling_session_seq_id' and 'seq_id' must be provided",
        json
      )
      : undefined)
  if (refused !== undefined) return Effect.succeed(refused)
  const model = State.modelOf(state, received)
  if (model === undefined) return Effect.succeed(State.noModel)
  const saved = name ?? `ss${samplerSeqId}_seq${seqId}`
  const samplerId = isTransient ? State.newId(state, "sampling") : null
  return Effect.map(
    save(state, received, model, "sampler_weights", saved, {
      path: isTransient ? null : `tinker://${model.id}/${saved}`,
      type: "save_weights_for_sampler",
      sampling_session_id: samplerId
    }),
    (response) => {
      if (samplerId === null || response.status !== 200) return response
      const modelPath = `tinker://${model.id}/sampler_weights/${saved}`
      state.samplers.set(samplerId, { session: model.session, baseModel: undefined, modelPath, localId: undefined })
      return response
    }
  )
}

export const loadWeights = (state: State.State): Endpoint => (received) =>
  Effect.gen(function*() {
    const refused = Validation.required(received, "model_id") ?? Validation.required(received, "path")
    if (refused !== undefined) return refused
    const { json } = received.call
    const model = State.modelOf(state, received)
    if (model === undefined) return State.noModel
    if (model.requests > 0) {
      return detail(400, `LoadWeights is not permitted with seq_id ${field(json, "seq_id") ?? model.requests + 1}`)
    }
    const path = pathOf(text(json, "path")!)
    if (path === undefined || path.kind !== "weights" || path.name === "") {
      return detail(400, "request.path must be in format tinker://source_model_id/weights/checkpoint_id")
    }
    const source = state.models.get(path.modelId)
    if (source === undefined) return noCheckpoint(path.modelId, path.name)
    const trouble = yield* unusable(received, source, "weights", path.name)
    if (trouble !== undefined) return trouble
    if (source.rank !== model.rank) {
      model.requests += 1
      return State.accepted(State.addFuture(
        state,
        State.failed(
          `Rank mismatch: checkpoint has rank ${source.rank}, model configured with rank ${model.rank}`
        )
      ))
    }
    const submitted = yield* Models.submit(state, model, Models.staleRequest(model), (ids) =>
      Foreign.post(received, "load_weights", {
        ...ids,
        path: localPath(source, "weights", path.name),
        optimizer: field(json, "optimizer") ?? true
      }), {
      toResult: () => ({ type: "load_weights" }),
      onLost: () =>
        Effect.succeed(detail(400, Models.staleRequest(model)))
    })
    return typeof submitted === "string" ? State.accepted(submitted) : submitted
  })

export const weightsInfo = (state: State.State): Endpoint => (received) =>
  Effect.gen(function*() {
    const path = pathOf(text(received.call.json, "tinker_path") ?? "")
    if (path === undefined || path.kind !== "weights") {
      return detail(400, "Invalid tinker path format. Expected: tinker://model_id/weights/checkpoint_id")
    }
    const model = state.models.get(path.modelId)
    if (model === undefined) return State.noModel
    return (yield* unusable(received, model, "weights", path.name)) ??
      answer({ base_model: model.baseModel, is_lora: model.rank > 0, lora_rank: model.rank })
  })

export const deleteCheckpoint = (state: State.State): Endpoint => (received) =>
  Effect.gen(function*() {
    const path = received.params["*"]!
    const slash = path.indexOf("/")
    const kind = slash < 0
      ? kindOf(new URLSearchParams(received.call.query).get("checkpoint_type"))
      : path.slice(0, slash)
    const name = path.slice(slash + 1)
    if (kind !== undefined && kind !== "weights" && kind !== "sampler_weights") {
      return detail(400, `Invalid checkpoint path: ${path}`)
    }
    if (!Validation.namePattern.test(name)) return detail(422, "Invalid checkpoint_id")
    if (kind === undefined) {
      return detail(
        400,
        "Invalid checkpoint identifier. Expected format 'weights/<name>' (training weights) "
          + "or 'sampler_weights/<name>' (sampler weights), where <name> is a single path segment."
      )
    }
    const model = state.models.get(received.params.id!)
    if (model === undefined) return noCheckpoint(received.params.id!, name)
    const trouble = yield* unusable(received, model, kind, name)
    if (trouble !== undefined && trouble.status !== 500) return trouble
    model.checkpoints.delete(checkpointKey(kind, name))
    if (trouble === undefined) {
      yield* received.ask({
        ...received.call,
        path: `training_runs/${encodeURIComponent(model.localId!)}/checkpoints/${kind}/${name}`,
        query: ""
      })
    }
    return { status: 204, body: undefined }
  })

export const archive = (state: State.State): Endpoint => (received) =>
  Effect.gen(function*() {
    const { id, name } = received.params
    const model = state.models.get(id!)
    if (model === undefined) return noCheckpoint(id!, name!)
    return (yield* unusable(received, model, "sampler_weights", name!)) ??
      (yield* Foreign.get(
        received,
        `training_runs/${encodeURIComponent(model.localId!)}/checkpoints/sampler_weights/${name}/archive`
      ))
  })

const save = (
  state: State.State,
  received: Received,
  model: State.Model,
  kind: State.CheckpointKind,
  name: string,
  result: Readonly<Record<string, unknown>>
): Effect.Effect<Answer> => {
  const key = checkpointKey(kind, name)
  if (model.checkpoints.has(key)) {
    return Effect.succeed(detail(409, `Checkpoint '${name}' already exists for model '${model.id}'`))
  }
  const checkpoint: State.Checkpoint = { failure: undefined }
  model.checkpoints.set(key, checkpoint)
  return Effect.map(
    Models.submit(
      state,
      model,
      Models.staleRequest(model),
      (ids) =>
        Foreign.post(received, kind === "weights" ? "save_weights" : "save_weights_for_sampler", {
          ...ids,
          path: name
        }),
      {
        toResult: () => result,
        onLost: (received) =>
          Effect.map(
            isFinished(received, model, key),
            (done) => done ? answer(result) : detail(400, Models.staleRequest(model))
          ),
        onFailure: (failure) => {
          checkpoint.failure = failure
        }
      }
    ),
    (submitted) => {
      if (typeof submitted === "string") return State.accepted(submitted)
      model.checkpoints.delete(key)
      return submitted
    }
  )
}

/** The checkpoints of a model that are finished, as this server lists them. */
export const listFinished = (received: Received, model: State.Model): Effect.Effect<ReadonlyArray<unknown>> =>
  model.localId === undefined ? Effect.succeed([]) : Effect.map(
    Foreign.get(received, `training_runs/${encodeURIComponent(model.localId)}/checkpoints`),
    ({ body }) => {
      const listed = field(body, "checkpoints")
      return Array.isArray(listed) ? listed : []
    }
  )

const isFinished = (received: Received, model: State.Model, key: string): Effect.Effect<boolean> =>
  Effect.map(listFinished(received, model), (listed) => listed.some((item) => text(item, "checkpoint_id") === key))

/** What is said of a checkpoint that cannot be used. */
export const unusable = (
  received: Received,
  model: State.Model,
  kind: State.CheckpointKind,
  name: string
): Effect.Effect<Answer | undefined> => {
  const key = checkpointKey(kind, name)
  const checkpoint = model.checkpoints.get(key)
  if (checkpoint === undefined) return Effect.succeed(noCheckpoint(model.id, name))
  if (checkpoint.failure !== undefined) {
    return Effect.succeed(detail(500, `Checkpoint creation failed: ${checkpoint.failure}`))
  }
  return Effect.map(
    isFinished(received, model, key),
    (done) => done ? undefined : detail(425, "Checkpoint is still being created")
  )
}

const noCheckpoint = (modelId: string, name: string) => detail(404, `Checkpoint not found: ${modelId}/${name}`)

const checkpointKey = (kind: State.CheckpointKind, name: string) => `${kind}/${name}`

export const localPath = (model: State.Model, kind: State.CheckpointKind, name: string) =>
  `tinker://${model.localId}/${kind}/${name}`

/** The parts of a path. Of two, the second is a name; the first of three says which kind. */
export const pathOf = (
  path: string
): { readonly modelId: string; readonly kind: string; readonly name: string } | undefined => {
  const found = /^tinker:\/\/([^/]*)\/(?:([^/]*)\/)?([^/]*)$/.exec(path)
  return found === null ? undefined : { modelId: found[1]!, kind: found[2] ?? "", name: found[3]! }
}

const kindOf = (type: string | null): State.CheckpointKind | undefined =>
  type === "training" ? "weights" : type === "sampler" ? "sampler_weights" : undefined
