import { HttpClient, HttpClientRequest } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Logger } from "effect"
import { type Datum, type TensorData } from "effect-tinker"
import * as BadInput from "./badInput.js"
import * as Wire from "./wire.js"

/** Of each kind; the long run is for those who change how requests are read. */
const cases = process.env.TINKER_TEST_LONG === "1" ? 10_000 : 500

const ready = Effect.gen(function*() {
  const { modelId, sessionId } = yield* Wire.readyModel
  const samplerId = String((yield* Wire.createSampler(sessionId)).body.sampling_session_id)
  return { modelId, sessionId, samplerId }
})

/** Runs the cases, and says which went wrong. */
const complaints = <E, R>(
  run: (
    next: () => number,
    seqId: number,
    ids: Effect.Effect.Success<typeof ready>
  ) => Effect.Effect<readonly [what: string, complaint: string | undefined], E, R>
) =>
  Effect.gen(function*() {
    const found: Array<string> = []
    let ids = yield* ready
    const next = BadInput.random(1)
    for (let i = 0; i < cases; i++) {
      // What is left open by a number that is skipped would hold all that follows.
      if (i % 20 === 0) ids = yield* ready
      const [what, complaint] = yield* run(next, i % 20 + 1, ids)
      if (complaint !== undefined) found.push(`case ${i}: ${what.slice(0, 300)}: ${complaint}`)
    }
    return found
  }).pipe(Effect.provide(Wire.server()), Effect.provide(Logger.remove(Logger.defaultLogger)))

const timeout = process.env.TINKER_TEST_LONG === "1" ? 600_000 : 30_000

describe("bad input", () => {
  it.effect("in one part of a body is refused, or fails by the user's fault", () =>
    Effect.gen(function*() {
      const found = yield* complaints((next, seqId, { modelId, samplerId, sessionId }) =>
        Effect.gen(function*() {
          const all = BadInput.bodies(sessionId, modelId, samplerId, seqId)
          const [path, body] = all[Math.floor(next() * all.length)]!
          const text = BadInput.mutate(body, next)
          const reply = yield* BadInput.held(Wire.post(path, text))
          return [`${path} ${text}`, BadInput.complaint(reply) ?? (yield* BadInput.settled(reply))]
        })
      )
      assert.deepStrictEqual(found, [])
    }), timeout)

  it.effect("of any bytes is refused by every route that reads a body", () =>
    Effect.gen(function*() {
      const found = yield* complaints((next, seqId, { modelId, samplerId, sessionId }) =>
        Effect.gen(function*() {
          const all = BadInput.bodies(sessionId, modelId, samplerId, seqId)
          const [path] = all[Math.floor(next() * all.length)]!
          const bytes = BadInput.noise(next)
          const type = next() < 0.5 ? "application/json" : "application/x-protobuf"
          const encoding: Record<string, string> = next() < 0.3 ? { "content-encoding": "zstd" } : {}
          const reply = yield* Wire.postBytes(path, bytes, type, encoding)
          return [`${path} ${bytes.join()}`, reply.status < 400 ? "accepted" : BadInput.complaint(reply)]
        })
      )
      assert.deepStrictEqual(found, [])
    }), timeout)

  it.effect("in protobuf is refused, or fails by the user's fault", () =>
    Effect.gen(function*() {
      const found = yield* complaints((next, seqId, { modelId }) =>
        Effect.gen(function*() {
          const bytes = BadInput.noise(next, Wire.passBytes(modelId, seqId))
          const reply = yield* Wire.postBytes("forward_backward", bytes)
          return [bytes.join(), BadInput.complaint(reply) ?? (yield* BadInput.settled(reply))]
        })
      )
      assert.deepStrictEqual(found, [])
    }), timeout)

  it.effect("in paths and queries is refused", () =>
    Effect.gen(function*() {
      const pieces = [
        "%",
        "%ff",
        "%00",
        "..%2f..",
        "a%2fb",
        "weights",
        "x".repeat(3000),
        "%f0%9f%98%80",
        ":",
        "train:0",
        "''"
      ]
      const queries = [
        "limit=1e9",
        "limit=NaN",
        "offset=-1",
        "offset=9007199254740993",
        "day=%ff",
        "%=1",
        "access_scope="
      ]
      const found = yield* complaints((next) =>
        Effect.gen(function*() {
          const pick = (from: ReadonlyArray<string>) => from[Math.floor(next() * from.length)]!
          const bases = [
            "training_runs",
            "sessions",
            "samplers",
            "checkpoints",
            "audit",
            "billing/usage/events",
            "../files",
            `training_runs/${pick(pieces)}/checkpoints`,
            `training_runs/${pick(pieces)}/checkpoints/weights`
          ]
          const path = `${pick(bases)}/${pick(pieces)}${next() < 0.5 ? `/${pick(pieces)}` : ""}?${pick(queries)}`
          const method = pick(["GET", "POST", "PUT", "DELETE"]) as "GET" | "POST"
          const reply = yield* Effect.flatMap(
            HttpClient.execute(HttpClientRequest.make(method)(`http://tinker/api/v1/${path}`)),
            (reply) => Effect.map(reply.text, (text) => ({ status: reply.status, text }))
          )
          const isTold = reply.status < 400 || reply.text.startsWith("{\"detail\":")
          return [`${method} ${path}`, reply.status >= 500 || !isTold ? `${reply.status} ${reply.text}` : undefined]
        })
      )
      assert.deepStrictEqual(found, [])
    }), timeout)

  it.effect("is refused with what is wrong", () =>
    Effect.gen(function*() {
      const { modelId, samplerId, sessionId } = yield* ready
      const other = yield* ready
      const said = (call: ReturnType<typeof Wire.post>) =>
        Effect.map(call, ({ body, status }) => `${status} ${JSON.stringify(body.detail)}`)
      const step = (text: string) =>
        said(Wire.post("optim_step", `{"model_id":"${modelId}","seq_id":${text},"adam_params":{"learning_rate":0.1}}`))
      for (const seqId of ["9223372036854775808", "1e300", "0", "-1", "1.5", "null", "\"1\""]) {
        assert.match(yield* step(seqId), /^422 .*seq_id/, seqId)
      }
      assert.match(yield* step("NaN"), /^422 .*not JSON/)
      const model = { base_model: "bigram", lora_config: { rank: 8 }, session_id: sessionId }
      for (const seqId of [-1, 1e300, 0.5]) {
        assert.match(yield* said(Wire.post("create_model", { ...model, model_seq_id: seqId })), /^4.*model_seq_id/)
        const sampler = Wire.createSampler(sessionId, { sampling_session_seq_id: seqId })
        assert.match(yield* said(sampler), /^4.*sampling_session_seq_id/)
      }
      // Ids are of the session that they begin with, and its end is their end.
      yield* Wire.post(`sessions/${other.sessionId}/finish`, { reason: { type: "success" }, detail: null })
      assert.match(yield* said(Wire.optimStep(other.modelId, 1)), /^410 .*finished/)
      assert.match(yield* said(Wire.sample(modelId)), /^404 .*no sampler/)
      assert.match(yield* said(Wire.optimStep(samplerId, 1)), /^404 .*no model/)
      const failed = (call: ReturnType<typeof Wire.post>) =>
        Effect.map(Effect.flatMap(call, Wire.result), ({ body }) => `${String(body.category)}: ${String(body.error)}`)
      assert.match(yield* failed(Wire.forwardBackward(modelId, 1, { data: [] })), /^user: there is no datum/)
      const nan = { adam_params: { learning_rate: 1, eps: 0 }, model_id: modelId, seq_id: 2 }
      assert.match(yield* failed(Wire.post("optim_step", nan)), /^user: .*eps/)
      const names = ["../x", "a/b", ".hidden", "", "x".repeat(201), "a\u0000b"]
      for (const [i, path] of names.entries()) {
        const save = Wire.post("save_weights", { model_id: modelId, seq_id: 3 + i, path })
        assert.match(yield* failed(save), /^user: .*no checkpoint name/, path)
      }
      const sample = Wire.sample(samplerId, { prompt: { chunks: [{ type: "encoded_text", tokens: [300] }] } })
      assert.match(yield* failed(sample), /^user: .*token 300/)
    }).pipe(Effect.provide(Wire.server())))

  it.effect("that is made of very many small parts is refused before they take memory", () =>
    Effect.gen(function*() {
      const { samplerId } = yield* ready
      const parts = 300_000
      const datum = Uint8Array.of(0x1a, 0)
      const data = new Uint8Array(2 * parts)
      for (let i = 0; i < parts; i++) data.set(datum, 2 * i)
      const pass = yield* Wire.postBytes("forward_backward", data)
      assert.match(`${pass.status} ${String(pass.body.detail)}`, /^422 .*more than \d+ parts/)
      // One datum with one tensor, of a shape with as many dimensions.
      const inside = (field: number, content: Uint8Array) => {
        const length: Array<number> = []
        for (let rest = content.length; rest > 0; rest = Math.floor(rest / 128)) {
          length.push(rest % 128 + (rest < 128 ? 0 : 128))
        }
        return Buffer.concat([Uint8Array.of(field * 8 + 2, ...length), content])
      }
      const shape = inside(3, inside(2, inside(2, inside(4, new Uint8Array(parts)))))
      assert.match(
        String((yield* Wire.postBytes("forward_backward", shape)).body.detail),
        /more than \d+ parts/
      )
      const many = yield* Wire.post("telemetry", `[${"[],".repeat(parts)}[]]`)
      assert.strictEqual(many.status, 422)
      assert.match(JSON.stringify(many.body.detail), /more than \d+ parts/)
      const long = yield* Wire.post("telemetry", `{"events":"${"x".repeat(3_000_000)}"}`)
      assert.strictEqual(long.status, 422)
      assert.isBelow(long.bytes.length, 3000)
      const sample = Wire.sample(samplerId, {
        prompt: { chunks: [{ type: "encoded_text", tokens: [[...Array(3000)]] }] }
      })
      assert.isBelow((yield* sample).bytes.length, 3000)
    }).pipe(Effect.provide(Wire.server())))

  it.effect("asks for no more scores than fit an answer", () =>
    Effect.gen(function*() {
      const { modelId, samplerId } = yield* ready
      const said = (call: ReturnType<typeof Wire.post>) =>
        Effect.map(Effect.flatMap(call, Wire.result), ({ body }) => `${String(body.category)}: ${String(body.error)}`)
      const sampling_params = { max_tokens: 100, seed: 1 }
      const many = { num_samples: 1000, topk_sample_logprobs: 100_000, sampling_params }
      assert.match(
        yield* said(Wire.sample(samplerId, many)),
        /^user: topk_sample_logprobs for 2 tokens of prompt and up to 100000 of answers are 25600000 log-prob.* for 2097152/
      )
      const none = new BigInt64Array(0)
      const wide: Record<string, TensorData.TensorData> = {
        targetTokens: {
          dtype: "int64",
          data: none,
          shape: [6, 257],
          sparse: { crowIndices: new BigInt64Array(7), colIndices: none }
        }
      }
      const pass = (data: ReadonlyArray<Datum.Datum>, seqId: number) =>
        said(Wire.forwardBackward(modelId, seqId, { data }))
      assert.match(yield* pass([Wire.datum("hello!", wide)], 1), /257 targets for each token.* 256 tokens/)
    }).pipe(Effect.provide(Wire.server())))

  it.effect("is none where null stands for what may be left out, or a seed has 64 bits", () =>
    Effect.gen(function*() {
      const { samplerId, sessionId } = yield* ready
      const model = yield* Wire.createModel(sessionId, { model_seq_id: 7, lora_config: { rank: 8, seed: null } })
      assert.strictEqual(model.status, 200)
      const sampled = (seq_id: number, sampling_params: Record<string, unknown>) =>
        Effect.map(
          Effect.flatMap(Wire.sample(samplerId, { seq_id, sampling_params }), Wire.result),
          ({ body }) => JSON.stringify(body.sequences)
        )
      const nulls = { max_tokens: null, seed: null, stop: null, temperature: 0 }
      assert.strictEqual(yield* sampled(0, nulls), yield* sampled(1, { temperature: 0 }))
      const large = { max_tokens: 20, seed: 2 ** 63 }
      assert.strictEqual(yield* sampled(2, large), yield* sampled(3, large))
      assert.notStrictEqual(yield* sampled(4, large), yield* sampled(5, { max_tokens: 20, seed: 2 ** 62 + 2 ** 20 }))
      for (const seed of [1.5, "x"]) {
        const refused = yield* Wire.createModel(sessionId, { model_seq_id: 8, lora_config: { rank: 8, seed } })
        assert.isAtLeast(refused.status, 400)
        assert.isBelow(refused.status, 500)
      }
    }).pipe(Effect.provide(Wire.server())))
})
