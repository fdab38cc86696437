import { Engine } from "@effect-tinker/engine"
import { LlamaEngine } from "@effect-tinker/llama"
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as Models from "./models.js"
import { folder, line, server } from "./program.js"
import * as Trainings from "./trainings.js"

const merge = (adapter: string, base: string, out: string, ...more: ReadonlyArray<string>) =>
  line(["checkpoint", "export", adapter, "--merged", "--base", base, "-o", out, ...more])

/** `W + scale · B · A`, entry by entry. */
const sum = (weight: Models.Given, a: Models.Given, b: Models.Given, scale: number, isTransposed = false) =>
  Float32Array.from(weight.data, (value, index) => {
    const columns = weight.shape[1]!
    const [row, column] = [Math.floor(index / columns), index % columns]
    const [out, into] = isTransposed ? [column, row] : [row, column]
    let product = 0
    for (let k = 0; k < a.shape[0]!; k++) {
      product += b.data[out * a.shape[0]! + k]! * a.data[k * a.shape[1]! + into]!
    }
    return value + scale * product
  })

const closeTo = (found: Float32Array, wanted: Float32Array, tolerance: number, what: string) => {
  assert.strictEqual(found.length, wanted.length, what)
  found.forEach((value, index) => assert.closeTo(value, wanted[index]!, tolerance, `${what}[${index}]`))
}

it.scopedLive("adds an adapter to every matrix that it has, and leaves the rest of the folder as it was", () =>
  Effect.gen(function*() {
    const place = yield* folder
    for (const [dtype, unit] of [["F32", 2 ** -22], ["BF16", 2 ** -8], ["F16", 2 ** -11]] as const) {
      for (const shards of [1, 3]) {
        const base = join(place, `${dtype}-${shards}`)
        const config = Models.writeModel(base, { dtype, shards })
        const snapshot = Models.snapshotOf(config)
        const adapter = join(place, `adapter-${dtype}-${shards}`)
        Models.writeAdapter(adapter, snapshot.weights)
        for (const name of ["pytorch_model.bin", "model.gguf", ".gitattributes"]) writeFileSync(join(base, name), "old")
        mkdirSync(join(base, "original"))
        mkdirSync(join(base, "additional_chat_templates"))
        writeFileSync(join(base, "additional_chat_templates", "tools.jinja"), "{{ tools }}")
        const out = join(place, `merged-${dtype}-${shards}`)
        const ended = yield* merge(adapter, base, out)
        assert.deepStrictEqual([ended.code, ended.stdout], [0, `${out}\n`], ended.stderr)
        const before = Models.readTensors(base)
        const after = Models.readTensors(out)
        assert.deepStrictEqual(Array.from(after.keys()), Array.from(before.keys()))
        for (const [name, tensor] of after) {
          const { data, ...rest } = before.get(name)!
          const pair = (matrix: string) =>
            snapshot.weights.get(`base_model.model.${name.replace(/\.weight$/, "")}.lora_${matrix}.weight`)
          assert.deepStrictEqual({ ...tensor, data: undefined }, { ...rest, data: undefined })
          const [a, b] = [pair("A"), pair("B")]
          if (a === undefined || b === undefined) assert.deepStrictEqual(tensor.data, data, name)
          else {
            closeTo(tensor.data, sum({ ...rest, data }, a, b, 32 / Models.rank), 4 * unit, name)
            assert.notDeepEqual(tensor.data, data, name)
          }
        }
        const expected = readdirSync(base).filter((name) => !/\.(bin|gguf)$|^\.|original/.test(name))
        assert.deepStrictEqual(readdirSync(out).sort(), expected.sort())
        for (const name of expected.filter((one) => /\.(json|jinja)$/.test(one) && !/index/.test(one))) {
          assert.strictEqual(readFileSync(join(out, name), "utf8"), readFileSync(join(base, name), "utf8"), name)
        }
        assert.deepStrictEqual(readdirSync(join(out, "additional_chat_templates")), ["tools.jinja"])
      }
    }
  }))

it.scopedLive("rounds a sum once, to the nearest value of the weights' type, ties to even", () =>
  Effect.gen(function*() {
    const place = yield* folder
    const one = (data: ReadonlyArray<number>, shape: ReadonlyArray<number>) => ({
      shape,
      data: Float32Array.from(data)
    })
    mkdirSync(join(place, "base"))
    writeFileSync(join(place, "base", "config.json"), "{}")
    Models.writeTensors(
      join(place, "base", "model.safetensors"),
      new Map([["layer.weight", one([1, 1, 1, 256], [2, 2])]]),
      "BF16"
    )
    // Two terms that would each be lost, were they rounded by themselves.
    const adapter = (name: string, data: ReadonlyArray<number>) =>
      Models.writeAdapter(
        join(place, name),
        new Map([
          ["base_model.model.layer.lora_A.weight", one([...data.slice(0, 2), ...data.slice(0, 2)], [2, 2])],
          ["base_model.model.layer.lora_B.weight", one([1, 1, data[2]!, data[2]!], [2, 2])]
        ]),
        { r: 2, lora_alpha: 2 }
      )
    adapter("adapter", [2 ** -9, 3 * 2 ** -9, 1])
    assert.strictEqual((yield* merge(join(place, "adapter"), join(place, "base"), join(place, "merged"))).code, 0)
    const { data } = Models.readTensors(join(place, "merged")).get("layer.weight")!
    assert.deepStrictEqual(Array.from(data), [1, 1 + 2 ** -6, 1, 256])
    adapter("huge", [3e38, 3e38, 1e3])
    const huge = yield* merge(join(place, "huge"), join(place, "base"), join(place, "none"))
    assert.strictEqual(huge.code, 1)
    assert.match(huge.stderr, /tensor layer\.weight has sums beyond the range of BF16/)
    assert.isFalse(existsSync(join(place, "none")))
  }))

it.scopedLive("scales as the adapter's settings say, for each module", () =>
  Effect.gen(function*() {
    const place = yield* folder
    Models.writeModel(join(place, "base"))
    const name = "model.layers.1.mlp.down_proj"
    const pair: ReadonlyArray<readonly [string, Models.Given]> = [
      [`base_model.model.${name}.lora_A.weight`, { shape: [2, 24], data: Models.numbers(1, 48) }],
      [`base_model.model.${name}.lora_B.weight`, { shape: [16, 2], data: Models.numbers(2, 32) }]
    ]
    const kinds: ReadonlyArray<readonly [settings: Record<string, unknown>, scale: number]> = [
      [{ r: 2, lora_alpha: 3 }, 3 / 2],
      [{ r: 2, lora_alpha: 3, use_rslora: true }, 3 / Math.sqrt(2)],
      [{
        r: 8,
        lora_alpha: 3,
        rank_pattern: { down_proj: 2 },
        alpha_pattern: { "layers.0.*": 7, "layers\\.1\\..*": 5 }
      }, 5 / 2],
      [{
        r: 2,
        lora_alpha: 3,
        rank_pattern: { proj: 9 },
        alpha_pattern: { own_proj: 9 },
        init_lora_weights: "gaussian"
      }, 3 / 2]
    ]
    const before = Models.readTensors(join(place, "base")).get(`${name}.weight`)!
    for (const [index, [settings, scale]] of kinds.entries()) {
      Models.writeAdapter(join(place, `${index}`), new Map(pair), settings)
      const out = join(place, `merged-${index}`)
      const ended = yield* merge(join(place, `${index}`), join(place, "base"), out, "--json")
      assert.deepInclude(
        JSON.parse(ended.stdout),
        { merged: true, merged_tensors: 1, untied_embeddings: false },
        ended.stderr
      )
      closeTo(
        Models.readTensors(out).get(`${name}.weight`)!.data,
        sum(before, pair[0]![1], pair[1]![1], scale),
        1e-5,
        JSON.stringify(settings)
      )
    }
  }))

it.scopedLive("adds to matrices that lie the other way, of which a square one lies as the others do", () =>
  Effect.gen(function*() {
    const place = yield* folder
    const shapes = { "h.0.attn.c_attn": [4, 6], "h.0.attn.c_proj": [4, 4], lm_head: [4, 4] } as const
    mkdirSync(join(place, "base"))
    writeFileSync(
      join(place, "base", "config.json"),
      JSON.stringify({ model_type: "gpt2", tie_word_embeddings: false })
    )
    const weights = new Map(
      Object.entries(shapes).map(([name, shape], index) => [
        `${name}.weight`,
        { shape, data: Models.numbers(index, shape[0] * shape[1]) }
      ])
    )
    Models.writeTensors(join(place, "base", "model.safetensors"), weights)
    const pairs = new Map<string, Models.Given>(
      Object.entries(shapes).flatMap(([name, [rows, columns]], index) => {
        const [out, into] = name === "lm_head" ? [rows, columns] : [columns, rows]
        return [
          [`base_model.model.${name}.lora_A.weight`, { shape: [2, into], data: Models.numbers(10 + index, 2 * into) }],
          [`base_model.model.${name}.lora_B.weight`, { shape: [out, 2], data: Models.numbers(20 + index, 2 * out) }]
        ] as const
      })
    )
    const check = (given: typeof pairs, settings: Record<string, unknown>, isTransposed: boolean) =>
      Effect.gen(function*() {
        Models.writeAdapter(join(place, "adapter"), given, { r: 2, lora_alpha: 2, ...settings })
        const ended = yield* merge(join(place, "adapter"), join(place, "base"), join(place, "out"), "--force")
        assert.strictEqual(ended.code, 0, ended.stderr)
        for (const [name, { data }] of Models.readTensors(join(place, "out"))) {
          const [a, b] = ["A", "B"].map((matrix) =>
            given.get(`base_model.model.${name.replace(".weight", `.lora_${matrix}.weight`)}`)
          )
          if (a === undefined) continue
          closeTo(data, sum(weights.get(name)!, a, b!, 1, isTransposed && name !== "lm_head.weight"), 1e-6, name)
        }
      })
    yield* check(pairs, { fan_in_fan_out: false }, true)
    const square = new Map(Array.from(pairs).filter(([name]) => !name.includes("c_attn")))
    yield* check(square, { fan_in_fan_out: true }, true)
    yield* check(square, { fan_in_fan_out: false }, false)
  }))

it.scopedLive("parts the last layer from the embedding where the adapter changes it, and says so", () =>
  Effect.gen(function*() {
    const place = yield* folder
    for (const shards of [1, 2]) {
      const base = join(place, `base-${shards}`)
      const { weights } = Models.snapshotOf(Models.writeModel(base, { tied: true, shards, dtype: "BF16" }))
      Models.writeAdapter(join(place, "adapter"), weights)
      const out = join(place, `merged-${shards}`)
      const ended = yield* merge(join(place, "adapter"), base, out)
      assert.strictEqual(ended.code, 0, ended.stderr)
      assert.match(ended.stderr, /they are two tensors now, and config\.json says so/)
      const before = Models.readTensors(base)
      const after = Models.readTensors(out)
      const embedding = before.get("model.embed_tokens.weight")!
      assert.deepStrictEqual(after.get("model.embed_tokens.weight"), embedding)
      const head = after.get("lm_head.weight")!
      assert.deepInclude(head, { dtype: "BF16", shape: [40, 16], file: embedding.file })
      const pair = (matrix: string) => weights.get(`base_model.model.lm_head.lora_${matrix}.weight`)!
      closeTo(head.data, sum(embedding, pair("A"), pair("B"), 8), 2 ** -8, "lm_head")
      assert.deepStrictEqual(Array.from(after.keys()).filter((name) => !before.has(name)), ["lm_head.weight"])
      const config = readFileSync(join(out, "config.json"), "utf8")
      assert.strictEqual(
        config,
        readFileSync(join(base, "config.json"), "utf8").replace(
          "\"tie_word_embeddings\": true",
          "\"tie_word_embeddings\": false"
        )
      )
      if (shards > 1) {
        const read = (place: string) => JSON.parse(readFileSync(join(place, "model.safetensors.index.json"), "utf8"))
        const [old, index] = [read(base), read(out)]
        assert.strictEqual(index.weight_map["lm_head.weight"], embedding.file)
        assert.strictEqual(index.metadata.total_size, old.metadata.total_size + 2 * 40 * 16)
      }
      // One that leaves the last layer alone parts nothing.
      const others = new Map(Array.from(weights).filter(([name]) => !name.includes("lm_head")))
      Models.writeAdapter(join(place, "adapter"), others)
      const still = JSON.parse((yield* merge(join(place, "adapter"), base, out, "--force", "--json")).stdout)
      assert.strictEqual(still.untied_embeddings, false)
      assert.isFalse(Models.readTensors(out).has("lm_head.weight"))
      // The hosted service's name of the last layer.
      const hosted = new Map(
        Array.from(weights, ([name, tensor]) => [name.replace("lm_head", "model.unembed_tokens"), tensor])
      )
      Models.writeAdapter(join(place, "adapter"), hosted)
      yield* merge(join(place, "adapter"), base, out, "--force")
      assert.deepStrictEqual(Models.readTensors(out).get("lm_head.weight"), head)
    }
  }))

it.scopedLive("writes over a last layer that is stored and not used, and refuses one that is not of the embedding's shape", () =>
  Effect.gen(function*() {
    const place = yield* folder
    const base = join(place, "base")
    const { weights } = Models.snapshotOf(Models.writeModel(base, { tied: true }))
    const tensors = Models.readTensors(base)
    const embedding = tensors.get("model.embed_tokens.weight")!
    const pair = new Map(Array.from(weights).filter(([name]) => name.includes("lm_head")))
    Models.writeAdapter(join(place, "adapter"), pair)
    const stored = (rows: number) =>
      Models.writeTensors(
        join(base, "model.safetensors"),
        new Map<string, Models.Given>([...tensors, ["lm_head.weight", {
          shape: [rows, 16],
          data: new Float32Array(rows * 16)
        }]])
      )
    stored(40)
    assert.strictEqual((yield* merge(join(place, "adapter"), base, join(place, "out"))).code, 0)
    const [a, b] = Array.from(pair.values())
    closeTo(
      Models.readTensors(join(place, "out")).get("lm_head.weight")!.data,
      sum(embedding, a!, b!, 8),
      1e-5,
      "lm_head"
    )
    // A kind of model that is tied unless it says otherwise, and does not say.
    const configPlace = join(base, "config.json")
    const config = readFileSync(configPlace, "utf8")
    writeFileSync(configPlace, config.replace(/,\s*"tie_word_embeddings": true/, ""))
    Models.writeTensors(join(base, "model.safetensors"), tensors)
    assert.strictEqual((yield* merge(join(place, "adapter"), base, join(place, "untold"))).code, 0)
    assert.deepInclude(JSON.parse(readFileSync(join(place, "untold", "config.json"), "utf8")), {
      tie_word_embeddings: false,
      vocab_size: 40
    })
    assert.isTrue(Models.readTensors(join(place, "untold")).has("lm_head.weight"))
    writeFileSync(configPlace, config)
    stored(41)
    const other = yield* merge(join(place, "adapter"), base, join(place, "none"))
    assert.match(other.stderr, /lm_head\.weight is not of the type and shape of the embedding/)
  }))

it.scopedLive("refuses an adapter that cannot be merged, by what it is about, and writes nothing", () =>
  Effect.gen(function*() {
    const place = yield* folder
    const base = join(place, "base")
    const { weights } = Models.snapshotOf(Models.writeModel(base))
    const q = "base_model.model.model.layers.0.self_attn.q_proj"
    const matrix = (...shape: ReadonlyArray<number>) => ({
      shape,
      data: new Float32Array(shape.reduce((a, b) => a * b, 1))
    })
    const changed = (entries: Readonly<Record<string, Models.Given | undefined>>) =>
      new Map(
        Array.from(new Map<string, Models.Given | undefined>([...weights, ...Object.entries(entries)])).flatMap(
          ([name, tensor]) => tensor === undefined ? [] : [[name, tensor] as const]
        )
      )
    const settings: ReadonlyArray<readonly [says: RegExp, settings: Record<string, unknown>]> = [
      [/peft_type is "LOHA"/, { peft_type: "LOHA" }],
      [/use_dora is set: DoRA/, { use_dora: true }],
      [/modules_to_save is set/, { modules_to_save: ["embed_tokens"] }],
      [/bias is "lora_only"/, { bias: "lora_only" }],
      [/lora_bias is set/, { lora_bias: true }],
      [/target_parameters is set/, { target_parameters: ["mlp.experts.gate_up_proj"] }],
      [/init_lora_weights is "pissa_niter_4", which changes the base/, { init_lora_weights: "pissa_niter_4" }],
      [/lora_alpha is "32", which is no number/, { lora_alpha: "32" }],
      [/r is undefined, which is no number/, { r: undefined }],
      [/rank_pattern has "\(", which is no pattern/, { rank_pattern: { "(": 2 } }],
      [/tensors base_model\S+lora_A\.weight \[4,16\] and \S+ \[16,4\] are not of the rank 8/, { r: 8 }],
      [/the rank of \S+ is 0\./, { r: 0 }]
    ]
    const tensors: ReadonlyArray<readonly [says: RegExp, tensors: ReadonlyMap<string, Models.Given>]> = [
      [/q_proj\.lora_magnitude_vector is DoRA's/, changed({ [`${q}.lora_magnitude_vector`]: matrix(16) })],
      [
        /base_model\.model\.lm_head\.weight is no matrix of an adapter/,
        changed({ "base_model.model.lm_head.weight": matrix(40, 16) })
      ],
      [
        /lora_embedding_A changes an embedding/,
        changed({ "base_model.model.model.embed_tokens.lora_embedding_A": matrix(4, 40) })
      ],
      [/q_proj\.lora_B\.bias is a bias/, changed({ [`${q}.lora_B.bias`]: matrix(16) })],
      [/q_proj\.lora_A\.weight is there without its lora_B/, changed({ [`${q}.lora_B.weight`]: undefined })],
      [/q_proj\.lora_B\.weight is there without its lora_A/, changed({ [`${q}.lora_A.weight`]: undefined })],
      [
        /is \[8,4,16\], and only matrices can be merged, not those of experts/,
        changed({ [`${q}.lora_A.weight`]: matrix(8, 4, 16) })
      ],
      [
        /q_proj\.lora_A\.weight \[4,20\] and \S+ \[16,4\] do not fit the base model's model\.layers\.0\.self_attn\.q_proj\.weight \[16,16\]/,
        changed({
          [`${q}.lora_A.weight`]: matrix(4, 20)
        })
      ],
      [
        /the adapter has base_model\.model\.model\.layers\.7\S+lora_A\.weight, and the base model in \S+ has no tensor model\.layers\.7/,
        changed({
          [`${q.replace("0", "7")}.lora_A.weight`]: matrix(4, 16),
          [`${q.replace("0", "7")}.lora_B.weight`]: matrix(16, 4)
        })
      ],
      [
        /model\.norm\.weight is \[16\], and only matrices/,
        changed({
          "base_model.model.model.norm.lora_A.weight": matrix(4, 16),
          "base_model.model.model.norm.lora_B.weight": matrix(16, 4)
        })
      ],
      [
        /lm_head\.lora_A\.weight and \S+unembed_tokens\.lora_A\.weight are of the same module/,
        changed({
          "base_model.model.model.unembed_tokens.lora_A.weight": matrix(4, 16)
        })
      ],
      [/has no tensors of an adapter/, new Map()]
    ]
    const adapter = join(place, "adapter")
    const out = join(place, "out")
    const refused = (says: RegExp) =>
      Effect.gen(function*() {
        const { code, stderr, stdout } = yield* merge(adapter, base, out)
        assert.match(stderr, says)
        assert.deepStrictEqual([code, stdout], [1, ""], stderr)
        assert.deepStrictEqual(readdirSync(place).sort(), ["adapter", "base"])
      })
    for (const [says, given] of settings) {
      Models.writeAdapter(adapter, weights, given)
      yield* refused(says)
    }
    for (const [says, given] of tensors) {
      Models.writeAdapter(adapter, given)
      yield* refused(says)
    }
    Models.writeAdapter(
      adapter,
      changed({ [`${q}.lora_A.weight`]: { shape: [4, 16], data: new Float32Array(64).fill(NaN) } })
    )
    yield* refused(/tensor model\.layers\.0\.self_attn\.q_proj\.weight has sums beyond the range of F32, or no numbers/)
    writeFileSync(
      join(adapter, "adapter_model.safetensors"),
      readFileSync(join(adapter, "adapter_model.safetensors")).subarray(0, -4)
    )
    yield* refused(/adapter_model\.safetensors: not a whole safetensors file/)
  }))

it.scopedLive("refuses a base model that nothing can be merged into, before the service is asked for the checkpoint", () =>
  Effect.gen(function*() {
    const { faults, line } = yield* server()
    const place = yield* folder
    const cases: ReadonlyArray<readonly [says: RegExp, make: (base: string) => void]> = [
      [/has no config\.json/, (base) => mkdirSync(base)],
      [/is an adapter, and no base model/, (base) => {
        Models.writeModel(base)
        writeFileSync(join(base, "adapter_config.json"), "{}")
      }],
      [/has a quantization_config/, (base) => {
        Models.writeModel(base)
        writeFileSync(join(base, "config.json"), JSON.stringify({ quantization_config: { bits: 4 } }))
      }],
      [/has neither model\.safetensors nor/, (base) => {
        mkdirSync(base)
        writeFileSync(join(base, "config.json"), "{}")
        writeFileSync(join(base, "pytorch_model.bin"), "")
      }],
      [/has both model\.safetensors and/, (base) => {
        Models.writeModel(base, { shards: 2 })
        Models.writeTensors(join(base, "model.safetensors"), new Map())
      }],
      [
        /tensor \S+ is in "\.\.\/x\.safetensors", which is not the name|lm_head\.weight is in "\.\.\/x\.safetensors"/,
        (base) => {
          Models.writeModel(base, { shards: 2 })
          writeFileSync(
            join(base, "model.safetensors.index.json"),
            JSON.stringify({ weight_map: { "lm_head.weight": "../x.safetensors" } })
          )
        }
      ],
      [/model-00001-of-00002\.safetensors has no tensor gone\.weight/, (base) => {
        Models.writeModel(base, { shards: 2 })
        writeFileSync(
          join(base, "model.safetensors.index.json"),
          JSON.stringify({ weight_map: { "gone.weight": "model-00001-of-00002.safetensors" } })
        )
      }],
      [/config\.json is not JSON/, (base) => {
        Models.writeModel(base)
        writeFileSync(join(base, "config.json"), "{")
      }]
    ]
    for (const [index, [says, make]] of cases.entries()) {
      const base = join(place, `${index}`)
      make(base)
      const ended = yield* line([
        "checkpoint",
        "export",
        "tinker://run:train:0/weights/a",
        "--merged",
        "--base",
        base,
        "-o",
        join(place, "out")
      ])
      assert.match(ended.stderr, says)
      assert.deepStrictEqual([ended.code, ended.stdout], [1, ""], ended.stderr)
    }
    assert.strictEqual((yield* faults.requestCounts).size, 0)
    assert.isFalse(existsSync(join(place, "out")))
  }))

it.scopedLive("refuses a line that asks for what cannot be, and never writes over the folders that it reads", () =>
  Effect.gen(function*() {
    const place = yield* folder
    const [base, adapter] = [join(place, "base"), join(place, "adapter")]
    Models.writeAdapter(adapter, Models.snapshotOf(Models.writeModel(base)).weights)
    symlinkSync(base, join(place, "link"))
    mkdirSync(join(place, "taken"))
    const out = join(place, "out")
    const path = "tinker://run:train:0/weights/a"
    const wrong: ReadonlyArray<readonly [says: RegExp, words: ReadonlyArray<string>]> = [
      [/--merged needs the weights of the base model/, [path, "--merged", "-o", out]],
      [/--base names the model .* and --merged is not given/, [path, "--base", base, "-o", out]],
      [/adapter is a folder of this machine, and an adapter is exported as it is/, [adapter, "-o", out]],
      [/"nowhere" is no path of a checkpoint/, ["nowhere", "--merged", "--base", base, "-o", out]],
      [/saved for sampling/, [path.replace("weights", "sampler_weights"), "-o", out]],
      [/saved for sampling/, [path.replace("weights", "sampler_weights"), "--merged", "--base", base, "-o", out]],
      [/--base is Qwen\/Qwen3-8B, which is no folder/, [adapter, "--merged", "--base", "Qwen/Qwen3-8B", "-o", out]],
      [/taken is there already, .* Pass --force/, [adapter, "--merged", "--base", base, "-o", join(place, "taken")]],
      [/lie in each other/, [adapter, "--merged", "--base", base, "-o", base, "--force"]],
      [/lie in each other/, [adapter, "--merged", "--base", base, "-o", place, "--force"]],
      [/lie in each other/, [adapter, "--merged", "--base", base, "-o", join(base, "merged")]],
      [/lie in each other/, [adapter, "--merged", "--base", base, "-o", join(place, "link"), "--force"]],
      [/lie in each other/, [adapter, "--merged", "--base", base, "-o", adapter, "--force"]],
      [/output/, [adapter, "--merged", "--base", base]]
    ]
    for (const [says, words] of wrong) {
      const { code, stderr, stdout } = yield* line(["checkpoint", "export", ...words])
      assert.match(stderr, says, words.join(" "))
      assert.deepStrictEqual([code, stdout], [2, ""], `${words.join(" ")}: ${stderr}`)
    }
    assert.deepStrictEqual(readdirSync(place).sort(), ["adapter", "base", "link", "taken"])
  }))

it.scopedLive("keeps the folder that is there until the new one is whole", () =>
  Effect.gen(function*() {
    const place = yield* folder
    const [base, adapter, out] = [join(place, "base"), join(place, "adapter"), join(place, "out")]
    const { weights } = Models.snapshotOf(Models.writeModel(base))
    Models.writeAdapter(adapter, weights, { use_dora: true })
    mkdirSync(out)
    writeFileSync(join(out, "mine"), "")
    assert.strictEqual((yield* merge(adapter, base, out, "--force")).code, 1)
    assert.deepStrictEqual(readdirSync(out), ["mine"])
    Models.writeAdapter(adapter, weights)
    assert.strictEqual((yield* merge(adapter, base, out, "--force")).code, 0)
    assert.notInclude(readdirSync(out), "mine")
    assert.deepStrictEqual(readdirSync(place).sort(), ["adapter", "base", "out"])
  }))

it.scopedLive("exports the adapter of a checkpoint as a folder of PEFT under the name that is given", () =>
  Effect.gen(function*() {
    const { line, url } = yield* server()
    const [path = ""] = yield* Trainings.save(url, ["final"])
    const place = yield* folder
    const out = join(place, "a", "b")
    const ended = yield* line(["checkpoint", "export", path, "-o", out])
    assert.deepStrictEqual([ended.code, ended.stdout], [0, `${out}\n`], ended.stderr)
    assert.deepStrictEqual(readdirSync(out).sort(), ["adapter_config.json", "adapter_model.safetensors"])
    const again = yield* line(["checkpoint", "export", path, "-o", out])
    assert.strictEqual(again.code, 2)
    // Nothing of the table that stands for a model is a layer of a real one.
    const base = join(place, "base")
    Models.writeModel(base)
    const merged = yield* line(["checkpoint", "export", path, "--merged", "--base", base, "-o", join(place, "merged")])
    assert.strictEqual(merged.code, 1)
    assert.match(merged.stderr, /adapter/)
    assert.deepStrictEqual(readdirSync(place).sort(), ["a", "base"])
  }))

it.scopedLive("writes a model that this machine samples from as from the base model with the adapter", () =>
  Effect.gen(function*() {
    const place = yield* folder
    const base = join(place, "base")
    const merged = join(place, "merged")
    const snapshot = Models.snapshotOf(Models.writeModel(base, { tied: true, shards: 2 }))
    Models.writeAdapter(join(place, "adapter"), snapshot.weights)
    assert.strictEqual((yield* merge(join(place, "adapter"), base, merged)).code, 0)
    yield* Effect.gen(function*() {
      const engine = yield* Engine.Engine
      yield* engine.createSampler("adapted", { baseModel: snapshot.baseModel, snapshot })
      yield* engine.createSampler("base", { baseModel: snapshot.baseModel })
      yield* engine.createSampler("merged", { baseModel: "merged" })
      const sample = (id: string) =>
        engine.sample(id, {
          prompt: Int32Array.of(3, 1, 4, 15, 9, 26),
          numSamples: 1,
          maxTokens: 12,
          temperature: 0,
          topK: -1,
          topP: 1,
          seed: 0,
          stopTokens: [],
          stopStrings: [],
          promptLogprobs: true,
          topkPromptLogprobs: 0
        })
      const [adapted, plain, whole] = [yield* sample("adapted"), yield* sample("base"), yield* sample("merged")]
      const logprobs = ({ promptLogprobs }: typeof adapted) => Float32Array.from(promptLogprobs!.slice(1))
      closeTo(logprobs(whole), logprobs(adapted), 1e-4, "promptLogprobs")
      assert.deepStrictEqual(whole.sequences[0]!.tokens, adapted.sequences[0]!.tokens)
      assert.isAbove(Math.abs(logprobs(plain)[0]! - logprobs(adapted)[0]!), 1e-3)
    }).pipe(Effect.scoped, Effect.provide(LlamaEngine.layer([base, merged], { threads: 1 })))
  }))

it.scopedLive("reads files by parts, whatever the order of the tensors in them", () =>
  Effect.gen(function*() {
    const place = yield* folder
    const base = join(place, "base")
    const { weights } = Models.snapshotOf(Models.writeModel(base))
    // More than is copied or merged at once.
    const wide = { shape: [3, 2 ** 20 + 1], data: Models.numbers(1, 3 * (2 ** 20 + 1)) }
    const pair = new Map([
      ["base_model.model.wide.lora_A.weight", { shape: [4, 2 ** 20 + 1], data: Models.numbers(2, 4 * (2 ** 20 + 1)) }],
      ["base_model.model.wide.lora_B.weight", { shape: [3, 4], data: Models.numbers(3, 12) }]
    ])
    const tensors = Models.readTensors(base)
    Models.writeTensors(
      join(base, "model.safetensors"),
      new Map<string, Models.Given>([["still.weight", wide], ...Array.from(tensors).reverse(), ["wide.weight", wide]])
    )
    Models.writeAdapter(join(place, "adapter"), new Map<string, Models.Given>([...weights, ...pair]))
    const ended = yield* merge(join(place, "adapter"), base, join(place, "out"))
    assert.strictEqual(ended.code, 0, ended.stderr)
    const after = Models.readTensors(join(place, "out"))
    assert.isTrue(Buffer.from(after.get("still.weight")!.data.buffer).equals(Buffer.from(wide.data.buffer)))
    const [a, b] = Array.from(pair.values())
    const wanted = sum(wide, a!, b!, 8)
    const worst = wanted.reduce(
      (worst, value, index) => Math.max(worst, Math.abs(value - after.get("wide.weight")!.data[index]!)),
      0
    )
    assert.isBelow(worst, 1e-5)
  }))
