import { BigramEngine, Engine } from "@effect-tinker/engine"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, TestClock } from "effect"
import { ModelInput, SamplingMessages, TensorData, TrainingMessages } from "effect-tinker"
import { CheckpointStore, Dialect, Faults, TinkerServer } from "../src/index.js"
import * as Wire from "./wire.js"

const failure = (reply: Wire.Reply) => {
  assert.strictEqual(reply.status, 200)
  return { error: String(reply.body.error), category: reply.body.category }
}

describe("TinkerProtocol: service and sessions", () => {
  it.effect("says that it is well, what it has and what clients should do", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual((yield* Wire.get("healthz")).body, { status: "ok" })
      assert.deepStrictEqual((yield* Wire.get("get_server_capabilities")).body, {
        supported_models: [{
          model_name: "bigram",
          max_context_length: 1024,
          trainable: true,
          sampleable: true,
          vocab_size: 256
        }]
      })
      const config = yield* Wire.post("client/config", { sdk_version: "0.38.0" })
      assert.isFalse(config.body.pjwt_auth_enabled)
      assert.isTrue(config.body.parallel_fwdbwd_chunks)
      assert.isTrue((yield* Wire.post("client/dynamic_config", { sdk_version: "0.38.0" })).body.sample_cancel_enabled)
    }).pipe(Effect.provide(Wire.server())))

  it.effect("takes events of telemetry, and refuses what is none", () =>
    Effect.gen(function*() {
      const common = {
        event_id: "22222222-2222-4222-8222-222222222222",
        event_session_index: 0,
        severity: "INFO",
        timestamp: "2026-01-01T00:00:00Z"
      }
      const batch = {
        events: [
          { event: "SESSION_START", ...common },
          { event: "GENERIC_EVENT", ...common, event_name: "mine", event_data: { a: 1 } },
          { event: "UNHANDLED_EXCEPTION", ...common, error_type: "E", error_message: "m", traceback: null },
          { event: "SESSION_END", ...common, duration: "0:00:01" },
          { event: "OF_A_LATER_CLIENT", ...common, severity: "LOUD", other: 1 }
        ],
        platform: "Linux",
        sdk_version: "0.38.0",
        session_id: "sessionless-1",
        process_uuid: "33333333-3333-4333-8333-333333333333"
      }
      assert.deepStrictEqual((yield* Wire.post("telemetry", batch)).body, { status: "accepted" })
      for (
        const wrong of [
          { ...batch, session_id: undefined },
          { ...batch, events: [{ event: "SESSION_START", ...common, severity: "LOUD" }] },
          { ...batch, events: [{ event: "SESSION_END", ...common }] }
        ]
      ) assert.strictEqual((yield* Wire.post("telemetry", wrong)).status, 422)
    }).pipe(Effect.provide(Wire.server())))

  it.effect("sends the client settings that it is given", () =>
    Effect.gen(function*() {
      const { body } = yield* Wire.post("client/config", { sdk_version: "0.38.0" })
      assert.strictEqual(body.fwdbwd_max_chunk_len, 2)
      assert.strictEqual(body.fwdbwd_max_chunk_bytes_count, 5_000_000)
    }).pipe(Effect.provide(Wire.server({ protocol: { clientConfig: { fwdbwd_max_chunk_len: 2 } } }))))

  it.effect("takes a heartbeat of a session, and tells a finished one from one that never was", () =>
    Effect.gen(function*() {
      const sessionId = yield* Wire.createSession
      const beat = Wire.post("session_heartbeat", { session_id: sessionId })
      const finish = Wire.post(`sessions/${sessionId}/finish`, { reason: { type: "success" }, detail: null })
      assert.strictEqual((yield* beat).status, 200)
      assert.strictEqual((yield* finish).status, 200)
      assert.strictEqual((yield* finish).status, 200)
      assert.strictEqual((yield* beat).status, 410)
      assert.strictEqual((yield* Wire.post("session_heartbeat", { session_id: "other" })).status, 404)
      assert.strictEqual(
        (yield* Wire.post("sessions/other/finish", { reason: { type: "success" }, detail: null })).status,
        404
      )
    }).pipe(Effect.provide(Wire.server())))

  it.effect("refuses work in a finished session, and fails what was waiting there", () =>
    Effect.gen(function*() {
      const { modelId, sessionId } = yield* Wire.readyModel
      const { body } = yield* Wire.createSampler(sessionId)
      yield* Wire.forwardBackward(modelId, 1)
      const running = yield* Wire.optimStep(modelId, 2)
      const waiting = yield* Wire.optimStep(modelId, 4)
      const sampling = yield* Wire.sample(body.sampling_session_id)
      yield* Wire.post(`sessions/${sessionId}/finish`, { reason: { type: "interrupted" }, detail: null })
      for (const submitted of [running, waiting, sampling]) {
        assert.strictEqual(failure(yield* Wire.result(submitted)).category, "user")
      }
      assert.strictEqual((yield* Wire.optimStep(modelId, 5)).status, 410)
      assert.strictEqual((yield* Wire.sample(body.sampling_session_id, { seq_id: 1 })).status, 410)
      assert.strictEqual((yield* Wire.createModel(sessionId, { model_seq_id: 1 })).status, 410)
    }).pipe(Effect.provide(Wire.server({ engine: { stepDuration: "1 minute" } }))))

  it.effect("wants a key that it knows when it has keys, except to say that it is well", () =>
    Effect.gen(function*() {
      const config = (headers: Record<string, string>) => Wire.post("client/config", { sdk_version: "0.38.0" }, headers)
      assert.strictEqual((yield* config({ "x-api-key": "tml-right" })).status, 200)
      const wrong = yield* config({ "x-api-key": "tml-wrong" })
      const missing = yield* config({})
      assert.deepStrictEqual([wrong.status, missing.status], [401, 401])
      assert.notStrictEqual(wrong.body.detail, missing.body.detail)
      assert.strictEqual((yield* Wire.get("healthz")).status, 200)
    }).pipe(Effect.provide(Wire.server({ protocol: { apiKeys: ["tml-right"] } }))))

  it.effect("answers errors in JSON with a length", () =>
    Effect.gen(function*() {
      const replies = [
        yield* Wire.post("create_session", "{"),
        yield* Wire.post("create_session", { tags: "none" }),
        yield* Wire.post("no_such_thing", {}),
        yield* Wire.createModel("no session")
      ]
      assert.deepStrictEqual(replies.map((reply) => reply.status), [422, 422, 404, 404])
      for (const { body, bytes, headers } of replies) {
        assert.property(body, "detail")
        assert.strictEqual(headers["content-length"], String(bytes.length))
      }
      assert.deepNestedInclude(replies[1]!.body, { "detail[0].loc": ["body", "tags"] })
    }).pipe(Effect.provide(Wire.server())))
})

describe("TinkerProtocol: what does not fit", () => {
  const [text, image] = [{ type: "encoded_text" }, { type: "image", format: "png" }]
  const chunks: ReadonlyArray<readonly [chunk: object, at: string, says: string]> = [
    [{ ...text, tokens: ["a"] }, "tokens", "element 0"],
    [{ tokens: ["a"] }, "tokens", "element 0"],
    [text, "tokens", "is missing"],
    [image, "data", "is missing"],
    [{ ...image, data: 3 }, "data", "Expected string, actual 3"],
    [{ type: "image_asset_pointer", format: "png", location: 3 }, "location", "Expected string, actual 3"]
  ]
  for (const [chunk, at, says] of chunks) {
    it.effect(`is told of the chunk that was meant, in ${JSON.stringify(chunk)}: ${at}`, () =>
      Effect.gen(function*() {
        const { sessionId } = yield* Wire.readyModel
        const sampler = (yield* Wire.createSampler(sessionId)).body.sampling_session_id
        const { body, status } = yield* Wire.sample(sampler, { prompt: { chunks: [chunk] } })
        const [issue, ...others] = body.detail as ReadonlyArray<{ readonly loc: unknown; readonly msg: string }>
        assert.strictEqual(status, 422)
        assert.deepStrictEqual(issue?.loc, ["body", "prompt", "chunks", 0, at])
        assert.include(issue?.msg, says)
        assert.deepStrictEqual(others, [])
      }).pipe(Effect.provide(Wire.server())))
  }

  it.effect("of a query is told as that, also a number that is not written in decimal digits", () =>
    Effect.gen(function*() {
      for (const limit of ["0x5", "1e1", " 5", "+5", "%205", "5.0", "", "-1", "0", "99999999999999999999", "five"]) {
        for (const path of ["training_runs", "checkpoints", "sessions"]) {
          const { body, status } = yield* Wire.get(`${path}?limit=${encodeURIComponent(decodeURIComponent(limit))}`)
          assert.strictEqual(status, 422, `${path} ${limit}`)
          assert.deepNestedInclude(body, { "detail[0].loc": ["query", "limit"] })
        }
      }
      for (const query of ["limit=5", "limit=05&offset=0", ""]) {
        assert.strictEqual((yield* Wire.get(`sessions?${query}`)).status, 200, query)
      }
    }).pipe(Effect.provide(Wire.server())))
})

describe("TinkerProtocol: models", () => {
  it.effect("makes a model whose id follows from session and number, and says what it is", () =>
    Effect.gen(function*() {
      const sessionId = yield* Wire.createSession
      const submitted = yield* Wire.createModel(sessionId)
      assert.strictEqual(submitted.body.model_id, `${sessionId}:train:0`)
      assert.deepStrictEqual((yield* Wire.result(submitted)).body, {
        model_id: `${sessionId}:train:0`,
        type: "create_model"
      })
      const { body } = yield* Wire.post("get_info", { model_id: `${sessionId}:train:0`, type: "get_info" })
      assert.deepStrictEqual(body, {
        model_id: `${sessionId}:train:0`,
        model_data: { arch: "BigramForCausalLM", model_name: "bigram", tokenizer_id: "bigram" },
        is_lora: true,
        lora_rank: 8,
        model_name: "bigram",
        optimizer_config: { type: "adamw" }
      })
    }).pipe(Effect.provide(Wire.server())))

  it.effect("makes a model once when the request is sent twice, and refuses another under its number", () =>
    Effect.gen(function*() {
      const sessionId = yield* Wire.createSession
      const first = yield* Wire.createModel(sessionId)
      assert.deepStrictEqual((yield* Wire.createModel(sessionId)).body, first.body)
      assert.strictEqual((yield* Wire.createModel(sessionId, { lora_config: { rank: 4 } })).status, 400)
    }).pipe(Effect.provide(Wire.server())))

  it.effect("refuses at once what no model can be", () =>
    Effect.gen(function*() {
      const sessionId = yield* Wire.createSession
      const refusal = (options: Record<string, unknown>) =>
        Effect.map(Wire.createModel(sessionId, options), ({ body, status }) => [status, String(body.detail)] as const)
      const [status, detail] = yield* refusal({ lora_config: { rank: 65 } })
      assert.strictEqual(status, 400)
      assert.include(detail, "from 1 to 64")
      assert.strictEqual((yield* refusal({ lora_config: { rank: 0 } }))[0], 400)
      assert.include((yield* refusal({ base_model: "llama" }))[1], "no base model llama")
      assert.include((yield* refusal({ optimizer_config: { type: "dimuon" } }))[1], "dimuon")
      const nothing = { rank: 4, train_attn: false, train_mlp: false, train_unembed: false }
      assert.include((yield* refusal({ lora_config: nothing }))[1], "trains nothing")
      assert.strictEqual((yield* refusal({ lora_config: undefined }))[0], 422)
    }).pipe(Effect.provide(Wire.server())))

  it.effect("unloads a model, after which it takes no work", () =>
    Effect.gen(function*() {
      const { modelId } = yield* Wire.readyModel
      const submitted = yield* Wire.post("unload_model", { model_id: modelId })
      assert.strictEqual((yield* Wire.result(submitted)).body.type, "unload_model")
      assert.strictEqual((yield* Wire.optimStep(modelId, 1)).status, 404)
      assert.strictEqual((yield* Wire.post("get_info", { model_id: modelId })).status, 404)
    }).pipe(Effect.provide(Wire.server())))
})

describe("TinkerProtocol: training", () => {
  it.effect("gives logprobs and losses as protobuf and as JSON, with their sum as a metric", () =>
    Effect.gen(function*() {
      const { modelId } = yield* Wire.readyModel
      const submitted = yield* Wire.forwardBackward(modelId, 1, { data: [Wire.datum("abc"), Wire.datum("de")] })
      const reply = yield* Wire.result(submitted, { protobuf: true })
      assert.strictEqual(reply.headers["content-type"], "application/x-protobuf")
      const { lossFnOutputs, metrics } = TrainingMessages.decodeForwardBackwardOutput(reply.bytes)
      assert.deepStrictEqual(lossFnOutputs.map((output) => output.logprobs!.shape), [[2], [1]])
      const losses = lossFnOutputs.flatMap((output) => Array.from(output.elementwiseLoss!.data, Number))
      assert.closeTo(metrics["loss:sum"]!, losses.reduce((a, b) => a + b), 1e-6)
      const json = (yield* Wire.result(submitted)).body as { loss_fn_outputs: ReadonlyArray<Record<string, unknown>> }
      assert.deepStrictEqual(json.loss_fn_outputs[1]!.logprobs, {
        data: Array.from(lossFnOutputs[1]!.logprobs!.data, Number),
        dtype: "float32",
        shape: [1]
      })
    }).pipe(Effect.provide(Wire.server())))

  it.effect("accumulates, steps and reports the norm of the gradient", () =>
    Effect.gen(function*() {
      const { modelId } = yield* Wire.readyModel
      const loss = (submitted: Wire.Reply) =>
        Effect.map(Wire.result(submitted), ({ body }) => (body.metrics as Record<string, number>)["loss:sum"]!)
      const first = yield* Wire.forwardBackward(modelId, 1)
      const step = yield* Wire.optimStep(modelId, 2)
      const second = yield* Wire.forwardBackward(modelId, 3, { forwardOnly: true })
      const idle = yield* Wire.optimStep(modelId, 4)
      assert.isBelow(yield* loss(second), yield* loss(first))
      const norm = (submitted: Wire.Reply) =>
        Effect.map(Wire.result(submitted), ({ body }) =>
          (body.metrics as Record<string, number>)["unclipped_grad_l2:mean"]!)
      assert.isAbove(yield* norm(step), 0)
      assert.strictEqual(yield* norm(idle), 0)
    }).pipe(Effect.provide(Wire.server())))

  it.effect("fails a request with wrong data later, as the user's fault, and goes on with the next", () =>
    Effect.gen(function*() {
      const { modelId } = yield* Wire.readyModel
      let seqId = 0
      const wrong = (options: Partial<TrainingMessages.ForwardBackwardRequest>) =>
        Effect.gen(function*() {
          seqId += 1
          const { category, error } = failure(
            yield* Wire.result(yield* Wire.forwardBackward(modelId, seqId, options))
          )
          assert.strictEqual(category, "user")
          return error
        })
      const inputs = (inputs: Record<string, TensorData.TensorData>, lossFn = "cross_entropy") =>
        wrong({ data: [Wire.datum("ok!"), Wire.datum("abc", inputs)], lossFn })
      assert.include(yield* wrong({ data: [] }), "no datum")
      assert.include(yield* wrong({ lossFn: "stable_reinforce" }), "stable_reinforce")
      assert.include(yield* wrong({ lossFnConfig: { beta: 1 } }), "beta")
      assert.include(yield* wrong({ lossFn: "ppo", lossFnConfig: { clipLowThreshold: "low" } }), "clip_low_threshold")
      assert.include(yield* inputs({ weights: TensorData.float32([1]) }), "datum 1: weights has shape [1]")
      assert.include(yield* inputs({ targetTokens: TensorData.int64([1, 256]) }), "datum 1: target_tokens has 256")
      assert.include(yield* inputs({ targetTokens: TensorData.float32([1, 2]) }), "must be int64")
      assert.include(
        yield* inputs({ targetTokens: TensorData.int64([1, 2, 3, 4], [2, 2]) }),
        "weights has shape [2], and the model input has 2 tokens with 2 targets each"
      )
      assert.include(yield* inputs({ surprise: TensorData.float32([1, 2]) }), "surprise")
      assert.include(yield* inputs({ logprobs: TensorData.float32([1, 2]) }, "ppo"), "datum 0: logprobs is missing")
      const empty = { modelInput: ModelInput.fromTokens([]), lossFnInputs: {} }
      assert.include(yield* wrong({ data: [empty] }), "no tokens")
      const unknown = { ...Wire.datum("ab"), modelInput: ModelInput.fromTokens([256]) }
      assert.include(yield* wrong({ data: [unknown] }), "token 256")
      assert.include(yield* wrong({ data: [Wire.datum("a".repeat(1026))] }), "1025 tokens")
      assert.include(
        failure(yield* Wire.result(yield* Wire.optimStep(modelId, seqId + 1, { beta1: 1 }))).error,
        "beta1"
      )
      const last = yield* Wire.result(yield* Wire.optimStep(modelId, seqId + 2))
      assert.deepStrictEqual(last.body, { metrics: { "unclipped_grad_l2:mean": 0 } })
    }).pipe(Effect.provide(Wire.server())))

  it.effect("takes weights of one where there are none", () =>
    Effect.gen(function*() {
      const { modelId } = yield* Wire.readyModel
      const { modelInput, lossFnInputs: { targetTokens } } = Wire.datum("abc")
      const bare = { modelInput, lossFnInputs: { targetTokens: targetTokens! } }
      const weighted = Wire.datum("abc", { weights: TensorData.float32([1, 1]) })
      const { body } = yield* Wire.result(yield* Wire.forwardBackward(modelId, 1, { data: [bare, weighted] }))
      const [a, b] = body.loss_fn_outputs as ReadonlyArray<unknown>
      assert.deepStrictEqual(a, b)
    }).pipe(Effect.provide(Wire.server())))

  it.effect("steps with the settings of its own optimizer alone", () =>
    Effect.gen(function*() {
      const { modelId } = yield* Wire.readyModel
      const submitted = yield* Wire.post("optim_step", {
        model_id: modelId,
        seq_id: 1,
        optimizer_params: { type: "dimuon", learning_rate: 0.1 }
      })
      const { category, error } = failure(yield* Wire.result(submitted))
      assert.strictEqual(category, "user")
      assert.include(error, "dimuon")
    }).pipe(Effect.provide(Wire.server())))

  it.effect("refuses what it cannot read, without holding up the model", () =>
    Effect.gen(function*() {
      const { modelId } = yield* Wire.readyModel
      assert.strictEqual((yield* Wire.postBytes("forward_backward", new Uint8Array([255, 1]))).status, 422)
      assert.strictEqual((yield* Wire.post("forward_backward", {})).status, 422)
      assert.strictEqual((yield* Wire.postBytes("forward_backward", new Uint8Array(0), "text/plain")).status, 415)
      assert.strictEqual((yield* Wire.forwardBackward(modelId, 0)).status, 422)
      assert.strictEqual((yield* Wire.forwardBackward("no model", 1)).status, 404)
      const unreadable = { model_id: modelId, seq_id: 1, adam_params: { learning_rate: "fast" } }
      assert.strictEqual((yield* Wire.post("optim_step", unreadable)).status, 422)
      const later = yield* Wire.optimStep(modelId, 2)
      assert.property((yield* Wire.result(later)).body, "metrics")
    }).pipe(Effect.provide(Wire.server())))

  it.effect("runs requests in the order of their numbers, once each", () =>
    Effect.gen(function*() {
      const { modelId } = yield* Wire.readyModel
      const step = yield* Wire.optimStep(modelId, 2)
      const pass = yield* Wire.forwardBackward(modelId, 1)
      assert.deepStrictEqual((yield* Wire.optimStep(modelId, 2)).body, step.body)
      assert.strictEqual((yield* Wire.optimStep(modelId, 2, { beta1: 0.5 })).status, 400)
      assert.property((yield* Wire.result(pass)).body, "metrics")
      const { metrics } = (yield* Wire.result(step)).body as { metrics: Record<string, number> }
      assert.isAbove(metrics["unclipped_grad_l2:mean"]!, 0)
    }).pipe(Effect.provide(Wire.server())))

  it.effect("says what a request waits for, after holding the question for 40 seconds", () =>
    Effect.gen(function*() {
      const { modelId } = yield* Wire.readyModel
      const submitted = yield* Wire.optimStep(modelId, 3)
      const asking = yield* Effect.fork(Wire.result(submitted))
      yield* TestClock.adjust("39 seconds")
      assert.isTrue((yield* Fiber.poll(asking))._tag === "None")
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual((yield* Fiber.join(asking)).body, {
        type: "try_again",
        request_id: submitted.body.request_id,
        queue_state: "active",
        queue_state_reason: "waiting for request 1 of this model"
      })
    }).pipe(Effect.provide(Wire.server())))

  it.effect("answers a held question as soon as the result is there", () =>
    Effect.gen(function*() {
      const { modelId } = yield* Wire.readyModel
      const asking = yield* Effect.fork(Effect.flatMap(Wire.forwardBackward(modelId, 1), Wire.result))
      yield* TestClock.adjust("3 seconds")
      assert.property((yield* Fiber.join(asking)).body, "metrics")
    }).pipe(Effect.provide(Wire.server({ engine: { stepDuration: "3 seconds" } }))))
})

describe("TinkerProtocol: results", () => {
  it.effect("gives a result as often as it is asked for, until it is forgotten", () =>
    Effect.gen(function*() {
      const { modelId } = yield* Wire.readyModel
      const submitted = yield* Wire.forwardBackward(modelId, 1)
      const first = yield* Wire.result(submitted)
      yield* TestClock.adjust("59 minutes")
      assert.deepStrictEqual((yield* Wire.result(submitted)).body, first.body)
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* Wire.result(submitted)).status, 410)
      assert.strictEqual((yield* Wire.post("retrieve_future", { request_id: "other" })).status, 404)
    }).pipe(Effect.provide(Wire.server())))

  it.effect("tells the size of a large result first, to those who allow it", () =>
    Effect.gen(function*() {
      const { modelId } = yield* Wire.readyModel
      const submitted = yield* Wire.forwardBackward(modelId, 1)
      const { bytes } = yield* Wire.result(submitted, { protobuf: true })
      const reply = yield* Wire.post("retrieve_future", {
        request_id: submitted.body.request_id,
        allow_metadata_only: true
      })
      assert.deepStrictEqual(reply.body, { status: "complete_metadata", response_payload_size: bytes.length })
    }).pipe(Effect.provide(Wire.server({ protocol: { maxUnannouncedBytes: 10 } }))))
})

describe("TinkerProtocol: sampling", () => {
  it.effect("samples, names the sequences beforehand, and gives the same for the same seed", () =>
    Effect.gen(function*() {
      const { body: { sampling_session_id: id } } = yield* Wire.createSampler(yield* Wire.createSession)
      const submitted = yield* Wire.sample(id, { num_samples: 2, prompt_logprobs: true, topk_prompt_logprobs: 2 })
      assert.deepStrictEqual(submitted.body.sample_sequence_ids, [`${id}:0:0`, `${id}:0:1`])
      const { bytes } = yield* Wire.result(submitted, { protobuf: true })
      const response = SamplingMessages.decodeSampleResponse(bytes, [])
      assert.deepStrictEqual(response.sequences.map(({ stopReason, tokens }) => [stopReason, tokens.length]), [
        ["length", 4],
        ["length", 4]
      ])
      const again = yield* Wire.sample(id, {
        seq_id: 1,
        num_samples: 2,
        prompt_logprobs: true,
        topk_prompt_logprobs: 2
      })
      const json = (yield* Wire.result(again)).body as {
        sequences: ReadonlyArray<{ tokens: ReadonlyArray<number> }>
        prompt_logprobs: ReadonlyArray<number | null>
        topk_prompt_logprobs: ReadonlyArray<ReadonlyArray<readonly [number, number]> | null>
      }
      assert.deepStrictEqual(
        json.sequences.map((sequence) => sequence.tokens),
        response.sequences.map((sequence) => [...sequence.tokens])
      )
      assert.deepStrictEqual(json.prompt_logprobs, [null, response.promptLogprobs![1]!])
      assert.isNull(json.topk_prompt_logprobs[0])
      assert.strictEqual(json.topk_prompt_logprobs[1]!.length, 2)
    }).pipe(Effect.provide(Wire.server())))

  it.effect("makes one sampler and one sample of requests that are sent twice", () =>
    Effect.gen(function*() {
      const sessionId = yield* Wire.createSession
      const first = yield* Wire.createSampler(sessionId)
      assert.strictEqual(first.body.sampling_session_id, `${sessionId}:sample:0`)
      assert.deepStrictEqual((yield* Wire.createSampler(sessionId)).body, first.body)
      const id = first.body.sampling_session_id
      assert.deepStrictEqual((yield* Wire.sample(id)).body, (yield* Wire.sample(id)).body)
      assert.strictEqual((yield* Wire.sample(id, { num_samples: 3 })).status, 400)
    }).pipe(Effect.provide(Wire.server())))

  it.effect("tells apart sequence numbers that only differ beyond the precision of a number", () =>
    Effect.gen(function*() {
      const { body: { sampling_session_id: id } } = yield* Wire.createSampler(yield* Wire.createSession)
      const numbered = (seqId: string) =>
        Wire.post(
          "asample",
          `{"sampling_session_id":"${id}","seq_id":${seqId},"prompt":{"chunks":[{"tokens":[1]}]},`
            + `"sampling_params":{"max_tokens":1}}`
        )
      const ids = [yield* numbered("999999999000000001"), yield* numbered("999999999000000002")]
      assert.deepStrictEqual(ids.map(({ body }) => body.request_id), [
        `${id}:999999999000000001`,
        `${id}:999999999000000002`
      ])
    }).pipe(Effect.provide(Wire.server())))

  it.effect("leaves the sequences without names when told so", () =>
    Effect.gen(function*() {
      const { body: { sampling_session_id: id } } = yield* Wire.createSampler(yield* Wire.createSession)
      const submitted = yield* Wire.sample(id)
      assert.deepStrictEqual(submitted.body, { request_id: `${id}:0` })
      assert.deepStrictEqual((yield* Wire.sample(id)).body, submitted.body)
    }).pipe(Effect.provide(Wire.server({ protocol: { dialect: Dialect.withoutSequenceIds } }))))

  it.effect("numbers the clients that join a sampling session", () =>
    Effect.gen(function*() {
      const { body: { sampling_session_id: id } } = yield* Wire.createSampler(yield* Wire.createSession)
      const join = (id: unknown) => Wire.post("join_sampling_session", { sampling_session_id: id })
      assert.strictEqual((yield* join(id)).body.client_counter, 1)
      assert.strictEqual((yield* join(id)).body.client_counter, 2)
      assert.strictEqual((yield* join("other")).status, 404)
    }).pipe(Effect.provide(Wire.server())))

  it.effect("says what a sampler samples from", () =>
    Effect.gen(function*() {
      const { body: { sampling_session_id: id } } = yield* Wire.createSampler(yield* Wire.createSession)
      assert.deepStrictEqual((yield* Wire.get(`samplers/${id}`)).body, { sampler_id: id, base_model: "bigram" })
      assert.strictEqual((yield* Wire.get("samplers/other")).status, 404)
    }).pipe(Effect.provide(Wire.server())))

  it.effect("says what a sampler has sampled from when its session is finished, and samples from it no more", () =>
    Effect.gen(function*() {
      const sessionId = yield* Wire.createSession
      const { body: { sampling_session_id: id } } = yield* Wire.createSampler(sessionId)
      const told = yield* Wire.get(`samplers/${id}`)
      yield* Wire.post(`sessions/${sessionId}/finish`, { reason: { type: "success" }, detail: null })
      const after = yield* Wire.get(`samplers/${id}`)
      assert.deepStrictEqual([after.status, after.body], [200, told.body])
      assert.strictEqual((yield* Wire.sample(id)).status, 410)
    }).pipe(Effect.provide(Wire.server())))

  it.effect("refuses a sampler of nothing it has", () =>
    Effect.gen(function*() {
      const sessionId = yield* Wire.createSession
      const status = (options: Record<string, unknown>) =>
        Effect.map(Wire.createSampler(sessionId, options), (reply) => reply.status)
      assert.strictEqual(yield* status({ base_model: undefined }), 400)
      assert.strictEqual(yield* status({ base_model: "llama" }), 400)
      assert.strictEqual(yield* status({ model_path: "elsewhere" }), 400)
      assert.strictEqual(yield* status({ model_path: "tinker://run/weights/none" }), 404)
    }).pipe(Effect.provide(Wire.server())))

  it.effect("fails a sample that cannot be, as the user's fault", () =>
    Effect.gen(function*() {
      const { body: { sampling_session_id: id } } = yield* Wire.createSampler(yield* Wire.createSession)
      let seqId = 0
      const error = (options: Record<string, unknown>) =>
        Effect.gen(function*() {
          seqId += 1
          const { category, error } = failure(
            yield* Wire.result(yield* Wire.sample(id, { ...options, seq_id: seqId }))
          )
          assert.strictEqual(category, "user")
          return error
        })
      const tokens = (tokens: ReadonlyArray<number>) => ({ prompt: { chunks: [{ type: "encoded_text", tokens }] } })
      assert.include(yield* error(tokens([])), "no tokens")
      assert.include(yield* error(tokens([300])), "token 300")
      assert.include(yield* error(tokens(new Array(1024).fill(1))), "fills the context")
      assert.include(yield* error({ sampling_params: { temperature: -1 } }), "temperature")
      assert.include(
        yield* error({ prompt: { chunks: [{ type: "image_asset_pointer", location: "x", format: "png" }] } }),
        "text alone"
      )
      assert.strictEqual((yield* Wire.sample(id, { num_samples: 0 })).status, 400)
      assert.strictEqual((yield* Wire.sample(id, { seq_id: undefined })).status, 422)
    }).pipe(Effect.provide(Wire.server())))

  it.effect("takes what the context leaves when no length is given, and never more", () =>
    Effect.gen(function*() {
      const { body: { sampling_session_id: id } } = yield* Wire.createSampler(yield* Wire.createSession)
      const lengthOf = (seqId: number, params: Record<string, unknown>) =>
        Effect.map(
          Effect.flatMap(Wire.sample(id, { seq_id: seqId, sampling_params: params }), Wire.result),
          ({ body }) => (body.sequences as ReadonlyArray<{ tokens: ReadonlyArray<number> }>)[0]!.tokens.length
        )
      assert.strictEqual(yield* lengthOf(1, {}), 30)
      assert.strictEqual(yield* lengthOf(2, { max_tokens: 100 }), 30)
    }).pipe(Effect.provide(Wire.server({ engine: { maxContextLength: 32 } }))))

  it.effect("ends at the model's own end, unless the list of stops is empty", () =>
    Effect.gen(function*() {
      const { body: { sampling_session_id: id } } = yield* Wire.createSampler(yield* Wire.createSession)
      const ending = (seqId: number, params: Record<string, unknown>) =>
        Effect.map(
          Effect.flatMap(
            Wire.sample(id, { seq_id: seqId, sampling_params: { max_tokens: 3, ...params } }),
            Wire.result
          ),
          ({ body }) => {
            type Sequence = { readonly stop_reason: string; readonly tokens: ReadonlyArray<number> }
            const [sequence] = body.sequences as ReadonlyArray<Sequence>
            return [sequence!.stop_reason, sequence!.tokens.length]
          }
        )
      assert.deepStrictEqual(yield* ending(1, {}), ["stop", 1])
      assert.deepStrictEqual(yield* ending(2, { stop: "no such text" }), ["stop", 1])
      assert.deepStrictEqual(yield* ending(3, { stop: [] }), ["length", 3])
    }).pipe(Effect.provide(Wire.server({ engine: { eosTokens: Array.from({ length: 256 }, (_, i) => i) } }))))

  it.effect("stops a sample that is cancelled, and takes any other id in silence", () =>
    Effect.gen(function*() {
      const { body: { sampling_session_id: id } } = yield* Wire.createSampler(yield* Wire.createSession)
      const submitted = yield* Wire.sample(id)
      assert.strictEqual((yield* Wire.post("cancel_future", { request_id: submitted.body.request_id })).status, 200)
      assert.include(failure(yield* Wire.result(submitted)).error, "cancelled")
      assert.strictEqual((yield* Wire.post("cancel_future", { request_id: "other" })).status, 200)
    }).pipe(Effect.provide(Wire.server({ engine: { stepDuration: "1 minute" } }))))
})

describe("TinkerProtocol: checkpoints", () => {
  const trained = Effect.gen(function*() {
    const { modelId, sessionId } = yield* Wire.readyModel
    yield* Wire.forwardBackward(modelId, 1)
    yield* Wire.optimStep(modelId, 2)
    const saved = yield* Wire.result(
      yield* Wire.post("save_weights", { model_id: modelId, seq_id: 3, path: "one", user_metadata: { a: "b" } })
    )
    return { modelId, sessionId, path: String(saved.body.path) }
  })

  /** Loss of the same data, and the norm after one more step, which depends on the optimizer's state. */
  const goOn = (modelId: string, seqId: number) =>
    Effect.gen(function*() {
      yield* Wire.forwardBackward(modelId, seqId)
      yield* Wire.optimStep(modelId, seqId + 1)
      return (yield* Wire.result(yield* Wire.forwardBackward(modelId, seqId + 2))).body
    })

  it.effect("saves under a name, once, unless told to overwrite", () =>
    Effect.gen(function*() {
      const { modelId, path } = yield* trained
      assert.strictEqual(path, `tinker://${modelId}/weights/one`)
      const save = (seqId: number, options: Record<string, unknown>) =>
        Effect.flatMap(Wire.post("save_weights", { model_id: modelId, seq_id: seqId, ...options }), Wire.result)
      // Clients repeat a 409.
      assert.deepStrictEqual(failure(yield* save(4, { path: "one" })), {
        error: `the checkpoint ${path} exists already: take another name, or set overwrite to replace it`,
        category: "user"
      })
      assert.strictEqual((yield* save(5, { path: "one", overwrite: true })).body.path, path)
      assert.strictEqual((yield* save(6, {})).body.path, `tinker://${modelId}/weights/000006`)
      assert.strictEqual(failure(yield* save(7, { path: "../up" })).category, "user")
    }).pipe(Effect.provide(Wire.server())))

  it.effect("saves for as long as a checkpoint may be kept, and not for less or more", () =>
    Effect.gen(function*() {
      const store = yield* CheckpointStore.CheckpointStore
      const { modelId } = yield* Wire.readyModel
      let seqId = 0
      const save = (kind: string, ttl: number, options: Record<string, unknown>) =>
        Effect.flatMap(
          Wire.post(kind, { model_id: modelId, seq_id: ++seqId, ttl_seconds: ttl, ...options }),
          Wire.result
        )
      const kinds = ["save_weights", "save_weights_for_sampler", "save_weights_external"]
      for (const kind of kinds) {
        for (const ttl of [-1, 0, 3599, 315_360_001, 8_640_000_000_000, Number.MAX_SAFE_INTEGER]) {
          const { category, error } = failure(yield* save(kind, ttl, { path: "none" }))
          assert.strictEqual(category, "user")
          assert.include(error, "it must be from 3600 to 315360000")
        }
      }
      const unnamed = yield* save("save_weights_for_sampler", 60, { sampling_session_seq_id: 0 })
      assert.include(failure(unnamed).error, "ttl_seconds is 60")
      assert.deepStrictEqual(yield* store.list, [])
      for (const kind of kinds) {
        yield* save(kind, 3600, { path: "hour" })
        yield* save(kind, 315_360_000, { path: "years" })
      }
      assert.lengthOf(yield* store.list, 6)
    }).pipe(Effect.provide(Wire.server())))

  it.effect("takes a save that is sent again for the same, though its name is taken by then", () =>
    Effect.gen(function*() {
      const { modelId } = yield* trained
      const sent = { model_id: modelId, seq_id: 3, path: "one", user_metadata: { a: "b" } }
      const again = yield* Wire.post("save_weights", sent)
      assert.strictEqual(again.status, 200)
      assert.strictEqual((yield* Wire.result(again)).body.type, "save_weights")
      for (const kind of ["save_weights_for_sampler", "save_weights_external"]) {
        const seqId = kind === "save_weights_external" ? 5 : 4
        const save = (seqId: number) => Wire.post(kind, { model_id: modelId, seq_id: seqId, path: "one" })
        const first = yield* save(seqId)
        assert.property((yield* Wire.result(first)).body, "path")
        assert.deepStrictEqual((yield* save(seqId)).body, first.body)
      }
    }).pipe(Effect.provide(Wire.server())))

  it.effect("fails a save under a name that is taken, of each kind, and speaks of overwriting where that can be asked for", () =>
    Effect.gen(function*() {
      const { modelId } = yield* Wire.readyModel
      let seqId = 0
      const save = (kind: string, options: Record<string, unknown> = {}) =>
        Effect.flatMap(
          Wire.post(kind, { model_id: modelId, seq_id: ++seqId, path: "one", ...options }),
          Wire.result
        )
      for (const kind of ["save_weights", "save_weights_for_sampler", "save_weights_external"]) {
        const { path } = (yield* save(kind)).body
        // Only the number differs; the second that of nothing but the note.
        for (const options of [{}, { user_metadata: { note: "second" } }]) {
          const { category, error } = failure(yield* save(kind, options))
          assert.strictEqual(category, "user")
          assert.include(error, `the checkpoint ${String(path)} exists already`)
          assert.strictEqual(error.includes("set overwrite"), kind === "save_weights")
        }
      }
      // The numbers are used, and the next request runs.
      assert.strictEqual((yield* Wire.result(yield* Wire.forwardBackward(modelId, ++seqId))).status, 200)
    }).pipe(Effect.provide(Wire.server())))

  it.effect("fails the second of two saves that wait with one name", () =>
    Effect.gen(function*() {
      const faults = yield* Faults.Faults
      const { modelId } = yield* Wire.readyModel
      yield* faults.pauseQueue({ state: "paused_capacity" })
      const save = (seqId: number) => Wire.post("save_weights", { model_id: modelId, seq_id: seqId, path: "one" })
      const replies = [yield* save(1), yield* save(2)]
      yield* faults.resumeQueue()
      assert.property((yield* Wire.result(replies[0]!)).body, "path")
      assert.strictEqual(failure(yield* Wire.result(replies[1]!)).category, "user")
    }).pipe(Effect.provide(Wire.server())))

  it.effect("saves an adapter for other programs, with its size, and encrypts it for whom the request names", () =>
    Effect.gen(function*() {
      const store = yield* CheckpointStore.CheckpointStore
      const { modelId } = yield* trained
      const save = (seqId: number, options: Record<string, unknown>) =>
        Effect.flatMap(
          Wire.post("save_weights_external", { model_id: modelId, seq_id: seqId, path: "out", ...options }),
          Wire.result
        )
      const recipient = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
      const plugin = "age1yubikey1q2w7u3vpya839jxxuq8g0sedh3d740d4xvn639sqhr95ejj8vu3hyfumptt"
      for (
        const [i, [recipients, message]] of ([
          [["someone"], "age_encryption_recipients[0] is no public key of age"],
          [[recipient, recipient.replace("z", "y")], "age_encryption_recipients[1] is a mistyped public key of age"],
          [[recipient, "ssh-ed25519 AAAA"], "age_encryption_recipients[1] is a key of SSH"],
          [[plugin], "age_encryption_recipients[0] is a key of a plugin"],
          [["AGE-SECRET-KEY-1AAAA"], "age_encryption_recipients[0] is a private key"],
          [Array(11).fill(recipient), "has 11 recipients, and may have 10"]
        ] as const).entries()
      ) {
        const refused = failure(yield* save(4 + i, { age_encryption_recipients: recipients }))
        assert.strictEqual(refused.category, "user")
        assert.include(refused.error, message)
        // Least of all a private key is said again.
        assert.notMatch(refused.error, /AAAA|age1[a-z0-9]/)
      }
      const { body } = yield* save(10, { age_encryption_recipients: [] })
      const path = `tinker://${modelId}/external_weights/out`
      assert.deepStrictEqual(body, { path, size_bytes: 256 * 256 * 4, type: "save_weights_external" })
      const encrypted = yield* save(11, { path: "secret", age_encryption_recipients: [recipient] })
      assert.strictEqual(encrypted.body.path, `tinker://${modelId}/external_weights/secret`)
      assert.isAbove(Number(encrypted.body.size_bytes), 256 * 256 * 4)
      const saved = (yield* store.list).map((info) => [info.path.checkpointType, info.encrypted === true])
      assert.deepStrictEqual(saved, [["training", false], ["external", false], ["external", true]])
      const copy = yield* Wire.post("copy_weights", { source_path: encrypted.body.path })
      assert.deepStrictEqual([copy.status, String(copy.body.detail).includes("is encrypted for others")], [400, true])
    }).pipe(Effect.provide(Wire.server())))

  it.effect("lists a run's checkpoints and tells what is known of the run", () =>
    Effect.gen(function*() {
      const sessionId = yield* Wire.createSession
      const metadata = { user_metadata: { purpose: "test", step: 1 } }
      const modelId = String((yield* Wire.createModel(sessionId, metadata)).body.model_id)
      const other = yield* Wire.createModel(sessionId, { model_seq_id: 1 })
      yield* Wire.result(other)
      yield* TestClock.adjust("1 minute")
      const send = (path: string, options: Record<string, unknown>) =>
        Effect.flatMap(Wire.post(path, { model_id: modelId, ...options }), Wire.result)
      yield* send("save_weights", { seq_id: 1, path: "one", ttl_seconds: 3600, user_metadata: { a: "b" } })
      yield* TestClock.adjust("1 minute")
      yield* send("save_weights_for_sampler", { seq_id: 2, path: "two" })
      const checkpoints = (yield* Wire.get(`training_runs/${modelId}/checkpoints`)).body
      const bytes = 256 * 256 * 4
      const first = {
        checkpoint_id: "weights/one",
        checkpoint_type: "training",
        time: "1970-01-01T00:01:00.000Z",
        tinker_path: `tinker://${modelId}/weights/one`,
        size_bytes: bytes,
        public: false,
        user_metadata: { a: "b" },
        expires_at: "1970-01-01T01:01:00.000Z"
      }
      const second = {
        checkpoint_id: "sampler_weights/two",
        checkpoint_type: "sampler",
        time: "1970-01-01T00:02:00.000Z",
        tinker_path: `tinker://${modelId}/sampler_weights/two`,
        size_bytes: bytes,
        public: false,
        user_metadata: {},
        expires_at: null
      }
      assert.deepStrictEqual(checkpoints, { checkpoints: [first, second], cursor: null })
      assert.deepStrictEqual((yield* Wire.get(`training_runs/${modelId}?access_scope=owned`)).body, {
        training_run_id: modelId,
        base_model: "bigram",
        model_owner: "local",
        is_lora: true,
        corrupted: false,
        lora_rank: 8,
        last_request_time: "1970-01-01T00:02:00.000Z",
        last_checkpoint: first,
        last_sampler_checkpoint: second,
        user_metadata: { purpose: "test", step: "1" }
      })
      const empty = yield* Wire.get(`training_runs/${sessionId}:train:1/checkpoints`)
      assert.deepStrictEqual(empty.body.checkpoints, [])
      assert.strictEqual((yield* Wire.get("training_runs/none")).status, 404)
      assert.strictEqual((yield* Wire.get("training_runs/none/checkpoints")).status, 404)
    }).pipe(Effect.provide(Wire.server())))

  it.effect("tells what a checkpoint is", () =>
    Effect.gen(function*() {
      const { path } = yield* trained
      assert.deepStrictEqual((yield* Wire.post("weights_info", { tinker_path: path })).body, {
        base_model: "bigram",
        optimizer_config: { type: "adamw" },
        is_lora: true,
        lora_rank: 8,
        train_unembed: true,
        train_mlp: true,
        train_attn: true
      })
      assert.strictEqual((yield* Wire.post("weights_info", { tinker_path: "one" })).status, 400)
      assert.strictEqual((yield* Wire.post("weights_info", { tinker_path: `${path}x` })).status, 404)
    }).pipe(Effect.provide(Wire.server())))

  it.effect("makes a model from a checkpoint that goes on as if never stopped", () =>
    Effect.gen(function*() {
      const { modelId, path, sessionId } = yield* trained
      const load = { session_id: sessionId, model_seq_id: 1, path, optimizer: true }
      const submitted = yield* Wire.post("load_weights", load)
      assert.strictEqual(submitted.body.model_id, `${sessionId}:train:1`)
      assert.strictEqual((yield* Wire.result(submitted)).body.model_id, `${sessionId}:train:1`)
      assert.deepStrictEqual((yield* Wire.post("load_weights", load)).body, submitted.body)
      assert.strictEqual((yield* Wire.post("get_info", { model_id: `${sessionId}:train:1` })).body.lora_rank, 8)
      assert.deepStrictEqual(yield* goOn(`${sessionId}:train:1`, 1), yield* goOn(modelId, 4))
    }).pipe(Effect.provide(Wire.server())))

  it.effect("loads into a model that has done nothing yet, with a fresh optimizer when asked", () =>
    Effect.gen(function*() {
      const { modelId, path, sessionId } = yield* trained
      yield* Wire.createModel(sessionId, { model_seq_id: 1 })
      const fresh = `${sessionId}:train:1`
      const loaded = yield* Wire.post("load_weights", { model_id: fresh, seq_id: 1, path, optimizer: false })
      assert.strictEqual((yield* Wire.result(loaded)).body.path, path)
      assert.notDeepEqual(yield* goOn(fresh, 2), yield* goOn(modelId, 4))
    }).pipe(Effect.provide(Wire.server())))

  it.effect("refuses to load what does not fit", () =>
    Effect.gen(function*() {
      const { modelId, path, sessionId } = yield* trained
      const create = (options: Record<string, unknown>) =>
        Wire.post("load_weights", { session_id: sessionId, model_seq_id: 1, path, optimizer: true, ...options })
      assert.strictEqual((yield* create({ path: "one" })).status, 400)
      assert.strictEqual((yield* create({ path: `${path}x` })).status, 404)
      assert.strictEqual((yield* create({ base_model: "llama" })).status, 400)
      const load = (modelId: string, seqId: number, path: string) =>
        Effect.map(
          Effect.flatMap(
            Wire.post("load_weights", { model_id: modelId, seq_id: seqId, path, optimizer: true }),
            Wire.result
          ),
          (reply) => failure(reply).error
        )
      assert.include(yield* load(modelId, 4, path), "first request")
      yield* Wire.createModel(sessionId, { model_seq_id: 1, lora_config: { rank: 4 } })
      assert.include(yield* load(`${sessionId}:train:1`, 1, path), "rank 8")
    }).pipe(Effect.provide(Wire.server())))

  it.effect("loads into a model no adapters that it does not train, and makes models that train what was trained", () =>
    Effect.gen(function*() {
      const { path, sessionId } = yield* trained
      const load = (where: Record<string, unknown>, path: unknown) =>
        Effect.flatMap(Wire.post("load_weights", { path, optimizer: true, ...where }), Wire.result)
      const flags = { train_mlp: false, train_unembed: false }
      yield* Wire.createModel(sessionId, { model_seq_id: 1, lora_config: { rank: 8, ...flags } })
      const { category, error } = failure(yield* load({ model_id: `${sessionId}:train:1`, seq_id: 1 }, path))
      assert.strictEqual(category, "user")
      assert.strictEqual(
        error,
        "the checkpoint has train_mlp true, train_unembed true, the model train_mlp false, train_unembed false"
      )
      const saved = yield* Wire.result(
        yield* Wire.post("save_weights", { model_id: `${sessionId}:train:1`, seq_id: 2, path: "attention" })
      )
      yield* Wire.createModel(sessionId, { model_seq_id: 2, lora_config: { rank: 8, ...flags } })
      const same = yield* load({ model_id: `${sessionId}:train:2`, seq_id: 1 }, saved.body.path)
      assert.strictEqual(same.body.type, "load_weights")
      yield* load({ session_id: sessionId, model_seq_id: 3 }, saved.body.path)
      const again = yield* Wire.result(
        yield* Wire.post("save_weights", { model_id: `${sessionId}:train:3`, seq_id: 1, path: "again" })
      )
      const { body } = yield* Wire.post("weights_info", { tinker_path: again.body.path })
      assert.deepInclude(body, { train_attn: true, ...flags })
    }).pipe(Effect.provide(Wire.server())))

  it.effect("takes a session that is null for none when weights are loaded", () =>
    Effect.gen(function*() {
      const { path, sessionId } = yield* trained
      yield* Wire.createModel(sessionId, { model_seq_id: 1 })
      const into = { model_id: `${sessionId}:train:1`, seq_id: 1, session_id: null, model_seq_id: null }
      const loaded = yield* Wire.post("load_weights", { ...into, path, optimizer: true })
      assert.strictEqual(loaded.status, 200)
      assert.strictEqual((yield* Wire.result(loaded)).body.type, "load_weights")
    }).pipe(Effect.provide(Wire.server())))

  it.effect("refuses to make a model by loading when told so, and loads into one that exists", () =>
    Effect.gen(function*() {
      const { path, sessionId } = yield* trained
      const load = (where: Record<string, unknown>) => Wire.post("load_weights", { path, optimizer: true, ...where })
      const refused = yield* load({ session_id: sessionId, model_seq_id: 1 })
      assert.strictEqual(refused.status, 400)
      assert.include(String(refused.body.detail), "model_id")
      const { body } = yield* Wire.createModel(sessionId, { model_seq_id: 1 })
      assert.property((yield* Wire.result(yield* load({ model_id: body.model_id, seq_id: 1 }))).body, "path")
      const config = yield* Wire.post("client/config", { sdk_version: "0.38.0" })
      assert.isFalse(config.body.create_model_via_load_weights)
    }).pipe(Effect.provide(Wire.server({ protocol: { dialect: Dialect.withoutCreateByLoading() } }))))

  it.effect("takes a key of its own for the weights of another account, and no other", () =>
    Effect.gen(function*() {
      const key = { "x-api-key": "tml-one" }
      const post = (path: string, body: unknown) => Wire.post(path, body, key)
      const sessionId = (yield* post("create_session", { tags: [], sdk_version: "0.38.0" })).body.session_id
      const model = { session_id: sessionId, base_model: "bigram", lora_config: { rank: 8 } }
      const first = (yield* post("create_model", { ...model, model_seq_id: 0 })).body.model_id
      const second = (yield* post("create_model", { ...model, model_seq_id: 1 })).body.model_id
      const saved = yield* post("save_weights", { model_id: first, seq_id: 1, path: "one" })
      const { body: { path } } = yield* post("retrieve_future", { request_id: saved.body.request_id })
      const statuses = (token: string) =>
        Effect.map(
          Effect.forEach(
            [{ session_id: sessionId, model_seq_id: 2 }, { model_id: second, seq_id: 1 }],
            (where) => post("load_weights", { ...where, path, optimizer: false, weights_access_token: token })
          ),
          (replies) => replies.map((reply) => reply.status)
        )
      assert.deepStrictEqual(yield* statuses("tml-three"), [403, 403])
      assert.deepStrictEqual(yield* statuses("tml-two"), [200, 200])
    }).pipe(Effect.provide(Wire.server({ protocol: { apiKeys: ["tml-one", "tml-two"] } }))))

  it.effect("takes weights in flight for a snapshot, without a name alone", () =>
    Effect.gen(function*() {
      const { modelId, sessionId } = yield* trained
      const save = (seqId: number, options: Record<string, unknown>) =>
        Effect.flatMap(
          Wire.post("save_weights_for_sampler", { model_id: modelId, seq_id: seqId, ...options }),
          Wire.result
        )
      const unnamed = yield* save(4, { sampling_session_seq_id: 0, kind: "inflight" })
      assert.strictEqual(unnamed.body.sampling_session_id, `${sessionId}:sample:0`)
      assert.strictEqual(failure(yield* save(5, { path: "one", kind: "inflight" })).category, "user")
      assert.strictEqual(failure(yield* save(6, { path: "one", kind: "other" })).category, "user")
    }).pipe(Effect.provide(Wire.server())))

  it.effect("saves under the number of a sampler once, and changes no sampler that is there", () =>
    Effect.gen(function*() {
      const faults = yield* Faults.Faults
      const { modelId, sessionId } = yield* trained
      const save = (seqId: number, samplerSeqId: number) =>
        Wire.post("save_weights_for_sampler", {
          model_id: modelId,
          seq_id: seqId,
          sampling_session_seq_id: samplerSeqId
        })
      const drawn = (number: number, seqId: number) =>
        Effect.map(
          Effect.flatMap(Wire.sample(`${sessionId}:sample:${number}`, { seq_id: seqId }), Wire.result),
          ({ body }) => body.sequences
        )
      yield* Wire.createSampler(sessionId)
      const before = yield* drawn(0, 0)
      const refused = yield* save(4, 0)
      assert.strictEqual(refused.status, 400)
      assert.include(String(refused.body.detail), "sampling_session_seq_id 0 of this session is taken")
      assert.deepStrictEqual(yield* drawn(0, 1), before)

      const first = yield* save(4, 1)
      assert.strictEqual((yield* Wire.result(first)).body.sampling_session_id, `${sessionId}:sample:1`)
      const again = yield* save(4, 1)
      assert.deepStrictEqual(again.body, first.body)
      assert.strictEqual((yield* Wire.result(again)).body.sampling_session_id, `${sessionId}:sample:1`)

      // Both were let in, as neither had been done.
      yield* faults.pauseQueue({ state: "paused_capacity" })
      const waiting = [yield* save(5, 2), yield* save(6, 2)]
      yield* faults.resumeQueue()
      assert.property((yield* Wire.result(waiting[0]!)).body, "sampling_session_id")
      assert.include(failure(yield* Wire.result(waiting[1]!)).error, "is taken")
    }).pipe(Effect.provide(Wire.server())))

  it.effect("makes one of two samplers that are to have the same number at once, and refuses the other", () =>
    Effect.gen(function*() {
      const { path, sessionId } = yield* trained
      const ofPath = { base_model: undefined, model_path: path }
      const [first, same, other] = yield* Effect.forEach(
        [ofPath, ofPath, {}],
        (options) => Effect.fork(Wire.createSampler(sessionId, options))
      )
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(
        [(yield* Fiber.join(first!)).status, (yield* Fiber.join(same!)).status, (yield* Fiber.join(other!)).status],
        [200, 200, 400]
      )
      const sampler = yield* Wire.get(`samplers/${sessionId}:sample:0`)
      assert.strictEqual(sampler.body.model_path, path)
    }).pipe(Effect.provide(
      TinkerServer.layerClient.pipe(
        Layer.provide(Layer.effect(
          Engine.Engine,
          Effect.map(Engine.Engine, (engine): Engine.Service => ({
            ...engine,
            createSampler: (id, options) => Effect.delay(engine.createSampler(id, options), "1 second")
          }))
        )),
        Layer.provide(BigramEngine.layer())
      )
    )))

  it.effect("refuses a sampler of other weights under the number of one that is there", () =>
    Effect.gen(function*() {
      const { path, sessionId } = yield* trained
      const create = (model_path: unknown, options: Record<string, unknown> = {}) =>
        Effect.map(
          Wire.createSampler(sessionId, { base_model: undefined, model_path, ...options }),
          ({ status }) => status
        )
      assert.strictEqual(yield* create(path), 200)
      assert.strictEqual(yield* create(path), 200)
      assert.strictEqual(yield* create(path, { base_model: "bigram" }), 200)
      assert.strictEqual(yield* create(path, { base_model: "llama" }), 400)
      assert.strictEqual(yield* create(undefined, { base_model: "bigram" }), 400)
    }).pipe(Effect.provide(Wire.server())))

  it.effect("samples from named and unnamed saves, which later steps do not change", () =>
    Effect.gen(function*() {
      const { modelId, sessionId } = yield* trained
      const save = (seqId: number, options: Record<string, unknown>) =>
        Effect.flatMap(
          Wire.post("save_weights_for_sampler", { model_id: modelId, seq_id: seqId, ...options }),
          Wire.result
        )
      const unnamed = yield* save(4, { sampling_session_seq_id: 0 })
      assert.isNull(unnamed.body.path)
      assert.strictEqual(unnamed.body.sampling_session_id, `${sessionId}:sample:0`)
      const named = yield* save(5, { path: "one" })
      assert.strictEqual(named.body.path, `tinker://${modelId}/sampler_weights/one`)
      yield* goOn(modelId, 6)
      const second = { sampling_session_seq_id: 1, base_model: undefined, model_path: named.body.path }
      const { body } = yield* Wire.createSampler(sessionId, second)
      assert.strictEqual((yield* Wire.get(`samplers/${body.sampling_session_id}`)).body.model_path, named.body.path)
      const fromUnnamed = yield* Wire.result(yield* Wire.sample(unnamed.body.sampling_session_id))
      const fromNamed = yield* Wire.result(yield* Wire.sample(body.sampling_session_id))
      assert.deepStrictEqual(fromNamed.body, fromUnnamed.body)
      const both = yield* save(9, { path: "two", sampling_session_seq_id: 2 })
      assert.strictEqual(failure(both).category, "user")
    }).pipe(Effect.provide(Wire.server())))
})
