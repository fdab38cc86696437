import { BigramEngine } from "@effect-tinker/engine"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, TestClock } from "effect"
import { TrainingMessages } from "effect-tinker"
import { CheckpointStore, type Dialect, OpenRLDialect, SkyRLDialect, TinkerServer } from "../src/index.js"
import * as Wire from "./wire.js"

/** Servers of this dialect, started one after another over the same checkpoints. */
const restartable = (dialect: Dialect.Dialect) =>
  Effect.map(
    Layer.build(CheckpointStore.layerMemory),
    (store) =>
      TinkerServer.layerClientWithStore({ dialect, archives: true }).pipe(
        Layer.provide(BigramEngine.layer()),
        Layer.provide(Layer.succeedContext(store))
      )
  )

const skyRL = () => Wire.server({ protocol: { dialect: SkyRLDialect.make(), archives: true } })

const openRL = () => Wire.server({ protocol: { dialect: OpenRLDialect.make() } })

const passJson = (modelId: unknown, seqId: number, data: unknown = [trained]) => ({
  model_id: modelId,
  seq_id: seqId,
  forward_backward_input: { data, loss_fn: "cross_entropy" }
})

const trained = {
  model_input: { chunks: [{ type: "encoded_text", tokens: [97, 98] }] },
  loss_fn_inputs: {
    target_tokens: { data: [98, 99], dtype: "int64" },
    weights: { data: [1, 1], dtype: "float32" }
  }
}

const session = Effect.map(
  Wire.post("create_session", { tags: [], sdk_version: "0.38.0" }),
  ({ body }) => String(body.session_id)
)

const modelOf = (sessionId: string, rank = 8) =>
  Effect.map(
    Wire.post("create_model", {
      session_id: sessionId,
      model_seq_id: 0,
      base_model: BigramEngine.defaultBaseModel,
      lora_config: { rank, seed: 1 }
    }),
    ({ body }) => body
  )

/** The answers to all that was submitted, when it is done. */
const finish = (submitted: Wire.Reply) => Effect.map(Wire.result(submitted), ({ body, status }) => ({ status, body }))

const logprobs = (result: { readonly body: Record<string, unknown> }): ReadonlyArray<number> => {
  const [output] = result.body.loss_fn_outputs as ReadonlyArray<{ logprobs: { data: ReadonlyArray<number> } }>
  return output!.logprobs.data
}

const said = ({ body, status }: Wire.Reply) => ({ status, body })

const refused = (status: number, detail: unknown) => ({ status, body: { detail } })

describe("SkyRL", () => {
  const model = Effect.map(Effect.flatMap(session, modelOf), ({ model_id }) => String(model_id))

  it.effect("answers a repeated pass as the first, and another under its number with 409", () =>
    Effect.gen(function*() {
      const modelId = yield* model
      const first = yield* Wire.forwardBackward(modelId, 1)
      const again = yield* Wire.forwardBackward(modelId, 1)
      assert.deepStrictEqual(said(again), said(first))
      assert.deepStrictEqual(said(first), {
        status: 200,
        body: { future_id: "2", status: "pending", request_id: "2" }
      })
      const reused = refused(409, "Training request sequence number was reused")
      assert.deepStrictEqual(said(yield* Wire.forwardBackward(modelId, 1, { data: [Wire.datum("other")] })), reused)
      assert.deepStrictEqual(said(yield* Wire.forwardBackward(modelId, 1, { forwardOnly: true })), reused)
      assert.deepStrictEqual(said(yield* Wire.optimStep(modelId, 1)), reused)
    }).pipe(Effect.provide(skyRL())))

  it.effect("runs what comes, whatever its number, and remembers no number of a save", () =>
    Effect.gen(function*() {
      const modelId = yield* model
      const late = yield* Wire.forwardBackward(modelId, 9)
      assert.strictEqual((yield* finish(late)).status, 200)
      const saved = yield* Wire.post("save_weights", { model_id: modelId, seq_id: 2, path: "one" })
      assert.strictEqual((yield* finish(saved)).status, 200)
      const filler = yield* Wire.forwardBackward(modelId, 2, { forwardOnly: true })
      assert.strictEqual((yield* finish(filler)).status, 200)
    }).pipe(Effect.provide(skyRL())))

  it.effect("does a repeated step once", () =>
    Effect.gen(function*() {
      const step = (times: number) =>
        Effect.gen(function*() {
          const modelId = yield* model
          yield* Wire.post("forward_backward", passJson(modelId, 1))
          for (let i = 0; i < times; i++) yield* Wire.optimStep(modelId, 2)
          return logprobs(yield* finish(yield* Wire.post("forward_backward", passJson(modelId, 3))))
        })
      assert.deepStrictEqual(yield* step(2), yield* step(1))
    }).pipe(Effect.provide(skyRL())))

  it.effect("has ids of its own form, and tells little of models and results", () =>
    Effect.gen(function*() {
      const sessionId = yield* session
      assert.match(sessionId, /^session_[0-9a-f]{8}$/)
      const created = yield* modelOf(sessionId)
      const { model_id: modelId } = created
      assert.match(String(modelId), /^model_[0-9a-f]{8}$/)
      assert.deepStrictEqual(created, {
        model_id: modelId,
        base_model: "bigram",
        lora_config: { rank: 8, seed: 1 },
        status: "created",
        request_id: "1"
      })
      assert.deepStrictEqual(said(yield* Wire.post("get_info", { model_id: modelId })), {
        status: 200,
        body: {
          model_id: modelId,
          status: "created",
          model_data: { base_model: "bigram", lora_config: { rank: 8, seed: null }, model_name: "bigram" }
        }
      })
      const { body } = yield* finish(yield* Wire.post("forward_backward", passJson(modelId, 1)))
      assert.deepStrictEqual(body.metrics, {})
      assert.strictEqual(body.loss_fn_output_type, "scalar")
      const bytes = (yield* Wire.result(yield* Wire.forwardBackward(String(modelId), 2), { protobuf: true })).bytes
      assert.deepStrictEqual(TrainingMessages.decodeForwardBackwardOutput(bytes).metrics, {})
      const { body: step } = yield* finish(yield* Wire.optimStep(String(modelId), 3))
      assert.hasAllKeys(step.metrics, ["skyrl.ai/grad_norm", "skyrl.ai/learning_rate"])
    }).pipe(Effect.provide(skyRL())))

  it.effect("refuses a save of a taken name with 409, also to overwrite it and the same save again", () =>
    Effect.gen(function*() {
      const modelId = yield* model
      const save = { model_id: modelId, seq_id: 1, path: "one", overwrite: true }
      const saved = yield* finish(yield* Wire.post("save_weights", save))
      assert.deepStrictEqual(saved.body, { path: `tinker://${modelId}/weights/one`, type: "save_weights" })
      const taken = refused(409, `Checkpoint 'one' already exists for model '${modelId}'`)
      assert.deepStrictEqual(said(yield* Wire.post("save_weights", save)), taken)
      const sampler = { model_id: modelId, seq_id: 2, sampling_session_seq_id: 0 }
      assert.strictEqual((yield* Wire.post("save_weights_for_sampler", sampler)).status, 200)
      assert.deepStrictEqual(
        said(yield* Wire.post("save_weights_for_sampler", sampler)),
        refused(409, `Checkpoint 'ss0_seq2' already exists for model '${modelId}'`)
      )
    }).pipe(Effect.provide(skyRL())))

  it.effect("refuses a save without a name, and names with other signs, with 422", () =>
    Effect.gen(function*() {
      const modelId = yield* model
      const unnamed = { model_id: modelId, seq_id: 1 }
      assert.deepStrictEqual(
        said(yield* Wire.post("save_weights", unnamed)),
        refused(422, [{ type: "missing", loc: ["body", "path"], msg: "Field required", input: unnamed }])
      )
      assert.deepStrictEqual(
        said(yield* Wire.post("save_weights", { ...unnamed, path: "a.b" })),
        refused(422, [{
          type: "string_pattern_mismatch",
          loc: ["body", "path"],
          msg: "String should match pattern '^[a-zA-Z0-9_-]+$'",
          input: "a.b"
        }])
      )
    }).pipe(Effect.provide(skyRL())))

  it.effect("lists finished checkpoints alone, by bare names and without a zone, and samplers by two parts", () =>
    Effect.gen(function*() {
      const modelId = yield* model
      yield* finish(yield* Wire.post("save_weights", { model_id: modelId, seq_id: 1, path: "one" }))
      const sampler = yield* finish(
        yield* Wire.post("save_weights_for_sampler", { model_id: modelId, seq_id: 2, path: "one" })
      )
      assert.deepStrictEqual(sampler.body, {
        path: `tinker://${modelId}/one`,
        type: "save_weights_for_sampler",
        sampling_session_id: null
      })
      // Its pass takes a second of the engine, so that the save behind it is not over.
      yield* Wire.forwardBackward(modelId, 3)
      yield* Wire.optimStep(modelId, 4)
      yield* Wire.post("save_weights", { model_id: modelId, seq_id: 5, path: "two" })
      const { body } = yield* Wire.get(`training_runs/${modelId}/checkpoints`)
      const time = "1970-01-01T00:00:00.000"
      assert.deepStrictEqual(body, {
        checkpoints: [
          { checkpoint_id: "one", checkpoint_type: "training", time, tinker_path: `tinker://${modelId}/weights/one` },
          {
            checkpoint_id: "one",
            checkpoint_type: "sampler",
            time,
            tinker_path: `tinker://${modelId}/sampler_weights/one`
          }
        ]
      })
      const other = String((yield* modelOf(yield* session)).model_id)
      assert.deepStrictEqual(
        said(yield* Wire.post("load_weights", { model_id: other, seq_id: 1, path: `tinker://${modelId}/weights/two` })),
        refused(425, "Checkpoint is still being created")
      )
    }).pipe(
      Effect.provide(Wire.server({
        protocol: { dialect: SkyRLDialect.make() },
        engine: { stepDuration: "1 second" }
      }))
    ))

  it.effect("loads into a new model alone, and makes none by loading", () =>
    Effect.gen(function*() {
      const sessionId = yield* session
      const modelId = String((yield* modelOf(sessionId)).model_id)
      yield* finish(yield* Wire.post("forward_backward", passJson(modelId, 1)))
      yield* finish(yield* Wire.optimStep(modelId, 2))
      yield* finish(yield* Wire.post("save_weights", { model_id: modelId, seq_id: 3, path: "one" }))
      const next = logprobs(yield* finish(yield* Wire.post("forward_backward", passJson(modelId, 4))))
      const path = `tinker://${modelId}/weights/one`
      const byLoading = { session_id: sessionId, model_seq_id: 1, path, optimizer: true }
      assert.deepStrictEqual(
        said(yield* Wire.post("load_weights", byLoading)),
        refused(422, [{ type: "missing", loc: ["body", "model_id"], msg: "Field required", input: byLoading }])
      )
      assert.deepStrictEqual(
        said(yield* Wire.post("load_weights", { model_id: modelId, seq_id: 5, path })),
        refused(400, "LoadWeights is not permitted with seq_id 5")
      )
      const other = String((yield* modelOf(sessionId)).model_id)
      const loaded = yield* finish(yield* Wire.post("load_weights", { model_id: other, seq_id: 1, path }))
      assert.deepStrictEqual(loaded.body, { type: "load_weights" })
      const resumed = yield* finish(yield* Wire.post("forward_backward", passJson(other, 2)))
      assert.deepStrictEqual(logprobs(resumed), next)
      const small = String((yield* modelOf(sessionId, 4)).model_id)
      assert.deepStrictEqual(
        yield* finish(yield* Wire.post("load_weights", { model_id: small, seq_id: 1, path })),
        refused(400, "Rank mismatch: checkpoint has rank 8, model configured with rank 4")
      )
    }).pipe(Effect.provide(skyRL())))

  it.effect("describes samplers and checkpoints, and refuses those that there are not", () =>
    Effect.gen(function*() {
      const sessionId = yield* session
      const modelId = String((yield* modelOf(sessionId)).model_id)
      yield* finish(yield* Wire.post("save_weights_for_sampler", { model_id: modelId, seq_id: 1, path: "one" }))
      const create = (model_path: string) =>
        Effect.map(
          Wire.post("create_sampling_session", { session_id: sessionId, sampling_session_seq_id: 0, model_path }),
          ({ body }) => String(body.sampling_session_id)
        )
      const sampler = yield* create(`tinker://${modelId}/one`)
      assert.match(sampler, /^sampling_[0-9a-f]{8}$/)
      assert.deepStrictEqual(said(yield* Wire.get(`samplers/${sampler}`)), {
        status: 200,
        body: { sampler_id: sampler, base_model: "bigram", model_path: `tinker://${modelId}/one` }
      })
      assert.deepStrictEqual(said(yield* Wire.get("samplers/sampling_1")), refused(404, "Sampler not found"))
      const asked = yield* Wire.sample(sampler, { sampling_params: { max_tokens: 2, stop: [] } })
      assert.hasAllKeys(asked.body, ["future_id", "status", "request_id"])
      const { body } = yield* finish(asked)
      assert.hasAllKeys(body, ["sequences", "prompt_logprobs", "topk_prompt_logprobs"])
      const missing = yield* create(`tinker://${modelId}/two`)
      assert.deepStrictEqual(said(yield* Wire.sample(missing)), refused(404, `Checkpoint not found: ${modelId}/two`))
      assert.deepStrictEqual(
        said(yield* Wire.post("weights_info", { tinker_path: `tinker://${modelId}/one` })),
        refused(400, "Invalid tinker path format. Expected: tinker://model_id/weights/checkpoint_id")
      )
    }).pipe(Effect.provide(skyRL())))

  it.effect("has no log-probability for the first token of a prompt", () =>
    Effect.gen(function*() {
      const sessionId = yield* session
      const { body } = yield* Wire.createSampler(sessionId)
      const asked = yield* Wire.sample(body.sampling_session_id, { prompt_logprobs: true })
      const result = yield* finish(asked)
      assert.lengthOf(result.body.prompt_logprobs as ReadonlyArray<number>, promptLength - 1)
      assert.notInclude(result.body.prompt_logprobs as ReadonlyArray<number>, null)
    }).pipe(Effect.provide(skyRL())))

  it.effect("samples anew when the same sample comes again", () =>
    Effect.gen(function*() {
      const { body } = yield* Wire.createSampler(yield* session)
      const ask = Wire.sample(body.sampling_session_id, { seq_id: 1 })
      assert.notStrictEqual((yield* ask).body.request_id, (yield* ask).body.request_id)
    }).pipe(Effect.provide(skyRL())))

  it.effect("lacks what later servers have", () =>
    Effect.gen(function*() {
      const sessionId = yield* session
      const absent = refused(404, "Not Found")
      for (
        const path of ["client/dynamic_config", `sessions/${sessionId}/finish`, "cancel_future", "retrieve_futures"]
      ) {
        assert.deepStrictEqual(said(yield* Wire.post(path, {})), absent, path)
      }
      for (const path of ["checkpoints", "sessions", `sessions/${sessionId}`]) {
        assert.deepStrictEqual(said(yield* Wire.get(path)), absent, path)
      }
      assert.deepStrictEqual(said(yield* Wire.get("create_model")), refused(405, "Method Not Allowed"))
      assert.deepStrictEqual(said(yield* Wire.post("client/config", {})).body, { pjwt_auth_enabled: false })
    }).pipe(Effect.provide(skyRL())))

  it.effect("tells failures by 400, unknown results by 404, and what is no number by 500", () =>
    Effect.gen(function*() {
      const modelId = yield* model
      const wrong = yield* Wire.post("forward_backward", passJson(modelId, 1, []))
      const { body, status } = yield* finish(wrong)
      assert.strictEqual(status, 400)
      assert.hasAllKeys(body, ["detail"])
      assert.deepStrictEqual(
        said(yield* Wire.post("retrieve_future", { request_id: "77" })),
        refused(404, "Future not found")
      )
      const broken = yield* Wire.post("retrieve_future", { request_id: "x" })
      assert.deepStrictEqual([broken.status, Wire.textOf(broken.bytes)], [500, "Internal Server Error"])
    }).pipe(Effect.provide(skyRL())))

  it.effect("holds a question for five minutes and says 408 then", () =>
    Effect.gen(function*() {
      const modelId = yield* model
      const asked = yield* Effect.fork(Effect.flatMap(Wire.forwardBackward(modelId, 1), finish))
      yield* TestClock.adjust("299 seconds")
      assert.strictEqual((yield* Fiber.poll(asked))._tag, "None")
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(yield* Fiber.join(asked), refused(408, "Timeout waiting for result"))
    }).pipe(
      Effect.provide(Wire.server({
        protocol: { dialect: SkyRLDialect.make() },
        engine: { stepDuration: "10 minutes" }
      }))
    ))

  it.effect("has after a restart its sessions and checkpoints, and no model", () =>
    Effect.gen(function*() {
      const server = yield* restartable(SkyRLDialect.make())
      const before = yield* Effect.provide(
        Effect.gen(function*() {
          const sessionId = yield* session
          const modelId = String((yield* modelOf(sessionId)).model_id)
          yield* finish(yield* Wire.post("save_weights", { model_id: modelId, seq_id: 1, path: "one" }))
          yield* finish(yield* Wire.post("save_weights_for_sampler", { model_id: modelId, seq_id: 2, path: "one" }))
          const model_path = `tinker://${modelId}/one`
          const { body } = yield* Wire.post("create_sampling_session", {
            session_id: sessionId,
            sampling_session_seq_id: 0,
            model_path
          })
          return { sessionId, modelId, samplerId: body.sampling_session_id }
        }),
        server
      )
      yield* Effect.provide(
        Effect.gen(function*() {
          const { modelId, samplerId, sessionId } = before
          assert.strictEqual((yield* Wire.post("session_heartbeat", { session_id: sessionId })).status, 200)
          const stale = `Model ${modelId} not loaded`
          assert.deepStrictEqual(yield* finish(yield* Wire.forwardBackward(modelId, 3)), refused(400, stale))
          assert.deepStrictEqual(
            yield* finish(yield* Wire.optimStep(modelId, 4)),
            refused(400, `${stale} (likely stale request from previous server)`)
          )
          assert.deepStrictEqual(yield* finish(yield* Wire.sample(samplerId)), refused(400, stale))
          const resumed = String((yield* modelOf(sessionId)).model_id)
          const path = `tinker://${modelId}/weights/one`
          const loaded = yield* finish(yield* Wire.post("load_weights", { model_id: resumed, seq_id: 1, path }))
          assert.strictEqual(loaded.status, 200)
        }),
        server
      )
    }).pipe(Effect.scoped))

  it.effect("redirects to the archive of a sampler by its bare name, and deletes by kind and name", () =>
    Effect.gen(function*() {
      const modelId = yield* model
      yield* finish(yield* Wire.post("save_weights_for_sampler", { model_id: modelId, seq_id: 1, path: "one" }))
      const checkpoints = `training_runs/${modelId}/checkpoints`
      assert.strictEqual((yield* Wire.get(`${checkpoints}/one/archive`)).status, 302)
      assert.strictEqual((yield* Wire.get(`${checkpoints}/sampler_weights/one/archive`)).status, 405)
      assert.strictEqual((yield* Wire.remove(`${checkpoints}/one`)).status, 400)
      assert.strictEqual((yield* Wire.remove(`${checkpoints}/sampler_weights/one`)).status, 204)
      assert.deepStrictEqual((yield* Wire.get(checkpoints)).body, { checkpoints: [] })
      assert.deepStrictEqual(
        said(yield* Wire.remove(`${checkpoints}/sampler_weights/one`)),
        refused(404, `Checkpoint not found: ${modelId}/one`)
      )
    }).pipe(Effect.provide(skyRL())))
})

const promptLength = 2

describe("Open-RL", () => {
  const created = modelOf("sess-real-123")
  const model = Effect.map(created, ({ request_id }) => String(request_id))
  const failed = (error_message: string) => ({ status: 400, body: { type: "RequestFailedResponse", error_message } })

  it.effect("applies a step that comes twice twice, and counts a repeated gradient twice", () =>
    Effect.gen(function*() {
      const of = (passes: number, steps: number) =>
        Effect.gen(function*() {
          const modelId = yield* model
          for (let i = 0; i < passes; i++) yield* Wire.post("forward_backward", passJson(modelId, 1))
          const { body } = yield* finish(yield* Wire.optimStep(modelId, 2))
          for (let i = 1; i < steps; i++) {
            yield* Wire.post("forward_backward", passJson(modelId, 3))
            yield* Wire.optimStep(modelId, 2)
          }
          const next = yield* finish(yield* Wire.post("forward_backward", passJson(modelId, 4)))
          return {
            logprobs: logprobs(next),
            gradNorm: (body.metrics as Record<string, number>)["grad_norm:mean"]!
          }
        })
      const once = yield* of(1, 1)
      assert.notDeepEqual((yield* of(1, 2)).logprobs, once.logprobs)
      assert.closeTo((yield* of(2, 1)).gradNorm, 2 * once.gradNorm, 1e-6)
    }).pipe(Effect.provide(openRL())))

  it.effect("has one session, and models whose ids are those of the requests that made them", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(said(yield* Wire.post("create_session", {})), {
        status: 200,
        body: { session_id: "sess-real-123", type: "create_session" }
      })
      assert.strictEqual((yield* Wire.post("session_heartbeat", { session_id: "any" })).status, 200)
      const answer = yield* created
      assert.hasAllKeys(answer, ["request_id"])
      assert.deepStrictEqual((yield* Wire.post("retrieve_future", answer)).body, {
        model_id: answer.request_id,
        is_lora: true,
        lora_rank: 8,
        type: "create_model"
      })
      const info = yield* Wire.post("get_info", { model_id: "unknown" })
      assert.deepInclude(info.body, { model_id: "unknown", is_lora: true, lora_rank: 16, model_name: "bigram" })
    }).pipe(Effect.provide(openRL())))

  it.effect("breaks over protobuf that is no text, and refuses it with 422 where it is", () =>
    Effect.gen(function*() {
      const modelId = yield* model
      const broken = yield* Wire.forwardBackward(modelId, 1)
      assert.deepStrictEqual([broken.status, Wire.textOf(broken.bytes)], [500, "Internal Server Error"])
      const { body, status } = yield* Wire.postBytes("forward_backward", new TextEncoder().encode("\n\u0003abc"))
      assert.strictEqual(status, 422)
      assert.deepInclude((body.detail as ReadonlyArray<object>)[0], { type: "dict_type", loc: ["body"] })
    }).pipe(Effect.provide(openRL())))

  it.effect("lacks passes without gradients, lists, samplers and what there is to know of checkpoints", () =>
    Effect.gen(function*() {
      const absent = refused(404, "Not Found")
      for (
        const path of [
          "forward",
          "weights_info",
          "client/dynamic_config",
          "sessions/sess-real-123/finish",
          "unload_model"
        ]
      ) {
        assert.deepStrictEqual(said(yield* Wire.post(path, {})), absent, path)
      }
      for (const path of ["samplers/a", "training_runs", "training_runs/a/checkpoints", "checkpoints", "sessions"]) {
        assert.deepStrictEqual(said(yield* Wire.get(path)), absent, path)
      }
    }).pipe(Effect.provide(openRL())))

  it.effect("makes no model by loading, and says so as an error", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(
        said(yield* Wire.post("load_weights", { session_id: "sess-real-123", model_seq_id: 0, path: "one" })),
        { status: 400, body: { error: "model_id is required" } }
      )
      assert.deepStrictEqual(said(yield* Wire.post("create_model", {})), {
        status: 400,
        body: { error: "base_model is required" }
      })
    }).pipe(Effect.provide(openRL())))

  it.effect("saves to folders, over what was there, and loads from them at any time and more than once", () =>
    Effect.gen(function*() {
      const modelId = yield* model
      const save = { model_id: modelId, seq_id: 1, path: "one" }
      yield* Wire.post("save_weights", save)
      yield* Wire.post("forward_backward", passJson(modelId, 2))
      yield* Wire.optimStep(modelId, 3)
      const saved = yield* finish(yield* Wire.post("save_weights", save))
      const path = "/tmp/open-rl/checkpoints/one"
      assert.deepStrictEqual(saved.body, { path, type: "save_weights" })
      const next = logprobs(yield* finish(yield* Wire.post("forward_backward", passJson(modelId, 4))))
      const other = yield* model
      for (const wanted of [path, "one"]) {
        yield* Wire.post("forward_backward", passJson(other, 5))
        yield* Wire.optimStep(other, 6)
        const loaded = yield* finish(yield* Wire.post("load_weights", { model_id: other, seq_id: 1, path: wanted }))
        assert.deepStrictEqual(loaded.body, { path, type: "load_weights" })
        assert.deepStrictEqual(
          logprobs(yield* finish(yield* Wire.post("forward_backward", passJson(other, 2)))),
          next
        )
      }
      assert.deepStrictEqual(
        yield* finish(yield* Wire.post("load_weights", { model_id: other, seq_id: 1, path: "two" })),
        failed("No metadata.json found at /tmp/open-rl/checkpoints/two")
      )
    }).pipe(Effect.provide(openRL())))

  it.effect("promises what it does not know for ever, a minute at a time", () =>
    Effect.gen(function*() {
      for (let i = 0; i < 2; i++) {
        const asked = yield* Effect.fork(Wire.post("retrieve_future", { request_id: "unknown" }))
        yield* TestClock.adjust("59 seconds")
        assert.strictEqual((yield* Fiber.poll(asked))._tag, "None")
        yield* TestClock.adjust("1 second")
        assert.deepStrictEqual((yield* Fiber.join(asked)).body, {
          type: "try_again",
          request_id: "unknown",
          queue_state: "active"
        })
      }
    }).pipe(Effect.provide(openRL())))

  it.effect("samples from a model as it is then, reads the first chunk alone, and stops for nothing", () =>
    Effect.gen(function*() {
      const modelId = yield* model
      const named = yield* finish(
        yield* Wire.post("save_weights_for_sampler", {
          model_id: modelId,
          seq_id: 1,
          path: "one",
          sampling_session_seq_id: 3
        })
      )
      const samplerId = `${modelId}-samp-3`
      assert.deepStrictEqual(named.body, {
        path: `tinker://${samplerId}`,
        sampling_session_id: samplerId,
        type: "save_weights_for_sampler"
      })
      const { body } = yield* Wire.post("create_sampling_session", { model_path: `tinker://${samplerId}` })
      assert.strictEqual(body.sampling_session_id, samplerId)
      const chunk = (tokens: ReadonlyArray<number>) => ({ type: "encoded_text", tokens })
      const sample = (chunks: ReadonlyArray<unknown>, params: object = {}) =>
        Effect.flatMap(
          Wire.post("asample", {
            sampling_session_id: samplerId,
            seq_id: 1,
            prompt: { chunks },
            sampling_params: { max_tokens: 3, temperature: 0, ...params }
          }),
          finish
        )
      for (let i = 0; i < 3; i++) {
        yield* Wire.post("forward_backward", passJson(modelId, 2))
        yield* Wire.optimStep(modelId, 3, { learning_rate: 1 })
      }
      // Learned after the sampler was made: b follows a, and c follows b.
      const whole = yield* sample([chunk([97]), chunk([98])], { stop: [98] })
      const [sequence] = whole.body.sequences as ReadonlyArray<Record<string, ReadonlyArray<number>>>
      assert.hasAllKeys(sequence, ["tokens", "logprobs", "stop_reason"])
      assert.deepStrictEqual(sequence!.tokens!.slice(0, 2), [98, 99])
      assert.strictEqual<unknown>(sequence!.stop_reason, "stop")
    }).pipe(Effect.provide(openRL())))

  it.effect("samples from no base model, and knows after a restart folders alone", () =>
    Effect.gen(function*() {
      const server = yield* restartable(OpenRLDialect.make())
      const modelId = yield* Effect.provide(
        Effect.gen(function*() {
          const modelId = yield* model
          yield* finish(yield* Wire.post("save_weights", { model_id: modelId, seq_id: 1, path: "one" }))
          const { body } = yield* Wire.createSampler("sess-real-123")
          assert.strictEqual(body.sampling_session_id, "samp-session-live-123")
          assert.deepStrictEqual(
            yield* finish(yield* Wire.sample(body.sampling_session_id)),
            failed("Adapter samp-session-live-123 not found.")
          )
          return modelId
        }),
        server
      )
      yield* Effect.provide(
        Effect.gen(function*() {
          assert.deepStrictEqual(
            yield* finish(yield* Wire.optimStep(modelId, 2)),
            failed(`Adapter ${modelId} not found.`)
          )
          const other = yield* model
          const loaded = yield* finish(yield* Wire.post("load_weights", { model_id: other, seq_id: 1, path: "one" }))
          assert.strictEqual(loaded.status, 200)
        }),
        server
      )
    }).pipe(Effect.scoped))
})
