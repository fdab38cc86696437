import { Engine } from "@effect-tinker/engine"
import { assert, layer } from "@effect/vitest"
import { Effect, Fiber, Logger, LogLevel, Option, Stream } from "effect"
import { execFileSync } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { makeRandomLlama } from "../scripts/makeRandomLlama.js"
import * as LlamaEngine from "../src/LlamaEngine.js"
import { adam, everything } from "./internal/localEngine.js"

const folder = mkdtempSync(join(tmpdir(), "lost-process-"))
makeRandomLlama(folder, { name: "one" })
process.once("exit", () => rmSync(folder, { recursive: true, force: true }))

const tokens = new TextEncoder().encode("the sun is warm. the sea is cold.")
const data = [{ tokens: Int32Array.from(tokens.subarray(0, -1)), targetTokens: Int32Array.from(tokens.subarray(1)) }]
const pass = { data, loss: { _tag: "cross_entropy" }, gradient: true } as const
const lora = { rank: 8, seed: 1, ...everything }

/** As by the system when there is no memory left. This process has no children but the engine's. */
const killEngine = Effect.sync(() => {
  for (
    const pid of execFileSync("pgrep", ["-P", String(process.pid), "-f", "engineChild"]).toString().trim().split("\n")
  ) {
    process.kill(Number(pid), "SIGKILL")
  }
})

layer(LlamaEngine.layer(folder, { threads: 1 }), { timeout: 60_000 })("an engine whose process was killed", (it) => {
  it.effect("has lost what was there, takes it back, and goes on bit for bit", () =>
    Effect.gen(function*() {
      const engine = yield* Engine.Engine
      yield* engine.createModel("model", { baseModel: "one", lora })
      yield* engine.createSampler("sampler", { baseModel: "one" })
      yield* engine.forwardBackward("model", pass)
      yield* engine.optimStep("model", adam)
      const snapshot = yield* engine.snapshot("model")
      yield* engine.forwardBackward("model", pass)
      const accumulated = yield* engine.accumulated("model")
      const { unclippedGradNorm } = yield* engine.optimStep("model", adam)
      const expected = yield* engine.snapshot("model")
      assert.isFalse(engine.hasLost!("model", "model"))

      const losses = yield* Effect.fork(Stream.runHead(engine.losses!))
      const many = { ...pass, data: Array.from({ length: 5000 }, () => data[0]!) }
      const running = yield* Effect.fork(Effect.flip(engine.forwardBackward("model", many)))
      yield* Effect.yieldNow()
      yield* killEngine
      const error = yield* Fiber.join(running)
      assert.strictEqual(error.reason, "Unavailable")
      assert.match(error.message, /was ended by SIGKILL.*; it is started anew$/)
      assert.include(Option.getOrThrow(yield* Fiber.join(losses)).message, "SIGKILL")
      assert.isTrue(engine.hasLost!("model", "model"))
      assert.isTrue(engine.hasLost!("sampler", "sampler"))
      assert.isFalse(engine.hasLost!("model", "sampler"))
      assert.strictEqual((yield* Effect.flip(engine.snapshot("model"))).reason, "Unavailable")

      yield* engine.restore("model", snapshot, { optimizer: true, accumulated })
      assert.isFalse(engine.hasLost!("model", "model"))
      assert.strictEqual((yield* engine.optimStep("model", adam)).unclippedGradNorm, unclippedGradNorm)
      assert.deepStrictEqual(yield* engine.snapshot("model"), expected)
      yield* engine.unloadSampler("sampler")
      assert.isFalse(engine.hasLost!("sampler", "sampler"))
      yield* engine.createSampler("sampler", { baseModel: "one" })
    }).pipe(Logger.withMinimumLogLevel(LogLevel.None)))
})
