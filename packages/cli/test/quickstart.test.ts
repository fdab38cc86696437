import { BigramEngine } from "@effect-tinker/engine"
import { ShippedModel } from "@effect-tinker/llama"
import { CheckpointStore, Faults, TinkerServer } from "@effect-tinker/server"
import { FileSystem, HttpServer } from "@effect/platform"
import { NodeContext, NodeHttpServer } from "@effect/platform-node"
import { afterAll, assert, beforeAll, it } from "@effect/vitest"
import { ConfigProvider, Effect, Layer } from "effect"
import { RetryPolicy } from "effect-tinker"
import { execFileSync, spawn } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import * as Display from "../src/Display.js"
import * as Main from "../src/Main.js"
import { run } from "../src/quickstart.js"
import { recording } from "./fixture.js"

const script = fileURLToPath(new URL("../../llama/scripts/makeRandomLlama.ts", import.meta.url))

/** A model of random weights, unlike the one that ships. */
const model = mkdtempSync(join(tmpdir(), "random-qwen3-"))

beforeAll(() => {
  execFileSync("node", ["--import", "tsx", script, model, "qwen3", "64", "1"])
})

afterAll(() => rmSync(model, { recursive: true }))

const start = (...args: ReadonlyArray<string>) => run(["node", "quickstart", ...args])

it.scopedLive("fine-tunes any supported folder, saves, and reports", () => {
  const { layer, text } = recording(false)
  return Effect.gen(function*() {
    const files = yield* FileSystem.FileSystem
    const out = `${yield* files.makeTempDirectoryScoped()}/run`
    yield* start("--model", model, "--steps", "3", "--rank", "4", "--out", out)
    assert.include(text(), "Before training")
    assert.include(text(), "step 3/3")
    assert.match(text(), /Checkpoint: tinker:\/\/\S+:train:0\/weights\/step-000003/)
    const report = yield* files.readFileString(`${out}/report.html`)
    assert.include(report, "<polyline")
    const saved = yield* files.readDirectory(`${out}/checkpoints`, { recursive: true })
    assert.isTrue(saved.some((file) => file.endsWith("step-000003/state.safetensors")), saved.join(" "))
    assert.isFalse(saved.some((file) => file.split("/").some((part) => part.startsWith("."))), saved.join(" "))
    assert.sameMembers(yield* files.readDirectory(`${out}/adapter`), [
      "adapter_config.json",
      "adapter_model.safetensors"
    ])
  }).pipe(Effect.provide([NodeContext.layer, layer]))
})

it.scopedLive("goes on where it was with the same command and folder, and refuses another command for it", () => {
  const { layer, text } = recording(false)
  return Effect.gen(function*() {
    const files = yield* FileSystem.FileSystem
    const out = `${yield* files.makeTempDirectoryScoped()}/run`
    yield* start("--model", model, "--steps", "1", "--rank", "4", "--out", out)
    yield* start("--model", model, "--steps", "1", "--rank", "4", "--out", out)
    assert.include(text(), "All 1 steps were done before: tinker://")
    assert.lengthOf(text().split("step 1/1"), 2)
    const other = yield* Effect.flip(start("--model", model, "--steps", "4", "--rank", "4", "--out", out))
    assert.include(String(other), "steps (1 before, 4 now)")
    assert.include(String(other), "Give the same options and data as it began with, or pass another folder with --out.")
    assert.notInclude(String(other), "another name")
  }).pipe(Effect.provide([NodeContext.layer, layer]))
}, 180_000)

it.scopedLive("is the same against a service, whose first trainable model it takes", () => {
  const { layer, text } = recording(false)
  return Effect.gen(function*() {
    const out = `${yield* (yield* FileSystem.FileSystem).makeTempDirectoryScoped()}/run`
    const { address } = yield* HttpServer.HttpServer
    const baseUrl = address._tag === "TcpAddress" ? `http://127.0.0.1:${address.port}` : ""
    yield* Effect.withConfigProvider(
      start("--remote", "--tokenizer", model, "--steps", "2", "--out", out),
      ConfigProvider.fromMap(new Map([["TINKER_BASE_URL", baseUrl], ["TINKER_API_KEY", "tml-right"]]))
    )
    assert.include(text(), "Base model: first")
    assert.match(text(), /Checkpoint: tinker:\/\/\S+:train:0\/weights\/step-000002/)
    assert.include(text(), `To go on from it, in your program, with TINKER_BASE_URL=${baseUrl}:\n  service.create`)
  }).pipe(Effect.provide([
    TinkerServer.layer({ apiKeys: ["tml-right"] }).pipe(
      Layer.provide(BigramEngine.layer({ baseModels: ["first", "second"], vocabularySize: 264 })),
      Layer.provide(CheckpointStore.layerMemory),
      Layer.provideMerge(NodeHttpServer.layerTest)
    ),
    NodeContext.layer,
    layer
  ]))
})

it.scopedLive("when its session is ended elsewhere it says how to go on with the same command", () => {
  const { layer, text } = recording(false)
  return Effect.gen(function*() {
    const out = `${yield* (yield* FileSystem.FileSystem).makeTempDirectoryScoped()}/run`
    const { address } = yield* HttpServer.HttpServer
    const baseUrl = address._tag === "TcpAddress" ? `http://127.0.0.1:${address.port}` : ""
    const ending = Layer.effect(
      Display.Display,
      Effect.map(Display.Display, (display): Display.Service => ({
        ...display,
        step: (step) =>
          Effect.zipRight(
            display.step(step),
            Effect.promise(() =>
              fetch(`${baseUrl}/api/v1/sessions/${/tinker:\/\/([^:]+):/.exec(step.checkpoint!)![1]}/finish`, {
                method: "POST",
                headers: { "content-type": "application/json" },
                body: JSON.stringify({ reason: { type: "success" } })
              })
            )
          )
      }))
    ).pipe(Layer.provide(layer))
    const args = ["--remote", "--tokenizer", model, "--steps", "30", "--checkpoint-every", "1", "--out", out]
    const error = yield* Effect.flip(Effect.sandbox(start(...args))).pipe(
      Effect.provide(ending),
      Effect.withConfigProvider(ConfigProvider.fromMap(new Map([["TINKER_BASE_URL", baseUrl]])))
    )
    assert.match(Main.explain(error), new RegExp(`The same command with --out ${out} goes on from step \\d+\\.$`))
    assert.notInclude(Main.explain(error), "training client")
    assert.include(text(), "step  1/30")
  }).pipe(Effect.provide([
    TinkerServer.layer().pipe(
      Layer.provide(BigramEngine.layer({ baseModels: ["first"], vocabularySize: 264 })),
      Layer.provide(CheckpointStore.layerMemory),
      Layer.provideMerge(NodeHttpServer.layerTest)
    ),
    NodeContext.layer
  ]))
}, 60_000)

const faulty = TinkerServer.layer({ apiKeys: ["tml-right"] }).pipe(
  Layer.provide(BigramEngine.layer({ baseModels: ["first"], vocabularySize: 264 })),
  Layer.provide(CheckpointStore.layerMemory),
  Layer.provideMerge(NodeHttpServer.layerTest),
  Layer.provideMerge(Faults.layer)
)

it.scopedLive("tells a rank that is too high before it loads anything, or as the service tells it, and leaves nothing", () => {
  const { layer, text } = recording(false)
  return Effect.gen(function*() {
    assert.strictEqual(
      yield* complaint("--model", model, "--rank", "99999"),
      "error: --rank is 99999; on this machine it must be 128 or less."
    )
    assert.strictEqual(text(), "")
    const said = yield* at("first", 264, "--tokenizer", model, "--rank", "99999")
    assert.match(said, /rank is 99999; .*\nNothing was kept\. Mend that before you begin anew\.$/)
  }).pipe(Effect.provide([NodeContext.layer, layer]))
})

it.scopedLive(
  "says that it is the data that are others than those of the run in the folder, and how",
  () =>
    Effect.gen(function*() {
      const out = `${yield* (yield* FileSystem.FileSystem).makeTempDirectoryScoped()}/run`
      const [one, two] = [yield* file(`${good}\n`.repeat(6)), yield* file(`${good}\n`.repeat(12))]
      const args = (data: string, steps: string) =>
        ["--model", model, "--data", data, "--steps", steps, "--rank", "4", "--out", out] as const
      yield* start(...args(one, "1"))
      const data = `it learned from 3 conversations of ${one}, and now it would from 9 conversations of ${two}`
      assert.include(
        String(yield* Effect.flip(start(...args(two, "1")))),
        `is of a run on other data: ${data}. Give the same`
      )
      assert.include(
        String(yield* Effect.flip(start(...args(two, "2")))),
        `${data}, and its settings were others too: steps (1 before, 2 now). Give the same`
      )
    }).pipe(Effect.provide([NodeContext.layer, recording(false).layer])),
  180_000
)

/** What is said when the quickstart fails at a server where a path answers 401 from its n-th request on, as for a key that is withdrawn. */
const refused = (out: string, path: string, nth: number) =>
  Effect.gen(function*() {
    const { address } = yield* HttpServer.HttpServer
    const baseUrl = address._tag === "TcpAddress" ? `http://127.0.0.1:${address.port}` : ""
    const fault = Faults.answer(401, { body: { detail: "Invalid API key" } })
    yield* Effect.flatMap(Faults.Faults, (faults) => faults.plan({ path, fault, nth, times: 1000 }))
    const args = ["--remote", "--tokenizer", model, "--steps", "30", "--checkpoint-every", "2", "--out", out]
    const error = yield* Effect.flip(Effect.sandbox(start(...args))).pipe(
      Effect.withConfigProvider(
        ConfigProvider.fromMap(new Map([["TINKER_BASE_URL", baseUrl], ["TINKER_API_KEY", "tml-right"]]))
      )
    )
    return Main.explain(error)
  }).pipe(Effect.provide([faulty, recording(false).layer]))

it.scopedLive(
  "when a service refuses it for good it says why, what is kept, and how to go on",
  () =>
    Effect.gen(function*() {
      const out = `${yield* (yield* FileSystem.FileSystem).makeTempDirectoryScoped()}/run`
      assert.match(
        yield* refused(out, "client/config", 1),
        /^error: .* 401 .*TINKER_API_KEY\.\nNothing was kept\. Mend that before you begin anew\.$/
      )
      const files = yield* FileSystem.FileSystem
      assert.match(yield* refused(out, "forward_backward", 1), /\nNothing was kept\./)
      assert.isFalse(yield* files.exists(out), "what was begun is removed")
      assert.match(
        yield* refused(out, "optim_step", 6),
        new RegExp(
          `^error: .* 401 .*\\nStopped\\. Kept: the checkpoint of step 4, tinker://\\S+\\nOnce that is mended, the same `
            + `command with --out ${out} goes on from step 4\\.$`
        )
      )
      assert.match(
        yield* refused(out, "create_session", 1),
        new RegExp(
          `\\nStopped\\. The run in ${out} is as it was before\\.\\nOnce that is mended, the same command with --out ${out} goes on with it\\.$`
        )
      )
    }).pipe(Effect.provide(NodeContext.layer)),
  60_000
)

/** What is said when a server does not know what it had, as after a start anew: from the n-th request to a path on, and maybe checkpoints. */
const forgotten = (out: string, path: string, nth: number, isCheckpointGone: boolean) =>
  Effect.gen(function*() {
    const { address } = yield* HttpServer.HttpServer
    const baseUrl = address._tag === "TcpAddress" ? `http://127.0.0.1:${address.port}` : ""
    const faults = yield* Faults.Faults
    const missing = (detail: string) => Faults.answer(404, { body: { detail } })
    yield* faults.plan({ path, fault: missing("there is no model or request m"), nth, times: 1000 })
    if (isCheckpointGone) {
      yield* faults.plan({ path: "weights_info", fault: missing("there is no checkpoint"), nth: 1, times: 1000 })
    }
    const args = ["--remote", "--tokenizer", model, "--steps", "30", "--checkpoint-every", "2", "--out", out]
    const error = yield* Effect.flip(Effect.sandbox(start(...args))).pipe(
      Effect.withConfigProvider(
        ConfigProvider.fromMap(new Map([["TINKER_BASE_URL", baseUrl], ["TINKER_API_KEY", "tml-right"]]))
      )
    )
    return Main.explain(error)
  }).pipe(Effect.provide([faulty, recording(false).layer]))

it.scopedLive(
  "at a server that has forgotten the model it says so, and promises to go on from a checkpoint only if that is there",
  () =>
    Effect.gen(function*() {
      const folder = yield* (yield* FileSystem.FileSystem).makeTempDirectoryScoped()
      const start = "^error: the server has forgotten the model, as it does when it is started anew .*\\n"
      const keeps = "A server that is started as npm run serve -- --data FOLDER keeps models and checkpoints\\."
      for (const [path, nth] of [["optim_step", 6], ["retrieve_future", 35]] as const) {
        const gone = yield* forgotten(`${folder}/gone-${path}`, path, nth, true)
        assert.match(
          gone,
          new RegExp(
            `${start}Stopped\\. The checkpoint of step \\d+, tinker://\\S+, is not there any more either\\. ${keeps}\\n`
          )
        )
        assert.match(gone, /\nThen begin anew: the same command, with another folder for --out\.$/)
        assert.notInclude(gone, "goes on")
      }
      assert.match(
        yield* forgotten(`${folder}/there`, "optim_step", 6, false),
        new RegExp(
          `${start}Stopped\\. Kept: the checkpoint of step 4, tinker://\\S+\\nThe same command with --out \\S+ goes on from step 4\\.$`
        )
      )
      assert.match(
        yield* forgotten(`${folder}/none`, "forward_backward", 1, true),
        new RegExp(
          `${start}Stopped before there was a checkpoint; this run has kept nothing\\.\\nThe same command begins anew\\. ${keeps}$`
        )
      )
    }).pipe(Effect.provide(NodeContext.layer)),
  60_000
)

/** What is said at an address, when nothing is tried twice. */
const remoteComplaint = (baseUrl: string, key: string) =>
  complaint("--remote", "--tokenizer", model).pipe(
    RetryPolicy.withPolicies({ firstContact: RetryPolicy.none, request: RetryPolicy.none }),
    Effect.withConfigProvider(
      ConfigProvider.fromMap(new Map([["TINKER_BASE_URL", baseUrl], ["TINKER_API_KEY", key]]))
    )
  )

it.scopedLive("says what is wrong with the address or the key in the words of who has set variables", () =>
  Effect.gen(function*() {
    const { address } = yield* HttpServer.HttpServer
    const baseUrl = address._tag === "TcpAddress" ? `http://127.0.0.1:${address.port}` : ""
    assert.match(
      yield* remoteComplaint("http://127.0.0.1:1", "tml-right"),
      /\nOnce the server runs and can be reached, the same command begins anew\.$/
    )
    for (const end of ["/api/v1", "/api/v1/", "/api"]) {
      assert.include(
        yield* remoteComplaint(`${baseUrl}${end}`, "tml-right"),
        `Leave off ${
          end.replace(/\/$/, "")
        } at the end of TINKER_BASE_URL, which the client adds by itself: TINKER_BASE_URL=${baseUrl}\n`
      )
    }
    const refused = yield* remoteComplaint(baseUrl, "tml-wrong")
    assert.include(refused, "Check the API key: TINKER_API_KEY.\n")
    assert.notInclude(refused, "apiKey")
  }).pipe(Effect.provide([faulty, recording(false).layer, NodeContext.layer])))

/** The quickstart against a server of a model with a table of so many tokens. */
const at = (baseModel: string, vocabularySize: number, ...args: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const { address } = yield* HttpServer.HttpServer
    const baseUrl = address._tag === "TcpAddress" ? `http://127.0.0.1:${address.port}` : ""
    return yield* Effect.withConfigProvider(
      complaint("--remote", "--steps", "1", ...args),
      ConfigProvider.fromMap(new Map([["TINKER_BASE_URL", baseUrl], ["HF_HUB_OFFLINE", "1"]]))
    )
  }).pipe(Effect.provide(
    TinkerServer.layer().pipe(
      Layer.provide(BigramEngine.layer({ baseModels: [baseModel], vocabularySize })),
      Layer.provide(CheckpointStore.layerMemory),
      Layer.provideMerge(NodeHttpServer.layerTest)
    )
  ))

it.scopedLive("at a service takes no tokenizer but the model's own, and says how to give it", () => {
  const { layer, text } = recording(false)
  return Effect.gen(function*() {
    const unknown = yield* at("Qwen/Qwen3-8B", 264)
    assert.include(unknown, "Qwen/Qwen3-8B: is neither a folder nor in the cache")
    assert.include(unknown, "--tokenizer")
    const another = yield* at("Qwen/Qwen3-8B", 264, "--tokenizer", ShippedModel.folder)
    assert.include(
      another,
      `in ${ShippedModel.folder} is not that of Qwen/Qwen3-8B: it has 768 tokens, and the model 264`
    )
    const small = yield* at("Qwen/Qwen3-8B", 2000, "--tokenizer", ShippedModel.folder)
    assert.include(small, "it has 768 tokens, and the model 2000")
    assert.include(yield* at(ShippedModel.name, 264), "it has 768 tokens, and the model 264")
    assert.notInclude(text(), "Before training")
  }).pipe(Effect.provide([NodeContext.layer, layer]))
})

it.scopedLive("names the option whose value is no number, or that does not exist", () =>
  Effect.gen(function*() {
    const { layer } = recording(false)
    const said = (...args: ReadonlyArray<string>) =>
      Effect.map(Effect.flip(start(...args)), (error) => JSON.stringify(error)).pipe(Effect.provide(layer))
    assert.include(yield* said("--steps", "many"), "--steps is many; it must be a whole number.")
    assert.include(yield* said("--rank", "1.5"), "--rank is 1.5; it must be a whole number.")
    assert.include(yield* said("--learning-rate", "fast"), "--learning-rate is fast; it must be a number.")
    assert.include(yield* said("--step", "3"), "there is no option --step. Was --steps meant?")
  }).pipe(Effect.provide(NodeContext.layer)))

/** What a user reads when the quickstart cannot begin; it leaves nothing behind. */
const complaint = (...args: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const files = yield* FileSystem.FileSystem
    const out = `${yield* files.makeTempDirectoryScoped()}/out`
    const cause = yield* Effect.flip(Effect.sandbox(start("--out", out, ...args)))
    assert.isFalse(yield* files.exists(out), "no folder is left behind")
    return Main.explain(cause)
  })

const file = (content: string) =>
  Effect.gen(function*() {
    const files = yield* FileSystem.FileSystem
    const path = `${yield* files.makeTempDirectoryScoped()}/chats.jsonl`
    yield* files.writeFileString(path, content)
    return path
  })

const good = JSON.stringify({ messages: [{ role: "user", content: "a" }, { role: "assistant", content: "b" }] })
const mute = JSON.stringify({ messages: [{ role: "user", content: "a" }] })

const data: ReadonlyArray<readonly [string, string, ReadonlyArray<string>]> = [
  ["a line that is no JSON", `${good}\nnot json\n`, ["chats.jsonl:2"]],
  ["a conversation without the assistant", `${good}\n${good}\n${mute}\n`, ["chats.jsonl:3", "assistant"]],
  ["an empty data set", "\n", ["chats.jsonl", "no conversation"]],
  ["a conversation longer than the context", good.replace("\"b\"", JSON.stringify("b".repeat(9999))), ["chats.jsonl:1"]]
]

for (const [what, content, parts] of data) {
  it.scopedLive(`says where there is ${what}, before training`, () => {
    const { layer, text } = recording(false)
    return Effect.gen(function*() {
      const said = yield* complaint("--model", model, "--data", yield* file(content))
      for (const part of parts) assert.include(said, part)
      assert.strictEqual(said.split("\n").length, 1, said)
      assert.notInclude(text(), "step ")
    }).pipe(Effect.provide([NodeContext.layer, layer]))
  })
}

it.scopedLive("says all that is wrong with the data at once, before it loads the model, and which option leaves out keys", () => {
  const { layer, text } = recording(false)
  return Effect.gen(function*() {
    const asking = (rest: object) => JSON.stringify({ ...JSON.parse(good) as object, ...rest })
    const lines = [good, asking({ split: "test" }), "{", asking({ tools: [{}] }), asking({ split: "test" })]
    const said = (yield* complaint("--model", model, "--data", yield* file(lines.join("\n")))).split("\n")
    assert.lengthOf(said, 4)
    assert.match(said[0]!, /^error: .*chats\.jsonl:2: says by split .* The same in line 5\.$/)
    assert.match(said[1]!, /^ {2}.*chats\.jsonl:3: is no JSON/)
    assert.match(said[2]!, /^ {2}.*chats\.jsonl:4: has tools/)
    assert.strictEqual(
      said[3],
      "4 of 5 lines are wrong. Once each line is JSON, the lines without such marks are kept by "
        + "jq -c 'select([.split? == \"test\"] | any | not)'. If tools is of no account, pass --ignore-keys tools."
    )
    assert.strictEqual(text(), "")
  }).pipe(Effect.provide([NodeContext.layer, layer]))
})

it.scopedLive("finds an output folder that cannot be made before it looks at anything else", () => {
  const { layer, text } = recording(false)
  return Effect.gen(function*() {
    const taken = yield* file("")
    const error = yield* Effect.flip(start("--data", "/nonexistent/chats.jsonl", "--out", `${taken}/out`))
    assert.include(String(error), "a file is where a folder would have to be")
    assert.strictEqual(text(), "")
  }).pipe(Effect.provide([NodeContext.layer, layer]))
})

const entry = fileURLToPath(new URL("../src/quickstart.ts", import.meta.url))

/** What the program in a process of its own writes, when it is told to stop each time that it has written one of these. */
const stopped = (...stopsAt: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const folder = yield* (yield* FileSystem.FileSystem).makeTempDirectoryScoped()
    return yield* Effect.async<{ readonly text: string; readonly code: number | null }>((resume) => {
      const child = spawn("node", ["--import", "tsx", entry, "--out", `${folder}/out`])
      let text = ""
      let stops = 0
      child.stdout.on("data", (chunk: Buffer) => {
        text += chunk.toString()
        const next = stopsAt[stops]
        if (next !== undefined && text.includes(next)) {
          stops += 1
          child.kill("SIGINT")
        }
      })
      child.once("close", (code) => resume(Effect.succeed({ text, code })))
    })
  })

it.scopedLive("stopped before the first step it says that nothing was kept", () =>
  Effect.gen(function*() {
    const { code, text } = yield* stopped("Loading ")
    assert.match(
      text,
      /\nStopped before there was a checkpoint; this run has kept nothing\.\nThe same command begins anew\.\n$/
    )
    assert.strictEqual(code, 130)
  }).pipe(Effect.provide(NodeContext.layer)), 60_000)

it.scopedLive("stopped a second time it ends at once, and says what is kept", () =>
  Effect.gen(function*() {
    const { code, text } = yield* stopped("step   2/100", "Stopping: ")
    assert.match(
      text,
      /\nStopped at once before there was a checkpoint; this run has kept nothing\.\nThe same command begins anew\.\n$/
    )
    assert.strictEqual(code, 130)
  }).pipe(Effect.provide(NodeContext.layer)), 60_000)

it.scopedLive("looks for the data before it loads the model", () => {
  const { layer, text } = recording(false)
  return Effect.gen(function*() {
    const missing = yield* complaint("--model", model, "--data", "/nonexistent/chats.jsonl")
    assert.include(missing, "error: /nonexistent/chats.jsonl: there is no such file")
    const folder = yield* complaint("--model", model, "--data", ".")
    assert.include(folder, "error: .: is a folder")
    assert.strictEqual(text(), "")
  }).pipe(Effect.provide([NodeContext.layer, layer]))
})

it.scopedLive(
  "names the option that leaves out keys of no account, beside those that it leaves out",
  () =>
    Effect.gen(function*() {
      const line = good.replace("{\"role\":\"user\"", "{\"id\":1,\"at\":2,\"role\":\"user\"")
      const lines = yield* file(`${line}\n`)
      assert.match(yield* complaint("--model", model, "--data", lines), /"id".* pass --ignore-keys id,at\.$/)
      assert.match(
        yield* complaint("--model", model, "--data", lines, "--ignore-keys", "id"),
        /"at".* pass --ignore-keys id,at\.$/
      )
      const prompts = yield* file(JSON.stringify({ ...JSON.parse(good) as object, prompt: "a" }))
      assert.match(
        yield* complaint("--model", model, "--data", prompts),
        /messages and prompt.* pass --ignore-keys prompt\.$/
      )
      const out = `${yield* (yield* FileSystem.FileSystem).makeTempDirectoryScoped()}/run`
      yield* start(
        "--model",
        model,
        "--data",
        lines,
        "--ignore-keys",
        "id,at",
        "--steps",
        "1",
        "--rank",
        "4",
        "--out",
        out
      )
    }).pipe(Effect.provide([NodeContext.layer, recording(false).layer])),
  180_000
)

it.scopedLive("says that a folder is no model, or of an architecture it does not know", () =>
  Effect.gen(function*() {
    const files = yield* FileSystem.FileSystem
    const empty = yield* files.makeTempDirectoryScoped()
    assert.include(yield* complaint("--model", empty), empty)
    assert.include(yield* complaint("--model", `${empty}/missing`), `${empty}/missing`)
    const config = yield* files.readFileString(`${model}/config.json`)
    yield* files.writeFileString(`${empty}/config.json`, config.replace("Qwen3ForCausalLM", "MambaForCausalLM"))
    assert.include(yield* complaint("--model", empty), "MambaForCausalLM")
  }).pipe(Effect.provide([NodeContext.layer, recording(false).layer])))

it.scopedLive("says that a service wants a key, and sends nothing without one", () =>
  Effect.gen(function*() {
    const said = yield* Effect.withConfigProvider(
      complaint("--remote", "--tokenizer", model),
      ConfigProvider.fromMap(new Map([["TINKER_BASE_URL", "https://example.invalid"]]))
    )
    assert.match(
      said,
      /^error: the service at https:\/\/example\.invalid wants an API key, and there is none\. Set the variable TINKER_API_KEY, .*TINKER_BASE_URL/
    )
    assert.strictEqual(said.split("\n").length, 1)
  }).pipe(Effect.provide([NodeContext.layer, recording(false).layer])))
