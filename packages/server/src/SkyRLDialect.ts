/**
 * This server, speaking as SkyRL does: its paths, ids, statuses, bodies and lists. Source: NovaSky-AI/SkyRL, `skyrl/tinker` at
 * commit a956457, with the JAX backend. What computes stays this server's engine; SkyRL's own mean over each sequence, its shared
 * adapters and what its validation says of data are not copied.
 *
 * - A number of a model is told of as used by another only between passes and steps. Saves and loads are not numbered: a repeated
 *   save is a second one, and its name is taken.
 * - Requests run in the order in which they arrive, whatever their numbers.
 * - What its database holds outlives a restart: sessions, names, checkpoints. Models do not, and without its model no checkpoint
 *   is sampled from either.
 */
import * as SamplingMessages from "@effect-tinker/protocol/SamplingMessages"
import * as TrainingMessages from "@effect-tinker/protocol/TrainingMessages"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { Answer, Dialect } from "./Dialect.js"
import { answer, type Asked, brokeDown, detail, type Endpoint, field, text } from "./internal/dialects/foreignServer.js"
import * as Foreign from "./internal/dialects/foreignServer.js"
import { fingerprint } from "./internal/http/http.js"

interface Session {
  /** The session's id on this server; made anew when that has lost it. */
  inner: string | undefined
}

interface Model {
  readonly id: string
  readonly session: Session
  readonly baseModel: string
  readonly rank: number
  readonly createdAt: number
  /** The model's id on this server, unless it did not make one. */
  inner: string | undefined
  /** The number of its requests, all but the one that made it. */
  requests: number
  readonly numbers: Foreign.Numbers
  /** Passes and steps by the numbers that their client gave them. */
  readonly numbered: Map<number, { readonly type: string; readonly payload: string; readonly requestId: string }>
  readonly checkpoints: Map<string, Checkpoint>
}

interface Checkpoint {
  failure: string | undefined
}

interface Sampler {
  readonly session: Session
  readonly baseModel: string | undefined
  readonly modelPath: string | undefined
  inner: string | undefined
}

interface Future {
  /** The request on this server whose result is asked for; a text is what the request failed with. */
  readonly result: { readonly requestId: string } | { readonly failure: string }
  /** The result as SkyRL has it. */
  readonly shape: (body: unknown) => unknown
  /** What is told where this server has lost the result. */
  readonly lost: (asked: Asked) => Effect.Effect<Answer>
  readonly onFailure?: (failure: string) => void
}

type Kind = "weights" | "sampler_weights"

/**
 * A server that nobody has used. The same dialect, given to the next server over the same checkpoints, is SkyRL after a restart.
 * Downloads need the server's option `archives`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (): Dialect => {
  const sessions = new Map<string, Session>()
  const models = new Map<string, Model>()
  const samplers = new Map<string, Sampler>()
  const futures = new Map<string, Future>()
  /** The last number that was given to an id, or to what this server numbers by session or sampler. */
  let made = 0

  const newId = (kind: string) => `${kind}_${(made += 1).toString(16).padStart(8, "0")}`

  const addFuture = (future: Future): string => {
    const id = String(futures.size + 1)
    futures.set(id, future)
    return id
  }

  const failed = (failure: string): Future => ({
    result: { failure },
    shape: (body) => body,
    lost: () => Effect.succeed(detail(400, failure))
  })

  const submitted = (requestId: string) => answer({ future_id: requestId, status: "pending", request_id: requestId })

  const notLoaded = ({ id }: Model) => `Model ${id} not loaded`

  const stale = (model: Model) => `${notLoaded(model)} (likely stale request from previous server)`

  const required = (asked: Asked, name: string): Answer | undefined =>
    field(asked.call.json, name) === undefined ? missing(asked, name) : undefined

  /** Asks for something in a session of this server, which may have been started anew. */
  const inSession = (
    asked: Asked,
    session: Session,
    ask: (sessionId: string) => Effect.Effect<Answer>
  ): Effect.Effect<Answer> => {
    const anew = Effect.flatMap(
      Foreign.post(asked, "create_session", { tags: [], sdk_version: "0.38.0" }),
      (created) => {
        session.inner = text(created.body, "session_id")
        return session.inner === undefined ? Effect.succeed(created) : ask(session.inner)
      }
    )
    if (session.inner === undefined) return anew
    return Effect.flatMap(ask(session.inner), (said) => Foreign.isGone(said) ? anew : Effect.succeed(said))
  }

  const isLoaded = (asked: Asked, model: Model): Effect.Effect<boolean> =>
    model.inner === undefined
      ? Effect.succeed(false)
      : Effect.map(Foreign.post(asked, "get_info", { model_id: model.inner }), (said) => !Foreign.isGone(said))

  /** Hands a request of a model to this server, under a number of its own. */
  const hand = (
    model: Model,
    unloaded: string,
    ask: (ids: { readonly model_id: string; readonly seq_id: number }) => Effect.Effect<Answer>,
    future: Omit<Future, "result">
  ): Effect.Effect<string | Answer> => {
    const { inner } = model
    model.requests += 1
    if (inner === undefined) return Effect.succeed(addFuture(failed(unloaded)))
    const number = model.numbers.take()
    return Effect.map(ask({ model_id: inner, seq_id: number }), (said) => {
      if (said.status === 200) {
        return addFuture({ ...future, result: { requestId: String(field(said.body, "request_id")) } })
      }
      if (Foreign.isGone(said)) return addFuture(failed(unloaded))
      model.requests -= 1
      if (Foreign.isPostponed(said)) model.numbers.giveBack(number)
      return said
    })
  }

  const modelOf = (asked: Asked): Model | undefined => models.get(text(asked.call.json, "model_id") ?? "")

  const noModel = detail(404, "Model not found")

  /** A pass or a step, which is known by its number when it comes again. */
  const numbered = (type: string, payload: string, shape: Future["shape"], asked: Asked) => {
    const model = modelOf(asked)
    if (model === undefined) return Effect.succeed(noModel)
    // Without a number, which protobuf says by 0, nothing is recognized.
    const number = Number(field(asked.call.json, "seq_id") ?? 0)
    const before = model.numbered.get(number)
    if (before !== undefined) {
      return Effect.succeed(
        before.type === type && before.payload === payload
          ? submitted(before.requestId)
          : detail(409, "Training request sequence number was reused")
      )
    }
    const unloaded = type === "optim_step" ? stale(model) : notLoaded(model)
    return Effect.map(
      hand(
        model,
        unloaded,
        (ids) => asked.ask({ ...asked.call, json: { ...(asked.call.json as object), ...ids } }),
        { shape, lost: () => Effect.succeed(detail(400, unloaded)) }
      ),
      (handed) => {
        if (typeof handed !== "string") return handed
        if (number !== 0) model.numbered.set(number, { type, payload, requestId: handed })
        return submitted(handed)
      }
    )
  }

  const checkpointKey = (kind: Kind, name: string) => `${kind}/${name}`

  const innerPath = (model: Model, kind: Kind, name: string) => `tinker://${model.inner}/${kind}/${name}`

  /** The checkpoints of a model that are finished, as this server lists them. */
  const finished = (asked: Asked, model: Model): Effect.Effect<ReadonlyArray<unknown>> =>
    model.inner === undefined ? Effect.succeed([]) : Effect.map(
      Foreign.get(asked, `training_runs/${encodeURIComponent(model.inner)}/checkpoints`),
      ({ body }) => {
        const listed = field(body, "checkpoints")
        return Array.isArray(listed) ? listed : []
      }
    )

  const isFinished = (asked: Asked, model: Model, key: string): Effect.Effect<boolean> =>
    Effect.map(finished(asked, model), (listed) => listed.some((item) => text(item, "checkpoint_id") === key))

  /** What is said of a checkpoint that cannot be used. */
  const unusable = (asked: Asked, model: Model, kind: Kind, name: string): Effect.Effect<Answer | undefined> => {
    const key = checkpointKey(kind, name)
    const checkpoint = model.checkpoints.get(key)
    if (checkpoint === undefined) return Effect.succeed(noCheckpoint(model.id, name))
    if (checkpoint.failure !== undefined) {
      return Effect.succeed(detail(500, `Checkpoint creation failed: ${checkpoint.failure}`))
    }
    return Effect.map(
      isFinished(asked, model, key),
      (done) => done ? undefined : detail(425, "Checkpoint is still being created")
    )
  }

  const noCheckpoint = (modelId: string, name: string) => detail(404, `Checkpoint not found: ${modelId}/${name}`)

  const save = (
    asked: Asked,
    model: Model,
    kind: Kind,
    name: string,
    result: Readonly<Record<string, unknown>>
  ): Effect.Effect<Answer> => {
    const key = checkpointKey(kind, name)
    if (model.checkpoints.has(key)) {
      return Effect.succeed(detail(409, `Checkpoint '${name}' already exists for model '${model.id}'`))
    }
    const checkpoint: Checkpoint = { failure: undefined }
    model.checkpoints.set(key, checkpoint)
    return Effect.map(
      hand(
        model,
        stale(model),
        (ids) =>
          Foreign.post(asked, kind === "weights" ? "save_weights" : "save_weights_for_sampler", { ...ids, path: name }),
        {
          shape: () => result,
          lost: (asked) =>
            Effect.map(
              isFinished(asked, model, key),
              (done) => done ? answer(result) : detail(400, stale(model))
            ),
          onFailure: (failure) => {
            checkpoint.failure = failure
          }
        }
      ),
      (handed) => {
        if (typeof handed === "string") return submitted(handed)
        model.checkpoints.delete(key)
        return handed
      }
    )
  }

  const createSession: Endpoint = (asked) => {
    const id = newId("session")
    const session: Session = { inner: undefined }
    return Effect.map(
      Foreign.post(asked, "create_session", asked.call.json),
      (created) => {
        if (created.status !== 200) return created
        session.inner = text(created.body, "session_id")
        sessions.set(id, session)
        return answer({
          type: "create_session",
          info_message: null,
          warning_message: null,
          error_message: null,
          session_id: id
        })
      }
    )
  }

  const heartbeat: Endpoint = (asked) => {
    const session = sessions.get(text(asked.call.json, "session_id") ?? "")
    if (session === undefined) return Effect.succeed(detail(404, "Session not found"))
    const beat = session.inner === undefined
      ? Effect.void
      : Foreign.post(asked, "session_heartbeat", { session_id: session.inner })
    return Effect.as(beat, answer({ type: "session_heartbeat" }))
  }

  const createModel: Endpoint = (asked) =>
    Effect.gen(function*() {
      const { json } = asked.call
      for (const name of ["session_id", "base_model", "lora_config"]) {
        const refused = required(asked, name)
        if (refused !== undefined) return refused
      }
      const session = sessions.get(text(json, "session_id") ?? "")
      if (session === undefined) return detail(404, "Session not found")
      const config = field(json, "lora_config")
      const rank = Number(field(config, "rank"))
      const seed = field(config, "seed") ?? null
      const baseModel = text(json, "base_model") ?? ""
      const known = yield* baseModels(asked)
      const model: Model = {
        id: newId("model"),
        session,
        baseModel,
        rank,
        createdAt: yield* Clock.currentTimeMillis,
        inner: undefined,
        requests: 0,
        numbers: Foreign.numbers(),
        numbered: new Map(),
        checkpoints: new Map()
      }
      // The base model is the server's own, whatever is asked for; it does not know parts that are not to be trained.
      const own = known.includes(baseModel) ? baseModel : known[0]
      const number = made
      const said = yield* inSession(asked, session, (sessionId) =>
        Foreign.post(asked, "create_model", {
          session_id: sessionId,
          model_seq_id: number,
          base_model: own,
          lora_config: { rank, seed }
        }))
      if (Foreign.isPostponed(said)) return said
      models.set(model.id, model)
      const result = {
        model_id: model.id,
        base_model: own,
        lora_config: { rank, alpha: 32, seed: seed ?? 0, train_attn: true, train_mlp: true, train_unembed: false }
      }
      if (said.status === 200) model.inner = text(said.body, "model_id")
      const mostOf = /from 1 to (\d+)/.exec(Foreign.refusalOf(said))?.[1]
      const requestId = addFuture(
        said.status === 200
          ? {
            result: { requestId: String(field(said.body, "request_id")) },
            shape: () => result,
            lost: () => Effect.succeed(answer(result))
          }
          : failed(
            mostOf === undefined ? Foreign.refusalOf(said) : `LoRA rank ${rank} must be between 1 and ${mostOf}`
          )
      )
      return answer({
        model_id: model.id,
        base_model: baseModel,
        lora_config: { rank, seed },
        status: "created",
        request_id: requestId
      })
    })

  const unloadModel: Endpoint = (asked) =>
    Effect.gen(function*() {
      const model = modelOf(asked)
      if (model === undefined) return noModel
      const { inner } = model
      if (inner !== undefined) yield* Foreign.post(asked, "unload_model", { model_id: inner })
      const result = { model_id: model.id, status: "unloaded", type: "unload_model" }
      model.requests += 1
      const requestId = addFuture({
        result: { requestId: `${inner}:unload` },
        shape: () => result,
        lost: () => Effect.succeed(answer(result))
      })
      return answer({ request_id: requestId, model_id: model.id })
    })

  const getInfo: Endpoint = (asked) => {
    const model = modelOf(asked)
    return Effect.succeed(
      model === undefined ? noModel : answer({
        model_id: model.id,
        status: "created",
        model_data: {
          base_model: model.baseModel,
          lora_config: { rank: model.rank, seed: null },
          model_name: model.baseModel
        }
      })
    )
  }

  const forwardBackward: Endpoint = (asked) => {
    const { body, headers, json } = asked.call
    if (headers["content-type"]?.includes("protobuf") === true) {
      if (json === undefined) {
        return Effect.succeed(detail(422, "Invalid proto forward_backward body: Error parsing message"))
      }
      const type = field(json, "forward_only") === true ? "forward" : "forward_backward"
      return numbered(type, fingerprint(body), passOf, asked)
    }
    return numbered("forward_backward", payloadOf(field(json, "forward_backward_input")), passOf, asked)
  }

  const forward: Endpoint = (asked) =>
    numbered("forward", payloadOf(field(asked.call.json, "forward_input")), passOf, asked)

  const optimStep: Endpoint = (asked) => {
    const params = field(asked.call.json, "adam_params")
    if (params === undefined) return Effect.succeed(missing(asked, "adam_params"))
    // The norm of gradients is not bounded here.
    const { grad_clip_norm: _, ...adam } = params as Readonly<Record<string, unknown>>
    const shape = (body: unknown) => ({
      metrics: {
        "skyrl.ai/grad_norm": field(field(body, "metrics"), "unclipped_grad_l2:mean") ?? 0,
        "skyrl.ai/learning_rate": adam.learning_rate ?? 1e-4
      }
    })
    const json = { ...(asked.call.json as object), adam_params: adam }
    return numbered("optim_step", payloadOf(adam), shape, { ...asked, call: { ...asked.call, json } })
  }

  const saveWeights: Endpoint = (asked) => {
    const refused = required(asked, "model_id") ?? required(asked, "path") ?? badName(asked)
    if (refused !== undefined) return Effect.succeed(refused)
    const model = modelOf(asked)
    const name = text(asked.call.json, "path")!
    return model === undefined
      ? Effect.succeed(detail(404, `Model '${text(asked.call.json, "model_id")}' not found`))
      : save(asked, model, "weights", name, { path: `tinker://${model.id}/weights/${name}`, type: "save_weights" })
  }

  const saveWeightsForSampler: Endpoint = (asked) => {
    const { json } = asked.call
    const seqId = field(json, "seq_id")
    const samplerSeqId = field(json, "sampling_session_seq_id")
    const name = text(json, "path")
    const isTransient = seqId !== undefined && samplerSeqId !== undefined
    const refused = required(asked, "model_id") ?? badName(asked) ??
      (name === undefined && !isTransient
        ? invalid(
          "value_error",
          [],
          "Value error, Either 'path' or both 'sampling_session_seq_id' and 'seq_id' must be provided",
          json
        )
        : undefined)
    if (refused !== undefined) return Effect.succeed(refused)
    const model = modelOf(asked)
    if (model === undefined) return Effect.succeed(noModel)
    const saved = name ?? `ss${samplerSeqId}_seq${seqId}`
    const samplerId = isTransient ? newId("sampling") : null
    return Effect.tap(
      save(asked, model, "sampler_weights", saved, {
        path: isTransient ? null : `tinker://${model.id}/${saved}`,
        type: "save_weights_for_sampler",
        sampling_session_id: samplerId
      }),
      (said) => {
        if (samplerId === null || said.status !== 200) return
        const modelPath = `tinker://${model.id}/sampler_weights/${saved}`
        samplers.set(samplerId, { session: model.session, baseModel: undefined, modelPath, inner: undefined })
      }
    )
  }

  const loadWeights: Endpoint = (asked) =>
    Effect.gen(function*() {
      const refused = required(asked, "model_id") ?? required(asked, "path")
      if (refused !== undefined) return refused
      const { json } = asked.call
      const model = modelOf(asked)
      if (model === undefined) return noModel
      if (model.requests > 0) {
        return detail(400, `LoadWeights is not permitted with seq_id ${field(json, "seq_id") ?? model.requests + 1}`)
      }
      const path = pathOf(text(json, "path")!)
      if (path === undefined || path.kind !== "weights" || path.name === "") {
        return detail(400, "request.path must be in format tinker://source_model_id/weights/checkpoint_id")
      }
      const source = models.get(path.modelId)
      if (source === undefined) return noCheckpoint(path.modelId, path.name)
      const trouble = yield* unusable(asked, source, "weights", path.name)
      if (trouble !== undefined) return trouble
      if (source.rank !== model.rank) {
        model.requests += 1
        return submitted(addFuture(failed(
          `Rank mismatch: checkpoint has rank ${source.rank}, model configured with rank ${model.rank}`
        )))
      }
      const handed = yield* hand(model, stale(model), (ids) =>
        Foreign.post(asked, "load_weights", {
          ...ids,
          path: innerPath(source, "weights", path.name),
          optimizer: field(json, "optimizer") ?? true
        }), { shape: () => ({ type: "load_weights" }), lost: () => Effect.succeed(detail(400, stale(model))) })
      return typeof handed === "string" ? submitted(handed) : handed
    })

  const weightsInfo: Endpoint = (asked) =>
    Effect.gen(function*() {
      const path = pathOf(text(asked.call.json, "tinker_path") ?? "")
      if (path === undefined || path.kind !== "weights") {
        return detail(400, "Invalid tinker path format. Expected: tinker://model_id/weights/checkpoint_id")
      }
      const model = models.get(path.modelId)
      if (model === undefined) return noModel
      return (yield* unusable(asked, model, "weights", path.name)) ??
        answer({ base_model: model.baseModel, is_lora: model.rank > 0, lora_rank: model.rank })
    })

  const createSamplingSession: Endpoint = (asked) => {
    const { json } = asked.call
    const session = sessions.get(text(json, "session_id") ?? "")
    if (session === undefined) return Effect.succeed(detail(404, "Session not found"))
    const baseModel = text(json, "base_model")
    const modelPath = text(json, "model_path")
    if ((baseModel === undefined) === (modelPath === undefined)) {
      return Effect.succeed(detail(400, "Exactly one of base_model or model_path must be provided"))
    }
    const id = newId("sampling")
    samplers.set(id, { session, baseModel, modelPath, inner: undefined })
    return Effect.succeed(answer({ type: "create_sampling_session", sampling_session_id: id }))
  }

  const getSampler: Endpoint = ({ params }) => {
    const sampler = samplers.get(params.id!)
    if (sampler === undefined) return Effect.succeed(detail(404, "Sampler not found"))
    const baseModel = sampler.baseModel ?? models.get(pathOf(sampler.modelPath ?? "")?.modelId ?? "")?.baseModel
    return Effect.succeed(
      baseModel === undefined
        ? noModel
        : answer({ sampler_id: params.id, base_model: baseModel, model_path: sampler.modelPath ?? null })
    )
  }

  const asample: Endpoint = (asked) =>
    Effect.gen(function*() {
      const { json } = asked.call
      const samplerId = text(json, "sampling_session_id")
      if (samplerId?.includes(":") === true) {
        return detail(400, "sampling_session_id must not contain ':' (the routing-key delimiter)")
      }
      const sampler = samplers.get(samplerId ?? "")
      if (sampler === undefined) return detail(404, "Sampling session not found")
      const wrong = badSamplingParams(field(json, "sampling_params"))
      if (wrong !== undefined) return detail(400, wrong)
      const { baseModel } = sampler
      let from: Readonly<Record<string, unknown>> = { base_model: baseModel }
      if (baseModel === undefined) {
        const path = pathOf(sampler.modelPath ?? "")
        if (path === undefined || path.kind === "weights" || path.name === "") {
          return detail(
            400,
            "model_path must be tinker://model_id/checkpoint_id or tinker://model_id/sampler_weights/checkpoint_id"
          )
        }
        const model = models.get(path.modelId)
        if (model === undefined) return noModel
        const trouble = yield* unusable(asked, model, "sampler_weights", path.name)
        if (trouble !== undefined) return trouble
        if (!(yield* isLoaded(asked, model))) return submitted(addFuture(failed(notLoaded(model))))
        from = { model_path: innerPath(model, "sampler_weights", path.name) }
      } else {
        const known = yield* baseModels(asked)
        if (!known.includes(baseModel)) {
          const failure = `Engine is configured for '${known[0]}' but request specified '${baseModel}'`
          return submitted(addFuture(failed(failure)))
        }
      }
      if (Number(field(json, "topk_prompt_logprobs") ?? 0) > 0) {
        return submitted(addFuture(failed("topk_prompt_logprobs is not supported by the JAX backend")))
      }
      const sampling = sampleOn(asked, sampler, from)
      const said = yield* sampling
      if (said.status !== 200) return said
      const lost = (asked: Asked): Effect.Effect<Answer> =>
        Effect.flatMap(sampling, (said) =>
          said.status === 200
            ? retrieved(asked, { ...future, result: { requestId: String(field(said.body, "request_id")) } })
            : Effect.succeed(detail(400, Foreign.refusalOf(said))))
      const future: Future = {
        result: { requestId: String(field(said.body, "request_id")) },
        shape: sampleOf,
        lost
      }
      return submitted(addFuture(future))
    })

  /** Every sample is one of its own, also the same request again. */
  const sampleOn = (asked: Asked, sampler: Sampler, from: Readonly<Record<string, unknown>>) => {
    const { json } = asked.call
    const sampled = (inner: string) =>
      Foreign.post(asked, "asample", {
        num_samples: field(json, "num_samples"),
        prompt: field(json, "prompt"),
        sampling_params: field(json, "sampling_params"),
        prompt_logprobs: field(json, "prompt_logprobs"),
        sampling_session_id: inner,
        seq_id: (made += 1)
      })
    const anew = Effect.suspend(() => {
      const number = made += 1
      return Effect.flatMap(
        inSession(asked, sampler.session, (sessionId) =>
          Foreign.post(asked, "create_sampling_session", {
            session_id: sessionId,
            sampling_session_seq_id: number,
            ...from
          })),
        (created) => {
          sampler.inner = text(created.body, "sampling_session_id")
          return sampler.inner === undefined ? Effect.succeed(created) : sampled(sampler.inner)
        }
      )
    })
    return Effect.suspend(() =>
      sampler.inner === undefined
        ? anew
        : Effect.flatMap(sampled(sampler.inner), (said) => Foreign.isGone(said) ? anew : Effect.succeed(said))
    )
  }

  const retrieveFuture: Endpoint = (asked) => {
    const id = text(asked.call.json, "request_id") ?? ""
    if (!/^\s*[+-]?\d+\s*$/.test(id)) return Effect.succeed(brokeDown)
    const future = futures.get(id)
    return future === undefined ? Effect.succeed(detail(404, "Future not found")) : retrieved(asked, future)
  }

  const retrieved = (asked: Asked, future: Future): Effect.Effect<Answer> => {
    if ("failure" in future.result) return Effect.succeed(detail(400, future.result.failure))
    return Effect.flatMap(Foreign.retrieve(asked, future.result.requestId, holdMillis), (said) => {
      if (Foreign.isGone(said)) return future.lost(asked)
      if (Foreign.isNotYet(said)) return Effect.succeed(detail(408, "Timeout waiting for result"))
      const failure = text(said.body, "error")
      if (failure !== undefined) {
        future.onFailure?.(failure)
        return Effect.succeed(detail(400, failure))
      }
      return Effect.succeed(said.status === 200 ? { ...said, body: future.shape(said.body) } : said)
    })
  }

  const runOf = (model: Model) => ({
    training_run_id: model.id,
    base_model: model.baseModel,
    model_owner: "default",
    is_lora: true,
    corrupted: false,
    lora_rank: model.rank,
    last_request_time: withoutZone(new Date(model.createdAt).toISOString()),
    last_checkpoint: null,
    last_sampler_checkpoint: null,
    user_metadata: null
  })

  const listTrainingRuns: Endpoint = ({ call }) => {
    const query = new URLSearchParams(call.query)
    const offset = Number(query.get("offset") ?? 0)
    const limit = Number(query.get("limit") ?? 20)
    const page = Array.from(models.values()).slice(offset, offset + limit)
    return Effect.succeed(answer({
      training_runs: page.map(runOf),
      cursor: { offset, limit, total_count: page.length === 0 ? 0 : models.size }
    }))
  }

  const getTrainingRun: Endpoint = ({ params }) => {
    const model = models.get(params.id!)
    return Effect.succeed(model === undefined ? noModel : answer(runOf(model)))
  }

  const listCheckpoints: Endpoint = (asked) => {
    const model = models.get(asked.params.id!)
    if (model === undefined) return Effect.succeed(answer({ checkpoints: [] }))
    return Effect.map(finished(asked, model), (listed) =>
      answer({
        checkpoints: listed.map((item) => {
          const key = text(item, "checkpoint_id")!
          return {
            checkpoint_id: key.slice(key.indexOf("/") + 1),
            checkpoint_type: text(item, "checkpoint_type"),
            time: withoutZone(text(item, "time")!),
            tinker_path: `tinker://${model.id}/${key}`
          }
        })
      }))
  }

  const deleteCheckpoint: Endpoint = (asked) =>
    Effect.gen(function*() {
      const path = asked.params["*"]!
      const slash = path.indexOf("/")
      const kind = slash < 0
        ? kindOf(new URLSearchParams(asked.call.query).get("checkpoint_type"))
        : path.slice(0, slash)
      const name = path.slice(slash + 1)
      if (kind !== undefined && kind !== "weights" && kind !== "sampler_weights") {
        return detail(400, `Invalid checkpoint path: ${path}`)
      }
      if (!namePattern.test(name)) return detail(422, "Invalid checkpoint_id")
      if (kind === undefined) {
        return detail(
          400,
          "Invalid checkpoint identifier. Expected format 'weights/<name>' (training weights) "
            + "or 'sampler_weights/<name>' (sampler weights), where <name> is a single path segment."
        )
      }
      const model = models.get(asked.params.id!)
      if (model === undefined) return noCheckpoint(asked.params.id!, name)
      const trouble = yield* unusable(asked, model, kind, name)
      if (trouble !== undefined && trouble.status !== 500) return trouble
      model.checkpoints.delete(checkpointKey(kind, name))
      if (trouble === undefined) {
        yield* asked.ask({
          ...asked.call,
          path: `training_runs/${encodeURIComponent(model.inner!)}/checkpoints/${kind}/${name}`,
          query: ""
        })
      }
      return { status: 204, body: undefined }
    })

  const archive: Endpoint = (asked) =>
    Effect.gen(function*() {
      const { id, name } = asked.params
      const model = models.get(id!)
      if (model === undefined) return noCheckpoint(id!, name!)
      return (yield* unusable(asked, model, "sampler_weights", name!)) ??
        (yield* Foreign.get(
          asked,
          `training_runs/${encodeURIComponent(model.inner!)}/checkpoints/sampler_weights/${name}/archive`
        ))
    })

  return Foreign.fastApi({
    "POST client/config": () => Effect.succeed(answer({ pjwt_auth_enabled: false })),
    "GET healthz": () => Effect.succeed(answer({ status: "ok" })),
    "GET get_server_capabilities": (asked) =>
      Effect.map(
        baseModels(asked),
        (names) => answer({ supported_models: names.map((model_name) => ({ model_name })) })
      ),
    "POST create_session": createSession,
    "POST session_heartbeat": heartbeat,
    "POST create_sampling_session": createSamplingSession,
    "GET samplers/:id": getSampler,
    "POST create_model": createModel,
    "POST unload_model": unloadModel,
    "POST get_info": getInfo,
    "POST forward_backward": forwardBackward,
    "POST forward": forward,
    "POST optim_step": optimStep,
    "POST load_weights": loadWeights,
    "POST save_weights": saveWeights,
    "POST save_weights_for_sampler": saveWeightsForSampler,
    "POST weights_info": weightsInfo,
    "POST asample": asample,
    "POST retrieve_future": retrieveFuture,
    "POST telemetry": () => Effect.succeed(answer({ status: "accepted" })),
    "GET training_runs": listTrainingRuns,
    "GET training_runs/:id": getTrainingRun,
    "GET training_runs/:id/checkpoints": listCheckpoints,
    "GET models/:id/checkpoints": listCheckpoints,
    "GET training_runs/:id/checkpoints/:name/archive": archive,
    "DELETE training_runs/:id/checkpoints/*": deleteCheckpoint
  })
}

/** How long a question is held, in milliseconds. */
const holdMillis = 300_000

const namePattern = /^[a-zA-Z0-9_-]{1,255}$/

const baseModels = (asked: Asked): Effect.Effect<ReadonlyArray<string>> =>
  Effect.map(Foreign.get(asked, "get_server_capabilities"), ({ body }) => {
    const models = field(body, "supported_models")
    return Array.isArray(models) ? models.map((model) => String(field(model, "model_name"))) : []
  })

const invalid = (type: string, loc: ReadonlyArray<string>, msg: string, input: unknown): Answer =>
  detail(422, [{ type, loc: ["body", ...loc], msg, input }])

const missing = ({ call }: Asked, name: string): Answer => invalid("missing", [name], "Field required", call.json)

const badName = ({ call }: Asked): Answer | undefined => {
  const name = field(call.json, "path")
  if (name === undefined || (typeof name === "string" && namePattern.test(name))) return undefined
  return typeof name === "string"
    ? invalid("string_pattern_mismatch", ["path"], "String should match pattern '^[a-zA-Z0-9_-]+$'", name)
    : invalid("string_type", ["path"], "Input should be a valid string", name)
}

const badSamplingParams = (params: unknown): string | undefined => {
  const maxTokens = field(params, "max_tokens")
  if (maxTokens === undefined) return "max_tokens is currently required"
  if (Number(maxTokens) <= 0) return "max_tokens must be a positive number"
  const stop = field(params, "stop")
  const isMixed = Array.isArray(stop) && new Set(stop.map((item) => typeof item)).size > 1
  return isMixed ? "stop must be either all integers (token IDs) or all strings, not mixed" : undefined
}

/** The parts of a path. Of two, the second is a name; the first of three says which kind. */
const pathOf = (
  path: string
): { readonly modelId: string; readonly kind: string; readonly name: string } | undefined => {
  const found = /^tinker:\/\/([^/]*)\/(?:([^/]*)\/)?([^/]*)$/.exec(path)
  return found === null ? undefined : { modelId: found[1]!, kind: found[2] ?? "", name: found[3]! }
}

const kindOf = (type: string | null): Kind | undefined =>
  type === "training" ? "weights" : type === "sampler" ? "sampler_weights" : undefined

const withoutZone = (time: string): string => time.replace(/Z$/, "")

const payloadOf = (input: unknown): string => JSON.stringify(input) ?? ""

/** There are no metrics of passes. */
const passOf = (body: unknown): unknown => {
  if (!(body instanceof Uint8Array)) return { ...(body as object), loss_fn_output_type: "scalar", metrics: {} }
  const output = TrainingMessages.decodeForwardBackwardOutput(body)
  return TrainingMessages.encodeForwardBackwardOutput({ ...output, lossFnOutputType: "scalar", metrics: {} })
}

/** Log-probabilities of a prompt begin with its second token. */
const sampleOf = (body: unknown): unknown => {
  if (body instanceof Uint8Array) {
    const { promptLogprobs, sequences } = SamplingMessages.decodeSampleResponse(body, [])
    return SamplingMessages.encodeSampleResponse({
      sequences: sequences.map(({ logprobs, sequenceId, stopReason, tokens }) => ({
        sequenceId,
        stopReason,
        tokens,
        logprobs,
        topkLogprobs: undefined
      })),
      promptLogprobs: promptLogprobs?.subarray(1),
      topkPromptLogprobs: undefined,
      targetPromptLogprobs: undefined,
      promptAltTokens: undefined,
      promptCacheHitTokens: 0
    })
  }
  const sequences = field(body, "sequences")
  const logprobs = field(body, "prompt_logprobs")
  return {
    sequences: Array.isArray(sequences)
      ? sequences.map((sequence) => ({
        stop_reason: field(sequence, "stop_reason"),
        tokens: field(sequence, "tokens"),
        logprobs: field(sequence, "logprobs")
      }))
      : [],
    prompt_logprobs: Array.isArray(logprobs) ? logprobs.slice(1) : null,
    topk_prompt_logprobs: null
  }
}
