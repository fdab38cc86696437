/**
 * This server, speaking as Open-RL does: its endpoints, statuses, bodies and paths. Source: gke-labs/open-rl, `src/server` at
 * commit bfc0f09, one process that samples by itself. What computes stays this server's engine.
 *
 * - A request that comes again is done again: an optimizer step that is sent twice is applied twice.
 * - There is one session for all, which nobody ends, and nothing of REST.
 * - Samplers sample from their model as it is then, and from no base model. Of a prompt the first chunk alone is read.
 * - A restart forgets all but the folders that saves have made; a result that it does not know it promises for ever.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { Answer, Dialect } from "./Dialect.js"
import { answer, type Asked, brokeDown, detail, type Endpoint, field, text } from "./internal/dialects/foreignServer.js"
import * as Foreign from "./internal/dialects/foreignServer.js"
import { uuid } from "./internal/resources/uuid.js"

interface Model {
  readonly id: string
  readonly sessionId: string
  /** The model's id on this server. A load puts another model in its place. */
  inner: string
  numbers: Foreign.Numbers
}

interface Future {
  /** The request on this server whose result is asked for; a text is what the request failed with. */
  readonly result: { readonly requestId: string } | { readonly failure: string }
  /** The result as Open-RL has it. */
  readonly shape: (body: unknown) => unknown
}

/** A folder that a save has made. */
interface Folder {
  /** The path of this server's checkpoint. */
  readonly path: string
  readonly baseModel: string
  readonly hasOptimizer: boolean
}

/**
 * A server that nobody has used. The same dialect, given to the next server over the same checkpoints, is Open-RL after a
 * restart.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: {
  /** Where it keeps what it saves, as paths tell. Default `/tmp/open-rl`. */
  readonly folder?: string | undefined
} = {}): Dialect => {
  const root = `${options.folder ?? "/tmp/open-rl"}/checkpoints`
  const models = new Map<string, Model>()
  const futures = new Map<string, Future>()
  const folders = new Map<string, Folder>()
  /** Saves that are not known to be over, by their paths. */
  const saving = new Map<string, { readonly requestId: string; readonly folder: Folder }>()
  let session: string | undefined
  /** The last number that was given to what this server numbers by session or sampler. */
  let made = 0

  const error = (why: string) => answer({ error: why }, 400)

  const failure = (why: string) => answer({ type: "RequestFailedResponse", error_message: why }, 400)

  const noAdapter = (modelId: unknown) => `Adapter ${modelId} not found.`

  const submitted = (future: Future, requestId?: string): Effect.Effect<Answer> =>
    Effect.map(requestId === undefined ? uuid : Effect.succeed(requestId), (id) => {
      futures.set(id, future)
      return answer({ request_id: id })
    })

  const failed = (why: string): Future => ({ result: { failure: why }, shape: (body) => body })

  const isString = (value: unknown): value is string => typeof value === "string" && value !== ""

  /** Asks for something in the one session that this server has for all, which may have been started anew. */
  const inSession = (asked: Asked, ask: (sessionId: string) => Effect.Effect<Answer>): Effect.Effect<Answer> => {
    const anew = Effect.flatMap(
      Foreign.post(asked, "create_session", { tags: [], sdk_version: "0.24.1" }),
      (created) => {
        session = text(created.body, "session_id")
        return session === undefined ? Effect.succeed(created) : ask(session)
      }
    )
    if (session === undefined) return anew
    return Effect.flatMap(ask(session), (said) => Foreign.isGone(said) ? anew : Effect.succeed(said))
  }

  /** Hands a request of a model to this server, under a number of its own, so that none is one that it knows already. */
  const hand = (
    asked: Asked,
    path: string,
    json: Readonly<Record<string, unknown>>,
    shape: Future["shape"]
  ): Effect.Effect<Future | Answer> => {
    const modelId = field(asked.call.json, "model_id")
    const model = models.get(String(modelId))
    if (model === undefined) return Effect.succeed(failed(noAdapter(modelId)))
    const number = model.numbers.take()
    const numbered = { ...json, model_id: model.inner, seq_id: number }
    return Effect.map(Foreign.post(asked, path, numbered), (said): Future | Answer => {
      if (said.status === 200) return { result: { requestId: String(field(said.body, "request_id")) }, shape }
      if (Foreign.isGone(said)) {
        // The adapter went with the process.
        models.delete(model.id)
        return failed(noAdapter(model.id))
      }
      if (!Foreign.isPostponed(said)) return failed(Foreign.refusalOf(said))
      model.numbers.giveBack(number)
      return said
    })
  }

  const handed = (
    asked: Asked,
    path: string,
    json: Readonly<Record<string, unknown>>,
    shape: Future["shape"]
  ): Effect.Effect<Answer> =>
    Effect.flatMap(
      hand(asked, path, json, shape),
      (given) => "status" in given ? Effect.succeed(given) : submitted(given)
    )

  const bodyOf = (asked: Asked): Answer | undefined => {
    const { body, headers, json } = asked.call
    if (headers["content-type"]?.includes("json") === true) {
      return typeof json === "object" && json !== null
        ? undefined
        : detail(422, [{ type: "json_invalid", loc: ["body", 0], msg: "JSON decode error" }])
    }
    // The refusal repeats what came, and breaks where that is no text.
    try {
      const input = new TextDecoder("utf-8", { fatal: true }).decode(body)
      return detail(422, [{ type: "dict_type", loc: ["body"], msg: "Input should be a valid dictionary", input }])
    } catch {
      return brokeDown
    }
  }

  const withBody = (endpoint: Endpoint): Endpoint => (asked) => {
    const refused = bodyOf(asked)
    return refused === undefined ? endpoint(asked) : Effect.succeed(refused)
  }

  const createModel: Endpoint = (asked) =>
    Effect.gen(function*() {
      const { json } = asked.call
      const baseModel = field(json, "base_model")
      if (!isString(baseModel)) return error("base_model is required")
      const config = field(json, "lora_config")
      const rank = Number(field(config, "rank") ?? 16)
      const id = yield* uuid
      return yield* createdBy(asked, id, (sessionId, number) =>
        Foreign.post(asked, "create_model", {
          session_id: sessionId,
          model_seq_id: number,
          base_model: baseModel,
          lora_config: { ...(config as object | undefined), rank }
        }), { model_id: id, is_lora: true, lora_rank: rank, type: "create_model" })
    })

  /** Makes a model; whatever is against it, the request is accepted and fails. */
  const createdBy = (
    asked: Asked,
    id: string,
    ask: (sessionId: string, number: number) => Effect.Effect<Answer>,
    result: Readonly<Record<string, unknown>>
  ): Effect.Effect<Answer> => {
    const number = made += 1
    return Effect.flatMap(inSession(asked, (sessionId) => ask(sessionId, number)), (said) => {
      if (Foreign.isPostponed(said)) return Effect.succeed(said)
      if (said.status !== 200) return submitted(failed(Foreign.refusalOf(said)), id)
      const inner = String(field(said.body, "model_id"))
      models.set(id, { id, sessionId: session!, inner, numbers: Foreign.numbers() })
      return submitted(
        { result: { requestId: String(field(said.body, "request_id")) }, shape: () => result },
        id
      )
    })
  }

  const resolved = (path: string) => path.startsWith("/") ? path : `${root}/${path}`

  /** What is in a folder, once a save that is under way has come to its end. */
  const folderAt = (asked: Asked, path: string): Effect.Effect<Folder | undefined> => {
    const under = saving.get(path)
    if (under === undefined) return Effect.succeed(folders.get(path))
    return Effect.gen(function*() {
      const said = yield* Foreign.retrieve(asked, under.requestId, Infinity)
      // Where the result is forgotten, what was saved may still be there.
      const kept = Foreign.isGone(said)
        ? yield* Foreign.post(asked, "weights_info", { tinker_path: under.folder.path })
        : said
      saving.delete(path)
      if (kept.status === 200 && text(kept.body, "error") === undefined) folders.set(path, under.folder)
      return folders.get(path)
    })
  }

  const noFolder = (path: string) => `No metadata.json found at ${path}`

  const createModelFromState: Endpoint = (asked) =>
    Effect.gen(function*() {
      const { json } = asked.call
      const statePath = field(json, "state_path")
      if (!isString(statePath)) return error("state_path is required")
      const path = resolved(statePath)
      const id = yield* uuid
      const folder = yield* folderAt(asked, path)
      if (folder === undefined) return yield* submitted(failed(noFolder(path)), id)
      return yield* createdBy(asked, id, (sessionId, number) =>
        Foreign.post(asked, "load_weights", {
          session_id: sessionId,
          model_seq_id: number,
          path: folder.path,
          optimizer: folder.hasOptimizer && field(json, "restore_optimizer") === true
        }), { model_id: id, is_lora: true, base_model: folder.baseModel, type: "create_model_from_state" })
    })

  /** Loads weights at any time; what was accumulated in the model is gone with it. */
  const loadWeights: Endpoint = (asked) =>
    Effect.gen(function*() {
      const { json } = asked.call
      const modelId = field(json, "model_id")
      const statePath = field(json, "path")
      if (!isString(modelId)) return error("model_id is required")
      if (!isString(statePath)) return error("path is required")
      const path = resolved(statePath)
      const model = models.get(modelId)
      if (model === undefined) return yield* submitted(failed(noAdapter(modelId)))
      const folder = yield* folderAt(asked, path)
      if (folder === undefined) return yield* submitted(failed(noFolder(path)))
      const number = made += 1
      const said = yield* Foreign.post(asked, "load_weights", {
        session_id: model.sessionId,
        model_seq_id: number,
        path: folder.path,
        optimizer: folder.hasOptimizer && field(json, "optimizer") === true
      })
      if (Foreign.isGone(said)) {
        models.delete(model.id)
        return yield* submitted(failed(noAdapter(modelId)))
      }
      if (said.status !== 200) return yield* submitted(failed(Foreign.refusalOf(said)))
      model.inner = String(field(said.body, "model_id"))
      model.numbers = Foreign.numbers()
      return yield* submitted({
        result: { requestId: String(field(said.body, "request_id")) },
        shape: () => ({ path, type: "load_weights" })
      })
    })

  const getInfo: Endpoint = (asked) =>
    Effect.map(defaultModel(asked), (name) =>
      answer({
        model_data: { arch: "unknown", model_name: name, tokenizer_id: name },
        model_id: field(asked.call.json, "model_id") ?? "model-live-123",
        is_lora: true,
        lora_rank: 16,
        model_name: name,
        type: "get_info"
      }))

  const forwardBackward: Endpoint = (asked) => {
    const input = field(asked.call.json, "forward_backward_input")
    const data = field(input, "data") ?? []
    const lossFn = text(input, "loss_fn") ?? "cross_entropy"
    if (!losses.has(lossFn)) return submitted(failed(`Loss ${lossFn} not supported`))
    return handed(
      asked,
      "forward_backward",
      { forward_backward_input: { ...(input as object | undefined), data, loss_fn: lossFn } },
      (body) => {
        const sum = Number(field(field(body, "metrics"), "loss:sum"))
        const outputs = field(body, "loss_fn_outputs")
        return {
          metrics: { "loss:mean": sum / Math.max(1, (data as ReadonlyArray<unknown>).length), "loss:sum": sum },
          loss_fn_outputs: Array.isArray(outputs)
            ? outputs.map((output) => ({ logprobs: field(output, "logprobs") }))
            : [],
          loss_fn_output_type: "ArrayRecord",
          type: "forward_backward"
        }
      }
    )
  }

  const optimStep: Endpoint = (asked) =>
    handed(
      asked,
      "optim_step",
      { adam_params: field(asked.call.json, "adam_params") ?? {} },
      (body) => ({
        metrics: { "grad_norm:mean": field(field(body, "metrics"), "unclipped_grad_l2:mean") ?? 0 },
        type: "optim_step"
      })
    )

  /** What was at the path before is gone. */
  const saveWeights: Endpoint = (asked) =>
    Effect.gen(function*() {
      const { json } = asked.call
      const modelId = field(json, "model_id")
      if (!isString(modelId)) return error("model_id is required")
      const now = yield* Clock.currentTimeMillis
      const alias = field(json, "path")
      const path = resolved(isString(alias) ? alias : `${modelId}-samp-${field(json, "seq_id") || now}`)
      const name = `open-rl-${made += 1}`
      const model = models.get(modelId)
      const baseModel = yield* defaultModel(asked)
      const given = yield* hand(asked, "save_weights", { path: name }, () => ({ path, type: "save_weights" }))
      if ("status" in given) return given
      if ("requestId" in given.result && model !== undefined) {
        saving.set(path, {
          requestId: given.result.requestId,
          folder: {
            path: `tinker://${model.inner}/weights/${name}`,
            baseModel,
            hasOptimizer: field(json, "include_optimizer") === true
          }
        })
      }
      return yield* submitted(given)
    })

  /** Samplers are made by their names alone, and sample from the model itself. */
  const saveWeightsForSampler: Endpoint = (asked) =>
    Effect.gen(function*() {
      const { json } = asked.call
      const modelId = field(json, "model_id")
      if (!isString(modelId)) return error("model_id is required")
      const now = yield* Clock.currentTimeMillis
      const samplerId = `${modelId}-samp-${field(json, "sampling_session_seq_id") || now}`
      const alias = field(json, "name") ?? field(json, "alias") ?? field(json, "path")
      const path = isString(alias) ? `tinker://${samplerId}` : null
      const number = made += 1
      return yield* handed(
        asked,
        "save_weights_for_sampler",
        { path: `open-rl-${number}` },
        () => ({ path, sampling_session_id: samplerId, type: "save_weights_for_sampler" })
      )
    })

  const createSamplingSession: Endpoint = (asked) => {
    const modelPath = text(asked.call.json, "model_path")
    const id = modelPath?.startsWith("tinker://") === true
      ? modelPath.slice("tinker://".length)
      : field(asked.call.json, "model_id") ?? "samp-session-live-123"
    return Effect.succeed(answer({ sampling_session_id: id, type: "create_sampling_session" }))
  }

  const asample: Endpoint = (asked) =>
    Effect.gen(function*() {
      const { json } = asked.call
      const chunks = field(field(json, "prompt"), "chunks")
      if (!Array.isArray(chunks) || chunks.length === 0) return brokeDown
      const named = String(field(json, "model_id") ?? field(json, "sampling_session_id"))
      const modelId = named.replace(/^tinker:\/\//, "").split("-samp-")[0]!
      const params = field(json, "sampling_params")
      const numSamples = Number(field(json, "num_samples") ?? 1)
      // Weights as they are when its turn comes, which a sampler made for it alone has.
      const number = made += 1
      const model = models.get(modelId)
      const given = yield* hand(
        { ...asked, call: { ...asked.call, json: { model_id: modelId } } },
        "save_weights_for_sampler",
        { sampling_session_seq_id: number },
        (body) => body
      )
      if ("status" in given) return given
      if ("failure" in given.result || model === undefined) return yield* submitted(given)
      const created = yield* Foreign.retrieve(asked, given.result.requestId, Infinity)
      const samplerId = text(created.body, "sampling_session_id")
      if (samplerId === undefined) return yield* submitted(failed(Foreign.refusalOf(created)))
      const said = yield* Foreign.post(asked, "asample", {
        sampling_session_id: samplerId,
        seq_id: 1,
        num_samples: numSamples,
        prompt: { chunks: [{ type: "encoded_text", tokens: field(chunks[0], "tokens") ?? [] }] },
        sampling_params: {
          max_tokens: field(params, "max_tokens") ?? 20,
          temperature: field(params, "temperature") ?? 1
        }
      })
      if (said.status !== 200) {
        return yield* Foreign.isPostponed(said) ? Effect.succeed(said) : submitted(failed(Foreign.refusalOf(said)))
      }
      return yield* submitted({ result: { requestId: String(field(said.body, "request_id")) }, shape: sampleOf })
    })

  const retrieveFuture: Endpoint = (asked) =>
    Effect.gen(function*() {
      const requestId = field(asked.call.json, "request_id")
      if (!isString(requestId)) return error("request_id is required")
      const future = futures.get(requestId)
      const notYet = answer({ type: "try_again", request_id: requestId, queue_state: "active" })
      if (future === undefined) return yield* Effect.as(Effect.sleep(holdMillis), notYet)
      if ("failure" in future.result) return failure(future.result.failure)
      const said = yield* Foreign.retrieve(
        { ...asked, call: { ...asked.call, headers: { ...asked.call.headers, accept: "application/json" } } },
        future.result.requestId,
        holdMillis
      )
      if (Foreign.isGone(said)) {
        futures.delete(requestId)
        return yield* Effect.as(Effect.sleep(holdMillis), notYet)
      }
      if (Foreign.isNotYet(said)) return notYet
      const why = text(said.body, "error")
      if (why !== undefined) {
        return failure(why)
      }
      return said.status === 200 ? answer(future.shape(said.body)) : said
    })

  const said = (body: unknown): Endpoint => () => Effect.succeed(answer(body))

  return Foreign.fastApi({
    "GET healthz": said({ status: "ok" }),
    "GET get_server_capabilities": (asked) =>
      Effect.map(
        defaultModel(asked),
        (name) => answer({ supported_models: [{ model_name: name }], default_model: name, single_process: true })
      ),
    "POST client/config": withBody(said({
      pjwt_auth_enabled: false,
      credential_default_source: "api_key",
      sample_dispatch_bytes_semaphore_size: 10 * 1024 * 1024,
      inflight_response_bytes_semaphore_size: 50 * 1024 * 1024
    })),
    "POST create_session": withBody(said({ session_id: "sess-real-123", type: "create_session" })),
    "POST session_heartbeat": withBody(said({ type: "session_heartbeat" })),
    "POST create_model": withBody(createModel),
    "POST create_model_from_state": withBody(createModelFromState),
    "POST get_info": withBody(getInfo),
    "POST retrieve_future": withBody(retrieveFuture),
    "POST forward_backward": withBody(forwardBackward),
    "POST optim_step": withBody(optimStep),
    "POST save_weights_for_sampler": withBody(saveWeightsForSampler),
    "POST save_weights": withBody(saveWeights),
    "POST load_weights": withBody(loadWeights),
    "POST create_sampling_session": withBody(createSamplingSession),
    "POST asample": withBody(asample),
    "POST telemetry": withBody(said({ status: "accepted" }))
  })
}

/** How long a question is held, in milliseconds. */
const holdMillis = 60_000

const losses: ReadonlySet<string> = new Set(["cross_entropy", "importance_sampling", "ppo"])

/** It has one base model. */
const defaultModel = (asked: Asked): Effect.Effect<string> =>
  Effect.map(Foreign.get(asked, "get_server_capabilities"), ({ body }) => {
    const models = field(body, "supported_models")
    return Array.isArray(models) ? String(field(models[0], "model_name")) : ""
  })

/** Whatever has stopped a sample. */
const sampleOf = (body: unknown): unknown => {
  const sequences = field(body, "sequences")
  return {
    sequences: Array.isArray(sequences)
      ? sequences.map((sequence) => ({
        tokens: field(sequence, "tokens"),
        logprobs: field(sequence, "logprobs"),
        stop_reason: "stop"
      }))
      : [],
    type: "sample"
  }
}
