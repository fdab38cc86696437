import { BigramEngine, Safetensors } from "@effect-tinker/engine"
import { CheckpointStore, Faults, TinkerServer } from "@effect-tinker/server"
import type { TinkerProtocol } from "@effect-tinker/server"
import { FileSystem, HttpClient } from "@effect/platform"
import type { HttpClientRequest } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, FiberId, Layer, Stream } from "effect"
import { ApiFuture, CheckpointDownload, RetryPolicy, ServiceClient, Tinker } from "effect-tinker"
import { adam, datum } from "./fixture.js"
import { folder } from "./storage.js"

/** Client, downloads and server in this process; every request is met on its way. */
const everything = (
  meet: (call: string) => Effect.Effect<void>,
  server: TinkerProtocol.Options = {}
) =>
  Layer.mergeAll(Tinker.layer(), Tinker.layerDownload()).pipe(
    Layer.provide(
      Layer.effect(
        HttpClient.HttpClient,
        Effect.map(HttpClient.HttpClient, HttpClient.tapRequest((request) => meet(nameOf(request))))
      )
    ),
    Layer.provideMerge(TinkerServer.layerClientWithStore(server)),
    Layer.provideMerge(CheckpointStore.layerMemory),
    Layer.provide(BigramEngine.layer()),
    Layer.provideMerge(Faults.layer),
    Layer.provideMerge(NodeContext.layer)
  )

const nameOf = ({ body, method, url }: HttpClientRequest.HttpClientRequest) => {
  const text = body._tag === "Uint8Array" ? new TextDecoder().decode(body.body) : ""
  return `${method} ${url.replace(/^.*?\/\/[^/]+(\/api\/v1)?\//, "")} ${text}`
}

/** What happens to an export, in order, by the names of its requests. */
const steps = (calls: ReadonlyArray<string>) =>
  calls.map((call) => call.split(" ").slice(0, 2).join(" "))
    .filter((call) =>
      !/heartbeat|client\/|retrieve_future|auth|telemetry|create_model|get_info|weights_info/.test(call)
    )
    .map((call) => call.replace(/[0-9a-f-]{36}/g, "ID").replace(/files\/.*/, "file"))

/** A checkpoint from which training can go on, and what its sampling weights are. */
const train = Effect.gen(function*() {
  const service = yield* ServiceClient.ServiceClient
  const { supportedModels } = yield* service.getServerCapabilities
  const training = yield* service.createLoraTrainingClient({ baseModel: supportedModels[0]!.modelName!, rank: 2 })
  yield* ApiFuture.flatten(training.forwardBackward({ data: [datum("abab")], lossFn: "cross_entropy" }))
  yield* ApiFuture.flatten(training.optimStep(adam))
  const { path } = yield* ApiFuture.flatten(training.saveState({ name: "final" }))
  return path
})

const exportTo = (path: string, directory: string) =>
  Effect.flatMap(
    CheckpointDownload.CheckpointDownload,
    (download) => CheckpointDownload.result(download.exportTrainingCheckpoint(path, { directory }))
  )

const external = Effect.flatMap(
  CheckpointStore.CheckpointStore,
  (store) => Effect.map(store.list, (infos) => infos.filter(({ path }) => path.checkpointType === "external"))
)

const finishes = (calls: ReadonlyArray<string>) => calls.filter((call) => /sessions\/.*\/finish/.test(call))

it.scoped("an export makes the requests in order, and leaves the files here and nothing there", () => {
  const calls: Array<string> = []
  return Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const { target } = yield* folder
    const path = yield* train
    calls.length = 0
    const download = yield* CheckpointDownload.CheckpointDownload
    const states = Array.from(
      yield* Stream.runCollect(download.exportTrainingCheckpoint(path, { directory: target }))
    )
    assert.deepStrictEqual(
      Array.from(new Set(states.map((state) => state._tag === "Exporting" ? state.step : state._tag))),
      ["loading", "saving", "Progress", "Done"]
    )
    assert.deepStrictEqual(steps(calls), [
      "POST create_session",
      "POST load_weights",
      "POST save_weights_external",
      "GET training_runs/ID:train:0/checkpoints/external_weights/download/external_weights_urls",
      "GET file",
      "GET file",
      "DELETE training_runs/ID:train:0/checkpoints/external_weights/download",
      "POST sessions/ID/finish"
    ])
    const bodyOf = (name: string) => JSON.parse(calls.find((call) => call.includes(` ${name} `))!.split(" ")[2]!)
    assert.isFalse(bodyOf("load_weights").optimizer)
    assert.strictEqual(bodyOf("save_weights_external").ttl_seconds, 3600)
    assert.include(finishes(calls)[0], "\"success\"")
    assert.deepStrictEqual((yield* fs.readDirectory(target)).sort(), [
      "adapter_config.json",
      "adapter_model.safetensors"
    ])
    const model = Safetensors.decode(yield* fs.readFile(`${target}/adapter_model.safetensors`))
    assert.isTrue(model._tag === "Right" && model.right.size > 0)
    assert.deepStrictEqual(yield* external, [])
    // The session of the rest of the program goes on.
    const service = yield* ServiceClient.ServiceClient
    yield* service.createTrainingClientFromState(path)
  }).pipe(Effect.provide(everything((call) => Effect.sync(() => calls.push(call)))))
})

/** Lets what is under way go on. */
const turn = Effect.async<void>((resume) => {
  setImmediate(() => resume(Effect.void))
})

const stages = [
  "create_session",
  "load_weights",
  "get_info",
  "save_weights_external",
  "external_weights_urls",
  "files/"
]

for (const stage of stages) {
  it.scoped(`an export that fails at ${stage} is deleted, its session finished as errored, and nothing is left`, () => {
    const calls: Array<string> = []
    let armed = false
    return Effect.gen(function*() {
      const { target, tree } = yield* folder
      const path = yield* train
      calls.length = 0
      armed = true
      const exit = yield* Effect.exit(exportTo(path, target))
      assert.isTrue(Exit.isFailure(exit))
      assert.deepStrictEqual(yield* tree, {})
      assert.deepStrictEqual(yield* external, [])
      const finished = finishes(calls)
      if (stage === "create_session") assert.strictEqual(finished.length, 0)
      else assert.include(finished[0], "\"errored\"")
    }).pipe(
      RetryPolicy.withPolicies({ request: RetryPolicy.none, poll: RetryPolicy.none }),
      Effect.provide(everything((call) =>
        Effect.suspend(() => {
          calls.push(call)
          return armed && call.includes(stage) ? Effect.die(new Error("it broke")) : Effect.void
        })
      ))
    )
  })

  it.scoped(`an export interrupted at ${stage} is deleted, its session finished as interrupted`, () => {
    const calls: Array<string> = []
    let armed = false
    const reached = Deferred.unsafeMake<void>(FiberId.none)
    return Effect.gen(function*() {
      const { target, tree } = yield* folder
      const path = yield* train
      calls.length = 0
      armed = true
      const running = yield* Effect.fork(exportTo(path, target))
      yield* Deferred.await(reached)
      yield* Fiber.interrupt(running)
      assert.deepStrictEqual(yield* tree, {})
      assert.deepStrictEqual(yield* external, [])
      const finished = finishes(calls)
      if (stage === "create_session") assert.strictEqual(finished.length, 0)
      else assert.include(finished[0], "\"interrupted\"")
    }).pipe(
      Effect.provide(everything((call) =>
        Effect.suspend(() => {
          calls.push(call)
          if (!armed || !call.includes(stage)) return Effect.void
          armed = false
          return Effect.zipRight(Deferred.succeed(reached, undefined), Effect.never)
        })
      ))
    )
  })
}

it.scoped("an export whose save goes on after it was interrupted leaves nothing on the server", () => {
  const calls: Array<string> = []
  return Effect.gen(function*() {
    const { target } = yield* folder
    const faults = yield* Faults.Faults
    const path = yield* train
    yield* faults.plan({ path: "save_weights_external", fault: { _tag: "DelayAnswer", duration: "1 second" } })
    const running = yield* Effect.fork(exportTo(path, target))
    while (!calls.some((call) => call.includes("save_weights_external"))) yield* turn
    yield* Fiber.interrupt(running)
    assert.deepStrictEqual(yield* external, [])
  }).pipe(Effect.provide(everything((call) => Effect.sync(() => calls.push(call)))))
})

it.scoped("a target that is there is refused before a session is made", () => {
  const calls: Array<string> = []
  return Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const { target } = yield* folder
    const path = yield* train
    yield* fs.makeDirectory(target)
    calls.length = 0
    const error = yield* Effect.flip(exportTo(path, target))
    assert.strictEqual(error._tag === "DownloadError" && error.reason, "TargetExists")
    assert.deepStrictEqual(calls, [])
  }).pipe(Effect.provide(everything((call) => Effect.sync(() => calls.push(call)))))
})

it.scoped("an archive of a server that makes them comes whole", () =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const { target } = yield* folder
    const path = yield* train
    const download = yield* CheckpointDownload.CheckpointDownload
    const done = yield* CheckpointDownload.result(download.archive(path, { directory: target }))
    assert.deepStrictEqual(done.files, ["state.safetensors"])
    assert.strictEqual(Safetensors.decode(yield* fs.readFile(`${target}/state.safetensors`))._tag, "Right")
  }).pipe(Effect.provide(everything(() => Effect.void, { archives: true }))))
