/**
 * Trains the base model that ships, from nothing but the text of `corpus.ts`, and writes it to `../model` as a Hugging
 * Face folder.
 *
 *     npx tsx packages/llama/scripts/trainBaseModel.ts
 *
 * Every batch is determined by its step and the seed below. The state is kept in `runs/base-model`, so a run that was
 * stopped goes on where it was; delete that folder to begin again.
 */
import * as AdamW from "@effect-tinker/engine/AdamW"
import * as Safetensors from "@effect-tinker/engine/Safetensors"
import * as Either from "effect/Either"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import * as FullTraining from "../src/FullTraining.js"
import * as Llama from "../src/Llama.js"
import * as ShippedModel from "../src/ShippedModel.js"
import { endOfText, learn, makeEncoder, toTokenizerJson } from "./bpe.js"
import { document, drill, makeRandom, type Random } from "./corpus.js"
import { encodeFloat16 } from "./float16.js"
import { modelCard } from "./modelCard.js"

const seed = 2026
const modelFolder = fileURLToPath(new URL("../model", import.meta.url))
const runFolder = Path.resolve("runs/base-model")

const config: Llama.Config = {
  vocabularySize: 768,
  hiddenSize: 128,
  intermediateSize: 384,
  layers: 4,
  heads: 4,
  keyValueHeads: 4,
  headDim: 32,
  normEpsilon: 1e-5,
  ropeTheta: 10000,
  tiedEmbeddings: false,
  attentionBias: false,
  queryKeyNorm: true
}

const contextLength = 256

/** Rows are short at first, when there is nothing to be learnt from far back. Each batch has 2,048 tokens. */
const stages: ReadonlyArray<{ readonly until: number; readonly rows: number; readonly length: number }> = [
  { until: 1200, rows: 32, length: 64 },
  { until: 4200, rows: 16, length: 128 },
  { until: 4800, rows: 8, length: contextLength }
]
const totalSteps = stages[stages.length - 1]!.until
const warmUp = 100
const highestRate = 1.5e-3
const drillSteps = 1200
/** People are called by their names alone until copying single words is learnt. */
const rolesFrom = 2400

const learningRate = (step: number): number =>
  step < warmUp
    ? (highestRate * (step + 1)) / warmUp
    : highestRate * (0.05 + 0.95 * 0.5 * (1 + Math.cos((Math.PI * (step - warmUp)) / (totalSteps - warmUp))))

/** Share of drills beside the ordinary mixture. */
const drillShare = (step: number): number => Math.max(0, 0.8 * (1 - step / drillSteps))

const say = (line: string) => process.stdout.write(line + "\n")

const learnVocabulary = () => {
  const random = makeRandom(seed)
  const pieces = function*() {
    for (let i = 0; i < 30000; i++) yield* document(random, { roles: false })
  }
  return learn(pieces(), config.vocabularySize)
}

const vocabulary = learnVocabulary()
const encode = makeEncoder(vocabulary)

/** Rows of whole documents, each row beginning with one; the last document of a row is cut. */
const makeBatch = (
  random: Random,
  rows: number,
  length: number,
  mixture: { readonly drills: number; readonly roles: boolean }
): FullTraining.Batch => {
  const tokens = new Int32Array(rows * length)
  const targets = new Int32Array(rows * length)
  for (let row = 0; row < rows; row++) {
    const text: Array<number> = []
    while (text.length <= length) {
      const pieces = random.chance(mixture.drills) ? drill(random) : document(random, mixture)
      for (const piece of pieces) for (const token of encode(piece)) text.push(token)
      text.push(0)
    }
    for (let t = 0; t < length; t++) {
      tokens[row * length + t] = text[t]!
      targets[row * length + t] = text[t + 1]!
    }
  }
  return { rows, length, tokens, targets, weights: new Float32Array(rows * length).fill(1) }
}

const batchOfStep = (step: number): FullTraining.Batch => {
  const { length, rows } = stages.find((stage) => step < stage.until)!
  return makeBatch(makeRandom(Math.imul(seed, 0x9e3779b1) + step * 2654435761), rows, length, {
    drills: drillShare(step),
    roles: step >= rolesFrom
  })
}

const heldOut = makeBatch(makeRandom(-1), 32, contextLength, { drills: 0, roles: false })

const initialWeights = (): Map<string, Float32Array> => {
  const random = makeRandom(seed + 1)
  const normal = () => Math.sqrt(-2 * Math.log(1 - random.next())) * Math.cos(2 * Math.PI * random.next())
  const weights = new Map<string, Float32Array>()
  for (const [name, shape] of Llama.weightShapes(config)) {
    const data = new Float32Array(shape.reduce((product, n) => product * n, 1))
    // Attention begins larger than the rest: heads that compare tokens from the start learn to copy sooner.
    const deviation = name.includes("self_attn") ? 1 / Math.sqrt(config.hiddenSize) : 0.02
    if (shape.length === 1) data.fill(1)
    else for (let i = 0; i < data.length; i++) data[i] = deviation * normal()
    weights.set(name, data)
  }
  return weights
}

interface Measurement {
  readonly step: number
  /** Mean of the steps since the last measurement. */
  readonly loss: number
  readonly heldOutLoss: number
  readonly learningRate: number
}

interface Run {
  readonly weights: Map<string, Float32Array>
  readonly optimizer: AdamW.State
  readonly curve: Array<Measurement>
  step: number
}

const stateFile = Path.join(runFolder, "state.safetensors")

const save = (run: Run) => {
  const shapes = Llama.weightShapes(config)
  const tensors = new Map<string, { readonly shape: ReadonlyArray<number>; readonly data: Float32Array }>()
  for (const [group, arrays] of groups(run)) {
    for (const [name, data] of arrays) tensors.set(`${group}:${name}`, { shape: shapes.get(name)!, data })
  }
  Fs.mkdirSync(runFolder, { recursive: true })
  const metadata = { step: String(run.step), curve: JSON.stringify(run.curve) }
  Fs.writeFileSync(`${stateFile}.part`, Safetensors.encode(tensors, metadata))
  Fs.renameSync(`${stateFile}.part`, stateFile)
}

const groups = (run: Run): ReadonlyArray<readonly [string, Map<string, Float32Array>]> => [
  ["weight", run.weights],
  ["expAvg", run.optimizer.expAvg],
  ["expAvgSq", run.optimizer.expAvgSq]
]

const load = (): Run => {
  const run: Run = { weights: initialWeights(), optimizer: AdamW.make(), curve: [], step: 0 }
  if (!Fs.existsSync(stateFile)) return run
  const bytes = Fs.readFileSync(stateFile)
  const tensors = Either.getOrThrow(Safetensors.decode(bytes))
  const metadata = Either.getOrThrow(Safetensors.decodeMetadata(bytes))
  for (const [key, tensor] of tensors) {
    const [group, name] = key.split(":") as [string, string]
    new Map(groups(run)).get(group)!.set(name, Safetensors.toFloat32(tensor))
  }
  run.step = Number(metadata["step"])
  run.optimizer.step = run.step
  run.curve.push(...JSON.parse(metadata["curve"]!) as Array<Measurement>)
  return run
}

const writeModel = (run: Run) => {
  Fs.mkdirSync(modelFolder, { recursive: true })
  const write = (file: string, content: string | Uint8Array) => Fs.writeFileSync(Path.join(modelFolder, file), content)
  const json = (value: unknown) => JSON.stringify(value, null, 2) + "\n"
  const shapes = Llama.weightShapes(config)
  write(
    "model.safetensors",
    encodeFloat16(Array.from(run.weights, ([name, data]) => [name, shapes.get(name)!, data] as const))
  )
  write(
    "config.json",
    json({
      _name_or_path: ShippedModel.name,
      architectures: ["Qwen3ForCausalLM"],
      model_type: "qwen3",
      vocab_size: config.vocabularySize,
      hidden_size: config.hiddenSize,
      intermediate_size: config.intermediateSize,
      num_hidden_layers: config.layers,
      num_attention_heads: config.heads,
      num_key_value_heads: config.keyValueHeads,
      head_dim: config.headDim,
      hidden_act: "silu",
      rms_norm_eps: config.normEpsilon,
      rope_theta: config.ropeTheta,
      rope_parameters: { rope_type: "default", rope_theta: config.ropeTheta },
      max_position_embeddings: contextLength,
      attention_bias: false,
      attention_dropout: 0,
      use_sliding_window: false,
      tie_word_embeddings: false,
      bos_token_id: null,
      eos_token_id: 0,
      initializer_range: 0.02,
      use_cache: true,
      torch_dtype: "float16",
      dtype: "float16"
    })
  )
  write("generation_config.json", json({ eos_token_id: 0, pad_token_id: 0, do_sample: false }))
  write("tokenizer.json", json(toTokenizerJson(vocabulary)))
  write(
    "tokenizer_config.json",
    json({
      tokenizer_class: "PreTrainedTokenizerFast",
      eos_token: endOfText,
      pad_token: endOfText,
      model_max_length: contextLength,
      clean_up_tokenization_spaces: false
    })
  )
  const csv = ["step,loss,held_out_loss,learning_rate"]
  for (const point of run.curve) {
    csv.push(
      `${point.step},${point.loss.toFixed(4)},${point.heldOutLoss.toFixed(4)},${point.learningRate.toExponential(3)}`
    )
  }
  write("training.csv", csv.join("\n") + "\n")
  let parameters = 0
  for (const data of run.weights.values()) parameters += data.length
  write(
    "README.md",
    modelCard({
      parameters,
      tokens: stages.reduce(
        ({ from, sum }, { length, rows, until }) => ({ from: until, sum: sum + (until - from) * rows * length }),
        { from: 0, sum: 0 }
      ).sum,
      steps: run.step,
      heldOutLoss: run.curve[run.curve.length - 1]?.heldOutLoss ?? NaN,
      contextLength,
      vocabularySize: config.vocabularySize
    })
  )
}

const main = async () => {
  const run = load()
  const training = await FullTraining.make({
    config,
    weights: run.weights,
    threads: Number(process.env["THREADS"] ?? 2)
  })
  const measureEvery = 100
  let sum = 0
  let count = 0
  let startedAt = performance.now()
  say(`from step ${run.step} of ${totalSteps}`)
  while (run.step < totalSteps) {
    const step = run.step
    const batch = batchOfStep(step)
    const { gradients, loss } = await training.step(batch)
    const tokens = batch.rows * batch.length
    // Gradients are sums over tokens; the optimizer and its clipping want those of the mean.
    for (const gradient of gradients.values()) for (let i = 0; i < gradient.length; i++) gradient[i]! /= tokens
    AdamW.step(run.weights, gradients, run.optimizer, {
      learningRate: learningRate(step),
      beta1: 0.9,
      beta2: 0.95,
      eps: 1e-8,
      weightDecay: 0.01,
      gradClipNorm: 1
    })
    run.step = step + 1
    sum += loss / tokens
    count += 1
    if (run.step % measureEvery === 0) {
      const heldOutLoss = (await training.evaluate(heldOut)).loss / (heldOut.rows * heldOut.length)
      run.curve.push({ step: run.step, loss: sum / count, heldOutLoss, learningRate: learningRate(step) })
      save(run)
      const speed = (1000 * count * tokens) / (performance.now() - startedAt)
      say(
        `step ${run.step}  loss ${(sum / count).toFixed(4)}  held out ${heldOutLoss.toFixed(4)}  ${
          Math.round(speed)
        } tokens/s`
      )
      sum = 0
      count = 0
      startedAt = performance.now()
    }
  }
  writeModel(run)
  await training.release()
  say(`wrote ${modelFolder}`)
}

await main()
