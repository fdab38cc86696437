/**
 * Asks what the server can do, and prints what this process took from its start to the answer. Argument: address.
 */
import { TinkerNode } from "@effect-tinker/node"
import { ServiceClient, Tinker } from "effect-tinker"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

const program = Effect.gen(function*() {
  const service = yield* ServiceClient.ServiceClient
  const { supportedModels } = yield* service.getServerCapabilities
  const { maxRSS, systemCPUTime, userCPUTime } = process.resourceUsage()
  const figures = {
    cpu: (userCPUTime + systemCPUTime) / 1000,
    time: performance.now(),
    peak: maxRSS / 1024,
    models: supportedModels.length
  }
  console.log(JSON.stringify(figures))
})

await program.pipe(
  Effect.scoped,
  Effect.provide(Tinker.layer({ baseUrl: process.argv[2] }).pipe(Layer.provide(TinkerNode.layer))),
  Effect.runPromise
)
