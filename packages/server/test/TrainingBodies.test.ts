import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TensorData } from "effect-tinker"
import { Dialect } from "../src/index.js"
import * as Zstd from "../src/internal/http/zstd.js"
import * as Wire from "./wire.js"

/** A frame as libzstd 1.5 writes it at level 3, of 2500 bytes: with its size, without checksum. */
const frame = Buffer.from(
  "KLUv/WDECEUCAJQDdGhlIHF1aWNrIGJyb3duIGZveCBqdW1wcyBvdmVyIHRoZSBsYXp5IGRvZzthaXNlc2lhdXFvb3F1AwCsYFZPLVQ/MIRZBg==",
  "base64"
)

/** A zstd frame with the bytes as they are. */
const rawFrame = (bytes: Uint8Array): Uint8Array => {
  const header = new DataView(new ArrayBuffer(12))
  header.setUint32(0, 0xfd2fb528, true)
  header.setUint8(4, 0xa0)
  header.setUint32(5, bytes.length, true)
  header.setUint16(9, (bytes.length << 3) | 1, true)
  return Uint8Array.of(...new Uint8Array(header.buffer), ...bytes)
}

/** A frame that claims so many blocks of zeros, four bytes each. */
const zeros = (blocks: number): Uint8Array => {
  const bytes = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58]
  for (let i = 0; i < blocks; i++) {
    const header = (131_072 << 3) | 2 | (i === blocks - 1 ? 1 : 0)
    bytes.push(header & 255, (header >> 8) & 255, header >> 16, 0)
  }
  return Uint8Array.from(bytes)
}

const inJson = (modelId: string, seqId: number, key: string) => ({
  model_id: modelId,
  seq_id: seqId,
  [key]: {
    data: [{
      model_input: { chunks: [{ type: "encoded_text", tokens: [104, 101] }] },
      loss_fn_inputs: {
        target_tokens: { data: [101, 108], dtype: "int64", shape: [2] },
        logprobs: { data: [-1, -2], dtype: "float32" },
        advantages: { data: [1, 0.5], dtype: "float32", shape: null }
      }
    }],
    loss_fn: "ppo",
    loss_fn_config: { clip_low_threshold: 0.8 }
  }
})

const inProtobuf = {
  data: [Wire.datum("hel", {
    logprobs: TensorData.float32([-1, -2]),
    advantages: TensorData.float32([1, 0.5])
  })],
  lossFn: "ppo",
  lossFnConfig: { clipLowThreshold: 0.8 }
}

const gradNorm = (modelId: string, seqId: number) =>
  Effect.map(
    Effect.flatMap(Wire.optimStep(modelId, seqId), Wire.result),
    ({ body }) => (body.metrics as Record<string, number>)["unclipped_grad_l2:mean"]
  )

describe("zstd", () => {
  it("gives back what was compressed", () => {
    const text = new TextDecoder().decode(Zstd.inflate(frame, 2 ** 28))
    assert.strictEqual(text.length, 2500)
    assert.strictEqual(text.slice(0, 45), "the quick brown fox jumps over the lazy dog; ")
    assert.deepStrictEqual(Zstd.inflate(zeros(2), 2 ** 28), new Uint8Array(262_144))
  })

  it("refuses a few bytes that claim to be very many, and bytes that are something else", () => {
    assert.throws(() => Zstd.inflate(zeros(2049), 2 ** 28), Zstd.TooLarge)
    const boastful = rawFrame(new Uint8Array(3))
    new DataView(boastful.buffer).setUint32(5, 0xffffffff, true)
    assert.throws(() => Zstd.inflate(boastful, 2 ** 28), Zstd.TooLarge)
    for (const bytes of [new Uint8Array(0), Uint8Array.of(1, 2, 3, 4, 5), frame.subarray(0, 40)]) {
      assert.throws(() => Zstd.inflate(bytes, 2 ** 28), Error)
      assert.doesNotThrow(() => {
        try {
          Zstd.inflate(bytes, 2 ** 28)
        } catch (error) {
          if (error instanceof Zstd.TooLarge) throw error
        }
      })
    }
  })
})

describe("training requests", () => {
  it.effect("may be compressed with zstd, and are known again without it", () =>
    Effect.gen(function*() {
      const { modelId } = yield* Wire.readyModel
      const post = (bytes: Uint8Array, encoding = "zstd") =>
        Wire.postBytes("forward_backward", bytes, undefined, { "content-encoding": encoding })
      const compressed = yield* post(rawFrame(Wire.passBytes(modelId, 1)))
      assert.property((yield* Wire.result(compressed)).body, "metrics")
      assert.deepStrictEqual((yield* Wire.forwardBackward(modelId, 1)).body, compressed.body)
      assert.strictEqual((yield* post(Wire.passBytes(modelId, 2))).status, 422)
      assert.strictEqual((yield* post(zeros(2049))).status, 413)
      assert.strictEqual((yield* post(Wire.passBytes(modelId, 2), "gzip")).status, 415)
    }).pipe(Effect.provide(Wire.server())))

  it.effect("may be JSON, and then do what they would as protobuf", () =>
    Effect.gen(function*() {
      const { modelId } = yield* Wire.readyModel
      const pass = yield* Wire.post("forward_backward", inJson(modelId, 1, "forward_backward_input"))
      const { body } = yield* Wire.result(pass)
      const expected = yield* Wire.result(
        yield* Wire.forwardBackward(modelId, 2, { ...inProtobuf, forwardOnly: true })
      )
      assert.deepStrictEqual(body, expected.body)
      assert.isAbove((yield* gradNorm(modelId, 3))!, 0)
    }).pipe(Effect.provide(Wire.server())))

  it.effect("have a path of their own in JSON when no gradient is wanted", () =>
    Effect.gen(function*() {
      const { modelId } = yield* Wire.readyModel
      const pass = yield* Wire.post("forward", inJson(modelId, 1, "forward_input"))
      const expected = yield* Wire.result(yield* Wire.forwardBackward(modelId, 2, { ...inProtobuf, forwardOnly: true }))
      assert.deepStrictEqual((yield* Wire.result(pass)).body, expected.body)
      assert.strictEqual(yield* gradNorm(modelId, 3), 0)
    }).pipe(Effect.provide(Wire.server())))

  it.effect("that are no requests in JSON free their number", () =>
    Effect.gen(function*() {
      const { modelId } = yield* Wire.readyModel
      const broken = inJson(modelId, 1, "forward_backward_input")
      const [datum] = (broken.forward_backward_input as { data: Array<Record<string, unknown>> }).data
      datum!.loss_fn_inputs = { target_tokens: { data: [1.5, 2], dtype: "int64" } }
      const refused = yield* Wire.post("forward_backward", broken)
      assert.deepStrictEqual([refused.status, refused.body.detail], [
        422,
        "target_tokens: element 0 is no whole number that JSON can hold exactly, of at most 9007199254740991"
      ])
      assert.property((yield* Wire.result(yield* Wire.optimStep(modelId, 2))).body, "metrics")
    }).pipe(Effect.provide(Wire.server())))

  it.effect("are JSON alone, with their results, on a server without protobuf", () =>
    Effect.gen(function*() {
      const { modelId, sessionId } = yield* Wire.readyModel
      const refused = yield* Wire.forwardBackward(modelId, 1)
      assert.strictEqual(refused.status, 415)
      const pass = yield* Wire.post("forward_backward", inJson(modelId, 1, "forward_backward_input"))
      const { body: { sampling_session_id: id } } = yield* Wire.createSampler(sessionId)
      for (const submitted of [pass, yield* Wire.sample(id)]) {
        const { headers } = yield* Wire.result(submitted, { protobuf: true })
        assert.strictEqual(headers["content-type"], "application/json")
      }
    }).pipe(Effect.provide(Wire.server({ protocol: { dialect: Dialect.withoutProtobuf() } }))))
})
