/** Downloads the external weights of `downloadServer.ts` into a directory, and prints how long it took and what it held. */
import { TinkerNode } from "@effect-tinker/node"
import { NodeContext } from "@effect/platform-node"
import { Effect, Layer } from "effect"
import { CheckpointDownload, Tinker } from "effect-tinker"

export interface Download {
  /** MiB a second. */
  readonly rate: number
  /** CPU seconds. */
  readonly cpu: number
  /** MiB of heap and arrays at most, beyond those before. */
  readonly heap: number
}

const [url, directory] = process.argv.slice(2) as [string, string]

const held = () => {
  const { arrayBuffers, heapUsed } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

const program = Effect.gen(function*() {
  const download = yield* CheckpointDownload.CheckpointDownload
  global.gc?.()
  const before = held()
  let most = before
  const timer = setInterval(() => (most = Math.max(most, held())), 20)
  const cpu = process.cpuUsage()
  const started = performance.now()
  const { bytes } = yield* CheckpointDownload.result(
    download.externalWeights("tinker://run/external_weights/final", { directory })
  )
  const seconds = (performance.now() - started) / 1000
  const { system, user } = process.cpuUsage(cpu)
  clearInterval(timer)
  const mib = 1024 * 1024
  return { rate: bytes / mib / seconds, cpu: (user + system) / 1e6, heap: (most - before) / mib }
})

const result: Download = await Effect.runPromise(program.pipe(Effect.provide(
  Tinker.layerDownload({ baseUrl: url }).pipe(Layer.provide([TinkerNode.layer, NodeContext.layer]))
)))
process.stdout.write(`${JSON.stringify(result)}\n`)
