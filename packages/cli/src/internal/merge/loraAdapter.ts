/** Adapters as PEFT writes them: which modules they change, and by how much. What a sum of matrices cannot say is refused. */
import type { Place } from "@effect-tinker/engine/Safetensors"
import type { PlatformError } from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { CommandFailed } from "../../Failure.js"
import * as JsonObject from "../jsonObject.js"
import { refused } from "./refused.js"
import * as TensorFile from "./tensorFile.js"

export interface LoraAdapter {
  readonly file: TensorFile.TensorFile
  /** Whether matrices are stored as `[in, out]`, where their shape does not tell. */
  readonly isTransposed: boolean
  /** What changes, by module, e.g. `model.layers.0.self_attn.q_proj`. */
  readonly pairs: ReadonlyMap<string, Pair>
}

/** What is added to a module's weight: `scale · B · A`. */
export interface Pair {
  /** The names of the tensors in the adapter, for messages. */
  readonly names: readonly [a: string, b: string]
  /** `[rank, in]` */
  readonly a: Place
  /** `[out, rank]` */
  readonly b: Place
  readonly rank: number
  readonly scale: number
}

export const configFile = "adapter_config.json"
export const weightsFile = "adapter_model.safetensors"

/** Reads what a folder has; its file stays open for as long as the scope lasts. */
export const open = (
  folder: string
): Effect.Effect<
  LoraAdapter,
  PlatformError | CommandFailed,
  FileSystem.FileSystem | Path.Path | Scope.Scope
> =>
  Effect.gen(function*() {
    const files = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const names = yield* files.readDirectory(folder)
    for (const wanted of [configFile, weightsFile]) {
      if (names.includes(wanted)) continue
      return yield* refused(
        names.includes(`${wanted}.age`)
          ? `${folder} has ${wanted} encrypted, as ${wanted}.age. Decrypt its files first.`
          : names.includes("adapter_model.bin") && wanted === weightsFile
          ? `${folder} has its weights in adapter_model.bin, and safetensors are read here. Save it with PEFT again.`
          : `${folder} has no ${wanted}, and is no adapter as PEFT saves them.`
      )
    }
    const place = path.join(folder, configFile)
    const config = yield* JsonObject.read(place)
    const issue = issueOf(config)
    if (issue !== undefined) return yield* refused(`${place}: ${issue}`)
    const file = yield* TensorFile.open(path.join(folder, weightsFile))
    const pairs = yield* pairsOf(file, place, config)
    if (pairs.size === 0) return yield* refused(`${file.path} has no tensors of an adapter.`)
    return { file, isTransposed: config.fan_in_fan_out === true, pairs }
  })

/** Settings under which the adapted model is something else than the sum, each with why. */
const unmergeable: Readonly<Record<string, string>> = {
  use_dora: "DoRA also changes the length of the weights' columns, which is not merged here",
  use_qalora: "QALoRA pools what goes in, which is no matrix to add",
  alora_invocation_tokens: "the adapter works from certain tokens on, and a merged one would always",
  lora_bias: "the adapter has biases of its own",
  modules_to_save: "whole modules were trained beside the adapter, which are not merged here",
  target_parameters:
    "the adapter changes parameters that are no linear layer, as of experts, which are not merged here",
  trainable_token_indices: "embeddings of tokens were trained beside the adapter, which are not merged here",
  layer_replication: "the adapted model has layers that the base model has not",
  arrow_config: "the adapter chooses among others at every token",
  kasa_config: "KaSA multiplies by values of its own, which are not merged here",
  monteclora_config: "its matrices are drawn at random, which are not merged here",
  use_bdlora: "its matrices are made of blocks, which are not merged here"
}

/** Ways to begin that change the base model's weights as well. */
const changesBase = /^(pissa|olora|corda|loftq|lora_ga)/i

const issueOf = (config: JsonObject.JsonObject): string | undefined => {
  if (config.peft_type !== "LORA") {
    return `peft_type is ${JSON.stringify(config.peft_type)}, and adapters of LORA alone can be merged.`
  }
  for (const [field, why] of Object.entries(unmergeable)) {
    if (isSet(config[field])) return `${field} is set: ${why}.`
  }
  if (isSet(config.bias) && config.bias !== "none") {
    return `bias is ${JSON.stringify(config.bias)}: biases were trained beside the adapter, which are not merged here.`
  }
  const { init_lora_weights: beginning } = config
  if (typeof beginning === "string" && changesBase.test(beginning)) {
    return `init_lora_weights is ${
      JSON.stringify(beginning)
    }, which changes the base model's weights too. Have PEFT convert it `
      + "to a plain adapter first (path_initial_model_for_weight_conversion)."
  }
  return undefined
}

const isSet = (value: unknown): boolean =>
  value !== undefined && value !== null && value !== false
  && !(typeof value === "object" && Object.keys(value).length === 0)

const tensorName = /^base_model\.model\.(.+)\.lora_(A|B)\.weight$/

/** Modules under other names than those of the base model's file. Source: adapters of the hosted service, which have `unembed_tokens`. */
const modules: Readonly<Record<string, string>> = { "model.unembed_tokens": "lm_head" }

const pairsOf = (file: TensorFile.TensorFile, configPlace: string, config: JsonObject.JsonObject) =>
  Effect.gen(function*() {
    const scaling = yield* scalingOf(configPlace, config)
    const found = new Map<string, { a?: readonly [string, Place]; b?: readonly [string, Place] }>()
    for (const [name, place] of file.places) {
      const [, given, matrix] = tensorName.exec(name) ?? []
      if (given === undefined) {
        return yield* refused(`${file.path}: tensor ${name} ${stranger(name)}, and is not merged here.`)
      }
      if (!TensorFile.isFloat(place.dtype)) {
        return yield* refused(`${file.path}: tensor ${name} is ${place.dtype}; F32, F16 and BF16 can be merged.`)
      }
      const module = modules[given] ?? given
      const entry = found.get(module) ?? {}
      const key = matrix === "A" ? "a" : "b"
      if (entry[key] !== undefined) {
        return yield* refused(`${file.path}: tensors ${entry[key][0]} and ${name} are of the same module.`)
      }
      found.set(module, { ...entry, [key]: [name, place] })
    }
    const pairs = new Map<string, Pair>()
    for (const [module, { a, b }] of found) {
      if (a === undefined || b === undefined) {
        const [name] = (a ?? b)!
        return yield* refused(`${file.path}: tensor ${name} is there without its lora_${a === undefined ? "A" : "B"}.`)
      }
      const [[aName, aPlace], [bName, bPlace]] = [a, b]
      for (const [name, { shape }] of [a, b]) {
        if (shape.length !== 2) {
          return yield* refused(
            `${file.path}: tensor ${name} is [${shape}], and only matrices can be merged, not those of experts or convolutions.`
          )
        }
      }
      const { rank, scale } = yield* scaling(module)
      if (aPlace.shape[0] !== rank || bPlace.shape[1] !== rank) {
        return yield* refused(
          `${file.path}: tensors ${aName} [${aPlace.shape}] and ${bName} [${bPlace.shape}] are not of the rank ${rank} that ${configFile} says.`
        )
      }
      pairs.set(module, { names: [aName, bName], a: aPlace, b: bPlace, rank, scale })
    }
    return pairs
  })

const stranger = (name: string): string =>
  name.includes("lora_magnitude_vector")
    ? "is DoRA's"
    : name.includes("lora_embedding_")
    ? "changes an embedding"
    : /lora_[AB]\.bias$/.test(name)
    ? "is a bias of the adapter"
    : "is no matrix of an adapter"

/** The rank and the factor of each module. Source: `LoraConfig` of PEFT 0.21, with what its patterns say of single modules. */
const scalingOf = (place: string, config: JsonObject.JsonObject) =>
  Effect.gen(function*() {
    const field = (name: string, value: unknown) =>
      typeof value === "number" && Number.isFinite(value)
        ? Effect.succeed(value)
        : refused(`${place}: ${name} is ${JSON.stringify(value)}, which is no number.`)
    const patterns = (name: "rank_pattern" | "alpha_pattern") =>
      Effect.forEach(Object.entries((config[name] ?? {}) as JsonObject.JsonObject), ([key, value]) =>
        Effect.gen(function*() {
          const number = yield* field(`${name}, ${JSON.stringify(key)},`, value)
          const pattern = yield* Effect.try({
            try: () =>
              new RegExp(`^(?:.*\\.)?(?:${key})$`),
            catch: () =>
              refused(`${place}: ${name} has ${JSON.stringify(key)}, which is no pattern that can be read here.`)
          })
          return [pattern, number] as const
        }))
    const rank = yield* field("r", config.r)
    const alpha = yield* field("lora_alpha", config.lora_alpha)
    const [ranks, alphas] = [yield* patterns("rank_pattern"), yield* patterns("alpha_pattern")]
    const first = (all: typeof ranks, module: string) =>
      all.find(([pattern]) => pattern.test(module))?.[1]
    return (module: string) =>
      Effect.gen(function*() {
        const r = first(ranks, module) ?? rank
        if (!Number.isInteger(r) || r < 1) return yield* refused(`${place}: the rank of ${module} is ${r}.`)
        const a = first(alphas, module) ?? alpha
        return { rank: r, scale: a / (config.use_rslora === true ? Math.sqrt(r) : r) }
      })
  })
