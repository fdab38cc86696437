import { assert, it } from "@effect/vitest"
import { Effect, Layer, Logger } from "effect"
import { RestClient, TinkerEvents } from "effect-tinker"
import { json, stub } from "./stub.js"

it.effect("a note that something will end is told once for each text and call, at its level", () => {
  const lines: Array<string> = []
  const logger = Logger.make(({ logLevel, message }) => {
    const text = Array.isArray(message) ? message.join(" ") : String(message)
    if (text.includes("deprecated")) lines.push(`${logLevel.label} ${text}`)
  })
  const page = { training_runs: [], cursor: { limit: 20, offset: 0, total_count: 0 } }
  const answers = [
    json(page, 200, { "x-deprecation-note": "use v2" }),
    json(page, 200, { "x-deprecation-note": "use v2" }),
    json(page, 200, { "x-deprecation-note": "gone soon", "x-deprecation-level": "error" })
  ]
  const server = stub({
    training_runs: () => answers.shift()!,
    "training_runs/r": () => json({ detail: "none" }, 404, { "x-deprecation-note": "use v2" })
  })
  return Effect.gen(function*() {
    const rest = yield* RestClient.RestClient
    const hub = yield* TinkerEvents.CurrentHub
    const events: Array<TinkerEvents.DeprecationNoted> = []
    hub.listen((event) => {
      if (event._tag === "DeprecationNoted") events.push(event)
    })
    yield* rest.listTrainingRuns()
    yield* rest.listTrainingRuns()
    yield* rest.listTrainingRuns()
    yield* Effect.flip(rest.getTrainingRun("r"))
    assert.deepStrictEqual(lines, [
      "WARN RestClient.listTrainingRuns: the server says that this is deprecated: use v2",
      "ERROR RestClient.listTrainingRuns: the server says that this is deprecated: gone soon",
      "WARN RestClient.getTrainingRun: the server says that this is deprecated: use v2"
    ])
    assert.deepStrictEqual(events.map(({ call, level, note }) => [call, level, note]), [
      ["RestClient.listTrainingRuns", "warning", "use v2"],
      ["RestClient.listTrainingRuns", "error", "gone soon"],
      ["RestClient.getTrainingRun", "warning", "use v2"]
    ])
  }).pipe(
    Effect.provide(Layer.provideMerge(server.layer, TinkerEvents.layerHub)),
    Effect.provide(Logger.replace(Logger.defaultLogger, logger))
  )
})
