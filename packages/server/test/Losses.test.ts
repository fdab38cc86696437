import { TokenLoss } from "@effect-tinker/losses"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TensorData, TrainingMessages } from "effect-tinker"
import * as Wire from "./wire.js"

const ones = new Float32Array(4).fill(1)

/** Inputs of a policy loss for `hello`, beside its targets. */
const policy = (change: Record<string, TensorData.TensorData> = {}) =>
  Wire.datum("hello", {
    logprobs: TensorData.float32([-1, -6, -4, -9]),
    advantages: TensorData.float32([1, -1, 0.5, 2]),
    ...change
  })

const failed = (modelId: string, seqId: number, options: Partial<TrainingMessages.ForwardBackwardRequest>) =>
  Effect.map(
    Effect.flatMap(Wire.forwardBackward(modelId, seqId, options), Wire.result),
    ({ body }) => `${String(body.category)}: ${String(body.error)}`
  )

const outputs = (modelId: string, seqId: number, options: Partial<TrainingMessages.ForwardBackwardRequest>) =>
  Effect.gen(function*() {
    const submitted = yield* Wire.forwardBackward(modelId, seqId, options)
    const { bytes } = yield* Wire.result(submitted, { protobuf: true })
    return TrainingMessages.decodeForwardBackwardOutput(bytes)
  })

const norm = (modelId: string, seqId: number) =>
  Effect.map(
    Effect.flatMap(Wire.optimStep(modelId, seqId), Wire.result),
    ({ body }) => (body.metrics as Record<string, number>)["unclipped_grad_l2:mean"]
  )

describe("losses of the server", () => {
  it.effect("are computed by their formulas, with their defaults and the settings that are given", () =>
    Effect.gen(function*() {
      const { modelId } = yield* Wire.readyModel
      const plain = yield* outputs(modelId, 1, { forwardOnly: true })
      const logprobs = plain.lossFnOutputs[0]!.logprobs!.data as Float32Array
      const datum = policy()
      const cases: ReadonlyArray<readonly [string, Record<string, number>, TokenLoss.Loss]> = [
        ["importance_sampling", {}, { _tag: "importance_sampling" }],
        ["ppo", {}, { _tag: "ppo", clipLowThreshold: 0.8, clipHighThreshold: 1.2 }],
        ["cispo", {}, { _tag: "cispo", clipLowThreshold: 0, clipHighThreshold: 4 }],
        ["cispo", { clipHighThreshold: 0.5 }, { _tag: "cispo", clipLowThreshold: 0, clipHighThreshold: 0.5 }],
        ["dro", { beta: 0.05 }, { _tag: "dro", beta: 0.05 }],
        ["gspo", {}, { _tag: "gspo", clipLowThreshold: 0.8, clipHighThreshold: 1.2 }],
        ["gspo", { clipLowThreshold: 0.1 }, { _tag: "gspo", clipLowThreshold: 0.1, clipHighThreshold: 1.2 }]
      ]
      for (const [i, [lossFn, lossFnConfig, loss]] of cases.entries()) {
        const { lossFnOutputs, metrics } = yield* outputs(modelId, 2 + i, { data: [datum], lossFn, lossFnConfig })
        const { elementwiseLoss } = TokenLoss.compute(loss, {
          logprobs,
          weights: ones,
          samplingLogprobs: datum.lossFnInputs.logprobs!.data as Float32Array,
          advantages: datum.lossFnInputs.advantages!.data as Float32Array
        })
        assert.deepStrictEqual(lossFnOutputs[0]!.elementwiseLoss!.data, elementwiseLoss, lossFn)
        assert.closeTo(metrics["loss:sum"]!, elementwiseLoss.reduce((sum, each) => sum + each, 0), 1e-5)
      }
    }).pipe(Effect.provide(Wire.server())))

  it.effect("gspo takes its ratio over the tokens that sequence_ratio_mask marks, in JSON as in protobuf", () =>
    Effect.gen(function*() {
      const { modelId } = yield* Wire.readyModel
      const mask = TensorData.float32([0, 1, 1, 0])
      const data = [policy({ sequence_ratio_mask: mask })]
      const { lossFnOutputs } = yield* outputs(modelId, 1, { data, lossFn: "gspo" })
      const { elementwiseLoss } = TokenLoss.gspo({
        logprobs: lossFnOutputs[0]!.logprobs!.data as Float32Array,
        samplingLogprobs: policy().lossFnInputs.logprobs!.data as Float32Array,
        advantages: policy().lossFnInputs.advantages!.data as Float32Array,
        sequenceRatioMask: mask.data as Float32Array
      })
      assert.deepStrictEqual(lossFnOutputs[0]!.elementwiseLoss!.data, elementwiseLoss)
      const marksNone = [policy({ sequenceRatioMask: TensorData.float32([0, 0, 0, 0]) })]
      assert.match(
        yield* failed(modelId, 2, { data: marksNone, lossFn: "gspo" }),
        /^user: datum 0: sequence_ratio_mask marks no token/
      )
      assert.match(
        yield* failed(modelId, 3, { data: [policy({ sequenceRatioMask: TensorData.float32([1]) })], lossFn: "gspo" }),
        /^user: datum 0: sequence_ratio_mask has shape \[1\]/
      )
      assert.match(
        yield* failed(modelId, 4, { data: [policy({ sequenceRatioMask: mask })], lossFn: "ppo" }),
        /^user: datum 0: the loss ppo does not read the input sequence_ratio_mask/
      )
    }).pipe(Effect.provide(Wire.server())))

  it.effect("that are unknown, and settings and inputs that they do not have, are the user's errors", () =>
    Effect.gen(function*() {
      const { modelId } = yield* Wire.readyModel
      const data = [policy()]
      const cases: ReadonlyArray<readonly [RegExp, Partial<TrainingMessages.ForwardBackwardRequest>]> = [
        [
          /^user: the loss stable_reinforce .* no public formula .* use importance_sampling, .*cross_entropy, .*dro and gspo$/,
          { lossFn: "stable_reinforce" }
        ],
        [/^user: the loss custom .* compute yours on the client/, { lossFn: "custom" }],
        [/^user: the loss toString is not computed by this server; it computes/, { lossFn: "toString" }],
        [/^user: beta was given, and the loss cross_entropy has no settings$/, { lossFnConfig: { beta: 1 } }],
        [
          /^user: clip_range was given, .* clip_low_threshold and clip_high_threshold alone$/,
          { lossFn: "cispo", lossFnConfig: { clip_range: 1 } }
        ],
        [/^user: the loss dro needs the setting beta/, { lossFn: "dro" }],
        [/^user: the setting beta is -1/, { lossFn: "dro", lossFnConfig: { beta: -1 } }],
        [/^user: the setting beta must be a finite/, { lossFn: "dro", lossFnConfig: { beta: "much" } }],
        [/^user: clip_low_threshold 2 is above/, { lossFn: "ppo", lossFnConfig: { clipLowThreshold: 2 } }],
        [/^user: datum 0: logprobs is missing/, {
          lossFn: "dro",
          lossFnConfig: { beta: 1 },
          data: [Wire.datum("ab")]
        }],
        [
          /^user: datum 0: advantages has shape \[3\], and the model input has 4 tokens/,
          { lossFn: "ppo", data: [policy({ advantages: TensorData.float32([1, 2, 3]) })] }
        ]
      ]
      for (const [i, [message, options]] of cases.entries()) {
        assert.match(yield* failed(modelId, 1 + i, { data, ...options }), message)
      }
      assert.strictEqual(yield* norm(modelId, 1 + cases.length), 0)
    }).pipe(Effect.provide(Wire.server())))

  it.effect("take no input that they do not read, whatever else may read it", () =>
    Effect.gen(function*() {
      const { modelId } = yield* Wire.readyModel
      const floats = TensorData.float32(ones)
      const policyInputs = ["target_tokens", "weights", "logprobs", "advantages"]
      const reads: ReadonlyArray<readonly [lossFn: string, inputs: ReadonlyArray<string>]> = [
        ["cross_entropy", ["target_tokens", "weights"]],
        ["importance_sampling", policyInputs],
        ["ppo", policyInputs],
        ["cispo", policyInputs],
        ["dro", policyInputs]
      ]
      const own = ["mask", "rewards", "clip_low_threshold", "sequence_ratio_mask", "kl_coeff", "Weights", "weights "]
      let seqId = 1
      for (const [lossFn, inputs] of reads) {
        const lossFnConfig: Record<string, number> = lossFn === "dro" ? { beta: 0.1 } : {}
        const good = lossFn === "cross_entropy" ? Wire.datum("hello") : policy()
        const strange = [...policyInputs, ...own].filter((name) => !inputs.includes(name))
        for (const name of strange) {
          const bad = { ...good, lossFnInputs: { ...good.lossFnInputs, [name]: floats } }
          const said = yield* failed(modelId, seqId++, { lossFn, lossFnConfig, data: [good, bad] })
          assert.include(
            said,
            `user: datum 1: the loss ${lossFn} does not read the input ${name}; it reads target_tokens`
          )
        }
        yield* outputs(modelId, seqId++, { lossFn, lossFnConfig, data: [good], forwardOnly: true })
      }
      // What was refused left no gradient.
      assert.strictEqual(yield* norm(modelId, seqId), 0)
    }).pipe(Effect.provide(Wire.server())))

  it.effect("know inputs and settings by their names on the wire alone, in protobuf and in JSON", () =>
    Effect.gen(function*() {
      const { modelId } = yield* Wire.readyModel
      const body = (inputs: object, config: object) => ({
        model_id: modelId,
        seq_id: 1,
        forward_backward_input: {
          data: [{ model_input: { chunks: [{ type: "encoded_text", tokens: [104] }] }, loss_fn_inputs: inputs }],
          loss_fn: "ppo",
          loss_fn_config: config
        }
      })
      const floats = { data: [1], dtype: "float32" }
      const targets = { data: [101], dtype: "int64" }
      const others = { logprobs: floats, advantages: floats }
      const cases = [
        body({ targetTokens: targets, ...others }, {}),
        body({ target_tokens: targets, ...others }, { clipLowThreshold: 0.5 })
      ]
      for (const wrong of cases) {
        const { body, status } = yield* Wire.post("forward_backward", wrong)
        assert.match(`${status} ${String(body.detail)}`, /^422 .*(targetTokens is no name.*target_tokens is|clipLow)/)
      }
      // The client writes no such name, so a letter of another is changed in its bytes.
      const bytes = Wire.passBytes(modelId, 1, { data: [policy({ xargetTokens: TensorData.float32(ones) })] })
      const renamed = Buffer.from(
        Buffer.from(bytes).toString("latin1").replace("xargetTokens", "targetTokens"),
        "latin1"
      )
      const { body: refused, status } = yield* Wire.postBytes("forward_backward", renamed)
      assert.match(`${status} ${String(refused.detail)}`, /^422 .*targetTokens is no name.*target_tokens is/)
    }).pipe(Effect.provide(Wire.server())))

  it.effect("that are not finite fail, and leave what was accumulated as it was", () =>
    Effect.gen(function*() {
      const faults: ReadonlyArray<Partial<TrainingMessages.ForwardBackwardRequest>> = [
        {
          lossFn: "importance_sampling",
          data: [policy({ logprobs: TensorData.float32([-1, -Infinity, -1, -1]) })]
        },
        { data: [Wire.datum("hello", { weights: TensorData.float32([3e38, 3e38, 3e38, 3e38]) })] },
        { data: [Wire.datum("hello", { weights: TensorData.float32([1, NaN, 1, 1]) })] }
      ]
      const norms: Array<number | undefined> = []
      for (const withFaults of [false, true]) {
        const { modelId } = yield* Wire.readyModel
        yield* outputs(modelId, 1, {})
        for (const [i, fault] of (withFaults ? faults : []).entries()) {
          assert.match(yield* failed(modelId, 2 + i, fault), /not finite|loss is/)
        }
        const next = withFaults ? 2 + faults.length : 2
        norms.push(yield* norm(modelId, next))
      }
      assert.isAbove(norms[0]!, 0)
      assert.strictEqual(norms[1], norms[0])
    }).pipe(Effect.provide(Wire.server())))

  it.effect("a step that leads out of the numbers drops the gradient, and the model goes on", () =>
    Effect.gen(function*() {
      const { modelId } = yield* Wire.readyModel
      yield* outputs(modelId, 1, {})
      const step = yield* Effect.flatMap(Wire.optimStep(modelId, 2, { learning_rate: 1e39 }), Wire.result)
      assert.match(String(step.body.error), /finite/)
      yield* outputs(modelId, 3, {})
      assert.isAbove((yield* norm(modelId, 4))!, 0)
    }).pipe(Effect.provide(Wire.server())))

  it.effect("look at nothing where the weight or the advantage is 0", () =>
    Effect.gen(function*() {
      const { modelId } = yield* Wire.readyModel
      const masked = policy({
        weights: TensorData.float32([1, 0, 1, 1]),
        logprobs: TensorData.float32([-5, -Infinity, -Infinity, NaN]),
        advantages: TensorData.float32([1, NaN, 0, 0])
      })
      for (const [i, lossFn] of ["importance_sampling", "ppo", "cispo", "dro"].entries()) {
        const lossFnConfig: Record<string, number> = lossFn === "dro" ? { beta: 0.1 } : {}
        const { lossFnOutputs } = yield* outputs(modelId, 1 + i, { data: [masked], lossFn, lossFnConfig })
        const losses = Array.from(lossFnOutputs[0]!.elementwiseLoss!.data as Float32Array)
        assert.deepStrictEqual(losses.map((loss) => loss === 0), [false, true, true, true], lossFn)
      }
    }).pipe(Effect.provide(Wire.server())))
})

describe("several targets a token", () => {
  const k = 3
  const targets = TensorData.int64([101, 97, 0, 108, 0, 0, 108, 98, 99, 111, 0, 0], [4, k])
  const weights = TensorData.float32([0.5, 0.5, 0, 1, 0, 0, 0.2, 0.3, 0.5, 1, 0, 0], [4, k])
  const soft = (targetTokens: TensorData.TensorData, given: TensorData.TensorData | undefined) => ({
    modelInput: Wire.datum("hello").modelInput,
    lossFnInputs: { targetTokens, ...(given === undefined ? {} : { weights: given }) }
  })

  it.effect("are scored by cross entropy, sparse or not, and come back in rows", () =>
    Effect.gen(function*() {
      const { modelId } = yield* Wire.readyModel
      const other = yield* Wire.readyModel
      const dense = yield* outputs(modelId, 1, { data: [soft(targets, weights)] })
      const { elementwiseLoss, logprobs } = dense.lossFnOutputs[0]!
      assert.deepStrictEqual(logprobs!.shape, [4, k])
      assert.deepStrictEqual(elementwiseLoss!.shape, [4, k])
      const lp = logprobs!.data as Float32Array
      const expected = Float32Array.from(lp, (value, i) => -weights.data[i]! * value)
      assert.deepStrictEqual(
        Array.from(elementwiseLoss!.data as Float32Array, Math.abs),
        Array.from(expected, Math.abs)
      )
      assert.closeTo(dense.metrics["loss:sum"]!, expected.reduce((sum, each) => sum + each, 0), 1e-5)
      // The first column is what one target a token gives.
      const first = yield* outputs(modelId, 2, { data: [Wire.datum("hello")], forwardOnly: true })
      assert.deepStrictEqual(first.lossFnOutputs[0]!.logprobs!.data, lp.filter((_, i) => i % k === 0))

      const sparse = TensorData.toSparse(weights)
      const sparseTargets: TensorData.TensorData = {
        dtype: "int64",
        data: BigInt64Array.of(101n, 97n, 108n, 108n, 98n, 99n, 111n),
        shape: [4, k],
        sparse: {
          crowIndices: BigInt64Array.of(0n, 2n, 3n, 6n, 7n),
          colIndices: BigInt64Array.of(0n, 1n, 0n, 0n, 1n, 2n, 0n)
        }
      }
      const again = yield* outputs(other.modelId, 1, { data: [soft(sparseTargets, sparse)] })
      assert.deepStrictEqual(again, dense)
      assert.strictEqual(yield* norm(other.modelId, 2), yield* norm(modelId, 3))
    }).pipe(Effect.provide(Wire.server())))

  it.effect("come back in rows in JSON too", () =>
    Effect.gen(function*() {
      const { modelId } = yield* Wire.readyModel
      const submitted = yield* Wire.forwardBackward(modelId, 1, { data: [soft(targets, weights)] })
      const { body } = yield* Wire.result(submitted)
      const [output] = body.loss_fn_outputs as ReadonlyArray<{ logprobs: { shape: unknown; data: Array<number> } }>
      assert.deepStrictEqual(output!.logprobs.shape, [4, k])
      assert.strictEqual(output!.logprobs.data.length, 4 * k)
    }).pipe(Effect.provide(Wire.server())))

  it.effect("are refused where they contradict each other", () =>
    Effect.gen(function*() {
      const { modelId } = yield* Wire.readyModel
      const cases: ReadonlyArray<readonly [RegExp, Partial<TrainingMessages.ForwardBackwardRequest>]> = [
        [/weights has shape \[4\], and the model input has 4 tokens with 3 targets each/, {
          data: [soft(targets, TensorData.float32(ones))]
        }],
        [/datum 1: target_tokens has other columns/, {
          data: [soft(targets, weights), Wire.datum("hello")]
        }],
        [/the loss ppo takes \[tokens\]/, {
          lossFn: "ppo",
          data: [{ ...policy(), lossFnInputs: { ...policy().lossFnInputs, targetTokens: targets } }]
        }],
        [/target_tokens has shape \[2,6\]/, { data: [soft({ ...targets, shape: [2, 6] }, undefined)] }],
        [/target_tokens has shape \[4,0\]/, { data: [soft(TensorData.int64([], [4, 0]), undefined)] }],
        [/have 4398046511104 target tokens, .* may have 16777216: send fewer data/, {
          data: [soft({
            dtype: "int64",
            data: BigInt64Array.of(),
            shape: [4, 2 ** 40],
            sparse: { crowIndices: new BigInt64Array(5), colIndices: BigInt64Array.of() }
          }, undefined)]
        }]
      ]
      for (const [i, [message, options]] of cases.entries()) {
        assert.match(yield* failed(modelId, 1 + i, options), message)
      }
    }).pipe(Effect.provide(Wire.server())))
})
