import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { execFile } from "node:child_process"
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { makeRandomLlama } from "../scripts/makeRandomLlama.js"
import * as LlamaEngine from "../src/LlamaEngine.js"

const entry = fileURLToPath(new URL("./fixtures/onePass.ts", import.meta.url))

/** A model, and folders of a user's own that nothing is in. */
const surroundings = Effect.acquireRelease(
  Effect.sync(() => {
    const root = mkdtempSync(join(tmpdir(), "engine-environment-"))
    const at = (name: string) => {
      mkdirSync(join(root, name))
      return join(root, name)
    }
    const folders = { root, model: at("model"), home: at("home"), temporary: at("temporary") }
    makeRandomLlama(folders.model, { name: "one" })
    return folders
  }),
  ({ root }) => Effect.sync(() => rmSync(root, { recursive: true, force: true }))
)

/** What a program that has computed with a process of the engine says. */
const computed = (
  { home, model, temporary }: { readonly model: string; readonly home: string; readonly temporary: string },
  ...args: ReadonlyArray<string>
) =>
  Effect.async<string, Error>((resume) => {
    const { ORT_DISABLE_TELEMETRY: _, ...inherited } = process.env
    const env = { ...inherited, HOME: home, XDG_CACHE_HOME: join(home, ".cache"), TMPDIR: temporary }
    execFile("node", ["--import", "tsx", entry, model, ...args], { env }, (error, stdout) => {
      resume(error === null ? Effect.succeed(stdout) : Effect.fail(error))
    })
  })

/** But for what runs TypeScript. */
const filesIn = (folder: string): ReadonlyArray<string> =>
  readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) => !name.startsWith("tsx-"))

it.scopedLive("an engine's process leaves no id, database or log in the user's folders, and stands back for others", () =>
  Effect.gen(function*() {
    const folders = yield* surroundings
    assert.strictEqual(yield* computed(folders), "15")
    assert.deepStrictEqual(filesIn(folders.home), [])
    assert.deepStrictEqual(filesIn(folders.temporary), [])
  }))

it.scopedLive("how far an engine's process stands back is a setting", () =>
  Effect.gen(function*() {
    assert.strictEqual(yield* computed(yield* surroundings, "3"), "3")
    for (const niceness of [-1, 20, 1.5, Number.NaN]) {
      const error = yield* Effect.flip(Effect.scoped(LlamaEngine.make(["/nonexistent"], { niceness })))
      assert.include(error.message, `niceness is ${niceness}`)
    }
  }))
