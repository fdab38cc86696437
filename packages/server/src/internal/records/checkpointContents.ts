/** What the files of a checkpoint hold, beside what is known of it: its tensors, as safetensors, and how PEFT is to read them. */
import type { Snapshot } from "@effect-tinker/engine/Engine"
import * as ModelState from "@effect-tinker/engine/ModelState"
import * as Safetensors from "@effect-tinker/engine/Safetensors"
import * as Effect from "effect/Effect"
import type { Info } from "../../CheckpointStore.js"
import * as AgeFiles from "./ageFiles.js"

export type Files = ReadonlyArray<readonly [name: string, bytes: Uint8Array]>

export const stateFile = "state.safetensors"
export const adapterFile = "adapter_model.safetensors"
const adapterConfigFile = "adapter_config.json"

/** Every rank has the same alpha. Source: "LoRA Without Regret", Thinking Machines 2025, and the hosted service. */
export const loraAlpha = 32

/** Bytes of a snapshot's numbers. */
export const byteLength = (snapshot: Snapshot): number => {
  let bytes = 0
  for (const tensors of [snapshot.weights, snapshot.expAvg, snapshot.expAvgSq]) {
    for (const { data } of tensors.values()) bytes += data.byteLength
  }
  return bytes
}

/** What others need of a checkpoint, as the folder has it. */
export const make = (
  info: Pick<Info, "path">,
  snapshot: Snapshot
): Files =>
  info.path.checkpointType === "training"
    ? [[stateFile, Safetensors.encode(ModelState.tensorsOf(snapshot))]]
    : [
      [adapterConfigFile, bytesOf(JSON.stringify(adapterConfig(snapshot), undefined, 2))],
      [adapterFile, Safetensors.encode(snapshot.weights, { format: "pt" })]
    ]

/** One after another, so that not all are there twice. */
export const encryptedTo = (recipients: ReadonlyArray<string> | undefined, files: Files) =>
  recipients === undefined
    ? Effect.succeed(files)
    : Effect.forEach(
      files,
      ([name, bytes]) =>
        Effect.map(AgeFiles.encrypt(bytes, recipients), (encrypted) => [name + AgeFiles.suffix, encrypted] as const)
    )

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)

/** The settings by which PEFT puts the tensors into their places. */
const adapterConfig = (snapshot: Snapshot) => ({
  peft_type: "LORA",
  task_type: "CAUSAL_LM",
  base_model_name_or_path: snapshot.baseModel,
  r: snapshot.lora.rank,
  lora_alpha: loraAlpha,
  lora_dropout: 0,
  bias: "none",
  fan_in_fan_out: false,
  inference_mode: true,
  init_lora_weights: true,
  target_modules: targetModules(snapshot),
  modules_to_save: null,
  rank_pattern: {},
  alpha_pattern: {}
})

/** Names of the modules that have an adapter, e.g. `q_proj` of `….self_attn.q_proj.lora_A.weight`. */
const targetModules = (snapshot: Snapshot): ReadonlyArray<string> => {
  const modules = new Set<string>()
  for (const name of snapshot.weights.keys()) {
    const module = /([^.]+)\.lora_A\.weight$/.exec(name)?.[1]
    if (module !== undefined) modules.add(module)
  }
  return Array.from(modules).sort()
}
