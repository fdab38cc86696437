/** Asks an endpoint as if the SDK had no call for it, and looks at the answer to one that it has. Needs TINKER_API_KEY. */
import { TinkerNode } from "@effect-tinker/node"
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer, Schema } from "effect"
import { RawClient, RawResponse, RequestExtras, RestClient, Tinker } from "effect-tinker"
import { isMain } from "./isMain.js"

const Models = Schema.Struct({
  models: Schema.propertySignature(Schema.Array(Schema.Struct({
    name: Schema.propertySignature(Schema.String).pipe(Schema.fromKey("model_name"))
  }))).pipe(Schema.fromKey("supported_models"))
})

export const program = Effect.gen(function*() {
  const raw = yield* RawClient.RawClient
  const answer = yield* raw.get("api/v1/get_server_capabilities", { query: { kind: ["base", "tuned"] } })
  const { models } = yield* answer.parse(Models)
  yield* Console.log(models.map(({ name }) => name).join(", "))

  const rest = yield* RestClient.RestClient
  const { responses, value } = yield* rest.listTrainingRuns().pipe(
    RequestExtras.withExtras({ headers: { "x-experiment": "7" }, timeout: "10 seconds" }),
    RawResponse.withResponses
  )
  for (const { operation, retries, status } of responses) yield* Console.log(operation, status, `${retries} retries`)
  yield* Console.log(value.trainingRuns.length, "training runs")
})

if (isMain(import.meta.url)) {
  const Client = Tinker.layerFromEnv.pipe(Layer.provide(TinkerNode.layer))
  NodeRuntime.runMain(Effect.provide(program, Client))
}
