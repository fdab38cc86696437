import { ShippedModel } from "@effect-tinker/engine"
import { BigramEngine, TinkerServer } from "@effect-tinker/server"
import { Tokenizer } from "@effect-tinker/tokenizer"
import { NodeContext } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import { Console, Effect, Layer } from "effect"
import { Tinker } from "effect-tinker"
import { readFileSync } from "node:fs"
import { program } from "../examples/trainThenSample.js"

const read = (path: string) => readFileSync(new URL(path, import.meta.url), "utf8")

const byteTokenizer = Layer.succeed(Tokenizer.Tokenizer, {
  vocabularySize: 256,
  bosToken: undefined,
  eosToken: undefined,
  encode: (text) => Int32Array.from(new TextEncoder().encode(text)),
  decode: (tokens) => new TextDecoder().decode(Uint8Array.from(tokens)),
  tokenId: () => undefined
})

it("the README shows the example as it is", () => {
  assert.include(read("../../../README.md"), `\`\`\`ts\n${read("../examples/trainThenSample.ts")}\`\`\``)
})

it.effect("trains and then samples", () =>
  Effect.gen(function*() {
    const lines: Array<string> = []
    const quiet = { ...(yield* Console.consoleWith(Effect.succeed)) }
    yield* Effect.withConsole(program, {
      ...quiet,
      log: (...words) => Effect.sync(() => void lines.push(words.join(" ")))
    })
    const losses = lines.flatMap((line) => /: (\S+) nats\/token/.exec(line)?.[1] ?? []).map(Number)
    assert.strictEqual(losses.length, 100)
    assert.isBelow(losses.at(-1)!, losses[0]!)
    assert.match(lines[0]!, /^before: /)
    assert.match(lines.at(-1)!, /^saved tinker:\/\/.*\/weights\/final$/)
  }).pipe(Effect.provide([
    Tinker.layer().pipe(
      Layer.provide(TinkerServer.layerClient),
      Layer.provide(BigramEngine.layer({ baseModels: [ShippedModel.name] }))
    ),
    byteTokenizer,
    NodeContext.layer
  ])), 30_000)
