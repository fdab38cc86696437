import { assert, it } from "@effect/vitest"
import { Either } from "effect"
import type { TinkerError } from "effect-tinker"
import { Datum, ModelInput, TensorData } from "effect-tinker"
import { backwardData, customLossMetrics, sentData, withWeights } from "../src/internal/training/customLoss.js"

const modelInput = ModelInput.fromTokens([1, 2])

const problems = (either: Either.Either<unknown, TinkerError.InvalidInputError>): ReadonlyArray<string> =>
  Either.match(either, {
    onLeft: (error) => [error, ...error.others].map(({ description, field }) => `${field}: ${description}`),
    onRight: () => []
  })

it("gives plain lists the dtype that their names ask for", () => {
  const names = ["weights", "advantages", "logprobs", "clipLowThreshold", "clipHighThreshold", "sequenceRatioMask"]
  const datum = Either.getOrThrow(Datum.fromInputs({
    modelInput,
    lossFnInputs: { targetTokens: [2, 3], ...Object.fromEntries(names.map((name) => [name, [0.5, 1]])) }
  }))
  assert.deepStrictEqual(datum.lossFnInputs.targetTokens, TensorData.int64([2, 3]))
  for (const name of names) assert.deepStrictEqual(datum.lossFnInputs[name], TensorData.float32([0.5, 1]))
})

it("gives a typed array the dtype that its name asks for, whatever its own", () => {
  const { lossFnInputs } = Either.getOrThrow(Datum.fromInputs({
    modelInput,
    lossFnInputs: { targetTokens: Float64Array.of(2, 3), weights: Int32Array.of(0, 1), extra: Uint8Array.of(1, 2) }
  }))
  assert.deepStrictEqual(lossFnInputs, {
    targetTokens: TensorData.int64([2, 3]),
    weights: TensorData.float32([0, 1]),
    extra: TensorData.int64([1, 2])
  })
})

it("keeps tensors as they are, and the shape of lists in lists", () => {
  const tensor = TensorData.float32([1, 2])
  const { lossFnInputs } = Either.getOrThrow(Datum.fromInputs({
    modelInput,
    lossFnInputs: { anything: tensor, targetTokens: [[1, 2], [3, 4]] }
  }))
  assert.strictEqual(lossFnInputs.anything, tensor)
  assert.deepStrictEqual(lossFnInputs.targetTokens, TensorData.int64([1, 2, 3, 4], [2, 2]))
})

it("names the datum and every input that cannot be made a tensor", () => {
  const found = problems(Datum.fromInputs({
    modelInput,
    name: "data[7]",
    lossFnInputs: {
      mystery: [1, 2],
      weights: [[1, 2], [3]],
      logprobs: [1e40],
      targetTokens: [1.5],
      advantages: "no" as never
    }
  }))
  assert.strictEqual(found.length, 5)
  assert.match(found[0]!, /^data\[7\]\.lossFnInputs\.mystery: .*not known/)
  assert.match(found[1]!, /^data\[7\]\.lossFnInputs\.weights: .*ragged/)
  assert.match(found[2]!, /logprobs: is 1e\+40 at 0/)
  assert.match(found[3]!, /targetTokens: is 1\.5 at 0/)
  assert.match(found[4]!, /advantages: .*neither/)
})

const datum = Datum.fromTokens(Int32Array.of(1, 2, 3, 4), Float32Array.of(0, 1, 1, 1))

const span = (kind: "prompt" | "sampled", length: number, sequenceId = "q", offset = 0): Datum.ProvenanceSpan => ({
  kind,
  sequenceId,
  offset,
  length
})

it("attaches spans that cover the tokens and the targets exactly", () => {
  const spans = { modelInput: [span("prompt", 1), span("sampled", 2, "q", 1)], lossFnInputs: [span("sampled", 3)] }
  const attached = Either.getOrThrow(Datum.withProvenance(datum, spans))
  assert.deepStrictEqual(attached.modelInputSpans, spans.modelInput)
  assert.deepStrictEqual(attached.lossFnInputSpans, spans.lossFnInputs)
  assert.deepStrictEqual(attached.lossFnInputs, datum.lossFnInputs)
  assert.isUndefined(datum.modelInputSpans)
})

it("refuses spans with a gap, an overlap, a missing list, an empty id or a negative place, saying where", () => {
  const wrong = (modelInput: ReadonlyArray<Datum.ProvenanceSpan>, lossFnInputs = [span("sampled", 3)]) =>
    problems(Datum.withProvenance({ modelInput, lossFnInputs })(datum)).join("\n")
  assert.match(wrong([span("prompt", 2)]), /datum\.modelInputSpans: leave a gap.*position 2 of 3/)
  assert.match(wrong([span("prompt", 2), span("sampled", 2)]), /modelInputSpans\[1\]: covers positions 2 to 4.*are 3/)
  assert.match(wrong([span("prompt", 3)], []), /lossFnInputSpans: leave a gap.*0 of 3/)
  assert.match(wrong([span("prompt", 3, "")]), /modelInputSpans\[0\]\.sequenceId: is empty/)
  assert.match(wrong([span("prompt", 3, "q", -1)]), /modelInputSpans\[0\]\.offset: is -1/)
  assert.match(wrong(undefined as never), /modelInputSpans: is missing/)
})

it("cannot tile an image of unknown length, nor targets in several rows", () => {
  const image: Datum.Datum = {
    modelInput: { chunks: [{ type: "image", data: Uint8Array.of(1), format: "png" }] },
    lossFnInputs: { targetTokens: TensorData.int64([1, 2, 3, 4], [2, 2]) }
  }
  const found = problems(Datum.withProvenance(image, { modelInput: [], lossFnInputs: [] }))
  assert.match(found[0]!, /modelInputSpans: .*expectedTokens/)
  assert.match(found[1]!, /lossFnInputSpans: /)
})

it("sends targets and zero weights of their shape for a custom loss, and keeps spans and other inputs apart", () => {
  const own = Datum.make({
    modelInput,
    lossFnInputs: { targetTokens: TensorData.int64([1, 2, 3, 4], [2, 2]), reward: TensorData.float32([9]) },
    modelInputSpans: [span("prompt", 2)],
    lossFnInputSpans: [span("sampled", 2)]
  })
  const [sent] = withWeights(sentData([own]))
  assert.deepStrictEqual(sent, {
    ...own,
    lossFnInputs: {
      targetTokens: own.lossFnInputs.targetTokens!,
      weights: TensorData.float32([0, 0, 0, 0], [2, 2])
    }
  })
})

it("sends the negative gradient of a custom loss as weights: of minus the last log-probability 0, 0 and 1", () => {
  const [sent] = backwardData([datum], [Float32Array.of(0, 0, -1)])
  assert.deepStrictEqual(sent!.lossFnInputs, {
    targetTokens: datum.lossFnInputs.targetTokens!,
    weights: TensorData.float32([0, 0, 1])
  })
})

it("keeps the server's loss under another name, lets the user's metrics win, and the user's loss over both", () => {
  assert.deepStrictEqual(
    customLossMetrics({ "loss:sum": 5, "tokens:sum": 3, "kl:mean": 1 }, { "kl:mean": 2, "loss:sum": 7 }, 11),
    { "surrogate_loss:sum": 5, "tokens:sum": 3, "kl:mean": 2, "loss:sum": 11 }
  )
  assert.deepStrictEqual(customLossMetrics({}, {}, 1), { "loss:sum": 1 })
})

it("estimates four bytes a token, and the bytes of each tensor", () => {
  assert.strictEqual(Datum.byteLength(datum), 3 * 4 + 3 * 8 + 3 * 4)
  const matrix = new Float32Array(400)
  matrix[5] = 1
  const sparse = Datum.make({
    modelInput,
    lossFnInputs: { weights: TensorData.toSparse(TensorData.float32(matrix, [20, 20])) }
  })
  assert.strictEqual(Datum.byteLength(sparse), 8 + 4 + 21 * 8 + 8)
})
