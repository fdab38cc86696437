import { assert, it } from "@effect/vitest"
import { Datum, ModelInput, SampleResponse, TensorData } from "../src/index.js"
import {
  decodeForwardBackwardOutputJson,
  decodeSampleResponseJson,
  encodeForwardBackwardJson
} from "../src/internal/legacyJson.js"

const datum = Datum.make({
  modelInput: ModelInput.fromTokens([1, 2]),
  lossFnInputs: { targetTokens: TensorData.int64([2, 3]) }
})

const request = {
  modelId: "S:train:0",
  seqId: 1,
  data: [datum],
  lossFn: "ppo",
  lossFnConfig: { clipLowThreshold: 0.8 },
  forwardOnly: false
}

const input = {
  data: [{
    model_input: { chunks: [{ type: "encoded_text", tokens: [1, 2] }] },
    loss_fn_inputs: { target_tokens: { data: [2, 3], dtype: "int64", shape: [2] } }
  }],
  loss_fn: "ppo",
  loss_fn_config: { clip_low_threshold: 0.8 }
}

it("writes a pass with gradients under one name, and one without under another", () => {
  assert.deepStrictEqual(encodeForwardBackwardJson(request), {
    forward_backward_input: input,
    model_id: "S:train:0",
    seq_id: 1
  })
  assert.deepStrictEqual(encodeForwardBackwardJson({ ...request, forwardOnly: true }), {
    forward_input: input,
    model_id: "S:train:0",
    seq_id: 1
  })
})

it("writes images, asset pointers and sparse tensors, and leaves out settings that are not given", () => {
  const weights = TensorData.toSparse(TensorData.float32([0, 0, 0, 9, 0, 0, 0, 0], [2, 4]))
  const json = encodeForwardBackwardJson({
    ...request,
    lossFnConfig: {},
    data: [{
      modelInput: {
        chunks: [
          { type: "image", data: Uint8Array.of(1), format: "png" },
          { type: "image_asset_pointer", location: "x", format: "jpeg", expectedTokens: 2 }
        ]
      },
      lossFnInputs: { weights }
    }]
  })
  assert.deepStrictEqual(json.forward_backward_input, {
    data: [{
      model_input: {
        chunks: [
          { type: "image", data: "AQ==", format: "png" },
          { type: "image_asset_pointer", location: "x", format: "jpeg", expected_tokens: 2 }
        ]
      },
      loss_fn_inputs: {
        weights: {
          data: [9],
          dtype: "float32",
          shape: [2, 4],
          sparse_crow_indices: [0, 1, 1],
          sparse_col_indices: [3]
        }
      }
    }],
    loss_fn: "ppo"
  })
})

it("joins neighbouring chunks of text, of which some servers would read only the first", () => {
  const split = { chunks: [...ModelInput.fromTokens([1]).chunks, ...ModelInput.fromTokens([2]).chunks] }
  assert.deepStrictEqual(
    encodeForwardBackwardJson({ ...request, data: [{ ...datum, modelInput: split }] }),
    encodeForwardBackwardJson(request)
  )
})

it("says what only protobuf carries: a setting that is text, and spans", () => {
  assert.throws(() => encodeForwardBackwardJson({ ...request, lossFnConfig: { mode: "abc" } }), /lossFnConfig\.mode/)
  assert.throws(
    () =>
      encodeForwardBackwardJson({ ...request, data: [datum, { ...datum, modelInputSpans: [], lossFnInputSpans: [] }] }),
    /data\[1\] has spans/
  )
})

it("names a number that JSON does not hold", () => {
  const withTensor = (tensor: TensorData.TensorData) => () =>
    encodeForwardBackwardJson({ ...request, data: [{ ...datum, lossFnInputs: { targetTokens: tensor } }] })
  assert.throws(
    withTensor(TensorData.int64(BigInt64Array.of(2n ** 60n))),
    /data\[0\]\.lossFnInputs\.targetTokens is 1152921504606846976 at 0/
  )
  assert.throws(withTensor(TensorData.float32([Infinity])), /targetTokens is Infinity/)
  assert.throws(() => encodeForwardBackwardJson({ ...request, lossFnConfig: { klCoeff: Infinity } }), /klCoeff/)
})

it("reads the output of a pass", () => {
  assert.deepStrictEqual(
    decodeForwardBackwardOutputJson({
      loss_fn_output_type: "TorchLossReturn",
      loss_fn_outputs: [
        {
          logprobs: { data: [-1, null], dtype: "float32", shape: [2] },
          elementwise_loss: { data: [1], dtype: "int64" }
        },
        {}
      ],
      metrics: { "loss:sum": 1.5 },
      something_new: true
    }),
    {
      lossFnOutputType: "TorchLossReturn",
      lossFnOutputs: [{ logprobs: TensorData.float32([-1, NaN]), elementwiseLoss: TensorData.int64([1]) }, {}],
      metrics: { "loss:sum": 1.5 }
    }
  )
})

it("names the field of an output that does not fit", () => {
  const fine = { loss_fn_output_type: "T", loss_fn_outputs: [], metrics: {} }
  const wrong = (value: unknown) => () => decodeForwardBackwardOutputJson(value)
  assert.throws(wrong("text"), /output/)
  for (const metrics of [undefined, null]) assert.doesNotThrow(wrong({ ...fine, metrics }))
  assert.throws(wrong({ ...fine, metrics: [] }), /metrics/)
  assert.throws(wrong({ ...fine, metrics: { "loss:sum": "1" } }), /metrics loss:sum/)
  assert.throws(wrong({ ...fine, loss_fn_outputs: {} }), /loss_fn_outputs/)
  assert.throws(wrong({ ...fine, loss_fn_output_type: 1 }), /loss_fn_output_type/)
  assert.throws(
    wrong({ ...fine, loss_fn_outputs: [{ logprobs: { data: [1], dtype: "float32", shape: [3] } }] }),
    /loss_fn_outputs\[0\]\.logprobs/
  )
})

const sample = {
  type: "sample",
  sequences: [{ stop_reason: "length", tokens: [5, 6], logprobs: [-0.5, -0.25] }],
  prompt_logprobs: [null, -1],
  topk_prompt_logprobs: [null, [[7, -0.5], [8, -1]]],
  prompt_cache_hit_tokens: 3
}

it("reads a sample, with NaN where a log-probability is null", () => {
  const response = decodeSampleResponseJson(sample, ["s:0"])
  assert.deepStrictEqual(response.sequences, [{
    sequenceId: "s:0",
    tokens: Int32Array.of(5, 6),
    logprobs: Float32Array.of(-0.5, -0.25),
    topkLogprobs: undefined,
    stopReason: "length"
  }])
  assert.deepStrictEqual(response.promptLogprobs, Float32Array.of(NaN, -1))
  assert.deepStrictEqual(SampleResponse.topkRows(response.topkPromptLogprobs!), sample.topk_prompt_logprobs as never)
  assert.strictEqual(response.promptCacheHitTokens, 3)
})

it("reads a sample of which nothing more was asked", () => {
  assert.deepStrictEqual(decodeSampleResponseJson({ sequences: [{ stop_reason: "stop", tokens: [1] }] }, []), {
    sequences: [
      { sequenceId: "", tokens: Int32Array.of(1), logprobs: undefined, topkLogprobs: undefined, stopReason: "stop" }
    ],
    promptLogprobs: undefined,
    topkPromptLogprobs: undefined,
    targetPromptLogprobs: undefined,
    promptAltTokens: undefined,
    promptCacheHitTokens: 0
  })
})

it("reads scores of alternative and of named tokens, and rows of the most probable sampled ones", () => {
  const response = decodeSampleResponseJson({
    sequences: [{ stop_reason: "stop", tokens: [5, 6], topk_logprobs: [[[5, -0.5], [7, -1]], [[6, -0.25]]] }],
    target_prompt_logprobs: { data: [-2], dtype: "float32", shape: [1, 1] },
    prompt_alt_tokens: {
      tokens: { data: [9, 8], dtype: "int64", shape: [2, 1] },
      logprobs: { data: [-3, -4], dtype: "float32", shape: [2, 1] }
    }
  }, [])
  assert.deepStrictEqual(SampleResponse.topkRows(response.sequences[0]!.topkLogprobs!), [[[5, -0.5], [7, -1]], [[
    6,
    -0.25
  ]]])
  assert.deepStrictEqual(response.targetPromptLogprobs, TensorData.float32([-2], [1, 1]))
  assert.deepStrictEqual(response.promptAltTokens?.tokens, TensorData.int64([9, 8], [2, 1]))
})

it("names the field of a sample that does not fit", () => {
  const wrong = (change: object) => () => decodeSampleResponseJson({ ...sample, ...change }, [])
  assert.throws(wrong({ sequences: undefined }), /sequences/)
  assert.throws(wrong({ sequences: [{ stop_reason: "eos", tokens: [] }] }), /sequences\[0\]\.stop_reason/)
  assert.throws(wrong({ sequences: [{ stop_reason: "stop", tokens: [2 ** 40] }] }), /sequences\[0\]\.tokens\[0\]/)
  assert.throws(wrong({ prompt_logprobs: ["x"] }), /prompt_logprobs\[0\]/)
  assert.throws(wrong({ topk_prompt_logprobs: [[5]] }), /topk_prompt_logprobs\[0\]\[0\]/)
  assert.throws(wrong({ prompt_cache_hit_tokens: 1.5 }), /prompt_cache_hit_tokens/)
})
