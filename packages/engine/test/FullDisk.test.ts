import { assert, it } from "@effect/vitest"
import { existsSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { vi } from "vitest"
import * as Llama from "../src/Llama.js"
import { everything, localEngine, smallLlama } from "./internal/localEngine.js"
import { hashedWeights } from "./internal/numbers.js"

const disk = vi.hoisted(() => ({ isFull: false }))

vi.mock("node:fs", async (original) => {
  const fs = await original<typeof import("node:fs")>()
  const writeFileSync: typeof fs.writeFileSync = (file, data, options) => {
    if (!disk.isFull) return fs.writeFileSync(file, data, options)
    fs.writeFileSync(file, (data as Uint8Array).subarray(0, 100))
    throw Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" })
  }
  return { ...fs, writeFileSync }
})

it("a state that a full disk takes half of is not left there, and the error does not say where it was to be", async () => {
  const folder = mkdtempSync(join(tmpdir(), "effect-tinker-"))
  try {
    const engine = await localEngine(smallLlama, hashedWeights(Llama.weightShapes(smallLlama)))
    await engine.createModel("model", { baseModel: "base", lora: { rank: 2, seed: 1, ...everything } })
    const file = join(folder, "state")
    disk.isFull = true
    const error = await engine.writeState("model", "weights", file).then(() => undefined, (error: Error) => error)
    disk.isFull = false
    assert.strictEqual(
      (error as { readonly description?: string }).description,
      "its state cannot be written (ENOSPC: no space left on device)"
    )
    assert.isFalse(existsSync(file))
    const { bytes } = await engine.writeState("model", "weights", file)
    assert.isAbove(bytes, 0)
    assert.isTrue(existsSync(file))
  } finally {
    rmSync(folder, { recursive: true })
  }
})
