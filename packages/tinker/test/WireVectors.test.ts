import { assert, it } from "@effect/vitest"
import { SamplingApi, TensorData, TrainingApi } from "effect-tinker"

const bytes = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, "hex"))
const hex = (data: Uint8Array): string => Buffer.from(data).toString("hex")

/** Protobuf leaves the order of map entries free; the bytes of equal messages are the same multiset. */
const assertSameMessage = (actual: Uint8Array, expected: string) =>
  assert.deepStrictEqual(Array.from(actual).sort(), Array.from(bytes(expected)).sort(), hex(actual))

const crossEntropyRequest =
  "0a09533a747261696e3a3010011a640a100a0e0a0c01000000020000002c01000012300a0d7461726765745f746f6b656e73121f0a1802000000000000002c0100000000000004000000000000001802220103121e0a077765696768747312130a0c000000000000803f0000003f1801220103220d63726f73735f656e74726f7079"
const ppoRequest =
  "0a016d10071a780a080a060a04010000000a0f120d0a0489504e471203706e6718040a081a060a040402035012510a07776569676874731246123e0a080000803f00000040122000000000000000000100000000000000010000000000000002000000000000001a1001000000000000000300000000000000180122020304220370706f2a1d0a12636c69705f6c6f775f7468726573686f6c64119a9999999999e93f3001"
const typedConfig = "3a1f0a12636c69705f6c6f775f7468726573686f6c641209099a9999999999e93f"
const sampleResponse =
  "0a160801120805000000060000001a08000000bf000080be12080000c07f000080bf1a280a10000000000000000007000000080000001210804fc3c7804fc3c7000000bf000080bf180220022003"
const forwardBackwardOutput =
  "0a136d6f643a546f7263684c6f737352657475726e124f0a136d6f643a546f7263684c6f737352657475726e12360a086c6f6770726f6273122a0a0c000080bf000000c0000040c01218000000000000000008000000000000000c00000000000000180118021a130a086c6f73733a73756d11000000000000f83f"
const spansRequest =
  "0a016d10021a4d0a0c0a0a0a08010000000200000012200a0d7461726765745f746f6b656e73120f0a08020000000000000018022201011a070a050a017118011a0912070a017110011801220712050a017118012210737461626c655f7265696e666f7263652a130a086b6c5f636f65666611000000000000e03f3a150a086b6c5f636f656666120909000000000000e03f3a0d0a046d6f646512051203616263"
const scoresResponse =
  "0a3e120805000000060000001a08000000bf000080be22280a10050000000700000006000000000000001210000000bf000080bf000080be804fc3c7180220022a32122a0a04000000c012180000000000000000010000000000000001000000000000001a080000000000000000180122020202322c0a180a100900000000000000080000000000000018022202020112100a08000040c0000080c0180122020201"

const requests: ReadonlyArray<readonly [string, TrainingApi.ForwardBackwardRequest, string]> = [
  ["a cross entropy request", {
    modelId: "S:train:0",
    seqId: 1,
    data: [{
      modelInput: { chunks: [{ type: "encoded_text", tokens: Int32Array.of(1, 2, 300) }] },
      lossFnInputs: {
        targetTokens: { ...TensorData.int64([2, 300, 4]), sparse: undefined },
        weights: { ...TensorData.float32([0, 1, 0.5]), sparse: undefined }
      }
    }],
    lossFn: "cross_entropy",
    lossFnConfig: {},
    forwardOnly: false
  }, crossEntropyRequest],
  ["images, audio, sparse tensors and numeric settings", {
    modelId: "m",
    seqId: 7,
    data: [{
      modelInput: {
        chunks: [
          { type: "encoded_text", tokens: Int32Array.of(1) },
          { type: "image", data: bytes("89504e47"), format: "png", expectedTokens: 4 },
          { type: "dmel", dmel: bytes("04020350") }
        ]
      },
      lossFnInputs: {
        weights: {
          dtype: "float32",
          data: Float32Array.of(1, 2),
          shape: [3, 4],
          sparse: { crowIndices: BigInt64Array.of(0n, 1n, 1n, 2n), colIndices: BigInt64Array.of(1n, 3n) }
        }
      }
    }],
    lossFn: "ppo",
    lossFnConfig: { clipLowThreshold: 0.8 },
    forwardOnly: true
  }, ppoRequest + typedConfig],
  ["provenance spans and a setting that is text", {
    modelId: "m",
    seqId: 2,
    data: [{
      modelInput: { chunks: [{ type: "encoded_text", tokens: Int32Array.of(1, 2) }] },
      lossFnInputs: { targetTokens: { ...TensorData.int64([2]), sparse: undefined } },
      modelInputSpans: [
        { kind: "prompt", sequenceId: "q", offset: 0, length: 1 },
        { kind: "sampled", sequenceId: "q", offset: 1, length: 1 }
      ],
      lossFnInputSpans: [{ kind: "sampled", sequenceId: "q", offset: 0, length: 1 }]
    }],
    lossFn: "stable_reinforce",
    lossFnConfig: { klCoeff: 0.5, mode: "abc" },
    forwardOnly: false
  }, spansRequest]
]

for (const [name, request, vector] of requests) {
  it(`writes ${name} as the reference client does`, () => {
    assertSameMessage(TrainingApi.encodeForwardBackwardRequest(request), vector)
  })
  it(`reads ${name} as the reference client writes it`, () => {
    assert.deepStrictEqual(TrainingApi.decodeForwardBackwardRequest(bytes(vector)), request)
  })
}

it("reads numeric settings of clients that know only the older map", () => {
  assert.deepStrictEqual(TrainingApi.decodeForwardBackwardRequest(bytes(ppoRequest)).lossFnConfig, {
    clipLowThreshold: 0.8
  })
})

it("reads a sample with prompt and top-k log-probabilities", () => {
  const response = SamplingApi.decodeSampleResponse(bytes(sampleResponse), ["s:0"])
  assert.deepStrictEqual(response.sequences, [{
    sequenceId: "s:0",
    tokens: Int32Array.of(5, 6),
    logprobs: Float32Array.of(-0.5, -0.25),
    topkLogprobs: undefined,
    stopReason: "length"
  }])
  assert.deepStrictEqual(response.promptLogprobs, Float32Array.of(NaN, -1))
  assert.deepStrictEqual(response.topkPromptLogprobs, {
    k: 2,
    length: 2,
    tokenIds: Int32Array.of(0, 0, 7, 8),
    logprobs: Float32Array.of(-99999, -99999, -0.5, -1)
  })
  assert.strictEqual(response.promptCacheHitTokens, 3)
})

it("reads the scores of alternative and of named tokens", () => {
  const response = SamplingApi.decodeSampleResponse(bytes(scoresResponse), [])
  assert.strictEqual(response.sequences[0]?.stopReason, "stop")
  assert.deepStrictEqual(response.sequences[0]?.topkLogprobs?.tokenIds, Int32Array.of(5, 7, 6, 0))
  assert.deepStrictEqual(response.targetPromptLogprobs, {
    dtype: "float32",
    data: Float32Array.of(-2),
    shape: [2, 2],
    sparse: { crowIndices: BigInt64Array.of(0n, 1n, 1n), colIndices: BigInt64Array.of(0n) }
  })
  assert.deepStrictEqual(response.promptAltTokens?.tokens.data, BigInt64Array.of(9n, 8n))
  assert.deepStrictEqual(response.promptAltTokens?.logprobs.data, Float32Array.of(-3, -4))
})

for (const [name, vector] of [["a sample", sampleResponse], ["scores", scoresResponse]] as const) {
  it(`writes the result of ${name} as the service does`, () => {
    assert.strictEqual(
      hex(SamplingApi.encodeSampleResponse(SamplingApi.decodeSampleResponse(bytes(vector), []))),
      vector
    )
  })
}

it("reads the output of a pass, cutting its record at the offsets and the module from its type", () => {
  const output = TrainingApi.decodeForwardBackwardOutput(bytes(forwardBackwardOutput))
  assert.strictEqual(output.lossFnOutputType, "TorchLossReturn")
  assert.deepStrictEqual(output.metrics, { "loss:sum": 1.5 })
  assert.deepStrictEqual(output.lossFnOutputs, [
    { logprobs: { dtype: "float32", data: Float32Array.of(-1, -2), shape: [2] } },
    { logprobs: { dtype: "float32", data: Float32Array.of(-3), shape: [1] } }
  ])
})

it("writes the output of a pass as the service does", () => {
  const output = TrainingApi.decodeForwardBackwardOutput(bytes(forwardBackwardOutput))
  const written = TrainingApi.encodeForwardBackwardOutput({ ...output, lossFnOutputType: "mod:TorchLossReturn" })
  assert.strictEqual(hex(written), forwardBackwardOutput)
})

it("names the field of a damaged message", () => {
  const truncated = TrainingApi.encodeForwardBackwardOutput({
    lossFnOutputType: "ArrayRecord",
    lossFnOutputs: [{ logprobs: TensorData.float32([1, 2]) }],
    metrics: {}
  })
  // The first offset's lowest byte: no multiple of four.
  const offsets = hex(truncated).indexOf("00000000000000000800000000000000") / 2
  truncated[offsets] = 3
  assert.throws(() => TrainingApi.decodeForwardBackwardOutput(truncated), /logprobs/)
})
