import { Engine, ModelState } from "@effect-tinker/engine"
import { assert, describe, it, layer } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Option, Scope } from "effect"
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { configOf, endOfText, makeRandomLlama } from "../scripts/makeRandomLlama.js"
import * as EngineProcess from "../src/EngineProcess.js"
import * as LlamaEngine from "../src/LlamaEngine.js"
import { adam, everything } from "./internal/localEngine.js"

const folder = mkdtempSync(join(tmpdir(), "llama-engine-"))
makeRandomLlama(join(folder, "one"), { name: "one", maxContextLength: 64 })
makeRandomLlama(join(folder, "two"), { name: "two", architecture: "qwen3", seed: 1 })
process.once("exit", () => rmSync(folder, { recursive: true, force: true }))

const encode = (text: string) => Int32Array.from(new TextEncoder().encode(text))
const text = "the sun is warm. the sea is cold."
const data = [{ tokens: encode(text.slice(0, -1)), targetTokens: encode(text.slice(1)) }]
const crossEntropy = { _tag: "cross_entropy" } as const
const lora = { rank: 8, seed: 1, ...everything }
const request: Engine.SampleRequest = {
  prompt: encode("the sun "),
  numSamples: 2,
  maxTokens: 8,
  temperature: 0,
  topK: -1,
  topP: 1,
  seed: 0,
  stopTokens: [],
  stopStrings: [],
  promptLogprobs: false,
  topkPromptLogprobs: 0
}

layer(LlamaEngine.layer([join(folder, "one"), join(folder, "two")], { threads: 1 }), { timeout: 60_000 })(
  "two models",
  (it) => {
    it.effect("says what each folder holds", () =>
      Effect.gen(function*() {
        const engine = yield* Engine.Engine
        assert.deepStrictEqual(engine.baseModels.map(({ files: _, ...model }) => model), [
          {
            name: "one",
            maxContextLength: 64,
            vocabularySize: configOf().vocabularySize,
            maxRank: 128,
            eosTokens: [endOfText],
            architecture: "LlamaForCausalLM",
            tokenizerId: "one"
          },
          {
            name: "two",
            maxContextLength: 512,
            vocabularySize: configOf().vocabularySize,
            maxRank: 128,
            eosTokens: [endOfText],
            architecture: "Qwen3ForCausalLM",
            tokenizerId: "two"
          }
        ])
      }))

    for (const baseModel of ["one", "two"]) {
      it.effect(`learns a sentence and says it, on ${baseModel}`, () =>
        Effect.gen(function*() {
          const engine = yield* Engine.Engine
          const id = `model of ${baseModel}`
          yield* engine.createModel(id, { baseModel, lora })
          for (let step = 0; step < 30; step++) {
            yield* engine.forwardBackward(id, { data, loss: crossEntropy, gradient: true })
            yield* engine.optimStep(id, adam)
          }
          yield* engine.createSampler(id, { baseModel, snapshot: yield* engine.snapshot(id) })
          const { sequences } = yield* engine.sample(id, { ...request, maxTokens: 30, stopStrings: ["m."] })
          assert.strictEqual(String.fromCharCode(...sequences[0]!.tokens), "is warm.")
          assert.strictEqual(sequences[0]!.stopReason, "stop")
          yield* engine.unloadSampler(id)
          yield* engine.unloadModel(id)
          const error = yield* Effect.flip(engine.sample(id, request))
          assert.strictEqual(error.reason, "UnknownModel")
        }))
    }

    it.effect("carries refusals over from the child with their reason", () =>
      Effect.gen(function*() {
        const engine = yield* Engine.Engine
        const rank = yield* Effect.flip(engine.createModel("x", { baseModel: "one", lora: { ...lora, rank: 1000 } }))
        assert.strictEqual(rank.reason, "InvalidRequest")
        assert.include(rank.message, "1000")
        const base = yield* Effect.flip(engine.createModel("x", { baseModel: "three", lora }))
        assert.strictEqual(base.reason, "UnknownModel")
        const model = yield* Effect.flip(engine.optimStep("x", adam))
        assert.strictEqual(model.reason, "UnknownModel")
        yield* engine.unloadModel("x")
        yield* engine.unloadSampler("x")
      }))

    it.effect("restores a snapshot that has been through both processes, bit for bit", () =>
      Effect.gen(function*() {
        const engine = yield* Engine.Engine
        yield* engine.createModel("saved", { baseModel: "one", lora })
        yield* engine.forwardBackward("saved", { data, loss: crossEntropy, gradient: true })
        yield* engine.optimStep("saved", adam)
        const snapshot = yield* engine.snapshot("saved")
        yield* engine.forwardBackward("saved", { data, loss: crossEntropy, gradient: true })
        const accumulated = yield* engine.accumulated("saved")
        yield* engine.restore("again", snapshot, { optimizer: true, accumulated })
        assert.deepStrictEqual(yield* engine.snapshot("again"), snapshot)
        assert.deepStrictEqual(yield* engine.accumulated("again"), accumulated)
        // What the child writes itself is what it would have handed over.
        const file = join(folder, "state")
        const written = yield* engine.writeState!("saved", "weights", file)
        assert.deepStrictEqual(new Uint8Array(readFileSync(file)), ModelState.encodeSnapshot(snapshot))
        assert.deepStrictEqual(written, { bytes: readFileSync(file).byteLength, step: 1 })
        yield* engine.writeState!("saved", "gradient", file)
        assert.deepStrictEqual(new Uint8Array(readFileSync(file)), ModelState.encodeGradient(accumulated!))
        yield* engine.optimStep("saved", adam)
        assert.deepStrictEqual(yield* engine.writeState!("saved", "gradient", file), { bytes: 0, step: 2 })
        // What cannot be written can be undone, by giving back what was there before.
        const failed = yield* Effect.flip(engine.writeState!("saved", "weights", join(folder, "nowhere", "state")))
        assert.strictEqual(failed.description, "its state cannot be written (ENOENT: no such file or directory)")
        yield* engine.restore("saved", snapshot, { optimizer: true, accumulated })
        assert.deepStrictEqual(yield* engine.snapshot("saved"), snapshot)
        assert.deepStrictEqual(yield* engine.accumulated("saved"), accumulated)
      }))
  }
)

describe("folders", { timeout: 60_000 }, () => {
  it.effect("that hold no model fail the layer", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Layer.build(LlamaEngine.layer("/no/such/folder")).pipe(Effect.scoped))
      assert.strictEqual(error.reason, "UnsupportedModel")
    }))

  it.effect("are called as they are given, and show their tokenizer and configuration, but neither weights nor the rest", () =>
    Effect.gen(function*() {
      const given = join(folder, "given")
      cpSync(join(folder, "one"), given, { recursive: true })
      for (const name of ["modeling.py", "notes.txt"]) writeFileSync(join(given, name), "")
      mkdirSync(join(given, "merges.txt"))
      const engine = yield* LlamaEngine.make([{ name: "org/named", folder: given }, join(folder, "one")], {
        threads: 1
      })
      assert.deepStrictEqual(engine.baseModels.map(({ name, tokenizerId }) => [name, tokenizerId]), [
        ["org/named", "org/named"],
        ["one", "one"]
      ])
      const files = engine.baseModels[0]!.files!
      assert.deepStrictEqual(
        Array.from(files.keys()).sort(),
        readdirSync(join(folder, "one")).filter((name) => name.endsWith(".json")).sort()
      )
      const config = yield* files.get("config.json")!
      assert.deepStrictEqual(Buffer.from(config), readFileSync(join(given, "config.json")))
      yield* engine.createModel("model", { baseModel: "org/named", lora })
      assert.strictEqual((yield* engine.snapshot("model")).baseModel, "org/named")
    }).pipe(Effect.scoped))

  it.effect("of the same name fail the layer", () =>
    Effect.gen(function*() {
      const twice = LlamaEngine.layer([join(folder, "one"), join(folder, "one")], { threads: 1 })
      const error = yield* Effect.flip(Layer.build(twice).pipe(Effect.scoped))
      assert.include(error.message, "named one")
    }))
})

describe("memory", { timeout: 60_000 }, () => {
  const megabytes = 2 ** 20

  it.effect("that does not hold the weights fails the layer, with what is needed", () =>
    Effect.gen(function*() {
      const tight = LlamaEngine.layer(join(folder, "one"), { threads: 1, maxMemoryBytes: 100 * megabytes })
      const error = yield* Effect.flip(Layer.build(tight).pipe(Effect.scoped))
      assert.strictEqual(error.reason, "UnsupportedModel")
      assert.match(error.message, /^one needs \d+ MiB and more, and maxMemoryBytes is 100 MiB$/)
    }))

  it("is divided so that each part stays within what the weights leave", () => {
    const divide = (parameters: number, options: LlamaEngine.Options) => {
      const divided = Effect.runSync(LlamaEngine.budgets({ name: "one", parameterCount: parameters / 4 }, options))
      const { maxActivationBytes, maxCacheBytes, maxConstantBytes } = divided
      return [maxActivationBytes, maxCacheBytes, maxConstantBytes].map((bytes) => bytes / megabytes)
    }
    const divided = (weights: number, memory: number, maxActivation?: number) =>
      divide(weights * megabytes, {
        maxMemoryBytes: memory * megabytes,
        maxActivationBytes: maxActivation === undefined ? undefined : maxActivation * megabytes
      })
    // Of the memory, 384 MiB are the runtime's.
    assert.deepStrictEqual(divided(100, 8192), [400, 256, 1024])
    assert.deepStrictEqual(divided(1000, 16384), [4000, 1000, 1024])
    // Weights that are laid out twice leave less, and those for which a quarter of the rest is not enough are not.
    assert.deepStrictEqual(divided(100, 884), [300, 256, 100])
    assert.deepStrictEqual(divided(100, 880), [396, 256, 99])
    assert.deepStrictEqual(divided(100, 500), [16, 16, 4])
    assert.deepStrictEqual(divided(100, 8192, 10), [10, 10, 1024])
    assert.deepStrictEqual(divided(100, 500, 1000), [16, 16, 4])
  })

  it.scoped("that hardly holds the weights gives the same losses as plenty", () =>
    Effect.gen(function*() {
      const several = Array.from({ length: 5 }, () => data[0]!)
      const losses: Array<number> = []
      for (const maxMemoryBytes of [385 * megabytes, 2048 * megabytes]) {
        const engine = yield* LlamaEngine.make([join(folder, "one")], { threads: 1, maxMemoryBytes })
        yield* engine.createModel("model", { baseModel: "one", lora })
        const pass = { data: several, loss: crossEntropy, gradient: true }
        losses.push((yield* engine.forwardBackward("model", pass)).loss)
      }
      assert.closeTo(losses[0]!, losses[1]!, 1e-3)
    }))
})

// Starting a process takes as long as the machine is busy.
describe("the child process", { timeout: 60_000 }, () => {
  const start = { folder: join(folder, "one"), threads: 1, niceness: 15, maxActivationBytes: 2 ** 20 }
  const isAlive = (pid: number) => {
    try {
      return process.kill(pid, 0)
    } catch {
      return false
    }
  }

  it.effect("is gone when the scope has closed, and calls fail from then on", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const child = yield* Scope.extend(EngineProcess.make(), scope)
      yield* child.call("start", start)
      assert.isTrue(isAlive(child.pid!))
      yield* Scope.close(scope, Exit.void)
      assert.isFalse(isAlive(child.pid!))
      const error = yield* Effect.flip(child.call("snapshot", "model"))
      assert.strictEqual(error.reason, "Unavailable")
    }))

  it.scoped("fails what waits and what comes later when it is killed in the middle of a step", () =>
    Effect.gen(function*() {
      const child = yield* EngineProcess.make()
      yield* child.call("start", start)
      yield* child.call("createModel", "model", { baseModel: "one", lora })
      const many = Array.from({ length: 5000 }, () => data[0]!)
      const step = child.call("forwardBackward", "model", { data: many, loss: crossEntropy, gradient: true })
      const waiting = yield* Effect.fork(Effect.all([Effect.flip(step), Effect.flip(child.call("snapshot", "model"))], {
        concurrency: "unbounded"
      }))
      yield* Effect.yieldNow()
      process.kill(child.pid!, "SIGKILL")
      for (const error of yield* Fiber.join(waiting)) {
        assert.strictEqual(error.reason, "Unavailable")
        assert.include(error.message, "SIGKILL")
      }
      const later = yield* Effect.flip(child.call("snapshot", "model"))
      assert.strictEqual(later.reason, "Unavailable")
    }))

  it.scoped("that cannot start fails every call with what it said last", () =>
    Effect.gen(function*() {
      const entry = new URL("./fixtures/throwingEntry.ts", import.meta.url)
      const child = yield* EngineProcess.make({ entry })
      const error = yield* Effect.flip(child.call("start", start))
      assert.strictEqual(error.reason, "Unavailable")
      assert.include(error.message, "no binary for this platform")
    }))

  it.scoped("outlives an interrupt from the keyboard, drops an interrupted call with nothing changed, and samples beside training", () =>
    Effect.gen(function*() {
      const child = yield* EngineProcess.make()
      yield* child.call("start", { ...start, maxActivationBytes: 1 })
      process.kill(child.pid!, "SIGINT")
      yield* child.call("createModel", "model", { baseModel: "one", lora })
      yield* child.call("createSampler", "sampler", { baseModel: "one" })
      // Each would take long: a batch a sequence, and caches that fit one at a time.
      const many = Array.from({ length: 20_000 }, () => data[0]!)
      const endless: ReadonlyArray<Effect.Effect<unknown, Engine.EngineError>> = [
        child.call("forwardBackward", "model", { data: many, loss: crossEntropy, gradient: true }),
        child.call("sample", "sampler", { ...request, numSamples: 20_000, maxTokens: 50 })
      ]
      for (const call of endless) {
        const waiting = yield* Effect.fork(call)
        yield* Effect.yieldNow()
        yield* Fiber.interrupt(waiting)
      }
      const { unclippedGradNorm } = yield* child.call("optimStep", "model", adam)
      assert.strictEqual(unclippedGradNorm, 0)

      // A sample does not wait for training, which is in order all the while.
      const steps = yield* Effect.fork(Effect.all([
        child.call("forwardBackward", "model", { data: many.slice(0, 300), loss: crossEntropy, gradient: true }),
        child.call("optimStep", "model", adam)
      ], { concurrency: "unbounded" }))
      yield* Effect.yieldNow()
      const { sequences } = yield* child.call("sample", "sampler", request)
      assert.strictEqual(sequences.length, 2)
      assert.isNull(yield* Fiber.poll(steps).pipe(Effect.map(Option.getOrNull)))
      const [, step] = yield* Fiber.join(steps)
      assert.isAbove(step.unclippedGradNorm, 0)
    }))
})
