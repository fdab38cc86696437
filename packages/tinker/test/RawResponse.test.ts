import { assert, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Inspectable, Redacted, Schema, TestClock } from "effect"
import { AdamParams, ApiFuture, RawResponse, RestClient, ServiceClient } from "effect-tinker"
import * as Fixture from "./fixture.js"
import { json, stub } from "./stub.js"

const list = Effect.flatMap(RestClient.RestClient, (rest) => rest.listTrainingRuns({ limit: 5 }))
const page = { training_runs: [], cursor: { limit: 5, offset: 0, total_count: 0 }, secret: "prompt" }

it.effect("tells of a call what came: status, headers, address, time, body", () => {
  const server = stub(
    { training_runs: () => Effect.delay(Effect.succeed(json(page, 200, { "x-request": "7" })), "2 seconds") },
    { baseUrl: "http://me:password@localhost", query: { token: "hush" }, apiKey: Redacted.make("tml-key") }
  )
  return Effect.gen(function*() {
    const fiber = yield* Effect.fork(RawResponse.withResponses(list))
    yield* TestClock.adjust("2 seconds")
    const { responses, value } = yield* Fiber.join(fiber)
    assert.lengthOf(value.trainingRuns, 0)
    assert.lengthOf(responses, 1)
    const response = responses[0]!
    assert.include(response, { method: "GET", status: 200, retries: 0 })
    assert.strictEqual(
      response.url,
      "http://[REDACTED]@localhost/api/v1/training_runs?limit=5&offset=0&access_scope=owned"
    )
    assert.strictEqual(response.headers["x-request"], "7")
    assert.strictEqual(Duration.toMillis(response.elapsed), 2000)
    assert.deepStrictEqual(response.json, page)
    assert.deepStrictEqual(JSON.parse(response.text), page)
    assert.deepStrictEqual(JSON.parse(new TextDecoder().decode(response.bytes)), page)
    assert.deepStrictEqual(yield* response.parse(Schema.Struct({ secret: Schema.String })), { secret: "prompt" })
    const error = yield* Effect.flip(response.parse(Schema.Struct({ secret: Schema.Number })))
    assert.strictEqual(error._tag, "ApiResponseValidationError")
    assert.include(error.message, "secret")
    for (const shown of [Inspectable.toStringUnknown(response), JSON.stringify(response), String(response)]) {
      assert.include(shown, "training_runs")
      for (const word of ["prompt", "password", "hush"]) assert.notInclude(shown, word)
    }
  }).pipe(Effect.provide(server.layer))
})

it.effect("has the answers to attempts that failed, in order, and what is no JSON as text", () => {
  const answers = [json({}, 503), { status: 404, headers: {}, body: new TextEncoder().encode("gone") }]
  const server = stub({ training_runs: () => answers.length > 1 ? answers.shift()! : answers[0]! })
  return Effect.gen(function*() {
    const fiber = yield* Effect.fork(RawResponse.withResponses(Effect.flip(list)))
    yield* TestClock.adjust("1 minute")
    const { responses } = yield* Fiber.join(fiber)
    // What no service says is asked about five times more.
    const statuses = [503, 404, 404, 404, 404, 404, 404]
    assert.deepStrictEqual(
      responses.map(({ retries, status }) => [status, retries]),
      statuses.map((one, i) => [one, i])
    )
    assert.isUndefined(responses[1]!.json)
    assert.strictEqual(responses[1]!.text, "gone")
  }).pipe(Effect.provide(server.layer))
})

it.scoped("has the polls of a future, for an outer region too, and nothing of what comes later", () =>
  Effect.gen(function*() {
    const service = yield* ServiceClient.ServiceClient
    const training = yield* service.createLoraTrainingClient({ baseModel: "bigram", rank: 4 })
    const step = ApiFuture.flatten(training.optimStep(AdamParams.make({ learningRate: 1 })))
    const outer = yield* RawResponse.withResponses(Effect.gen(function*() {
      const inner = yield* RawResponse.withResponses(step)
      yield* step
      return inner.responses
    }))
    const kinds = (responses: ReadonlyArray<RawResponse.RawResponse>) =>
      responses.map(({ operation }) => operation.split(" ")[0])
    assert.deepStrictEqual(kinds(outer.value), ["optim_step", "retrieve_future"])
    assert.deepStrictEqual(kinds(outer.responses), ["optim_step", "retrieve_future", "optim_step", "retrieve_future"])
  }).pipe(Effect.provide(Fixture.client())))
