/**
 * Lists checkpoints from a server on this machine as a stream, and prints by how much the heap has grown at 10 %, 50 % and
 * 100 % of them. What has gone by is let go, so it does not grow.
 */
import { TinkerNode } from "@effect-tinker/node"
import { Effect, Layer, Redacted, Stream } from "effect"
import { RestClient, Tinker } from "effect-tinker"
import { parseArgs } from "node:util"
import { startServer } from "./rounds.js"

const total = Number(parseArgs({ options: { checkpoints: { type: "string", default: "100000" } } }).values.checkpoints)

/** Live bytes, in MiB. */
const heap = (): number => {
  globalThis.gc!()
  return process.memoryUsage().heapUsed / 2 ** 20
}

const program = Effect.gen(function*() {
  const rest = yield* RestClient.RestClient
  // Everything that is made once is made before the first look.
  yield* Stream.runDrain(Stream.take(rest.userCheckpoints(), 1000))
  const before = heap()
  const cpu = process.cpuUsage()
  const started = performance.now()
  let count = 0
  yield* Stream.runForEach(rest.userCheckpoints(), () =>
    Effect.sync(() => {
      count += 1
      if (count === total / 10 || count === total / 2 || count === total) {
        const grown = `${(heap() - before).toFixed(2)} MiB`
        console.log(`heap grown after ${count.toLocaleString("en").padStart(7)} checkpoints  ${grown.padStart(10)}`)
      }
    }))
  if (count !== total) throw new Error(`${count} checkpoints came, of ${total}`)
  const { system, user } = process.cpuUsage(cpu)
  const seconds = (performance.now() - started) / 1000
  console.log(`${((user + system) / count).toFixed(1)} us of CPU a checkpoint, ${Math.round(count / seconds)} a second`)
})

const server = await startServer("--checkpoints", String(total))
await program.pipe(
  Effect.provide(
    Tinker.layer({ baseUrl: server.url, apiKey: Redacted.make("tml-bench") }).pipe(Layer.provide(TinkerNode.layer))
  ),
  Effect.runPromise
)
server.stop()
