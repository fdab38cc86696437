import { assert, it } from "@effect/vitest"
import fs, { existsSync, mkdtempSync, rmSync } from "node:fs"
import { syncBuiltinESMExports } from "node:module"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Llama from "../src/Llama.js"
import { everything, localEngine, smallLlama } from "./internal/localEngine.js"
import { hashedWeights } from "./internal/numbers.js"

/** Has every write of a file stop after its first bytes, as on a disk that is full by then, until it is undone. */
const fillDisk = () => {
  const { writeFileSync } = fs
  fs.writeFileSync = (file, data) => {
    writeFileSync(file, (data as Uint8Array).subarray(0, 100))
    throw Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" })
  }
  syncBuiltinESMExports()
  return () => {
    fs.writeFileSync = writeFileSync
    syncBuiltinESMExports()
  }
}

it("a state that a full disk takes half of is not left there, and the error does not say where it was to be", async () => {
  const folder = mkdtempSync(join(tmpdir(), "effect-tinker-"))
  try {
    const engine = await localEngine(smallLlama, hashedWeights(Llama.weightShapes(smallLlama)))
    await engine.createModel("model", { baseModel: "base", lora: { rank: 2, seed: 1, ...everything } })
    const file = join(folder, "state")
    const undo = fillDisk()
    const error = await engine.writeState("model", "weights", file).then(() => undefined, (error: Error) => error)
    undo()
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
