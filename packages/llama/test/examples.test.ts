import { Tokenizer } from "@effect-tinker/tokenizer"
import { NodeContext } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import type { Console } from "effect"
import { Effect, Layer } from "effect"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { program } from "../examples/memorize.js"
import { makeRandomLlama } from "../scripts/makeRandomLlama.js"
import * as LlamaEngine from "../src/LlamaEngine.js"

it.scoped("memorize: a random model learns the sentence from its first words", () =>
  Effect.gen(function*() {
    const folder = yield* Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "memorize-"))),
      (folder) => Effect.sync(() => rmSync(folder, { recursive: true }))
    )
    makeRandomLlama(folder, { hiddenSize: 64 })
    const printed: Array<string> = []
    const quiet: Console.Console = {
      ...(yield* Effect.console),
      log: (text: string) => Effect.sync(() => void printed.push(text))
    }
    const text = yield* program.pipe(
      Effect.provide(Layer.merge(LlamaEngine.layer(folder, { threads: 1 }), Tokenizer.layerFolder(folder))),
      Effect.provide(NodeContext.layer),
      Effect.withConsole(quiet)
    )
    assert.strictEqual(text, "The lamp on the hill is green tonight.")
    assert.strictEqual(printed.length, 31)
  }))
