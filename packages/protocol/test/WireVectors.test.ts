import { fromBinary, toBinary } from "@bufbuild/protobuf"
import { assert, it } from "@effect/vitest"
import { FastCheck } from "effect"
import { Datum, ModelInput, type SampleResponse, SamplingMessages, TensorData, TrainingMessages } from "../src/index.js"
import { SampleResponseSchema } from "../src/internal/generated/tinker_public_pb.js"
import { encodeForwardBackwardData } from "../src/internal/protobuf.js"

const bytes = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, "hex"))
const hex = (data: Uint8Array): string => Buffer.from(data).toString("hex")

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

const requests: ReadonlyArray<readonly [string, TrainingMessages.ForwardBackwardRequest, string]> = [
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
    assert.strictEqual(hex(TrainingMessages.encodeForwardBackwardRequest(request)), vector)
  })
  it(`reads ${name} as the reference client writes it`, () => {
    assert.deepStrictEqual(TrainingMessages.decodeForwardBackwardRequest(bytes(vector)), request)
  })
}

it("reads numeric settings of clients that know only the older map", () => {
  assert.deepStrictEqual(TrainingMessages.decodeForwardBackwardRequest(bytes(ppoRequest)).lossFnConfig, {
    clipLowThreshold: 0.8
  })
})

it("reads a sample with prompt and top-k log-probabilities", () => {
  const response = SamplingMessages.decodeSampleResponse(bytes(sampleResponse), ["s:0"])
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
  const response = SamplingMessages.decodeSampleResponse(bytes(scoresResponse), [])
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
      hex(SamplingMessages.encodeSampleResponse(SamplingMessages.decodeSampleResponse(bytes(vector), []))),
      vector
    )
  })
}

it("writes results of samples as the generated code does, whichever of their parts are there or empty", () => {
  const tokens = Int32Array.of(5, 6, 70_000)
  const logprobs = Float32Array.of(-0.5, -0.25, -3)
  const topk = { k: 1, length: 3, tokenIds: tokens, logprobs }
  const targets = { dtype: "float32", data: logprobs, shape: [3], sparse: undefined } as const
  const sparse = { crowIndices: BigInt64Array.of(0n, 1n, 3n), colIndices: BigInt64Array.of(0n, 0n, 1n) }
  const sequence = { sequenceId: "", tokens, logprobs, topkLogprobs: undefined, stopReason: "stop" } as const
  const none: SampleResponse.SampleResponse = {
    sequences: [],
    promptLogprobs: undefined,
    topkPromptLogprobs: undefined,
    promptCacheHitTokens: 0
  }
  const responses: ReadonlyArray<SampleResponse.SampleResponse> = [
    none,
    { ...none, sequences: [sequence, { ...sequence, stopReason: "length", topkLogprobs: topk }] },
    {
      ...none,
      sequences: [{ ...sequence, tokens: new Int32Array(0), logprobs: undefined }, {
        ...sequence,
        logprobs: new Float32Array(0)
      }]
    },
    { ...none, promptCacheHitTokens: 300, promptLogprobs: new Float32Array(200), topkPromptLogprobs: topk },
    { ...none, topkPromptLogprobs: { k: 0, length: 0, tokenIds: new Int32Array(0), logprobs: new Float32Array(0) } },
    { ...none, targetPromptLogprobs: targets },
    { ...none, targetPromptLogprobs: { ...targets, shape: [2, 2], sparse } },
    { ...none, promptAltTokens: { tokens: TensorData.int64([1, 2, 3]), logprobs: targets } }
  ]
  for (const response of responses) {
    const written = SamplingMessages.encodeSampleResponse(response)
    assert.strictEqual(hex(toBinary(SampleResponseSchema, fromBinary(SampleResponseSchema, written))), hex(written))
    assert.strictEqual(written.length > 0, response !== none)
  }
})

it("reads the output of a pass, cutting its record at the offsets and the module from its type", () => {
  const output = TrainingMessages.decodeForwardBackwardOutput(bytes(forwardBackwardOutput))
  assert.strictEqual(output.lossFnOutputType, "TorchLossReturn")
  assert.deepStrictEqual(output.metrics, { "loss:sum": 1.5 })
  assert.deepStrictEqual(output.lossFnOutputs, [
    { logprobs: { dtype: "float32", data: Float32Array.of(-1, -2), shape: [2] } },
    { logprobs: { dtype: "float32", data: Float32Array.of(-3), shape: [1] } }
  ])
})

it("writes the output of a pass as the service does", () => {
  const output = TrainingMessages.decodeForwardBackwardOutput(bytes(forwardBackwardOutput))
  const written = TrainingMessages.encodeForwardBackwardOutput({ ...output, lossFnOutputType: "mod:TorchLossReturn" })
  assert.strictEqual(hex(written), forwardBackwardOutput)
})

it("names the field of a damaged message", () => {
  const truncated = TrainingMessages.encodeForwardBackwardOutput({
    lossFnOutputType: "ArrayRecord",
    lossFnOutputs: [{ logprobs: TensorData.float32([1, 2]) }],
    metrics: {}
  })
  // The first offset's lowest byte: no multiple of four.
  const offsets = hex(truncated).indexOf("00000000000000000800000000000000") / 2
  truncated[offsets] = 3
  assert.throws(() => TrainingMessages.decodeForwardBackwardOutput(truncated), /logprobs/)
})

it("encodes data once and sends it again under other numbers, leaving what was sent before as it is", () => {
  const long = { modelId: "another".repeat(40), seqId: 2 ** 31 - 1, forwardOnly: true }
  const short = { modelId: "other", seqId: 300, forwardOnly: false }
  for (const [, request, vector] of requests) {
    const { data, forwardOnly, lossFn, lossFnConfig, modelId, seqId } = request
    const heads = [{ modelId, seqId, forwardOnly }, short, long, { modelId, seqId, forwardOnly: !forwardOnly }]
    for (const order of [heads, [...heads].reverse(), [long, short, ...heads]]) {
      const encoded = encodeForwardBackwardData({ data, lossFn, lossFnConfig })
      const sent = order.map(encoded.withHead)
      order.forEach((head, i) => {
        assert.deepStrictEqual(TrainingMessages.decodeForwardBackwardRequest(sent[i]!), { ...request, ...head })
        if (head === heads[0]) assert.strictEqual(hex(sent[i]!), vector)
      })
    }
  }
})

it("writes half of a pair of UTF-16 units as the character that stands for none", () => {
  const modelId = "a\ud800\u00e9\udc00\ud83d\ude00"
  const sent = encodeForwardBackwardData({ data: [], lossFn: modelId, lossFnConfig: {} })
    .withHead({ modelId, seqId: 1, forwardOnly: false })
  const read = TrainingMessages.decodeForwardBackwardRequest(sent)
  assert.strictEqual(read.modelId, "a\ufffd\u00e9\ufffd\ud83d\ude00")
  assert.strictEqual(read.lossFn, read.modelId)
})

it("tells the size of a request before its number is known", () => {
  const data = [Datum.fromTokens(new Int32Array(1001), new Float32Array(1001))]
  const encoded = encodeForwardBackwardData({ data, lossFn: "cross_entropy", lossFnConfig: {} })
  const sent = encoded.withHead({ modelId: "m", seqId: 1, forwardOnly: false })
  assert.isAtLeast(encoded.byteLength, sent.byteLength)
  assert.isBelow(encoded.byteLength, sent.byteLength + 200)
})

it("writes what the generated code reads, whatever names, sizes and numbers the request has", () => {
  const tensor = FastCheck.oneof(
    FastCheck.array(FastCheck.integer(), { maxLength: 200 }).map((values) => TensorData.int64(values)),
    FastCheck.float32Array().map((values) => TensorData.float32(values)),
    FastCheck.constant(TensorData.toSparse(TensorData.int64([0, 0, 0, 9, 0, 0, 0, 0], [2, 4])))
  ).map((tensor) => ({ ...tensor, sparse: tensor.sparse }))
  const span = FastCheck.record({
    kind: FastCheck.constantFrom("prompt" as const, "sampled" as const),
    sequenceId: FastCheck.fullUnicodeString(),
    offset: FastCheck.nat(),
    length: FastCheck.nat()
  })
  const name = FastCheck.fullUnicodeString().filter((name) => name !== "__proto__")
  const request = FastCheck.record({
    modelId: FastCheck.fullUnicodeString({ maxLength: 60 }),
    seqId: FastCheck.nat(),
    lossFn: FastCheck.fullUnicodeString(),
    lossFnConfig: FastCheck.dictionary(name, FastCheck.oneof(FastCheck.double(), FastCheck.fullUnicodeString())),
    forwardOnly: FastCheck.boolean(),
    data: FastCheck.array(
      FastCheck.record({
        modelInput: FastCheck.array(
          FastCheck.oneof(
            FastCheck.int32Array({ maxLength: 80 }).map((tokens) => ModelInput.fromTokens(tokens).chunks[0]!),
            FastCheck.uint8Array().map((dmel) => ({ type: "dmel" as const, dmel }))
          ),
          { maxLength: 4 }
        ).map((chunks) => ModelInput.joinText({ chunks })),
        lossFnInputs: FastCheck.dictionary(name, tensor, { maxKeys: 3 }),
        modelInputSpans: FastCheck.array(span, { minLength: 1, maxLength: 2 }),
        lossFnInputSpans: FastCheck.array(span, { minLength: 1, maxLength: 2 })
      }),
      { maxLength: 3 }
    )
  })
  FastCheck.assert(
    FastCheck.property(request, (request) => {
      const read = TrainingMessages.decodeForwardBackwardRequest(TrainingMessages.encodeForwardBackwardRequest(request))
      assert.deepStrictEqual(read, request)
    }),
    { numRuns: 100, seed: 7 }
  )
})

it("joins neighbouring chunks of text, of which some servers would read only the first", () => {
  const datum = Datum.fromTokens(Int32Array.of(1, 2, 3), Float32Array.of(0, 1, 1))
  const split: Datum.Datum = {
    ...datum,
    modelInput: { chunks: [...ModelInput.fromTokens([1]).chunks, ...ModelInput.fromTokens([2]).chunks] }
  }
  const sent = (data: ReadonlyArray<Datum.Datum>) =>
    hex(TrainingMessages.encodeForwardBackwardRequest({
      modelId: "m",
      seqId: 1,
      data,
      lossFn: "cross_entropy",
      lossFnConfig: {},
      forwardOnly: false
    }))
  assert.strictEqual(sent([split]), sent([datum]))
})

it("refuses an image asset pointer, which has no such form", () => {
  const pointer = { type: "image_asset_pointer", location: "x", format: "png" } as const
  assert.throws(
    () =>
      encodeForwardBackwardData({
        data: [{ modelInput: { chunks: [pointer] }, lossFnInputs: {} }],
        lossFn: "ppo",
        lossFnConfig: {}
      }),
    /asset pointer/
  )
})

/** A field that holds bytes. */
const field = (number: number, ...parts: ReadonlyArray<Uint8Array>): Uint8Array => {
  const content = Buffer.concat(parts)
  assert.isBelow(content.length, 128)
  return Buffer.concat([Uint8Array.of(8 * number + 2, content.length), content])
}

const number = (field: number, value: number) => Uint8Array.of(8 * field, value)

const ascii = (text: string) => new TextEncoder().encode(text)

const record = (dtype: number, data: Uint8Array, offsets: ReadonlyArray<bigint>, ...more: ReadonlyArray<Uint8Array>) =>
  field(
    2,
    field(
      2,
      field(1, ascii("logprobs")),
      field(2, field(1, data), field(2, new Uint8Array(BigInt64Array.from(offsets).buffer)), number(3, dtype), ...more)
    )
  )

it("widens int32 to int64 and bfloat16 to float32, and cuts at the offsets of what is stored", () => {
  const ints = record(3, new Uint8Array(Int32Array.of(1, -2, 3).buffer), [0n, 8n, 12n])
  assert.deepStrictEqual(TrainingMessages.decodeForwardBackwardOutput(ints).lossFnOutputs, [
    { logprobs: { dtype: "int64", data: BigInt64Array.of(1n, -2n), shape: [2] } },
    { logprobs: { dtype: "int64", data: BigInt64Array.of(3n), shape: [1] } }
  ])
  const halves = record(4, new Uint8Array(Uint16Array.of(0x3f80, 0xc020).buffer), [0n, 2n, 4n])
  assert.deepStrictEqual(TrainingMessages.decodeForwardBackwardOutput(halves).lossFnOutputs, [
    { logprobs: { dtype: "float32", data: Float32Array.of(1), shape: [1] } },
    { logprobs: { dtype: "float32", data: Float32Array.of(-2.5), shape: [1] } }
  ])
})

it("reads records of different shapes and dtypes one after another", () => {
  const floats = new Uint8Array(Float32Array.of(1, 2, 3, 4).buffer)
  const output = TrainingMessages.decodeForwardBackwardOutput(Buffer.concat([
    record(1, floats, [0n, 16n], field(4, Uint8Array.of(2))),
    record(2, new Uint8Array(BigInt64Array.of(5n).buffer), [0n, 8n])
  ]))
  assert.deepStrictEqual(output.lossFnOutputs.map(({ logprobs }) => logprobs?.shape), [[2, 2], [1]])
  assert.deepStrictEqual(output.lossFnOutputs.map(({ logprobs }) => logprobs?.dtype), ["float32", "int64"])
})

it("gives empty outputs for data whose fields were all left out, and none without records", () => {
  const stripped = TrainingMessages.decodeForwardBackwardOutput(field(2, number(3, 3)))
  assert.deepStrictEqual(stripped.lossFnOutputs, [{}, {}, {}])
  const empty = TrainingMessages.decodeForwardBackwardOutput(
    field(3, field(1, ascii("a:sum")), Uint8Array.of(0x11, ...new Uint8Array(8)))
  )
  assert.deepStrictEqual(empty, { lossFnOutputType: "ArrayRecord", lossFnOutputs: [], metrics: { "a:sum": 0 } })
  assert.strictEqual(TrainingMessages.decodeForwardBackwardOutput(field(1, ascii("mod:T"))).lossFnOutputType, "mod:T")
})

it("skips fields it does not know", () => {
  const known = bytes(sampleResponse)
  const unknown = Buffer.concat([
    Uint8Array.of(0x78, 0xff, 0xff, 0x03),
    Uint8Array.of(0x79, 1, 2, 3, 4, 5, 6, 7, 8),
    Uint8Array.of(0x7d, 1, 2, 3, 4),
    field(15, ascii("new"))
  ])
  assert.deepStrictEqual(
    SamplingMessages.decodeSampleResponse(Buffer.concat([unknown, known, unknown]), []),
    SamplingMessages.decodeSampleResponse(known, [])
  )
})

it("reads a message that begins at an odd place of its memory", () => {
  const shifted = Buffer.concat([Uint8Array.of(0), bytes(forwardBackwardOutput)]).subarray(1)
  assert.deepStrictEqual(
    TrainingMessages.decodeForwardBackwardOutput(shifted),
    TrainingMessages.decodeForwardBackwardOutput(bytes(forwardBackwardOutput))
  )
})

it("gives a sample without tokens empty ones, and an empty field of log-probabilities none", () => {
  const [sequence] = SamplingMessages.decodeSampleResponse(field(1, field(3)), []).sequences
  assert.deepStrictEqual(sequence, {
    sequenceId: "",
    tokens: new Int32Array(0),
    logprobs: undefined,
    topkLogprobs: undefined,
    stopReason: "stop"
  })
})

it("keeps the numbers of a result when the memory of its message is used again", () => {
  const message = bytes(sampleResponse)
  const response = SamplingMessages.decodeSampleResponse(message, [])
  message.fill(0)
  assert.deepStrictEqual(response.sequences[0]?.tokens, Int32Array.of(5, 6))
})

it("names the field of a message that makes no sense", () => {
  const output = (message: Uint8Array) => () => TrainingMessages.decodeForwardBackwardOutput(message)
  const sample = (message: Uint8Array) => () => SamplingMessages.decodeSampleResponse(message, [])
  const eight = new Uint8Array(8)
  assert.throws(output(record(1, eight, [0n, 3n])), /logprobs offsets has 3, no multiple of 4/)
  assert.throws(output(record(1, eight, [0n, 12n])), /logprobs has offsets outside its 2 elements/)
  assert.throws(output(record(1, eight, [0n, -4n])), /logprobs has offsets outside/)
  assert.throws(output(record(1, eight, [8n, 4n])), /logprobs has offsets outside/)
  assert.throws(output(record(1, eight.subarray(1), [0n])), /logprobs has 7 bytes, no multiple of 4/)
  assert.throws(output(record(0, eight, [0n, 8n])), /logprobs has no known dtype/)
  assert.throws(output(record(1, eight, [0n, 4n], field(4, Uint8Array.of(2)))), /logprobs has 1 elements in rows of 2/)
  assert.throws(
    output(field(2, number(3, 2), record(1, eight, [0n, 8n]).subarray(2))),
    /logprobs has 1 entries for 2 data/
  )
  assert.throws(output(field(2, Uint8Array.of(0x18, 0xff, 0xff, 0xff, 0xff, 0x7f))), /num_datums is/)
  assert.throws(output(field(3, field(1, ascii("__proto__")))), /__proto__/)
  assert.throws(output(Uint8Array.of(0x0b)), /wire type 3/)
  assert.throws(output(Uint8Array.of(0x00, 0x00)), /without a number/)
  assert.throws(sample(field(1, number(1, 2))), /stop_reason 2 is unknown/)
  assert.throws(sample(field(1, field(2, Uint8Array.of(1, 2, 3)))), /tokens has 3 bytes/)
  assert.throws(sample(field(2, Uint8Array.of(1, 2, 3))), /prompt_logprobs has 3 bytes/)
  assert.throws(sample(field(3, number(3, 2), number(4, 100))), /topk_prompt_logprobs has 0 tokens/)
  assert.throws(
    sample(field(5, field(1, eight), number(3, 1), field(4, Uint8Array.of(3)))),
    /target_prompt_logprobs has 2/
  )
  assert.throws(sample(field(5, field(1, eight), number(3, 2))), /target_prompt_logprobs is no float tensor/)
  assert.throws(sample(field(6)), /prompt_alt_tokens/)
  assert.throws(sample(Uint8Array.of(0x20, ...new Uint8Array(10).fill(0xff))), /prompt_cache_hit_tokens/)
  assert.throws(sample(Uint8Array.of(0x12, 50)), /prompt_logprobs ends early/)
  // Longer than the sequence it is in.
  assert.throws(sample(Uint8Array.of(0x0a, 2, 0x22, 50, 0x20, 1)), /topk_sampled_logprobs ends early/)
})

const readers: ReadonlyArray<readonly [string, string, (message: Uint8Array) => unknown]> = [
  ["the cross entropy request", crossEntropyRequest, TrainingMessages.decodeForwardBackwardRequest],
  ["the ppo request", ppoRequest + typedConfig, TrainingMessages.decodeForwardBackwardRequest],
  ["the request with spans", spansRequest, TrainingMessages.decodeForwardBackwardRequest],
  ["the sample", sampleResponse, (message) => SamplingMessages.decodeSampleResponse(message, [])],
  ["the scores", scoresResponse, (message) => SamplingMessages.decodeSampleResponse(message, [])],
  ["the output", forwardBackwardOutput, TrainingMessages.decodeForwardBackwardOutput]
]

for (const [name, vector, read] of readers) {
  const readOrError = (message: Uint8Array): string => {
    try {
      read(message)
      return "read"
    } catch (error) {
      assert.instanceOf(error, Error)
      assert.match((error as Error).message, /[a-z]+_?[a-z]+ /)
      return "refused"
    }
  }

  it(`reads or refuses ${name} wherever it is cut`, () => {
    const message = bytes(vector)
    const results = Array.from(message, (_, end) => readOrError(message.subarray(0, end)))
    // Cut between two fields it is a whole message.
    assert.include(results, "read")
    assert.include(results, "refused")
  })

  it(`reads or refuses ${name} with any bytes changed`, () => {
    const message = bytes(vector)
    const change = FastCheck.tuple(FastCheck.nat(message.length - 1), FastCheck.nat(255))
    let refused = 0
    FastCheck.assert(
      FastCheck.property(FastCheck.array(change, { minLength: 1, maxLength: 4 }), (changes) => {
        const damaged = message.slice()
        for (const [position, value] of changes) damaged[position] = value
        if (readOrError(damaged) === "refused") refused++
      }),
      { numRuns: 500, seed: 11 }
    )
    assert.isAbove(refused, 50)
  })
}
