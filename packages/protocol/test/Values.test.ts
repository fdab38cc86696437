import { assert, it } from "@effect/vitest"
import { Either, FastCheck, Schema } from "effect"
import {
  Datum,
  ForwardBackwardOutput,
  LossFn,
  ModelInput,
  SampleResponse,
  TensorData,
  TrainingMessages
} from "../src/index.js"
import { decodeSampleResponseJson, encodeForwardBackwardJson } from "../src/internal/legacyJson.js"

/** JSON has one zero. */
const float = FastCheck.float({ noDefaultInfinity: true }).map((value) => value + 0)
const double = FastCheck.double({ noNaN: true, noDefaultInfinity: true }).map((value) => value + 0)
const floats = (length: number, one: FastCheck.Arbitrary<number> = float) =>
  FastCheck.array(one, { minLength: length, maxLength: length }).map((values) => Float32Array.from(values))
const token = FastCheck.integer({ min: 0, max: 2 ** 31 - 1 })
const tokens = (length: number) =>
  FastCheck.array(token, { minLength: length, maxLength: length }).map((values) => Int32Array.from(values))

const tensor: FastCheck.Arbitrary<TensorData.TensorData> = FastCheck.nat(5).chain((length) =>
  FastCheck.oneof(
    floats(length).map((values) => TensorData.float32(values)),
    FastCheck.array(FastCheck.maxSafeInteger(), { minLength: length, maxLength: length }).map((values) =>
      TensorData.int64(values)
    )
  )
)

const span = FastCheck.record({
  kind: FastCheck.constantFrom("prompt" as const, "sampled" as const),
  sequenceId: FastCheck.string(),
  offset: FastCheck.nat(),
  length: FastCheck.nat()
})

const inputs = FastCheck.dictionary(
  FastCheck.constantFrom("targetTokens", "weights", "sequenceRatioMask", "x y"),
  tensor
)

const modelInput = FastCheck.array(FastCheck.nat(4).chain(tokens), { maxLength: 3 }).map((
  parts
): ModelInput.ModelInput => ({
  chunks: parts.map((tokens) => ({ type: "encoded_text", tokens }))
}))

const datum: FastCheck.Arbitrary<Datum.Datum> = FastCheck.record(
  {
    modelInput,
    lossFnInputs: inputs,
    modelInputSpans: FastCheck.array(span, { maxLength: 2 }),
    lossFnInputSpans: FastCheck.array(span, { maxLength: 2 })
  },
  { requiredKeys: ["modelInput", "lossFnInputs"], noNullPrototype: true }
)

const output: FastCheck.Arbitrary<ForwardBackwardOutput.ForwardBackwardOutput> = FastCheck.record({
  lossFnOutputType: FastCheck.string(),
  lossFnOutputs: FastCheck.array(inputs, { maxLength: 3 }),
  metrics: FastCheck.dictionary(FastCheck.string(), double)
}, { noNullPrototype: true })

const finite = float.filter(Number.isFinite)

/** Rows of which the first is full, as `k` is the length of the longest. */
const topk = FastCheck.record({
  k: FastCheck.integer({ min: 1, max: 3 }),
  length: FastCheck.integer({ min: 1, max: 3 })
})
  .chain(({ k, length }) =>
    FastCheck.tuple(tokens(k * length), floats(k * length, finite)).map((
      [tokenIds, logprobs]
    ): SampleResponse.TopkLogprobs => ({
      k,
      length,
      tokenIds: tokenIds.map((id) => Math.max(1, id)),
      logprobs
    }))
  )

const sequence: FastCheck.Arbitrary<SampleResponse.SampledSequence> = FastCheck.nat(4).chain((length) =>
  FastCheck.record({
    sequenceId: FastCheck.string(),
    tokens: tokens(length),
    logprobs: FastCheck.option(floats(length), { nil: undefined }),
    topkLogprobs: FastCheck.option(topk, { nil: undefined }),
    stopReason: FastCheck.constantFrom("stop" as const, "length" as const)
  }, { noNullPrototype: true })
)

const response: FastCheck.Arbitrary<SampleResponse.SampleResponse> = FastCheck.record(
  {
    sequences: FastCheck.array(sequence, { maxLength: 3 }),
    promptLogprobs: FastCheck.option(FastCheck.nat(4).chain(floats), { nil: undefined }),
    topkPromptLogprobs: FastCheck.option(topk, { nil: undefined }),
    promptLogprobsOffset: FastCheck.nat(),
    targetPromptLogprobs: FastCheck.nat(4).chain(floats).map((values) => TensorData.float32(values)),
    promptAltTokens: FastCheck.nat(4).chain((length) =>
      FastCheck.record({
        tokens: tokens(length).map((ids) => TensorData.int64(ids)),
        logprobs: floats(length).map((values) => TensorData.float32(values))
      }, { noNullPrototype: true })
    ),
    promptCacheHitTokens: FastCheck.nat()
  },
  {
    requiredKeys: ["sequences", "promptLogprobs", "topkPromptLogprobs", "promptCacheHitTokens"],
    noNullPrototype: true
  }
)

const lossFn: FastCheck.Arbitrary<LossFn.LossFn> = FastCheck.oneof(
  FastCheck.constantFrom("cross_entropy" as const, "gspo" as const),
  FastCheck.constant(LossFn.other("of_tomorrow"))
)

const lossFnConfig: FastCheck.Arbitrary<LossFn.LossFnConfig> = FastCheck.dictionary(
  FastCheck.constantFrom("clipLowThreshold", "klCoeff", "beta"),
  FastCheck.oneof(double, FastCheck.string())
)

type AnySchema = Schema.Schema<unknown>

const asUnknown = <A, I>(schema: Schema.Schema<A, I>): AnySchema => Schema.make(schema.ast)

const values: ReadonlyArray<readonly [string, AnySchema, FastCheck.Arbitrary<unknown>]> = [
  ["a tensor", asUnknown(TensorData.TensorData), tensor],
  ["a model input", asUnknown(ModelInput.ModelInput), modelInput],
  ["a datum", asUnknown(Datum.Datum), datum],
  ["the output of a pass", asUnknown(ForwardBackwardOutput.ForwardBackwardOutput), output],
  ["a sample", asUnknown(SampleResponse.SampleResponse), response],
  ["a loss", asUnknown(LossFn.LossFn), lossFn],
  ["settings of a loss", asUnknown(LossFn.LossFnConfig), lossFnConfig]
]

for (const [name, schema, arbitrary] of values) {
  it(`${name} is the same after it was written as JSON and read again`, () =>
    FastCheck.assert(
      FastCheck.property(arbitrary, (value) => {
        const text = Schema.encodeSync(Schema.parseJson(schema))(value)
        assert.deepStrictEqual(Schema.decodeSync(Schema.parseJson(schema))(text), value)
      }),
      { seed: 1, numRuns: 200 }
    ))
}

it("data are written as requests in JSON have them, and outputs and samples read as answers are", () =>
  FastCheck.assert(
    FastCheck.property(datum, output, response, (datum, output, response) => {
      const { lossFnInputSpans: _, modelInputSpans: __, ...plain } = datum
      const joined = { ...plain, modelInput: ModelInput.joinText(plain.modelInput) }
      const body = encodeForwardBackwardJson({
        modelId: "m" as never,
        seqId: 1,
        data: [plain],
        lossFn: "ppo",
        lossFnConfig: {},
        forwardOnly: false
      }) as { readonly forward_backward_input: { readonly data: ReadonlyArray<unknown> } }
      assert.deepStrictEqual<unknown>(
        JSON.parse(JSON.stringify(Schema.encodeSync(Datum.Datum)(joined))),
        JSON.parse(JSON.stringify(body.forward_backward_input.data[0]))
      )
      const written = JSON.parse(JSON.stringify(Schema.encodeSync(ForwardBackwardOutput.ForwardBackwardOutput)(output)))
      assert.deepStrictEqual(TrainingMessages.decodeForwardBackwardOutputJson(written), output)
      const answered = {
        ...response,
        // An empty list counts as absent in answers, and what a sample's logprobs cannot be is refused.
        promptLogprobs: response.promptLogprobs?.length === 0 ? undefined : response.promptLogprobs,
        sequences: response.sequences.map((sequence) => ({
          ...sequence,
          logprobs: sequence.logprobs === undefined || sequence.logprobs.length === 0
            ? undefined
            : sequence.logprobs.map((value) => Number.isNaN(value) ? 0 : value)
        }))
      }
      const sample = JSON.parse(JSON.stringify(Schema.encodeSync(SampleResponse.SampleResponse)(answered)))
      const { promptLogprobsOffset: ___, ...rest } = answered
      assert.deepStrictEqual(
        { ...decodeSampleResponseJson(sample, answered.sequences.map(({ sequenceId }) => sequenceId)) },
        { targetPromptLogprobs: undefined, promptAltTokens: undefined, ...rest }
      )
    }),
    { seed: 1, numRuns: 100 }
  ))

const refused: ReadonlyArray<readonly [string, AnySchema, unknown, RegExp]> = [
  ["a tensor without a dtype", asUnknown(TensorData.TensorData), { data: [1] }, /no known dtype/],
  [
    "a fraction as an integer",
    asUnknown(TensorData.TensorData),
    { data: [0.5], dtype: "int64" },
    /data\[0\] is no whole number/
  ],
  [
    "a shape of another size",
    asUnknown(TensorData.TensorData),
    { data: [1], dtype: "float32", shape: [2] },
    /has 1 elements/
  ],
  ["a text as datum", asUnknown(Datum.Datum), "hello", /Expected/],
  ["names of this SDK in JSON", asUnknown(Datum.Datum), {
    model_input: { chunks: [] },
    loss_fn_inputs: { targetTokens: { data: [1], dtype: "int64" } }
  }, /targetTokens is no name of an input or a setting; target_tokens is/],
  ["no stop reason", asUnknown(SampleResponse.SampleResponse), {
    sequences: [{ sequence_id: "a", tokens: [1] }],
    prompt_cache_hit_tokens: 0
  }, /stop_reason/],
  ["a pair of one", asUnknown(SampleResponse.SampleResponse), {
    sequences: [],
    topk_prompt_logprobs: [[[1]]],
    prompt_cache_hit_tokens: 0
  }, /rows\[0\]\[0\] is no number/]
]

for (const [name, schema, json, told] of refused) {
  it(`${name} is refused by its schema with the place`, () => {
    const error = Either.getOrThrow(Either.flip(Schema.decodeUnknownEither(schema)(json)))
    assert.match(error.message, told)
  })
}

it("what JSON lacks is refused, not changed, when it is written", () => {
  const written = Schema.encodeEither(TensorData.TensorData)
  assert.match(String(Either.flip(written(TensorData.float32([Infinity])))), /Infinity at 0, which JSON lacks/)
  assert.match(
    String(Either.flip(written({ dtype: "int64", data: BigInt64Array.of(2n ** 60n), shape: [1] }))),
    /which JSON does not hold exactly/
  )
  const topk: SampleResponse.TopkLogprobs = {
    k: 1,
    length: 1,
    tokenIds: Int32Array.of(1),
    logprobs: Float32Array.of(NaN)
  }
  const sample = { sequences: [], promptLogprobs: undefined, topkPromptLogprobs: topk, promptCacheHitTokens: 0 }
  assert.match(String(Either.flip(Schema.encodeEither(SampleResponse.SampleResponse)(sample))), /NaN at 0, which JSON/)
})
