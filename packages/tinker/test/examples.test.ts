import { BigramEngine } from "@effect-tinker/engine"
import { ShippedModel } from "@effect-tinker/llama"
import { TinkerServer } from "@effect-tinker/server"
import { Tokenizer } from "@effect-tinker/tokenizer"
import { FileSystem } from "@effect/platform"
import { NodeContext, NodeWorker } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import { Console, Effect, Layer, TestClock } from "effect"
import { ApiFuture, ServiceClient, Tinker } from "effect-tinker"
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import * as WorkerThreads from "node:worker_threads"
import ts from "typescript"
import * as Budget from "../examples/budget.js"
import * as Checkpoints from "../examples/checkpoints.js"
import * as CustomLoss from "../examples/customLoss.js"
import * as Download from "../examples/download.js"
import * as FirstProgram from "../examples/firstProgram.js"
import * as Housekeeping from "../examples/housekeeping.js"
import * as OwnEndpoint from "../examples/ownEndpoint.js"
import * as Promises from "../examples/promises.js"
import * as SampleMany from "../examples/sampleMany.js"
import * as TrainThenSample from "../examples/trainThenSample.js"
import * as Waiting from "../examples/waiting.js"
import * as WorkerGrader from "../examples/workerGrader.js"

const read = (path: string) => readFileSync(new URL(path, import.meta.url), "utf8")

const byteTokenizer = Layer.succeed(Tokenizer.Tokenizer, {
  vocabularySize: 256,
  bosToken: undefined,
  eosToken: undefined,
  encode: (text) => Int32Array.from(new TextEncoder().encode(text)),
  decode: (tokens) => new TextDecoder().decode(Uint8Array.from(tokens)),
  tokenId: () => undefined
})

for (
  const [readme, example] of [["../../../README.md", "trainThenSample"], ["../README.md", "firstProgram"]] as const
) {
  it(`${readme} shows ${example} as it is`, () => {
    const unguarded = read(`../examples/${example}.ts`)
      .replace("import { isMain } from \"./isMain.js\"\n", "")
      .replace("if (isMain(import.meta.url)) ", "")
    assert.include(read(readme), `\`\`\`ts\n${unguarded}\`\`\``)
  })
}

const trimmed = (text: string) => text.split("\n").map((line) => line.trim()).join("\n").trim()

for (const page of ["../README.md", "../docs/backends.md"]) {
  it(`${page} shows nothing that is not run here`, () => {
    const sources = ["../examples/", "./"].flatMap((folder) =>
      readdirSync(new URL(folder, import.meta.url))
        .filter((name) => name.endsWith(".ts"))
        .map((name) =>
          trimmed(read(folder + name).replace(/import \{ isMain.*\n/, "").replace("if (isMain(import.meta.url)) ", ""))
        )
    )
    const shown = Array.from(
      read(page).matchAll(/```ts\n([^]*?)```/g),
      ([, text]) => trimmed(text!.replace(/^\/\/ From .*\n/, ""))
    )
    assert.isAtLeast(shown.length, 4)
    for (const text of shown) assert.isTrue(sources.some((source) => source.includes(text)), text)
  })
}

it("../README.md names every option and every variable of the environment, and every tag of an error", () => {
  const readme = read("../README.md")
  const options = read("../src/TinkerConfig.ts").split("export interface Options {")[1]!.split("\n}")[0]!
  for (const [, option] of options.matchAll(/readonly (\w+)\?:/g)) assert.include(readme, `| \`${option!}\``)
  for (const [variable] of options.matchAll(/[A-Z]+(_[A-Z]+)+/g)) assert.include(readme, `\`${variable}\``)
  for (const [, tag] of read("../../protocol/src/TinkerError.ts").matchAll(/\* \| `(\w+)` \| \w+/g)) {
    assert.include(readme, `| \`${tag!}\``)
  }
})

/** The lines that a program writes, against a server in this process. */
const linesOf = <E, R>(program: Effect.Effect<void, E, R>) =>
  Effect.gen(function*() {
    const lines: Array<string> = []
    const console = { ...(yield* Console.consoleWith(Effect.succeed)) }
    yield* Effect.withConsole(program, {
      ...console,
      log: (...words) => Effect.sync(() => void lines.push(words.join(" ")))
    })
    return lines
  })

const inProcess = (baseModel: string) =>
  Layer.provide(TinkerServer.layerClient, BigramEngine.layer({ baseModels: [baseModel] }))

const server = (baseModel: string) => Layer.provide(Tinker.layer(), inProcess(baseModel))

it.effect("firstProgram makes a step and saves", () =>
  Effect.gen(function*() {
    const lines = yield* linesOf(FirstProgram.program)
    assert.match(lines.join("\n"), /^loss \d+\.\d+, saved tinker:\/\/.*\/weights\/first$/)
  }).pipe(Effect.provide(server("Qwen/Qwen3-8B"))))

it.effect("trainThenSample trains and then samples", () =>
  Effect.gen(function*() {
    const lines = yield* linesOf(TrainThenSample.program)
    const losses = lines.flatMap((line) => /: (\S+) nats\/token/.exec(line)?.[1] ?? []).map(Number)
    assert.strictEqual(losses.length, 100)
    assert.isBelow(losses.at(-1)!, losses[0]!)
    assert.match(lines[0]!, /^before: /)
    assert.match(lines.at(-1)!, /^saved tinker:\/\/.*\/weights\/final$/)
  }).pipe(Effect.provide([server(ShippedModel.name), byteTokenizer, NodeContext.layer])))

it.effect("checkpoints goes on from what it has saved, and samples from it", () =>
  Effect.gen(function*() {
    const lines = yield* linesOf(Checkpoints.program)
    assert.match(
      lines.join("\n"),
      /^tinker:.*\/weights\/step-1, then tinker:.*\/sampler_weights\/step-2, of Qwen\/Qwen3-8B$/
    )
  }).pipe(Effect.provide(server("Qwen/Qwen3-8B"))))

it.effect("housekeeping deletes what is older than a month", () =>
  Effect.gen(function*() {
    yield* linesOf(Effect.provide(FirstProgram.program, Tinker.layer()))
    const bytesLeft = linesOf(Effect.provide(Housekeeping.program, Tinker.layer()))
    assert.match((yield* bytesLeft)[0]!, /^[1-9]\d* bytes are left$/)
    yield* TestClock.adjust("31 days")
    assert.deepStrictEqual(yield* bytesLeft, ["0 bytes are left"])
  }).pipe(Effect.provide(inProcess("Qwen/Qwen3-8B"))))

it.effect("budget samples until the next sample might cost too much", () =>
  Effect.gen(function*() {
    const lines = yield* linesOf(Budget.program)
    assert.match(lines[0]!, /^SamplingClient.sample: /)
    assert.strictEqual(lines[1], "135 tokens read, 432 written: $0.0193")
  }).pipe(Effect.provide(server("Qwen/Qwen3-8B"))))

it.scopedLive("download brings the files of a training checkpoint here", () =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const directory = `${yield* fs.makeTempDirectoryScoped()}/weights`
    const service = yield* ServiceClient.ServiceClient
    const training = yield* service.createLoraTrainingClient({ baseModel: "Qwen/Qwen3-8B", rank: 4 })
    const { path } = yield* ApiFuture.flatten(training.saveState({ name: "a" }))
    const lines = yield* linesOf(Download.program(path, directory))
    assert.match(lines.at(-1)!, /^adapter_config.json, adapter_model.safetensors.*: \d+ bytes$/)
    assert.deepStrictEqual(lines.at(-2), "Done")
    assert.include(yield* fs.readDirectory(directory), "adapter_model.safetensors")
  }).pipe(Effect.provide(
    Layer.mergeAll(Tinker.layer(), Tinker.layerDownload()).pipe(
      Layer.provide(inProcess("Qwen/Qwen3-8B")),
      Layer.provideMerge(NodeContext.layer)
    )
  )))

it.effect("ownEndpoint reads the models, and sees the answer to a listing", () =>
  Effect.gen(function*() {
    assert.deepStrictEqual(yield* linesOf(OwnEndpoint.program), [
      "Qwen/Qwen3-8B",
      "list_training_runs 200 0 retries",
      "0 training runs"
    ])
  }).pipe(Effect.provide(server("Qwen/Qwen3-8B"))))

it.effect("promises gives an answer to a promise, and ends the session", () =>
  Effect.gen(function*() {
    assert.lengthOf(yield* Effect.promise(() => Promises.program(server("Qwen/Qwen3-8B"))), 5)
  }))

it.effect("customLoss lowers a loss of its own", () =>
  Effect.gen(function*() {
    const lines = yield* linesOf(CustomLoss.program)
    const losses = lines.map((line) => Number(/loss (\S+)$/.exec(line)?.[1]))
    assert.strictEqual(losses.length, 5)
    for (let step = 1; step < 5; step++) assert.isBelow(losses[step]!, losses[step - 1]!)
  }).pipe(Effect.provide(server("Qwen/Qwen3-8B"))))

it.effect("sampleMany answers all prompts, and scores by a handle", () =>
  Effect.gen(function*() {
    const lines = yield* linesOf(SampleMany.program)
    assert.deepStrictEqual(lines, ["800 answers of 8.0 tokens", "3 scores, the first one NaN"])
  }).pipe(Effect.provide(server("Qwen/Qwen3-8B"))))

it.effect("waiting shows what happens to a request, to its end", () =>
  Effect.gen(function*() {
    const lines = yield* linesOf(Waiting.program)
    assert.strictEqual(lines[0], "submitted")
    assert.include(lines, "done")
    assert.strictEqual(lines.at(-1), "updated")
  }).pipe(Effect.provide(server("Qwen/Qwen3-8B"))))

/** The worker's file, compiled as a program that uses it would be: threads of Node know no TypeScript. */
const compiledWorker = () => {
  const { outputText } = ts.transpileModule(read("../examples/graderWorker.ts"), {
    compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 }
  })
  const file = new URL("../build/graderWorker.mjs", import.meta.url)
  mkdirSync(new URL(".", file), { recursive: true })
  writeFileSync(file, outputText)
  return file
}

it.effect("workerGrader grades every answer in other threads", () =>
  Effect.gen(function*() {
    const lines = yield* linesOf(WorkerGrader.program)
    assert.match(lines.join(), /^64 grades, 0\.\d\d on average$/)
  }).pipe(
    Effect.provide([server("Qwen/Qwen3-8B"), NodeWorker.layer(() => new WorkerThreads.Worker(compiledWorker()))])
  ))
