import { assert, it } from "@effect/vitest"
import { Datum, LossFn, ModelInput, TensorData } from "../src/index.js"

const { float32, int64 } = TensorData

const datum = Datum.fromTokens(Int32Array.of(1, 2, 3, 4), Float32Array.of(0, 1, 1, 1))

const withInputs = (lossFnInputs: Datum.Datum["lossFnInputs"]): Datum.Datum => ({
  ...datum,
  lossFnInputs: { ...datum.lossFnInputs, ...lossFnInputs }
})

const withChunks = (...chunks: ReadonlyArray<ModelInput.ModelInputChunk>): Datum.Datum => ({
  ...datum,
  modelInput: { chunks }
})

const text = (...tokens: Array<number>) => ModelInput.fromTokens(tokens).chunks[0]!

const policy = withInputs({ weights: undefined as never, logprobs: float32([0, 0, 0]), advantages: float32([1, 1, 1]) })
const { weights: _, ...policyInputs } = policy.lossFnInputs
const policyDatum: Datum.Datum = { ...policy, lossFnInputs: policyInputs }

const found = (
  data: ReadonlyArray<Datum.Datum>,
  options: Partial<Parameters<typeof LossFn.issues>[0]> = {}
): ReadonlyArray<string> =>
  LossFn.issues({ lossFn: "cross_entropy", data, ...options }).map(({ description, field }) =>
    `${field}: ${description}`
  )

it("finds nothing wrong with data that each loss can be computed of", () => {
  assert.deepStrictEqual(found([datum, datum], { vocabularySize: 5, maxContextLength: 3 }), [])
  for (const lossFn of ["importance_sampling", "ppo", "cispo", "dro", "gspo"] as const) {
    assert.deepStrictEqual(found([policyDatum], { lossFn }), [])
  }
  const marked = { ...policyDatum, lossFnInputs: { ...policyInputs, sequenceRatioMask: float32([0, 1, 1]) } }
  assert.deepStrictEqual(found([marked], { lossFn: "gspo" }), [])
  for (const lossFn of ["stable_reinforce", LossFn.other("new_loss")] as const) {
    assert.deepStrictEqual(found([withInputs({ itsOwn: int64([1]) })], { lossFn }), [])
  }
})

it("refuses a mask that marks no token of a sequence, of which gspo would take its ratio", () => {
  const unmarked = { ...policyDatum, lossFnInputs: { ...policyInputs, sequenceRatioMask: float32([0, 0, 0]) } }
  const [issue, ...others] = found([policyDatum, unmarked], { lossFn: "gspo" })
  assert.match(issue!, /^data\[1\]\.lossFnInputs\.sequenceRatioMask: marks no token/)
  assert.deepStrictEqual(others, [])
  assert.match(found([datum], { lossFn: "gspo" })[0]!, /lossFnInputs\.logprobs: is missing/)
})

it("refuses empty data", () => {
  assert.match(found([])[0]!, /^data: there is no datum/)
})

it("refuses a loss it does not know, listing those it does, and passes one on that is named as another", () => {
  const [issue] = found([datum], { lossFn: "crossentropy" as never })
  assert.match(issue!, /^lossFn: crossentropy is not known.*cross_entropy, importance_sampling, ppo, cispo, dro, gspo/)
  assert.deepStrictEqual(found([datum], { lossFn: LossFn.other("crossentropy") }), [])
  assert.strictEqual(LossFn.nameOf(LossFn.other("crossentropy")), "crossentropy")
  assert.strictEqual(LossFn.nameOf("ppo"), "ppo")
  assert.match(found([datum], { lossFn: undefined as never })[0]!, /^lossFn: /)
  // @ts-expect-error a name that is not known is no type of loss
  found([datum], { lossFn: "crossentropy" })
})

it("refuses the name custom, which only a loss of the user's own stands behind", () => {
  assert.match(found([datum], { lossFn: "custom" as never })[0]!, /^lossFn: custom/)
  assert.match(found([datum], { lossFn: LossFn.other("custom") })[0]!, /^lossFn: custom/)
})

it("names a setting that is NaN, a boolean or an object, and takes numbers and texts", () => {
  assert.deepStrictEqual(found([datum], { lossFnConfig: { klCoeff: 0.5, mode: "abc" } }), [])
  const lossFnConfig = { a: NaN, b: true as never, c: {} as never, d: null as never, fine: 1 }
  assert.deepStrictEqual(found([datum], { lossFnConfig }).map((issue) => issue.split(":")[0]), [
    "lossFnConfig.a",
    "lossFnConfig.b",
    "lossFnConfig.c",
    "lossFnConfig.d"
  ])
})

it("names every input that is missing", () => {
  const bare = { ...datum, lossFnInputs: {} }
  assert.deepStrictEqual(found([datum, bare], { lossFn: "ppo" }).map((issue) => issue.split(":")[0]), [
    "data[0].lossFnInputs.logprobs",
    "data[0].lossFnInputs.advantages",
    "data[1].lossFnInputs.targetTokens",
    "data[1].lossFnInputs.logprobs",
    "data[1].lossFnInputs.advantages"
  ])
})

it("names an input that the loss does not read, such as a mask that a program keeps for itself", () => {
  assert.match(
    found([withInputs({ target_tokens: int64([1, 2, 3]) })])[0]!,
    /lossFnInputs\.target_tokens: .*reads targetTokens/
  )
  assert.match(found([withInputs({ mask: float32([1, 1, 1]) })])[0]!, /lossFnInputs\.mask: is not read by the loss/)
})

it("names an input of the wrong dtype, and what is no tensor", () => {
  assert.match(found([withInputs({ weights: int64([1, 1, 1]) })])[0]!, /weights: is int64; it must be float32/)
  assert.match(
    found([withInputs({ targetTokens: float32([1, 1, 1]) })])[0]!,
    /targetTokens: is float32; it must be int64/
  )
  assert.match(found([withInputs({ weights: [1, 1, 1] as never })])[0]!, /weights: is no tensor/)
})

it("names an input whose shape contradicts its elements or the model input", () => {
  assert.match(found([withInputs({ weights: float32([1, 1, 1], [2]) })])[0]!, /weights: has 3 elements.*says 2/)
  assert.match(found([withInputs({ weights: float32([1, 1], [2]) })])[0]!, /weights: has shape \[2\].*has 3 tokens/)
  assert.match(
    found([withInputs({ weights: float32([1], [1, 1, 1]) })])[0]!,
    /weights: has shape \[1,1,1\]; it must be/
  )
  assert.match(found([withInputs({ weights: float32([1, 1, 1], [-3]) })])[0]!, /weights: has shape \[-3\]/)
})

it("takes several targets a position with weights of the same shape, and no other", () => {
  const targetTokens = int64([1, 2, 3, 4, 5, 6], [3, 2])
  const six = [1, 1, 1, 1, 1, 1]
  assert.deepStrictEqual(found([withInputs({ targetTokens, weights: float32(six, [3, 2]) })]), [])
  assert.match(found([withInputs({ targetTokens })])[0]!, /weights: has shape \[3\], and targetTokens \[3,2\]/)
})

it("takes sparse tensors with consistent indices, and no others", () => {
  const dense = new Float32Array(3 * 20)
  dense[5] = 1
  const targets = int64(new BigInt64Array(60), [3, 20])
  const weights = TensorData.toSparse(float32(dense, [3, 20]))
  assert.isDefined(weights.sparse)
  assert.deepStrictEqual(found([withInputs({ targetTokens: targets, weights })]), [])
  const broken = { ...weights, sparse: { ...weights.sparse!, colIndices: BigInt64Array.of(20n) } } as typeof weights
  assert.match(found([withInputs({ targetTokens: targets, weights: broken })])[0]!, /weights: has column 20 at 0/)
})

it("names a float that is not finite, and where it is", () => {
  for (const [position, value] of [[0, NaN], [5, Infinity], [6, -Infinity]] as const) {
    const length = 7
    const weights = new Float32Array(length).fill(1)
    weights[position] = value
    const long = Datum.fromTokens(new Int32Array(length + 1), new Float32Array(length + 1))
    const data = [{ ...long, lossFnInputs: { ...long.lossFnInputs, weights: float32(weights) } }]
    assert.deepStrictEqual(found(data), [
      `data[0].lossFnInputs.weights: is ${value} at ${position}; it must be finite.`
    ])
  }
})

it("names a token that is negative, or beyond the vocabulary when that is known", () => {
  const target = (token: bigint) => withInputs({ targetTokens: int64(BigInt64Array.of(1n, token, 2n)) })
  assert.match(found([target(-5n)])[0]!, /targetTokens: is -5 at 1; a token is not negative/)
  assert.match(found([target(2n ** 31n)])[0]!, /targetTokens: is 2147483648 at 1/)
  assert.match(found([target(2n ** 32n)])[0]!, /targetTokens: is 4294967296 at 1/)
  assert.deepStrictEqual(found([target(99n)]), [])
  assert.match(
    found([target(99n)], { vocabularySize: 99 })[0]!,
    /targetTokens: is 99 at 1; the vocabulary has 99 tokens/
  )
  assert.match(found([withChunks(text(1, -2, 3))])[0]!, /modelInput\.chunks\[0\]\.tokens: is -2 at 1/)
  assert.match(found([withChunks(text(1, 2, 7))], { vocabularySize: 7 })[0]!, /chunks\[0\]\.tokens: is 7 at 2/)
})

it("names an empty chunk of text, and a model input without any tokens", () => {
  assert.match(found([withChunks(text(1, 2, 3), text())])[0]!, /^data\[0\]\.modelInput\.chunks\[1\]: has no tokens/)
  assert.match(found([withChunks()])[0]!, /^data\[0\]\.modelInput: has no tokens/)
  assert.match(found([withChunks(text())])[0]!, /^data\[0\]\.modelInput: has no tokens/)
})

it("names a model input longer than the context, when that is known", () => {
  assert.match(found([datum], { maxContextLength: 2 })[0]!, /^data\[0\]\.modelInput: has 3 tokens.*context has 2/)
})

it("names the chunk of an image asset pointer, which cannot be trained on", () => {
  const pointer = { type: "image_asset_pointer", location: "x", format: "png", expectedTokens: 1 } as const
  assert.match(
    found([datum, withChunks(text(1, 2), pointer)])[0]!,
    /^data\[1\]\.modelInput\.chunks\[1\]: .*asset pointer/
  )
})

it("leaves lengths to the server when an image does not say how many tokens it expects", () => {
  const image = { type: "image", data: Uint8Array.of(1), format: "png" } as const
  assert.deepStrictEqual(found([withChunks(text(1), image)]), [])
  assert.match(found([withChunks(text(1), { ...image, expectedTokens: 9 })])[0]!, /has 10 tokens/)
})

it("names the chunk of audio whose header cannot be read", () => {
  const audio = (...bytes: Array<number>) => ({ type: "dmel", dmel: Uint8Array.from(bytes) }) as const
  assert.deepStrictEqual(found([withChunks(text(1), audio(4, 2, 2, 80))]), [])
  assert.match(found([withChunks(text(1), audio(4, 2))])[0]!, /^data\[0\]\.modelInput\.chunks\[1\]: .*ends early/)
})

it("names spans that do not cover the tokens", () => {
  const spans = [{ kind: "sampled", sequenceId: "q", offset: 0, length: 2 }] as const
  assert.match(
    found([datum, { ...datum, modelInputSpans: spans, lossFnInputSpans: [{ ...spans[0], length: 3 }] }])[0]!,
    /^data\[1\]\.modelInputSpans: leave a gap/
  )
})

it("tells all faults of a batch at once", () => {
  const wrong: Datum.Datum = {
    modelInput: { chunks: [text(1, -1), text()] },
    lossFnInputs: { weights: float32([NaN]), extra: float32([1]) }
  }
  const fields = found([datum, wrong], { lossFnConfig: { a: NaN } }).map((issue) => issue.split(":")[0])
  assert.deepStrictEqual(fields, [
    "lossFnConfig.a",
    "data[1].modelInput.chunks[0].tokens",
    "data[1].modelInput.chunks[1]",
    "data[1].lossFnInputs.targetTokens",
    "data[1].lossFnInputs.weights",
    "data[1].lossFnInputs.weights",
    "data[1].lossFnInputs.extra"
  ])
})
