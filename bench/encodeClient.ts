/**
 * Builds the data of training passes and encodes the request, and decodes a result, and prints what that costs.
 */
import { Either } from "effect"
import { Datum, ModelInput, TensorData, TrainingMessages } from "effect-tinker"
import { meter } from "./meter.js"

export interface Figures {
  /** CPU time of one pass, in milliseconds, collecting what it leaves behind included. */
  readonly cpu: number
  /** Its time by the clock: the median. */
  readonly wall: number
}

export interface Results {
  readonly longFromArrays: Figures
  readonly longFromLists: Figures
  readonly manyFromArrays: Figures
  readonly manyFromLists: Figures
  readonly decode: Figures
}

const repeat = (times: number, pass: () => unknown): Figures => {
  for (let i = 0; i < times; i++) pass()
  const milliseconds: Array<number> = []
  const stop = meter()
  for (let i = 0; i < times; i++) {
    const start = performance.now()
    pass()
    milliseconds.push(performance.now() - start)
  }
  milliseconds.sort((a, b) => a - b)
  return { cpu: stop(times).cpu, wall: milliseconds[Math.floor(times / 2)]! }
}

const token = (i: number) => (i * 7919) % 150_000

const encode = (data: ReadonlyArray<Datum.Datum>) =>
  TrainingMessages.encodeForwardBackwardRequest({
    modelId: "session:train:0",
    seqId: 1,
    data,
    lossFn: "cross_entropy",
    lossFnConfig: {},
    forwardOnly: false
  })

const fromArrays = (rows: number, length: number) => {
  const tokens = Int32Array.from({ length }, (_, i) => token(i))
  const targets = Int32Array.from({ length }, (_, i) => token(i + 1))
  const weights = new Float32Array(length).fill(1)
  return repeat(30, () =>
    encode(
      Array.from({ length: rows }, () =>
        Datum.make({
          modelInput: ModelInput.fromTokens(tokens),
          lossFnInputs: { targetTokens: TensorData.int64(targets), weights: TensorData.float32(weights) }
        }))
    ))
}

const fromLists = (rows: number, length: number) => {
  const tokens = Array.from({ length }, (_, i) => token(i))
  const targets = Array.from({ length }, (_, i) => token(i + 1))
  const weights = new Array<number>(length).fill(1)
  return repeat(10, () =>
    encode(
      Array.from({ length: rows }, () =>
        Either.getOrThrow(
          Datum.fromInputs({
            modelInput: ModelInput.fromTokens(tokens),
            lossFnInputs: { targetTokens: targets, weights }
          })
        ))
    ))
}

const decode = (rows: number, length: number) => {
  const bytes = TrainingMessages.encodeForwardBackwardOutput({
    lossFnOutputType: "ArrayRecord",
    lossFnOutputs: Array.from(
      { length: rows },
      () => ({ logprobs: TensorData.float32(new Float32Array(length).fill(-0.5)) })
    ),
    metrics: { "loss:sum": 1 }
  })
  return repeat(200, () => TrainingMessages.decodeForwardBackwardOutput(bytes))
}

const results: Results = {
  longFromArrays: fromArrays(10, 65_536),
  longFromLists: fromLists(10, 65_536),
  manyFromArrays: fromArrays(128, 2048),
  manyFromLists: fromLists(128, 2048),
  decode: decode(128, 2048)
}
console.log(JSON.stringify(results))
